"""From the device spec that the user types to the device."""

from __future__ import annotations

import difflib

from edgekit.device import profiles
from edgekit.device.device import Device
from edgekit.device.host import SPEC as HOST
from edgekit.device.host import HostDevice
from edgekit.errors import DeviceError
from edgekit.records import DeviceInfo

# Forms of spec that are understood, but whose devices this version can't reach yet.
_NOT_YET = {
    "adb": "Android devices over adb",
    "serial": "microcontroller boards over a serial port",
    "virtual": "virtual devices",
    "ios": "iPhones and iPads",
}


def open_device(spec: str) -> Device:
    """The device that ``spec`` names.

    Raises:
        DeviceError: there is no such device, or this version can't reach devices of that form.
    """
    if spec == HOST:
        return HostDevice()
    form, colon, _ = spec.partition(":")
    if colon and form in _NOT_YET:
        raise DeviceError(
            f"{_NOT_YET[form]} ({form}:…) are not available in this version of edgekit.",
            where=spec,
            next_step="Use --device host; edgekit devices lists what is available.",
        )
    by_name = {profile.name: profile for profile in profiles.known()}
    if spec in by_name:
        raise DeviceError(
            f"No attached device matches the profile {spec} ({by_name[spec].label}): "
            f"{_NOT_YET['adb']} are not available in this version of edgekit.",
            where=spec,
            next_step="Use --device host; edgekit devices lists what is available.",
        )
    near = difflib.get_close_matches(spec, [HOST, *(f"{name}:" for name in _NOT_YET)], n=2)
    near = near or profiles.nearest(spec, by_name)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise DeviceError(
        f"There is no device {spec!r}.",
        where=spec,
        next_step=f"{hint}edgekit devices lists what is available.",
        near=near,
    )


def list_devices() -> list[DeviceInfo]:
    """Every device that can be used now, this machine first. No runtime is imported."""
    return [HostDevice().info()]
