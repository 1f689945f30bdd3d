"""Which measurements are of the kind of device that a bundle is for.

A measurement names its device by a spec (``edgekit devices``). By that, ``host`` is the machine that edgekit ran on;
``ios:…`` an iPhone or iPad; what the engine of microcontrollers ran on, a board; and all others are Android devices. A
measurement does not state its machine's instruction set: processors of x86 name their maker, and Linux machines that
name none are taken to be arm64.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from edgekit.bundle.records import Target
from edgekit.device.host import SPEC as HOST
from edgekit.job import ENGINE_OF_FORMAT
from edgekit.records import Measurement

_X86 = re.compile(r"\b(AMD|Intel|VIA|Hygon|Zhaoxin|QEMU Virtual CPU|KVM processor|x86_64)\b", re.IGNORECASE)
_NAMES: dict[Target, str] = {
    "android": "Android device", "ios": "iPhone or iPad", "mcu": "microcontroller board", "linux": "Linux machine",
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """The devices that a bundle is for; ``abi`` is Android's name of their instruction set, for Linux only."""

    target: Target
    abi: str | None = None

    @property
    def name(self) -> str:
        """Without an article."""
        return f"{self.abi} {_NAMES[self.target]}" if self.abi else _NAMES[self.target]

    @property
    def one(self) -> str:
        """With an article."""
        return f"{'an' if self.name[0].lower() in 'aeiou' else 'a'} {self.name}"

    def has(self, m: Measurement) -> bool:
        """Whether it was measured on such a device, or on an emulated one."""
        return _target(m) == self.target and self.abi in (None, _abi(m))


def kind_of(target: Target, options: Mapping[str, str]) -> Kind:
    """The devices of a target with these options of it."""
    return Kind(target, options.get("abi"))


def _target(m: Measurement) -> Target | None:
    if m.device == HOST:
        return "linux" if "Linux" in (m.os_build or "") else None
    if m.device.partition(":")[0] == "ios":
        return "ios"
    return "mcu" if m.engine == ENGINE_OF_FORMAT["mcu"] else "android"


def _abi(m: Measurement) -> str:
    return "x86_64" if _X86.search(m.device_name) else "arm64-v8a"
