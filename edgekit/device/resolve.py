"""From the device spec that the user types to the device."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgekit import paths
from edgekit.device import profiles
from edgekit.device.adb import presence
from edgekit.device.device import Device
from edgekit.device.host import SPEC as HOST
from edgekit.device.host import HostDevice
from edgekit.errors import DeviceError, UsageError
from edgekit.records import DeviceInfo

if TYPE_CHECKING:
    from edgekit.device.adb.link import Patience
    from edgekit.device.adb.phone import AdbDevice

# Forms of spec that are understood, but whose devices this version can't reach yet.
_NOT_YET = {"ios": "iPhones and iPads"}
VIRTUAL = "virtual"
VIRTUAL_PHONE = "virtual:phone-arm64"

Say = Callable[[str], None]


def open_device(spec: str, say: Say = lambda _text: None, harness: str | None = None) -> Device:
    """The device that ``spec`` names. No connection is made until it is used.

    Args:
        say: takes a line for the user whenever a device keeps edgekit waiting.
        harness: ``python`` or ``native``, the program that runs the model; what is usual there if None.

    Raises:
        DeviceError: there is no such device, or this version can't reach devices of that form.
        UsageError: the device has no such harness.
    """
    if spec == HOST:
        return HostDevice(native=harness == "native")
    if harness == "python":
        raise UsageError("--engine python is for the host; devices run the native runner.", where=spec,
                         next_step="Leave --engine out.")  # fmt: skip
    form, colon, rest = spec.partition(":")
    if spec == "adb" or (form == "adb" and colon):
        from edgekit.device.adb import attached

        return attached.open_serial(rest, say)
    if form == VIRTUAL and colon and not rest.startswith("cortex"):
        return _virtual_phone(rest, say)
    if form in (VIRTUAL, "serial") and colon and rest:
        from edgekit.device.mcu import attached as mcu_boards

        return mcu_boards.open_virtual(rest, say) if form == VIRTUAL else mcu_boards.open_port(rest, say)
    if colon and form in _NOT_YET:
        raise DeviceError(
            f"{_NOT_YET[form]} ({form}:…) are not available in this version of edgekit.",
            where=spec,
            next_step="edgekit devices lists what is available.",
        )
    named = _named_board(spec, say)
    if named is not None:
        return named
    by_name = {profile.name: profile for profile in profiles.known()}
    if spec in by_name:
        from edgekit.device.adb import attached

        return attached.open_profile(spec, by_name[spec].label, say)
    forms = (HOST, VIRTUAL_PHONE, "adb:", "serial:/dev/ttyACM0", *(f"{name}:" for name in _NOT_YET), *_board_names())
    near = difflib.get_close_matches(spec, forms, n=2)
    near = near or profiles.nearest(spec, by_name)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise DeviceError(
        f"There is no device {spec!r}.",
        where=spec,
        next_step=f"{hint}edgekit devices lists what is available.",
        near=near,
    )


def list_devices() -> list[DeviceInfo]:
    """Every device that is there now, this machine first; one that can't be used has its state. No runtime is imported.

    Raises:
        UsageError: a profile of the user's can't be used.
    """
    found = [HostDevice().info()]
    if presence.server_is_running() or presence.adb_on_usb():
        from edgekit.device.adb import attached

        found += attached.list_attached()
    from edgekit.device.mcu import listing

    return [*found, *_virtual_phones(), *listing.list_boards()]


def _named_board(spec: str, say: Say) -> Device | None:
    """The board of that name; dashes count as underscores."""
    from edgekit.device.mcu import boards

    for board in boards.known():
        if not board.emulated and spec.replace("-", "_") == board.name:
            from edgekit.device.mcu import attached as mcu_boards

            return mcu_boards.open_named(board, say)
    return None


def _board_names() -> tuple[str, ...]:
    from edgekit.device.mcu import boards

    return tuple(board.spec for board in boards.known())


def _virtual_phones() -> list[DeviceInfo]:
    if not any(paths.virtual_phones_dir().glob("*.json")):
        return []
    from edgekit.device import virtual_phone
    from edgekit.device.adb import attached

    found = []
    for phone in virtual_phone.phones():
        if phone.state == "running":
            opened = _virtual_phone(phone.name, lambda _text: None, attached.BRIEF)
            found.append(attached.described(opened, phone.name))
    return found


def _virtual_phone(name: str, say: Say, patience: Patience | None = None) -> AdbDevice:
    from edgekit.device import virtual_phone
    from edgekit.device.adb.direct import connect_tcp
    from edgekit.device.adb.link import Link, Patience
    from edgekit.device.adb.phone import AdbDevice

    patience = patience or Patience()

    def connect() -> Link:
        found = virtual_phone.running(name)
        if found is None:
            option = "" if name == virtual_phone.DEFAULT else f" --name {name}"
            raise DeviceError(f"The virtual phone {name} is not running.", where=f"{VIRTUAL}:{name}",
                              next_step=f"edgekit virtual phone start{option}")  # fmt: skip
        return connect_tcp(found.host, found.port, patience=patience, say=say)

    return AdbDevice(f"{VIRTUAL}:{name}", connect, patience=patience, say=say)
