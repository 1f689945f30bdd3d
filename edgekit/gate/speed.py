"""Latency and memory of the candidate beside the baseline, and what a microcontroller counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgekit.device.device import Device
from edgekit.errors import IncomparableError
from edgekit.gate import rounds as bench_of
from edgekit.gate.budget import Budget, ModelBudget, Regression
from edgekit.gate.decide import Check, Disturbed, Round, decide
from edgekit.gate.lines import FAILING, Line, Unit, exact_change, exact_limit, memory_change, memory_limit, same, timed
from edgekit.gate.rounds import Bench, Side
from edgekit.measure.plan import Candidate
from edgekit.measure.session import Say
from edgekit.records import DeviceInfo, Measurement

# Which quantile of a process's runs a quantity is.
SHARES = {"latency": 0.10, "p50": 0.50, "p90": 0.90, "p99": 0.99}
_CHANGES = ("latency", "p50", "p90")
_LIMITS = ("p50", "p90", "p99")
# Bounds that only a device that counts can keep or break, and those for which it has no figures: limits, changes.
_OF_COUNTED = (("instructions", "sram_bytes", "flash_bytes"), ("instructions", "sram", "flash"))
_OF_TIMED = (("p50_ms", "p90_ms", "p99_ms", "peak_rss_bytes", "model_rss_bytes"), (*_CHANGES, "peak_rss", "model_rss"))
_EMULATED = "an emulated device has no latency"
_NO_TIME = "a microcontroller's file has no time of its own here"


@dataclass(frozen=True)
class Judged:
    """The lines, and one measurement of each side (candidate last) with every sample, for the store."""

    lines: tuple[Line, ...]
    kept: tuple[Measurement, ...] = ()


def judge(
    model: ModelBudget, budget: Budget, device: Device, base: Candidate | None, now: Candidate, say: Say
) -> Judged:
    """Measure and judge; ``base`` is null if the candidate is the baseline's own file, byte by byte.

    Raises:
        IncomparableError: the device can't give comparable figures.
        EdgekitError: a file could not be run.
    """
    info = device.info()
    sides = Side(base) if base is not None else None, Side(now)
    counted = info.engines == ("edgekit-mcu",)
    what = "a microcontroller gives counts, no times" if counted else "it counts no instructions"
    _refuse(model, info, _asked(model, *(_OF_TIMED if counted else _OF_COUNTED)), what)
    timeless = None if counted else _timeless(model, info, now)
    if base is not None:
        device.push(base.artifact, base.inputs)
    with device.conditions(budget.threads, budget.clocks) as conditions:
        if conditions.clock_regime != budget.clocks:
            raise IncomparableError(
                f"{info.spec} was not measured with clocks {budget.clocks}: {conditions.note or 'it did not follow'}",
                where=info.spec, next_step='Write clocks = "free", or measure on a device that follows.',
            )  # fmt: skip
        bench = Bench(device, info, conditions, budget.threads, lambda text: say(f"{model.name}: {text}"),
                      60 * budget.max_minutes)  # fmt: skip
        if counted:
            lines = _counted(model, bench, *sides)
        else:
            lines = [timeless] if timeless else _latency(model, bench, *sides)
            lines += _memory(model, bench, *sides)
    kept = [bench_of.merged(side) for side in sides if side is not None and side.singles]
    return Judged(tuple(lines), tuple(kept))


def _timeless(model: ModelBudget, info: DeviceInfo, now: Candidate) -> Line | None:
    """Why there is no latency to judge; asking for it all the same is refused."""
    why = _EMULATED if info.emulated else _NO_TIME if now.artifact.format == "mcu" else None
    if why is None:
        return None
    _refuse(model, info, _asked(model, [f"{name}_ms" for name in _LIMITS], _CHANGES), why)
    return Line(quantity="latency", unit="ms", result="not-checked", note=why)


def _asked(model: ModelBudget, limits: Sequence[str], changes: Sequence[str]) -> list[str]:
    """Those of these bounds that the budget states."""
    asked = [f"limits: {name}" for name in limits if getattr(model.limits, name) is not None]
    given = [name for name in changes if name in model.given and getattr(model.regression, name) is not None]
    return asked + [f"regression: {name}" for name in given]


def _refuse(model: ModelBudget, info: DeviceInfo, asked: Sequence[str], why: str) -> None:
    """A bound that was stated and is not judged would look like one that is kept."""
    if asked:
        raise IncomparableError(
            f"{model.name} has a bound that can't be judged on {info.spec}: {why}.",
            where=f"model {model.name}: {asked[0]}",
            next_step=f"Take {', '.join(asked)} out of the budget, or use another device.",
        )  # fmt: skip


def changes(regression: Regression) -> list[Check]:
    """The changes of latency that are judged; with :func:`edgekit.gate.decide.decide` this is the gate's decision."""
    tolerances = {name: getattr(regression, name) for name in _CHANGES}
    return [Check(name, SHARES[name], tolerance=value) for name, value in tolerances.items() if value is not None]


