"""The harness's clock: nanoseconds that no time service adjusts."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

Clock = Callable[[], int]


def monotonic_clock() -> tuple[Clock, str | None]:
    """The clock for timing, and a note if it is not the preferred one.

    CLOCK_MONOTONIC_RAW is not slewed by NTP. A system without it gets ``time.perf_counter_ns`` and says so.
    """
    if hasattr(time, "CLOCK_MONOTONIC_RAW"):
        return partial(time.clock_gettime_ns, time.CLOCK_MONOTONIC_RAW), None
    return time.perf_counter_ns, "Timed with perf_counter_ns: this system has no CLOCK_MONOTONIC_RAW."
