"""What the compiler has to know of a core."""

from __future__ import annotations

# Cores with the DSP extension (Arm v7E-M; optional, and there in every part that edgekit knows, in v8-M mainline).
DSP_CORES = ("cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "cortex-m85")


def has_dsp(core: str) -> bool:
    """Whether weights are laid out for the DSP kernels. Cores without them, and only those, need the other layout."""
    return core in DSP_CORES
