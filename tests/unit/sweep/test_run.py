from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgekit.device.host import HostDevice
from edgekit.errors import DeviceError, UsageError
from edgekit.records import DeviceInfo
from edgekit.sweep import run as sweeping
from edgekit.sweep.grid import GridFile, settle
from edgekit.sweep.run import Devices, is_here


def info(**changes: Any) -> DeviceInfo:
    known = DeviceInfo(spec="adb:1", name="x", profile=None, transport="adb, usb", state="ready")
    return msgspec.structs.replace(known, **changes)


@pytest.mark.parametrize(
    ("device", "here"),
    [
        (HostDevice().info(), True),
        (info(spec="virtual:phone-arm64"), True),
        (info(spec="virtual:cortex-m4", transport="virtual"), True),
        (info(emulated=True), True),  # an emulator behind adb runs on these cores, as far as can be told
        (info(), False),
        (info(spec="serial:/dev/ttyACM0", transport="serial"), False),
    ],
)
def test_what_takes_this_machine_s_cores(device: DeviceInfo, here: bool) -> None:
    assert is_here(device) is here


def test_devices_are_reached_once_and_what_is_away_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    class Phone:
        def info(self) -> DeviceInfo:
            return info(spec="adb:1")

    def open_device(spec: str, say: object, harness: str | None) -> Any:
        opened.append(spec)
        if spec == "away":
            raise DeviceError("It is away.")
        return HostDevice() if spec == "host" else Phone()

    monkeypatch.setattr(sweeping, "open_device", open_device)
    grid = settle(GridFile(models=("zoo:mobilevig_ti",), devices=("host", "away", "pixel7", "adb:1")), Path())
    devices = Devices(grid, lambda text: None)
    assert set(devices.reach(["host", "away", "pixel7", "host"])) == {"host", "pixel7"}
    assert opened == ["host", "away", "pixel7"] and devices.lost["away"].message == "It is away."
    with pytest.raises(UsageError, match="pixel7 and adb:1 are the same device"):
        devices.reach(["adb:1"])