def _latency(model: ModelBudget, bench: Bench, base: Side | None, now: Side) -> list[Line]:
    checks = [] if base is None else changes(model.regression)
    for name in _LIMITS:
        limit = getattr(model.limits, f"{name}_ms")
        if limit is not None:
            checks.append(Check(name, SHARES[name], limit_ms=limit))
    lines = [same("latency", "ms")] if base is None else []
    if not checks:
        return lines

    def begin() -> Iterator[Round]:
        return bench_of.rounds(bench, base, now)

    try:
        return [*lines, *(timed(decision) for decision in decide(checks, begin))]
    except Disturbed as error:
        raise IncomparableError(
            f"{bench.info.spec} can't be held in one state for long enough: {error}", where=bench.info.spec,
            next_step="Let it cool, close other programs, and check again; max_minutes bounds a pass.",
        ) from error  # fmt: skip


def _memory(model: ModelBudget, bench: Bench, base: Side | None, now: Side) -> list[Line]:
    """Judged once, and what fails again on passes of its own."""
    wanted = [name for name in ("peak_rss", "model_rss")
              if getattr(model.limits, f"{name}_bytes") is not None
              or (base is not None and getattr(model.regression, name) is not None)]  # fmt: skip
    lines = [] if base is not None or model.regression.peak_rss is None else [same("peak_rss", "bytes")]
    if not wanted:
        return lines
    found = _memory_pass(model, wanted, bench, base, now)
    if any(line.result in FAILING for line in found):
        bench.say("memory again")
        again = {(line.quantity, line.limit): line for line in _memory_pass(model, wanted, bench, base, now)}
        found = [again.get((line.quantity, line.limit), line) if line.result in FAILING else line for line in found]
    return [*lines, *found]


def _memory_pass(model: ModelBudget, wanted: Sequence[str], bench: Bench, base: Side | None, now: Side) -> list[Line]:
    for side in (base, now):
        if side is not None:
            side.peaks.clear()
            side.models.clear()
    bench_of.measure_memory(bench, base, now)
    lines = []
    for name in wanted:
        new = now.peaks if name == "peak_rss" else now.models
        old = [] if base is None else base.peaks if name == "peak_rss" else base.models
        limit, tolerance = getattr(model.limits, f"{name}_bytes"), getattr(model.regression, name)
        if not new:
            lines.append(Line(quantity=name, unit="bytes", result="not-checked", note="the device does not tell"))
            continue
        if old and tolerance is not None:
            lines.append(memory_change(name, old, new, tolerance))
        if limit is not None:
            lines.append(memory_limit(name, new, limit))
    return lines


def _counted(model: ModelBudget, bench: Bench, base: Side | None, now: Side) -> list[Line]:
    """Instructions and memory of a microcontroller: counted, so one run of each side says it all."""
    for side in (base, now):
        if side is not None:
            bench.say("count instructions")
            bench.repeat(side)
    new, old = now.singles[-1], None if base is None else base.singles[-1]
    counter = new.counter or "instructions"
    fields = {"instructions": (counter, counter), "sram": ("sram_bytes", "SRAM"), "flash": ("flash_bytes", "flash")}
    limits = {"instructions": model.limits.instructions, "sram": model.limits.sram_bytes,
              "flash": model.limits.flash_bytes}  # fmt: skip
    lines = []
    for key, (name, shown) in fields.items():
        unit: Unit = "count" if key == "instructions" else "bytes"
        value, tolerance, limit = getattr(new, name), getattr(model.regression, key), limits[key]
        before = None if old is None else getattr(old, name)
        if value is None:
            lines.append(Line(quantity=shown, unit=unit, result="not-checked", note="the device does not tell"))
            continue
        if old is None and tolerance is not None:
            lines.append(same(shown, unit, value))
        elif before is not None and tolerance is not None:
            lines.append(exact_change(shown, unit, before, value, tolerance))
        if limit is not None:
            lines.append(exact_limit(shown, unit, value, limit))
    return lines
