"""The int8 graph between the front ends and the kernels: tensors with their quantisation, operators in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Quantisation:
    """real = scale * (stored - zero_point). One entry, or one per slice along ``axis``."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0

    @property
    def scale(self) -> float:
        """The only scale of a per-tensor quantisation."""
        (scale,) = self.scales
        return scale

    @property
    def zero_point(self) -> int:
        """The only zero point of a per-tensor quantisation."""
        (zero_point,) = self.zero_points
        return zero_point


@dataclass(frozen=True)
class Tensor:
    """A tensor; ``data`` holds the values of a constant and is None for a computed one. Batch 1 is in ``shape``."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantisation: Quantisation | None = None
    data: npt.NDArray[Any] | None = field(default=None, compare=False, repr=False)

    @property
    def bytes(self) -> int:
        """Size in the arena, dense."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Operator:
    """One operator by its LiteRT name (``CONV_2D``); tensors by number, -1 for one left out.

    ``options`` are LiteRT's, in snake_case (``stride_h``, ``padding``, ``fused_activation_function``), enumerations by
    their names. ``place`` tells a person where it is: its number and the name of its first output.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]
    place: str


@dataclass
class Graph:
    """Operators in execution order. Passes build a new one."""

    name: str
    tensors: list[Tensor]
    operators: list[Operator]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    source_sha256: str = ""
