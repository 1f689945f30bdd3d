"""What an Android device says of itself: the scripts that ask, and the pure parsers of what they answer.

The scripts are constants; nothing that a device sent is ever put into one. Answers are bounded text from outside:
what can't be parsed counts as not told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from edgekit.device.adb.shell import printable
from edgekit.harness.state import parse_int, parse_load, parse_memory_bytes, with_missing
from edgekit.records import DeviceState

_MAX_TEXT = 120

# $1 marks the sections: a random word of this call, so that no device text can begin one.
IDENTITY_SCRIPT = """
echo "$1 props"; getprop 2>/dev/null | head -c 262144
echo "$1 machine"; uname -m
echo "$1 memory"; head -n 3 /proc/meminfo
echo "$1 cores"
for c in /sys/devices/system/cpu/cpu[0-9]*; do echo "${c##*/cpu} $(cat $c/cpufreq/cpuinfo_max_freq 2>/dev/null)"; done
echo "$1 end"
"""

STATE_SCRIPT = """
echo "$1 thermal"; dumpsys thermalservice 2>/dev/null | head -c 65536
echo "$1 battery"; dumpsys battery 2>/dev/null | head -c 8192
echo "$1 screen"; dumpsys power 2>/dev/null | grep -E 'mWakefulness=|Display Power: state=' | head -n 4
echo "$1 zones"
for z in /sys/class/thermal/thermal_zone*; do echo "$(cat $z/temp 2>/dev/null) $(cat $z/type 2>/dev/null)"; done
echo "$1 clocks"
for c in /sys/devices/system/cpu/cpu[0-9]*/cpufreq; do
cd $c && echo "$(cat scaling_cur_freq) $(cat cpuinfo_max_freq) $(cat scaling_governor)"
done 2>/dev/null
echo "$1 load"; cat /proc/loadavg
echo "$1 end"
"""

# android.os.Temperature.TYPE_*; what AOSP calls them.
_THERMAL_TYPES = {0: "cpu", 1: "gpu", 2: "battery", 3: "skin", 4: "usb", 5: "power amplifier", 9: "npu"}


@dataclass(frozen=True)
class Identity:
    """Who the device is: its properties, its processor architecture by the kernel, memory, and the cores' speeds."""

    properties: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""
    ram_bytes: int | None = None
    cores: int | None = None
    max_khz: Mapping[int, int] = field(default_factory=dict)

    def text(self, *names: str) -> str | None:
        """The first of these properties that the device has, fit to be shown."""
        values = (self.properties.get(name, "").strip() for name in names)
        return next((printable(value, _MAX_TEXT) for value in values if value), None)

    @property
    def abi(self) -> str | None:
        """The preferred ABI, by Android's name; from the kernel where there are no properties."""
        listed = self.text("ro.product.cpu.abilist", "ro.product.cpu.abi")
        return listed.split(",")[0] if listed else {"aarch64": "arm64-v8a"}.get(self.machine, self.machine or None)

    @property
    def emulated(self) -> bool:
        """Whether it says that it is an emulator (QEMU, Android Studio's, Cuttlefish)."""
        said = [self.properties.get(name, "") for name in ("ro.boot.qemu", "ro.kernel.qemu", "ro.hardware.virtual")]
        return "1" in said or self.properties.get("ro.hardware", "") in ("ranchu", "goldfish", "cutf_cvm")


def sections(text: str, marker: str) -> dict[str, str]:
    """The parts of a script's output by name; without the last one's marker nothing counts: the output was cut."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if line.startswith(f"{marker} "):
            current = found.setdefault(line[len(marker) + 1 :].strip(), [])
        else:
            current.append(line)
    return {name: "\n".join(lines) for name, lines in found.items()} if "end" in found else {}


def parse_identity(parts: Mapping[str, str]) -> Identity:
    """From the sections of :data:`IDENTITY_SCRIPT`."""
    speeds = [line.split() for line in parts.get("cores", "").splitlines()]
    numbers = {int(row[0]): row[1:] for row in speeds if row and row[0].isdecimal() and len(row[0]) < 5}
    return Identity(
        properties=parse_properties(parts.get("props", "")),
        machine=printable(parts.get("machine", "").strip(), 20),
        ram_bytes=parse_memory_bytes(parts.get("memory"), "MemTotal"),
        cores=len(numbers) or None,
        max_khz={core: khz for core, rest in numbers.items() if rest and (khz := parse_int(rest[0])) is not None},
    )


def parse_properties(text: str) -> dict[str, str]:
    """``[key]: [value]`` lines of getprop; a value that spans lines, or a line of another form, is left out."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\[([A-Za-z0-9._@:-]{1,128})\]: \[(.{0,512})\]", line)
        if match is not None:
            found[match[1]] = match[2]
    return found


