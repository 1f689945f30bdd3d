"""Which devices are looked for, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.device.adb.attached import open_serial, opener
from edgekit.device.adb.link import Patience
from edgekit.device.adb.presence import adb_on_usb
from edgekit.errors import DeviceError


def interface(root: Path, name: str, facts: tuple[str, str, str]) -> None:
    folder = root / "sys/bus/usb/devices" / name
    folder.mkdir(parents=True)
    for key, value in zip(("bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol"), facts, strict=True):
        (folder / key).write_text(f"{value}\n")


def test_usb_is_asked_only_where_an_adb_interface_is(tmp_path: Path) -> None:
    assert not adb_on_usb(tmp_path)
    interface(tmp_path, "1-1:1.0", ("08", "06", "50"))  # a memory stick
    (tmp_path / "sys/bus/usb/devices/1-1").mkdir()
    assert not adb_on_usb(tmp_path)
    interface(tmp_path, "1-2:1.1", ("ff", "42", "01"))
    assert adb_on_usb(tmp_path)


@pytest.mark.parametrize("text", ["127.0.0.1:0", "127.0.0.1:65536", ":5555", "host:port", "a:b:c"])
def test_an_address_that_is_none(text: str) -> None:
    with pytest.raises(DeviceError, match="is no HOST:PORT"):
        opener(text, patience=Patience(), say=print)


def test_a_serial_that_is_not_attached() -> None:
    with pytest.raises(DeviceError) as caught:
        open_serial("R5CT1234ABC", print).info()
    assert caught.value.where == "R5CT1234ABC" and caught.value.next_step


def test_nothing_is_attached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    with pytest.raises(DeviceError, match="No Android device is attached"):
        open_serial("", print)
