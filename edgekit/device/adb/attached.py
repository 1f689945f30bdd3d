"""Which Android devices are attached, and how each is reached.

A device that a running adb server holds is reached through that server: by USB nobody else could, and by TCP it was
the user who connected it there. Everything else is reached directly. This is decided once, when the device is opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from edgekit.device import profiles
from edgekit.device.adb import server
from edgekit.device.adb.link import Link, Patience, Say
from edgekit.device.adb.phone import AdbDevice
from edgekit.device.adb.presence import adb_on_usb
from edgekit.device.adb.shell import printable
from edgekit.errors import DeviceError, EdgekitError
from edgekit.records import DeviceInfo

FORM = "adb"
# For listing: a device that does not answer must not hold up the others.
BRIEF = Patience(ask_s=1.0, notice_s=1.5, limit_s=3.0)
_MAX_LISTED = 64


@dataclass(frozen=True)
class Attached:
    """A device that was found: its serial, its state where that is known without opening it, and the way to it."""

    serial: str
    state: str
    how: str

    @property
    def spec(self) -> str:
        """The device spec that names it."""
        return f"{FORM}:{self.serial}"


def attached() -> list[Attached]:
    """Every device that an adb server holds or that is on the USB bus."""
    held = [Attached(d.serial, _STATES.get(d.state, d.state), "server") for d in server.listed()]
    names = {device.serial for device in held}
    return [*held, *(d for d in _on_usb() if d.serial not in names)][:_MAX_LISTED]


def opener(serial: str, *, patience: Patience, say: Say, prompt: bool = True) -> Callable[[], Link]:
    """How to connect to the device with this serial number, or at this HOST:PORT.

    Raises:
        DeviceError: the address is none.
    """
    if any(device.serial == serial for device in server.listed()):
        return lambda: server.ServerLink(serial)
    host, colon, port = serial.rpartition(":")
    if colon:
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise DeviceError(f"{printable(serial, 80)!r} is no HOST:PORT.", where=printable(serial, 80),
                              next_step="For example adb:127.0.0.1:5555.")  # fmt: skip
        return lambda: _tcp(host.strip("[]"), int(port), patience, say, prompt)
    return lambda: _usb(serial, patience, say, prompt)


def open_serial(serial: str, say: Say, patience: Patience | None = None, *, prompt: bool = True) -> AdbDevice:
    """The device ``adb:SERIAL`` or ``adb:HOST:PORT``; without a serial, ``ANDROID_SERIAL`` or the only one attached.

    Raises:
        DeviceError: none, or several, are attached.
    """
    patience = patience or Patience()
    serial = serial or _only()
    connect = opener(serial, patience=patience, say=say, prompt=prompt)
    return AdbDevice(f"{FORM}:{serial}", connect, patience=patience, say=say)


def open_profile(name: str, label: str, say: Say) -> AdbDevice:
    """The attached device that matches this profile.

    Raises:
        DeviceError: none matches, or several do.
    """
    chosen = os.environ.get("ANDROID_SERIAL")
    found = [info for info in list_attached() if chosen is None or info.spec == f"{FORM}:{chosen}"]
    matching = [info for info in found if info.profile == name]
    if len(matching) == 1:
        return open_serial(matching[0].spec.removeprefix(f"{FORM}:"), say)
    if matching:
        specs = ", ".join(info.spec for info in matching)
        raise DeviceError(
            f"{len(matching)} attached devices match the profile {name}: {specs}.", where=name,
            next_step=f"Name one of them, for example --device {matching[0].spec}, or set ANDROID_SERIAL.",
            near=[info.spec for info in matching],
        )  # fmt: skip
    others = "; ".join(f"{i.spec} is {i.profile or i.state}" for i in found) or "no Android device is attached"
    limit = " (ANDROID_SERIAL is set)" if chosen else ""
    waiting = next((i for i in found if i.state == "unauthorised"), None)
    step = "Unlock the phone and accept the prompt for this computer's key." if waiting else (
        "Attach it with USB debugging on; edgekit devices lists what is attached.")  # fmt: skip
    raise DeviceError(f"No attached device matches the profile {name} ({label}){limit}: {others}.", where=name,
                      next_step=step)  # fmt: skip


def list_attached() -> list[DeviceInfo]:
    """What is known of every attached device, asked side by side; one that does not answer is listed with its state."""
    devices = attached()
    if not devices:
        return []
    profiles.known()  # read before there are threads: msgspec 0.22 crashes if two of them read the first one at once
    with ThreadPoolExecutor(max_workers=min(8, len(devices))) as pool:
        return list(pool.map(_described, devices))


def described(device: AdbDevice, name: str) -> DeviceInfo:
    """The device's own description, or a line that says why there is none; the device is closed."""
    try:
        return device.info()
    except EdgekitError as error:
        state = "unauthorised" if error.kind == "unauthorised" else "offline"
        return DeviceInfo(spec=device.spec, name=f"{name}: {error.message}", profile=None, transport=FORM,
                          state=state, engines=())  # fmt: skip
    finally:
        device.close()


def _described(found: Attached) -> DeviceInfo:
    if found.state != "ready":
        return DeviceInfo(spec=found.spec, name=found.serial, profile=None, transport=FORM, state=found.state)
    return described(open_serial(found.serial, _nobody, BRIEF, prompt=False), found.serial)


# The server's words for a device's state, and ours.
_STATES = {"device": "ready", "unauthorized": "unauthorised", "offline": "offline"}


def _only() -> str:
    chosen = os.environ.get("ANDROID_SERIAL")
    if chosen:
        return chosen
    serials = [device.serial for device in attached()]
    if len(serials) == 1:
        return serials[0]
    what = f"{len(serials)} Android devices are attached" if serials else "No Android device is attached"
    step = f"Name one: --device adb:{serials[0]}." if serials else "Attach one with USB debugging on."
    raise DeviceError(f"{what}.", where=FORM, next_step=step, near=[f"{FORM}:{serial}" for serial in serials])


def _on_usb() -> list[Attached]:
    if not adb_on_usb():
        return []
    from edgekit.device.adb.direct import usb_serials

    return [Attached(serial, "ready", "usb") for serial in usb_serials()]


def _tcp(host: str, port: int, patience: Patience, say: Say, prompt: bool) -> Link:
    from edgekit.device.adb.direct import connect_tcp

    return connect_tcp(host, port, patience=patience, say=say, prompt=prompt)


def _usb(serial: str, patience: Patience, say: Say, prompt: bool) -> Link:
    from edgekit.device.adb.direct import connect_usb

    if not adb_on_usb():
        shown = printable(serial, 80)
        raise DeviceError(
            f"There is no Android device {shown}: no adb server holds it, and the USB bus has none.", where=shown,
            next_step="Attach it with USB debugging on; edgekit devices lists what is attached.",
        )  # fmt: skip
    return connect_usb(serial, patience=patience, say=say, prompt=prompt)


def _nobody(_text: str) -> None:
    """A listing shows the state itself."""
