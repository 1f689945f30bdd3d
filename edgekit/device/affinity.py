"""Which cores to run on, chosen from what the device itself says about them."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def choose_cores(
    max_khz: Mapping[int, int], threads: int, allowed: Collection[int] | None = None
) -> tuple[int, ...] | None:
    """The fastest cores for ``threads`` threads, or None if the machine does not tell its cores apart.

    Cores are taken fastest first (``cpuinfo_max_freq``) until there is one per thread, and then every other core as
    fast as the slowest one taken, so that the scheduler may step aside among equals but never onto a slower core.
    A machine that leaves out a core, or whose cores are all alike, gets None: there is nothing to choose by.

    Args:
        max_khz: highest frequency in kHz by core number.
        allowed: the cores the process may use; None for all in ``max_khz``.
    """
    usable = sorted(max_khz if allowed is None else allowed)
    if not usable or any(core not in max_khz for core in usable):
        return None
    speeds = sorted((max_khz[core] for core in usable), reverse=True)
    slowest = speeds[min(max(threads, 1), len(speeds)) - 1]
    chosen = tuple(core for core in usable if max_khz[core] >= slowest)
    return None if len(chosen) == len(usable) else chosen
