"""The peer: one official converter as its documentation calls it, in a fresh process.

``python benchmarks/official.py FORMAT TIMM_NAME OUTPUT``
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from edgekit.model.torchvision_ops import make_importable


def main() -> None:
    kind, name, path = sys.argv[1:]
    make_importable()
    import timm

    timm.layers.set_fused_attn(False)
    model = timm.create_model(name, pretrained=False).eval()
    convert(kind, model, (torch.randn(1, *model.pretrained_cfg["input_size"]),), path)


def convert(kind: str, model: torch.nn.Module, inputs: tuple[Any, ...], path: str) -> None:
    """Write ``path`` by the plain call of the format's official API."""
    if kind == "executorch":
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        exported = torch.export.export(model, inputs)
        program = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
        with open(path, "wb") as file:
            file.write(program.buffer)
    elif kind == "litert":
        import litert_torch

        litert_torch.convert(model, inputs).export(path)
    elif kind == "coreml":
        import coremltools as ct

        exported = torch.export.export(model, inputs).run_decompositions({})
        ct.convert(exported, minimum_deployment_target=ct.target.iOS16).save(path)
    elif kind == "onnx":
        torch.onnx.export(model, inputs, path, dynamo=True, external_data=False)
    else:
        raise SystemExit(f"no official converter for {kind}")


if __name__ == "__main__":
    main()
