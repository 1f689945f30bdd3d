"""What a program may cost to read and to run. A file is untrusted: its sizes are checked before memory is taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from edgekit.convert.mil.failures import refused


@dataclass(frozen=True)
class Limits:
    """Bounds for one file and one run.

    ``manifest_bytes`` and ``program_bytes`` bound the files that are parsed (weights are mapped, not read),
    ``operations`` the operators, ``tensor_elements`` one tensor, ``live_bytes`` all intermediate tensors that exist at
    one time, ``work`` what one run computes: its multiplications, and ELEMENT_COST for every element written. The
    defaults are some fifty times what the largest vision models of mobile size need, and end a run within minutes.
    """

    manifest_bytes: int = 1 << 20
    program_bytes: int = 32 << 20
    operations: int = 100_000
    tensor_elements: int = 1 << 28
    live_bytes: int = 4 << 30
    work: int = 10**12


LIMITS = Limits()

# Writing an element to memory takes about as long as ten multiplications in a matrix product.
ELEMENT_COST = 10


class Budget:
    """What one run has used so far."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.live = 0
        self.work = 0

    def hold(self, tensor: torch.Tensor, where: str) -> None:
        """Count a tensor that stays until it is released."""
        self.live += tensor.numel() * tensor.element_size()
        if self.live > self.limits.live_bytes:
            raise _over(f"holds more than {self.limits.live_bytes >> 20} MiB of tensors at once", where)

    def release(self, tensor: torch.Tensor) -> None:
        """A tensor that was held is gone."""
        self.live -= tensor.numel() * tensor.element_size()

    def reserve(self, shape: Sequence[int], where: str) -> None:
        """Refuse a tensor before it is made, if it is too large for itself or beside the others (as float32)."""
        elements = math.prod(shape)
        if elements > self.limits.tensor_elements:
            raise _over(f"makes a tensor of {'x'.join(map(str, shape))}", where)
        if self.live + 4 * elements > self.limits.live_bytes:
            raise _over(f"holds more than {self.limits.live_bytes >> 20} MiB of tensors at once", where)

    def spend(self, amount: int, where: str) -> None:
        """Count work, in multiplications."""
        self.work += amount
        if self.work > self.limits.work:
            raise _over(f"needs more than {self.limits.work:.0e} multiplications", where)


def check_elements(shape: Sequence[int], limits: Limits, where: str) -> int:
    """The number of elements of a declared shape.

    Raises:
        RuntimeCrashError: it is too large.
    """
    elements = math.prod(shape)
    if elements > limits.tensor_elements:
        raise _over(f"declares a tensor of {'x'.join(map(str, shape))}", where)
    return elements


def _over(what: str, where: str) -> Exception:
    return refused(
        f"The Core ML program {what}, which is more than the reference evaluator allows.",
        where,
        "If the model really is that large, it has to be checked on a Mac.",
    )
