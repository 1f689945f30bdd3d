"""What every form of model source hands to the loader."""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.records import Preprocess, TensorSpec

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

# What torch's readers raise on bytes that are not what they expect; found by feeding them random and cut-off files.
PARSE_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    EOFError,
    OSError,
    MemoryError,
    ImportError,
    pickle.UnpicklingError,
    struct.error,
)


@dataclass(frozen=True)
class Loaded:
    """One loaded source: a module or a program, with what the source itself says about its inputs.

    ``weights`` is a short text saying where the weights come from. ``inputs`` is null if the source does not tell.
    ``described`` says that the module's own config has been looked at already.
    """

    weights: str
    module: torch.nn.Module | None = None
    program: ExportedProgram | None = None
    inputs: tuple[TensorSpec, ...] | None = None
    inputs_source: str = ""
    preprocess: Preprocess | None = None
    warnings: tuple[str, ...] = ()
    described: bool = False


def first_line(error: BaseException, limit: int = 300) -> str:
    """The first non-empty line of an exception's text, or its type's name."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:limit] if lines else type(error).__name__
