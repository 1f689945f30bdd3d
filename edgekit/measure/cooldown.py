"""Wait until a device is cool before measuring on it, within a bound."""

from __future__ import annotations

import time
from collections.abc import Callable

from edgekit.records import DeviceState

COOL_C = 35.0
BOUND_S = 300.0
# A device that rests above the gate never gets below it: stop when it has cooled by less than this in that time.
SETTLED_DROP_C = 0.5
SETTLED_AFTER_S = 30.0
_POLL_S = 2.0
_PROCESSOR_NAMES = ("cpu", "soc", "pkg", "core", "cluster")


def hottest(state: DeviceState) -> float | None:
    """The highest processor temperature in °C, or the highest of all sensors if none is named like a processor's."""
    sensors = state.temperatures_c or {}
    named = [value for name, value in sensors.items() if any(part in name.lower() for part in _PROCESSOR_NAMES)]
    return max(named or list(sensors.values()), default=None)


def wait_until_cool(
    read: Callable[[], DeviceState],
    progress: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str | None:
    """Wait for at most 35 °C and thermal status 0; a sentence if the device did not get there, else None.

    A device that tells neither is not waited for: ``missing`` of its state says so. The wait ends after 300 s, or
    when the temperature has stopped falling.
    """
    begin = clock()
    checked, reference = begin, hottest(read())
    while True:
        state = read()
        now, heat = clock(), hottest(state)
        if (heat is None or heat <= COOL_C) and not state.thermal_status:
            return None
        what = _describe(heat, state.thermal_status)
        if now - begin >= BOUND_S:
            return f"Measured at {what}: it was not cool after {BOUND_S:g} s."
        if now - checked >= SETTLED_AFTER_S:
            if heat is not None and reference is not None and reference - heat < SETTLED_DROP_C:
                return f"Measured at {what}: it stopped cooling above {COOL_C:g} °C."
            checked, reference = now, heat
        progress(f"waiting to cool: {what}")
        sleep(_POLL_S)


def _describe(heat: float | None, status: int | None) -> str:
    parts = [] if heat is None else [f"{heat:.1f} °C"]
    return ", ".join([*parts, f"thermal status {status}"] if status else parts)
