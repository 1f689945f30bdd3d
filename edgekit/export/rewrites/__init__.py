"""Rewrites of the exported program, one per file, each with its reason; the table below is all of them.

A rewrite changes how a value is computed, never which value: parity is always judged against the original module.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch.export import ExportedProgram


class Rewrite(NamedTuple):
    """One rewrite: its module here, and the backends it is for (null: every one, applied once after the export)."""

    name: str
    backends: tuple[str, ...] | None


# In the order they are applied. Read without torch: the names are part of every conversion's cache key.
REWRITES = (
    Rewrite("remove_identities", None),
    Rewrite("fold_batch_norm", None),
    Rewrite("implicit_broadcast", None),
    Rewrite("softmax_rank3", ("executorch",)),
    Rewrite("odd_nearest_resize", ("litert",)),
)


def names(backend: str | None) -> tuple[str, ...]:
    """The rewrites for one backend alone, or those for every backend (null)."""
    return tuple(r.name for r in REWRITES if (r.backends is None if backend is None else backend in (r.backends or ())))


def apply_all(program: ExportedProgram, backend: str | None = None) -> tuple[str, ...]:
    """Apply one backend's rewrites, or the common ones, in place; answers ``name×places`` of those that changed it."""
    applied = []
    for name in names(backend):
        places = importlib.import_module(f"edgekit.export.rewrites.{name}").apply(program)
        if places:
            applied.append(f"{name}×{places}")
    return tuple(applied)
