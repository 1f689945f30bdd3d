"""Conversions that succeed and are silently wrong, by the rewrite that mends each (its docstring has the proof)."""

from __future__ import annotations

# Rewrite -> the backends whose file is wrong without it. No torch.
SILENT: dict[str, tuple[str, ...]] = {
    "softmax_rank3": ("executorch",),
    "odd_nearest_resize": ("litert",),
    "statistics_norm": ("coreml",),
    "explicit_alpha": ("coreml",),
    "tanh_gelu": ("coreml",),
    "exact_reciprocal": ("coreml",),
    "exact_rsqrt": ("coreml",),
}