def parse_state(parts: Mapping[str, str]) -> DeviceState:
    """From the sections of :data:`STATE_SCRIPT`; what is not told is None and named in ``missing``."""
    status, temperatures = parse_thermal(parts.get("thermal", ""))
    zones = parse_zones(parts.get("zones", ""))
    charging, percent = parse_battery(parts.get("battery", ""))
    current, highest, governor = parse_clocks(parts.get("clocks", ""))
    return with_missing(
        DeviceState(
            frequencies_khz=current,
            max_frequencies_khz=highest,
            governor=governor,
            temperatures_c={**zones, **temperatures} or None,
            thermal_status=status,
            load_1min=parse_load(parts.get("load")),
            charging=charging,
            battery_percent=percent,
            screen_on=parse_screen(parts.get("screen", "")),
        )
    )


def merged(seen_on_device: DeviceState, asked: DeviceState) -> DeviceState:
    """What the harness read itself, completed by what only the shell could ask; the harness's own goes first."""
    untold = {name: getattr(asked, name) for name in seen_on_device.__struct_fields__
              if getattr(seen_on_device, name) is None}  # fmt: skip
    return with_missing(msgspec.structs.replace(seen_on_device, **untold))


def parse_thermal(text: str) -> tuple[int | None, dict[str, float]]:
    """Thermal status (0 none … 6 shutdown) and °C by sensor, from ``dumpsys thermalservice``.

    Only the section "Current temperatures from HAL" counts: the cached ones before it may be minutes old.
    """
    status = re.search(r"^Thermal Status: (\d)\s*$", text, re.MULTILINE)
    _, _, live = text.partition("Current temperatures from HAL:")
    live = re.split(r"\n\S", live, maxsplit=1)[0]
    found: dict[str, float] = {}
    for block in re.findall(r"Temperature\{([^}]{1,200})\}", live)[:64]:
        facts = dict(part.strip().partition("=")[::2] for part in block.split(","))
        value, kind = _number(facts.get("mValue", "")), parse_int(facts.get("mType"))
        # Sensors that are switched off answer 0 or a sentinel such as -99.9.
        if value is not None and 0 < value < 200:
            name = printable(facts.get("mName", "?"), 40)
            found[f"{_THERMAL_TYPES.get(-1 if kind is None else kind, 'other')} {name}"] = value
    return (int(status[1]) if status else None), found


def parse_zones(text: str) -> dict[str, float]:
    """°C by thermal zone, from lines of ``millidegrees type``."""
    found: dict[str, float] = {}
    for line in text.splitlines()[:128]:
        milli, _, name = line.partition(" ")
        value = parse_int(milli) if len(milli) < 8 else None
        # Some kernels count in whole degrees.
        if value is not None and value > 0 and name.strip():
            found[printable(name.strip(), 40)] = value / 1000.0 if value >= 1000 else float(value)
    return {name: value for name, value in found.items() if value < 200}


def parse_battery(text: str) -> tuple[bool | None, float | None]:
    """Whether it is being powered, and its level in percent, from ``dumpsys battery``."""
    powered = re.findall(r"^\s*(?:AC|USB|Wireless|Dock) powered: (true|false)\s*$", text, re.MULTILINE)
    level = re.search(r"^\s*level: (\d{1,3})\s*$", text, re.MULTILINE)
    return ("true" in powered if powered else None), (float(level[1]) if level else None)


def parse_screen(text: str) -> bool | None:
    """Whether the screen is on, from ``dumpsys power``."""
    display = re.search(r"Display Power: state=(\w+)", text)
    if display is not None:
        return display[1] == "ON"
    wakefulness = re.search(r"mWakefulness=(\w+)", text)
    return None if wakefulness is None else wakefulness[1] == "Awake"


def parse_clocks(text: str) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None, str | None]:
    """Current and highest frequency of every core in kHz, and the governors; None unless every core tells it."""
    rows = [line.split(" ") for line in text.splitlines()[:64] if line.strip()]
    current = [parse_int(row[0]) for row in rows]
    highest = [parse_int(row[1]) if len(row) > 1 else None for row in rows]
    governors = {printable(row[2], 40) for row in rows if len(row) > 2 and row[2]}
    return _all(current), _all(highest), "+".join(sorted(governors)) or None


def _all(numbers: list[int | None]) -> tuple[int, ...] | None:
    known = tuple(number for number in numbers if number is not None)
    return known if known and len(known) == len(numbers) else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e6 else None
