"""Converters that take no time, as modules that worker processes import, and the records around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgekit.convert.backend import BackendInfo
from edgekit.convert.cache import Cache
from edgekit.convert.worker import Task
from edgekit.export.archive import save_program
from edgekit.records import Exported, Golden, TensorSpec

HEADER = """
import os, signal, sys, time
from pathlib import Path
from edgekit.convert.backend import Conversion
NAME = {name!r}
FOLDER = Path({folder!r})
class Converter:
    def convert(self, program, precision, path):
        (FOLDER / (NAME + ".ran")).write_text(str(os.getpid()))
"""


def program() -> Any:
    return torch.export.export(nn.Linear(2, 2).eval(), (torch.zeros(1, 2),), strict=False)


class Fakes:
    """Makes tasks whose converters have the given bodies; what they note goes to ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = Cache(folder / "cache")
        self.program = program()
        golden = Golden(sha256="g", count=1, source="", inputs=(), outputs=())
        self.exported = Exported(
            sha256="e" * 64, name="net", spec="net", weights="none", inputs=(TensorSpec(name="x", shape=(1, 2)),),
            outputs=(), parameters=6, program="", golden=golden,
        )  # fmt: skip

    def task(self, name: str, *body: str, memory_bytes: int = 100, cost: float = 1.0) -> Task:
        header = HEADER.format(name=name, folder=str(self.folder))
        lines = [f"        {line}\n" for line in (*body, "path.write_text(NAME)", "return Conversion()")]
        (self.folder / f"fake_{name}.py").write_text(header + "".join(lines))
        info = BackendInfo(
            name=name, label=name, suffix=".bin", module=f"fake_{name}", extra=name, packages=(), imports=(),
            memory_bytes=memory_bytes, memory_per_weight_byte=0.0, cost=cost,
        )  # fmt: skip
        return Task(info, self.exported, "fp32", self.cache, True, self.program, {})

    def ran(self) -> list[str]:
        """The names of the converters that were started."""
        return sorted(p.stem for p in self.folder.glob("*.ran"))

    def pid(self, name: str) -> int:
        return int((self.folder / f"{name}.ran").read_text())

    def save_program(self) -> None:
        self.cache.ensure("programs", self.exported.sha256, lambda d: save_program(d, self.program, {}))
