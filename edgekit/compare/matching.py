"""Which candidate of one run is the same as which of another, and whether the two may be compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec

from edgekit.choose.comparable import UNUSABLE
from edgekit.records import Measurement, Plan, Repeat
from edgekit.selection import Measured
from edgekit.store.query import microseconds

Rows = Sequence[Measured]
_Both = tuple[Measured, Measured]


def match(a: Rows, b: Rows) -> tuple[list[_Both], list[Measured], list[Measured]]:
    """The pairs of one candidate, then what is left over of each run.

    A candidate is model, format, precision, threads and runtime, on one device; the file may be another one. Two
    units of one device stand for each other where the unit itself is missing. Where each run has the candidate once
    only, it is a pair even on two devices, so that it can be said why the two may not be compared.
    """
    groups_a, groups_b = _grouped(a), _grouped(b)
    pairs: list[_Both] = []
    alone_a: list[Measured] = []
    for key, of_a in groups_a.items():
        of_b = groups_b.get(key, [])
        single = len(of_a) == len(of_b) == 1
        for same in (_on_one_unit, _on_one_device, *([_once] if single else [])):
            pairs += _taken(of_a, of_b, same)
        alone_a += of_a
    return pairs, alone_a, [row for of_b in groups_b.values() for row in of_b]


def _taken(of_a: list[Measured], of_b: list[Measured], same: Callable[[Measured, Measured], bool]) -> list[_Both]:
    """Take the pairs that fit out of both lists, those of one protocol rather than others."""
    taken = []
    for one in list(of_a):
        fits = [other for other in of_b if same(one, other)]
        if fits:
            other = min(fits, key=lambda row: len(_protocol(one.measurement, row.measurement)))
            taken.append((one, other))
            of_a.remove(one)
            of_b.remove(other)
    return taken


def obstacles(a: Measurement, b: Measurement, *, emulated: bool = False) -> list[str]:
    """Why the times of the two may not be compared; empty if they may. ``emulated`` lets an emulator's times in."""
    if a.id == b.id:
        return ["it is the same measurement"]
    found = _device(a, b) + _protocol(a, b)
    if quantity_of(a, b) is None:
        found.append("nothing that both measured says how fast it is")
    for side, run in (("A", a), ("B", b)):
        if run.verdict in UNUSABLE:
            why = f": {run.verdict_reasons[0].rstrip('.')}" if run.verdict_reasons else ""
            found.append(f"{side} is {run.verdict}{why}")
    if not emulated and quantity_of(a, b) == "p50_ms" and (a.emulated or b.emulated):
        found.append("an emulator's times are not a device's (--emulated compares them)")
    return found


def quantity_of(a: Measurement, b: Measurement) -> str | None:
    """What the two are compared by: the median time, or what a microcontroller without a clock counted."""
    if all(run.p50_ms and run.ci95_ms and run.ci95_ms[0] > 0 for run in (a, b)):
        return "p50_ms"
    for name in ("cycles", "instructions"):
        if getattr(a, name) and getattr(b, name):
            return name
    return None


def differences(a: Measured, b: Measured) -> list[str]:
    """What else is not the same, and has to be known by who reads the ratio."""
    one, other = a.measurement, b.measurement
    found = []
    for name in ("model", "format", "precision", "threads"):
        if getattr(one, name) != getattr(other, name):
            found.append(f"{name} {getattr(one, name)} and {getattr(other, name)}")
    if one.os_build != other.os_build and one.device_name == other.device_name:
        found.append(f"ANOTHER OS BUILD: {one.os_build or 'unknown'} and {other.os_build or 'unknown'}")
    if one.engine == other.engine and one.runtime_version != other.runtime_version:
        found.append(f"another {one.engine}: {one.runtime_version} and {other.runtime_version}")
    if one.device != other.device and one.device_name == other.device_name:
        found.append(f"another unit of the device: {one.device} and {other.device}")
    if a.artifact.sha256 != b.artifact.sha256 and _key(one) == _key(other):
        found.append("another file")
    if one.emulated and other.emulated and quantity_of(one, other) == "p50_ms":
        found.append("EMULATED: these times are no device's latency")
    found += [f"{side} is noisy" for side, run in (("A", one), ("B", other)) if run.verdict == "noisy"]
    if min(one.plan.repeats, other.plan.repeats) < 2:
        found.append("one cold start only, which does not show how cold starts differ")
    return found


def rounds_of(a: Measurement, b: Measurement) -> list[tuple[Repeat, Repeat]]:
    """The repeats of the two as rounds, if they were made in rounds: each began after both of the round before.

    Empty if they were not, or if the repeats were not read from the store.
    """
    if a.device != b.device or len(a.repeats) != len(b.repeats):
        return []
    rounds = list(zip(a.repeats, b.repeats, strict=True))
    try:
        starts = [sorted(microseconds(repeat.started) for repeat in both) for both in rounds]
    except ValueError:
        return []
    in_turn = all(before[1] < after[0] for before, after in pairwise(starts))
    return rounds if in_turn and len(rounds) > 1 else []


def _key(run: Measurement) -> tuple[str, str, str, int, str]:
    return run.model, run.format, run.precision, run.threads, run.engine


def _grouped(rows: Rows) -> dict[tuple[str, str, str, int, str], list[Measured]]:
    found: dict[tuple[str, str, str, int, str], list[Measured]] = {}
    for row in rows:
        found.setdefault(_key(row.measurement), []).append(row)
    return found


def _on_one_unit(a: Measured, b: Measured) -> bool:
    return a.measurement.device == b.measurement.device and _on_one_device(a, b)


def _on_one_device(a: Measured, b: Measured) -> bool:
    return a.measurement.device_name == b.measurement.device_name


def _once(a: Measured, b: Measured) -> bool:
    return True


def _device(a: Measurement, b: Measurement) -> list[str]:
    if a.device_name != b.device_name:
        return [f"on two devices: {a.device_name} and {b.device_name}"]
    found = []
    if a.soc != b.soc and a.soc and b.soc:
        found.append(f"on two chips: {a.soc} and {b.soc}")
    if a.emulated != b.emulated:
        found.append("one is emulated, the other is not")
    return found


def _protocol(a: Measurement, b: Measurement) -> list[str]:
    found = []
    if a.clock_regime != b.clock_regime:
        found.append(f"clocks were {a.clock_regime} and {b.clock_regime}")
    if a.harness != b.harness:
        found.append(f"measured by two programs: {a.harness} and {b.harness}")
    if a.harness_version != b.harness_version:
        found.append(f"measured by two versions of edgekit: {a.harness_version} and {b.harness_version}")
    if a.affinity != b.affinity and a.affinity and b.affinity and a.threads == b.threads:
        found.append(f"on two sets of cores: {_cores(a.affinity)} and {_cores(b.affinity)}")
    found += _plans(a.plan, b.plan)
    return found


def _plans(a: Plan, b: Plan) -> list[str]:
    names = [field.name for field in msgspec.structs.fields(Plan) if getattr(a, field.name) != getattr(b, field.name)]
    if not names:
        return []
    listed = ", ".join(f"{name} {getattr(a, name):g} and {getattr(b, name):g}" for name in names)
    return [f"by two plans: {listed}"]


def _cores(cores: Sequence[int]) -> str:
    return ",".join(str(core) for core in cores)
