"""Applies rewrites one at a time and proves each on the model at hand: its outputs before and after are compared."""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import torch
from torch.export import ExportedProgram

from edgekit.diagnosis import RewriteProof
from edgekit.doctor.eager import run
from edgekit.doctor.problems import History

Sample = tuple[torch.Tensor, ...]
# A model that takes longer than this for one sample is proved on that one alone.
_SLOW_SECONDS = 3.0


class Prover:
    """Knows the program's outputs so far; null samples prove nothing, but still apply and record."""

    def __init__(self, program: ExportedProgram, samples: Sequence[Sample], history: History) -> None:
        self._program = program
        self._samples = list(samples)
        self._history = history
        self.outputs: list[list[torch.Tensor]] | None = None

    def apply(self, name: str) -> RewriteProof | None:
        """Apply one rewrite in place; null if it changed nothing."""
        rewrite = importlib.import_module(f"edgekit.export.rewrites.{name}")
        if self.outputs is None and self._samples:
            self.outputs = self._run()
        places = rewrite.apply(self._program)
        if not places:
            return None
        self._history.record(name, self._program)
        before, self.outputs = self.outputs, self._run() if self._samples else None
        difference = None if before is None or self.outputs is None else largest_difference(before, self.outputs)
        return _proof(name, rewrite, places, difference, len(self._samples))

    def _run(self) -> list[list[torch.Tensor]]:
        results: list[list[torch.Tensor]] = []
        for index, sample in enumerate(self._samples):
            started = time.monotonic()
            results.append(run(self._program, sample))
            if index == 0 and time.monotonic() - started > _SLOW_SECONDS:
                self._samples = self._samples[:1]
                break
        return results


def _proof(name: str, rewrite: ModuleType, places: int, difference: float | None, samples: int) -> RewriteProof:
    bound: float | None = getattr(rewrite, "BOUND", None)
    return RewriteProof(
        name=name,
        places=places,
        reason=rewrite.REASON,
        bound=bound,
        difference=difference,
        samples=samples,
        proved=None if difference is None or bound is None else difference <= bound,
    )


def largest_difference(before: Sequence[Sequence[torch.Tensor]], after: Sequence[Sequence[torch.Tensor]]) -> float:
    """The largest one over all outputs and samples, relative to the output's largest absolute value before.

    NaN and infinity count as equal where they are in both.
    """
    worst = 0.0
    for first, second in zip(before, after, strict=False):
        for old, new in zip(first, second, strict=True):
            a, b = (t.detach().to(torch.float64).numpy() for t in (old, new))
            if a.shape != b.shape:
                return float("inf")
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            with np.errstate(invalid="ignore"):
                gap = np.where(same, 0.0, np.abs(a - b))
            scale = float(np.abs(a[np.isfinite(a)]).max(initial=0.0))
            gap = np.nan_to_num(gap, nan=np.inf)
            largest = float(gap.max(initial=0.0))
            worst = max(worst, largest / scale if scale > 0 else float(largest > 0 and np.inf))
    return worst
