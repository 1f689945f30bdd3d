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
    Rewrite("implicit_broadcast", None),
    Rewrite("fold_constants", None),
    Rewrite("recognise_gelu", None),
    Rewrite("antialiased_resize", None),
    Rewrite("needless_ceil", None),
    Rewrite("pool_divisor", None),
    Rewrite("statistics_norm", None),
    Rewrite("fold_batch_norm", None),
    Rewrite("max_relative", None),
    Rewrite("fold_affine", None),
    Rewrite("reparameterise", None),
    Rewrite("explicit_attention", ("executorch", "litert")),
    Rewrite("softmax_rank3", ("executorch",)),
    Rewrite("batched_products", ("executorch",)),
    Rewrite("delegated_layer_norm", ("executorch",)),
    Rewrite("delegated_mean", ("executorch",)),
    Rewrite("plain_slices", ("executorch",)),
    Rewrite("rank4_permute", ("litert", "coreml")),
    Rewrite("rank4_operators", ("litert", "coreml")),
    Rewrite("pool_1d", ("executorch", "litert")),
    Rewrite("adaptive_avg_pool", ("executorch", "litert")),
    Rewrite("adaptive_max_pool", ("executorch", "litert", "onnx")),
    Rewrite("padded_avg_pool", ("executorch", "litert")),
    Rewrite("padded_max_pool", ("onnx",)),
    Rewrite("uncounted_avg_pool", ("litert",)),
    Rewrite("dilated_max_pool", ("litert", "coreml")),
    Rewrite("odd_max_pool", ("litert",)),
    Rewrite("fold_unfold", ("executorch", "litert", "coreml")),
    Rewrite("bicubic_resize", ("executorch", "litert", "coreml")),
    Rewrite("odd_resize", ("executorch", "litert", "coreml")),
    Rewrite("nearest_exact_resize", ("executorch", "litert", "coreml")),
    Rewrite("odd_nearest_resize", ("litert", "coreml")),
    Rewrite("plain_operators", ("coreml",)),
    Rewrite("explicit_alpha", ("executorch", "litert", "coreml")),
    Rewrite("tanh_gelu", ("executorch", "coreml")),
    Rewrite("plain_powers", ("executorch", "litert")),
    Rewrite("exact_reciprocal", ("executorch", "coreml")),
    Rewrite("exact_rsqrt", ("coreml",)),
    Rewrite("float_scalars", ("executorch",)),
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
