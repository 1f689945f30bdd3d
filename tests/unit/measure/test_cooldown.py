from __future__ import annotations

from collections.abc import Callable

import pytest

from edgekit.measure.cooldown import hottest, wait_until_cool
from edgekit.records import DeviceState


class Device:
    """A device whose state is a function of the seconds that were slept."""

    def __init__(self, state: Callable[[float], DeviceState]) -> None:
        self.seconds = 0.0
        self.lines: list[str] = []
        self._state = state

    def wait(self) -> str | None:
        return wait_until_cool(lambda: self._state(self.seconds), self.lines.append, clock=lambda: self.seconds,
                               sleep=self._sleep)  # fmt: skip

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds


def at(celsius: float, status: int | None = None) -> DeviceState:
    return DeviceState(temperatures_c={"cpu-0": celsius}, thermal_status=status)


def test_unknown_temperature_is_not_waited_for() -> None:
    device = Device(lambda _: DeviceState(missing=("temperatures_c", "thermal_status")))
    assert (device.wait(), device.seconds, device.lines) == (None, 0.0, [])


def test_a_cool_device_is_not_waited_for() -> None:
    device = Device(lambda _: at(35.0, 0))
    assert (device.wait(), device.seconds) == (None, 0.0)


def test_it_waits_until_the_device_is_cool() -> None:
    device = Device(lambda seconds: at(45.0 - seconds / 10))
    assert device.wait() is None
    assert device.seconds == pytest.approx(100.0, abs=2.1)
    assert device.lines[0] == "waiting to cool: 45.0 °C"


def test_a_device_that_rests_above_the_gate_is_not_waited_for_to_the_bound() -> None:
    device = Device(lambda seconds: at(max(48.0, 60.0 - seconds)))
    note = device.wait()
    assert note == "Measured at 48.0 °C: it stopped cooling above 35 °C."
    assert 12 + 30 <= device.seconds <= 12 + 2 * 30 + 4


def test_the_bound_ends_a_slow_cooling() -> None:
    device = Device(lambda seconds: at(80.0 - seconds / 50))
    note = device.wait()
    assert note is not None and "not cool after 300 s" in note
    assert device.seconds == pytest.approx(300.0, abs=2.1)


def test_thermal_status_counts_too() -> None:
    device = Device(lambda seconds: DeviceState(thermal_status=2 if seconds < 20 else 0))
    assert device.wait() is None
    assert device.seconds == 20.0
    assert device.lines[0] == "waiting to cool: thermal status 2"


def test_the_hottest_processor_sensor_counts() -> None:
    sensors = {"x86_pkg_temp": 41.0, "cpu-1": 43.0, "iwlwifi_1": 60.0}
    assert hottest(DeviceState(temperatures_c=sensors)) == 43.0
    assert hottest(DeviceState(temperatures_c={"acpitz": 30.0, "iwlwifi_1": 60.0})) == 60.0
    assert hottest(DeviceState()) is None
