"""Whether a file is whole, before a runtime that trusts it maps it: LiteRT ends the process on one that is cut off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgekit.convert.files.pte import Pte
from edgekit.convert.files.tflite import Tflite
from edgekit.convert.mcu.unpack import unpack


def verify(format_name: str, path: Path) -> None:
    """Read all that a file of this format refers to. Formats whose runtime checks that itself are left to it.

    Raises:
        RuntimeCrashError: the file is cut off, contradicts itself, or is of another format.
        ModelError: likewise, of a microcontroller's file.
    """
    if format_name in _VERIFIERS:
        _VERIFIERS[format_name](path)


def _executorch(path: Path) -> None:
    file = Pte(path)
    _ = (file.calls, file.named_data)


def _litert(path: Path) -> None:
    file = Tflite(path)
    _ = (file.operators, file.weight_bytes())


def _mcu(path: Path) -> None:
    unpack(path.read_bytes(), str(path))


_VERIFIERS: dict[str, Callable[[Path], None]] = {"executorch": _executorch, "litert": _litert, "mcu": _mcu}
