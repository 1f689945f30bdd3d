"""What the kernels need of memory: the input of the planner and of the packer.

A buffer is a piece of the arena. A step is one kernel call; it reads and writes whole buffers and may need scratch
memory that lives only during it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Buffer:
    """``bytes`` of the arena, at a multiple of ``align``."""

    name: str
    bytes: int
    align: int = 4


@dataclass(frozen=True)
class Overlap:
    """How ``write`` may share memory with ``read``, provided that ``read`` is not needed after the step.

    ``distance`` >= 0: the kernel goes from low to high addresses and never writes a byte that it still has to read if
    the output starts at least ``distance`` bytes below the input (offset[write] + distance <= offset[read]).
    ``distance`` None: only at the same address (offset[write] == offset[read]).
    Without any overlap the two are disjoint. (Diagonal memory optimisation: Blacker et al., 2020.)
    """

    read: int
    write: int
    distance: int | None


@dataclass(frozen=True)
class Step:
    """One kernel call: ``kernel`` names its layout in kernels.py, buffers are numbers.

    ``fields`` are the record's fields without the offsets; ``offsets`` names, per field, the buffer whose arena offset
    goes there; ``data`` the bytes whose data offset goes there. ``macs`` counts multiply-accumulates.
    """

    name: str
    kernel: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    scratch_bytes: int
    overlaps: tuple[Overlap, ...]
    fields: dict[str, int]
    offsets: dict[str, int]
    data: dict[str, npt.NDArray[np.generic]]
    macs: int = 0


@dataclass(frozen=True)
class Endpoint:
    """One model input or output: its buffer and how the outside sees it.

    ``shape`` is that of the buffer. Its axis i is the source model's axis ``axes[i]``; empty: the order is the same.
    """

    name: str
    buffer: int
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    float_outside: bool
    axes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Program:
    """Everything that is planned and packed. Steps are in an order that works; the planner may choose another."""

    name: str
    source_sha256: str
    buffers: tuple[Buffer, ...]
    steps: tuple[Step, ...]
    inputs: tuple[Endpoint, ...]
    outputs: tuple[Endpoint, ...]
    dsp: bool


@dataclass(frozen=True)
class Plan:
    """Order (numbers of steps) and arena offsets; ``scratch`` is per step, in the program's numbering.

    ``lower_bound_bytes`` is proved; ``optimal`` says that arena_bytes equals it. ``peak_step`` needs the most.
    """

    order: tuple[int, ...]
    offsets: tuple[int, ...]
    scratch: tuple[int, ...]
    arena_bytes: int
    lower_bound_bytes: int
    peak_step: int
    seconds: float

    @property
    def optimal(self) -> bool:
        """Whether no plan with a smaller arena exists (within the rules of :class:`Overlap`)."""
        return self.arena_bytes == self.lower_bound_bytes
