"""The state of this machine from /proc and /sys: clocks, governor, temperatures, throttling, load, stolen time.

Every parser is a pure function of the text it reads. What this machine does not tell is named in ``missing``; the
names are the field names of :class:`edgekit.records.DeviceState`, and :data:`COLD_CACHE` from the loading side.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from edgekit.records import DeviceState

# Named in ``missing`` when the artifact could not be evicted from the page cache, so that no load was a cold one.
COLD_CACHE = "cold page cache"


def read_state(root: Path = Path("/")) -> DeviceState:
    """This machine now. ``root`` is where ``proc`` and ``sys`` are found."""
    cpus = _cpu_directories(root)
    power = _power_supplies(root)
    # thermal_status and screen_on stay None: only phones report them.
    found = DeviceState(
        frequencies_khz=_all_numbers([cpu / "cpufreq/scaling_cur_freq" for cpu in cpus]),
        max_frequencies_khz=_all_numbers([cpu / "cpufreq/cpuinfo_max_freq" for cpu in cpus]),
        governor=_governor(cpus),
        temperatures_c=_temperatures(root),
        throttle_count=_throttle_count(cpus),
        load_1min=parse_load(_text(root / "proc/loadavg")),
        steal_ms=parse_steal_ms(_text(root / "proc/stat"), os.sysconf("SC_CLK_TCK")),
        charging=_charging(power),
        battery_percent=_battery_percent(power),
    )
    return with_missing(found)


def with_missing(state: DeviceState) -> DeviceState:
    """The same state with every field that is None named in ``missing``; names there that are no fields stay."""
    fields = [name for name in state.__struct_fields__ if name != "missing"]
    untold = sorted(name for name in fields if getattr(state, name) is None)
    others = (name for name in state.missing if name not in fields)
    return msgspec.structs.replace(state, missing=(*untold, *others))


def max_frequencies_khz(root: Path = Path("/")) -> dict[int, int]:
    """``cpuinfo_max_freq`` in kHz of each core that tells it, by core number."""
    found: dict[int, int] = {}
    for cpu in _cpu_directories(root):
        value = parse_int(_text(cpu / "cpufreq/cpuinfo_max_freq"))
        if value is not None:
            found[int(cpu.name[3:])] = value
    return found


def parse_int(text: str | None) -> int | None:
    """The one integer in a /sys file, or None."""
    try:
        return int(text.strip()) if text is not None else None
    except ValueError:
        return None


def parse_load(text: str | None) -> float | None:
    """The one-minute load average of /proc/loadavg."""
    try:
        return float(text.split()[0]) if text else None
    except (ValueError, IndexError):
        return None


def parse_steal_ms(text: str | None, ticks_per_second: int) -> float | None:
    """Milliseconds that the hypervisor kept from this machine since boot, summed over cores; from /proc/stat."""
    for line in (text or "").splitlines():
        fields = line.split()
        # cpu user nice system idle iowait irq softirq steal ...; kernels before 2.6.11 have no eighth number.
        if fields and fields[0] == "cpu" and len(fields) > 8 and fields[8].isdigit():
            return int(fields[8]) * 1000.0 / ticks_per_second
    return None


def parse_cpu_model(text: str | None) -> str | None:
    """The processor's name from /proc/cpuinfo: ``model name`` on x86, ``Hardware`` or ``Processor`` on Arm."""
    for key in ("model name", "Hardware", "Processor"):
        for line in (text or "").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key and value.strip():
                return " ".join(value.split())
    return None


def parse_memory_bytes(text: str | None, key: str) -> int | None:
    """One ``Key:  N kB`` line of /proc/meminfo or /proc/PID/status, in bytes."""
    for line in (text or "").splitlines():
        name, _, value = line.partition(":")
        fields = value.split()
        if name == key and len(fields) == 2 and fields[0].isdigit() and fields[1] == "kB":
            return int(fields[0]) * 1024
    return None


def parse_os_release(text: str | None) -> str | None:
    """``PRETTY_NAME`` of /etc/os-release."""
    for line in (text or "").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME" and value:
            return value.strip().strip('"')
    return None


def _text(path: Path) -> str | None:
    # Files in /sys vanish with their device and may refuse to be read; either way the machine doesn't tell.
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None


def _cpu_directories(root: Path) -> list[Path]:
    found = [p for p in (root / "sys/devices/system/cpu").glob("cpu[0-9]*") if p.name[3:].isdigit()]
    return sorted(found, key=lambda p: int(p.name[3:]))


def _all_numbers(paths: list[Path]) -> tuple[int, ...] | None:
    numbers = [parse_int(_text(path)) for path in paths]
    known = tuple(number for number in numbers if number is not None)
    return known if known and len(known) == len(numbers) else None


def _governor(cpus: list[Path]) -> str | None:
    names = {(_text(cpu / "cpufreq/scaling_governor") or "").strip() for cpu in cpus} - {""}
    return "+".join(sorted(names)) or None


def _temperatures(root: Path) -> dict[str, float] | None:
    found: dict[str, float] = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        milli = parse_int(_text(zone / "temp"))
        name = (_text(zone / "type") or "").strip() or zone.name
        # Sensors that are switched off answer 0 or a negative sentinel.
        if milli is not None and milli > 0:
            found[name if name not in found else f"{name} ({zone.name})"] = milli / 1000.0
    return found or None


def _throttle_count(cpus: list[Path]) -> int | None:
    names = ("core_throttle_count", "package_throttle_count")
    counts = [parse_int(_text(cpu / "thermal_throttle" / name)) for cpu in cpus for name in names]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _power_supplies(root: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for supply in sorted((root / "sys/class/power_supply").glob("*")):
        facts = {name: (_text(supply / name) or "").strip() for name in ("type", "status", "online", "capacity")}
        found[supply.name] = facts
    return found


def _charging(power: dict[str, dict[str, str]]) -> bool | None:
    batteries = [facts["status"] for facts in power.values() if facts["type"] == "Battery" and facts["status"]]
    return any(status in ("Charging", "Full", "Not charging") for status in batteries) if batteries else None


def _battery_percent(power: dict[str, dict[str, str]]) -> float | None:
    known = [parse_int(facts["capacity"]) for facts in power.values() if facts["type"] == "Battery"]
    return next((float(value) for value in known if value is not None), None)
