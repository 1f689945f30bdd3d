"""Whether there may be an Android device at all. Imports nothing: most machines have none, and a listing is quick."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from edgekit.errors import DeviceError

_LOOK_S = 0.3


def server_address() -> tuple[str, int]:
    """Where the adb server is, by the stock client's environment variables."""
    host = os.environ.get("ANDROID_ADB_SERVER_ADDRESS") or os.environ.get("ANDROID_ADB_SERVER_HOST") or "127.0.0.1"
    port = os.environ.get("ANDROID_ADB_SERVER_PORT", "5037")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise DeviceError(f"ANDROID_ADB_SERVER_PORT is {port[:20]!r}, which is no port.", where="environment",
                          next_step="Set it to the adb server's port, or unset it.")  # fmt: skip
    return host, int(port)


def server_is_running() -> bool:
    """Whether something listens where the adb server would."""
    with suppress(OSError), socket.create_connection(server_address(), timeout=_LOOK_S):
        return True
    return False


def adb_on_usb(root: Path = Path("/")) -> bool:
    """Whether an adb interface is on the USB bus, by sysfs; where there is no sysfs, libusb has to be asked.

    libusb takes longer to load than listing devices may. Class, subclass and protocol: AOSP's adb.h.
    """
    devices = root / "sys/bus/usb/devices"
    if sys.platform != "linux":
        return True
    for interface in devices.glob("*/bInterfaceClass") if devices.is_dir() else ():
        names = ("bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol")
        with suppress(OSError):  # it was unplugged meanwhile
            if [(interface.parent / name).read_text().strip().lower() for name in names] == ["ff", "42", "01"]:
                return True
    return False
