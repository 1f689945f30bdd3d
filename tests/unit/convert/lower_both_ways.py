"""Run by test_speedups.py in a process of its own: lowers models by ExecuTorch as it is, then with every speed-up.

The speed-ups change libraries for the life of a process, so the plain way comes first. Prints one JSON object:
model -> [[sha256 of the .pte, partitions, undelegated operators] per way].
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import zoo

from edgekit.convert import executorch, speedups


def lowered(program: Any) -> list[Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pte"
        made = executorch.Converter().convert(program, "fp32", path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return [digest, made.partitions, [[op.op, op.count] for op in made.undelegated_ops or ()]]


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    made = {"resize": zoo.resize(), "attention": zoo.attention(), "tiny": zoo.tiny()}
    programs = {name: torch.export.export(module, example, strict=False) for name, (module, example) in made.items()}
    skip, speedups.skip_unused_xnnpack_patterns = speedups.skip_unused_xnnpack_patterns, lambda program: None
    plain = {name: lowered(program) for name, program in programs.items()}
    speedups.skip_unused_xnnpack_patterns = skip
    speedups.install()
    fast = {name: lowered(program) for name, program in programs.items()}
    sys.stdout.write(json.dumps({name: [plain[name], fast[name]] for name in programs}))


if __name__ == "__main__":
    main()
