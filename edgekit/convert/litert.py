"""LiteRT (.tflite) through litert-torch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.export import ExportedProgram

from edgekit.convert import placement
from edgekit.convert.backend import Conversion


class Converter:
    """Feeds the exported program to litert-torch's own steps.

    ``litert_torch.convert`` takes a module and exports it again; the steps behind that export (decompositions, passes,
    flatbuffer) are the same ones that are called here.
    """

    def convert(self, program: ExportedProgram, precision: str, path: Path) -> Conversion:
        """Write ``path`` (.tflite)."""
        from litert_torch import fx_infra
        from litert_torch._convert import core, litert_converter, signature

        fx_infra.silence_torch_logs()
        inputs = program.example_inputs[0] if program.example_inputs else ()
        own = signature.Signature("serving_default", torch.nn.Module(), inputs, None)
        lowered = fx_infra.graph_utils.reset_from_node_meta(program)
        lowered = fx_infra.safe_run_decompositions(lowered, fx_infra.decomp.pre_convert_decomp(), can_skip=False)
        lowered = core._run_convert_passes(lowered)
        exporter = litert_converter.exported_programs_to_flatbuffer(
            [lowered],
            [own],
            enable_x64=False,
            quant_config=None,
            lightweight_conversion=False,
            runtime_constant_folding=None,
        )
        from litert_torch import model

        model.LiteRTModel(exporter).export(str(path))
        return placement.read("litert", path)
