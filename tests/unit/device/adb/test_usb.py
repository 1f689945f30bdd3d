"""The USB side, with a fake in place of adb_shell's transport: there is no USB device here to be had."""

from __future__ import annotations

from typing import Any

import pytest
from adb_shell.exceptions import UsbReadFailedError, UsbWriteFailedError

from edgekit.device.adb import direct
from edgekit.device.adb.connection import Wire
from edgekit.device.adb.direct import _Usb
from edgekit.device.adb.messages import OKAY, WRTE, pack
from edgekit.errors import LinkLostError

PACKET = 512


class UsbError(Exception):
    """As libusb's binding reports an error."""

    def __init__(self, value: int, received: bytes = b"", transferred: int = 0) -> None:
        super().__init__("libusb")
        self.value, self.received, self.transferred = value, received, transferred


class Endpoint:
    def __init__(self, address: int) -> None:
        self._address = address

    def getAddress(self) -> int:
        return self._address

    def getMaxPacketSize(self) -> int:
        return PACKET


class Bus:
    """Answers by a list: bytes, or an error to be raised; notes what was written."""

    def __init__(self, answers: list[Any] | None = None, writes: list[Any] | None = None) -> None:
        self._setting = self
        self.answers, self.writes = answers or [], writes or []
        self.written: list[bytes] = []
        self.waits: list[float] = []

    def iterEndpoints(self) -> list[Endpoint]:
        return [Endpoint(0x81), Endpoint(0x02)]

    def bulk_read(self, count: int, timeout_s: float) -> bytes:
        self.waits.append(timeout_s)
        answer = self.answers.pop(0) if self.answers else UsbError(-7)
        if isinstance(answer, UsbError):
            raise UsbReadFailedError("read", answer)
        return bytes(answer)

    def bulk_write(self, data: bytes, timeout_s: float) -> int:
        self.waits.append(timeout_s)
        answer = self.writes.pop(0) if self.writes else len(data)
        if isinstance(answer, UsbError):
            raise UsbWriteFailedError("write", answer)
        self.written.append(bytes(data[:answer]))
        return int(answer)

    def close(self) -> None:
        pass


def test_a_payload_that_fills_its_last_packet_is_ended_by_an_empty_one() -> None:
    bus = Bus()
    wire = Wire(_Usb(bus), "usb")
    assert wire.write(WRTE, 1, 2, bytes(PACKET * 3), timeout_s=1)
    assert wire.write(WRTE, 1, 2, bytes(PACKET + 1), timeout_s=1)
    assert wire.write(OKAY, 1, 2, timeout_s=1)
    assert [len(data) for data in bus.written] == [24, PACKET * 3, 0, 24, PACKET + 1, 24]


def test_a_read_that_timed_out_keeps_what_had_come() -> None:
    raw = pack(WRTE, 1, 2, b"payload")
    bus = Bus([UsbError(-7), raw[:10], UsbError(-7, received=raw[10:]), b"", b"payload"])
    wire = Wire(_Usb(bus), "usb")
    assert wire.read(0.0) is None
    while (packet := wire.read(0.05)) is None:
        pass
    assert (packet[0].command, bytes(packet[1])) == (WRTE, b"payload")
    assert min(bus.waits) > 0, "libusb waits without end for 0"


def test_a_write_that_timed_out_goes_on_where_it_was_cut() -> None:
    bus = Bus(writes=[24, UsbError(-7, transferred=0), 2, UsbError(-7, transferred=0), 5])
    wire = Wire(_Usb(bus), "usb")
    assert wire.write(WRTE, 1, 2, b"payload", timeout_s=0.1)
    while wire.unfinished:
        wire.flush(0.1)
    assert b"".join(bus.written[1:]) == b"payload"


@pytest.mark.parametrize("value", [-4, -1, -9])
def test_any_other_error_is_a_lost_link(value: int) -> None:
    with pytest.raises(LinkLostError, match="USB"):
        Wire(_Usb(Bus([UsbError(value)])), "usb").read(1)
    with pytest.raises(LinkLostError, match="USB"):
        Wire(_Usb(Bus(writes=[UsbError(value)])), "usb").write(OKAY, 1, 2, timeout_s=1)
    gone = Bus()
    gone.bulk_read = lambda count, timeout_s: (_ for _ in ()).throw(UsbReadFailedError("closed", None))  # type: ignore[method-assign,assignment]
    with pytest.raises(LinkLostError):
        Wire(_Usb(gone), "usb").read(1)


def test_a_device_that_may_not_be_opened_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    class Device:
        def __init__(self, serial: str | None) -> None:
            self._serial = serial

        @property
        def serial_number(self) -> str:
            if self._serial is None:
                raise UsbError(-3)
            return self._serial

    class Usb:
        @staticmethod
        def find_all_adb_devices() -> list[Device]:
            return [Device(None), Device("0A1B2C"), Device("\x1b[31m"), Device(""), Device("x" * 300)]

    monkeypatch.setattr(direct, "usb_transports", lambda: Usb)
    assert direct.usb_serials() == ["0A1B2C"]
