"""What was measured of a bundle's files, which device runs which of them, and what is missing or in doubt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgekit.bundle.gather.kinds import Kind
from edgekit.bundle.records import DeviceRow, Evidence
from edgekit.errors import BundleError
from edgekit.records import Measurement
from edgekit.selection import Choice, Conditions
from edgekit.store.query import CandidateQuery, Query, microseconds
from edgekit.store.store import Store


@dataclass(frozen=True)
class Candidate:
    """A variant with the measurements of its file, newest first, and the choices that name it."""

    variant: str
    measured: tuple[Measurement, ...]
    choices: tuple[Choice, ...] = ()


def measurements_of(sha256s: Iterable[str], choices: Iterable[Choice], store: Store) -> dict[str, list[Measurement]]:
    """The newest measurement of each file on each device with each runtime and number of threads, without samples.

    Those that a choice rests on are there too, even if a newer one is. Newest first.

    Raises:
        StoreError: the store can't be read.
    """
    wanted = set(sha256s)
    standing = [one.measurement for one in store.standings(CandidateQuery(artifact_sha256s=tuple(sorted(wanted))))]
    ids = {one for choice in choices if choice.choice for one in choice.choice.measurements.values()}
    rested_on = store.measurements(Query(ids=tuple(sorted(ids)), limit=None)) if ids else []
    kept: dict[object, Measurement] = {}
    for one in sorted(standing, key=_age, reverse=True):
        kept.setdefault((one.artifact_sha256, *_place(one), one.engine, one.threads, one.emulated), one)
    by_id = {one.id: one for one in (*kept.values(), *rested_on)}
    found: dict[str, list[Measurement]] = {sha256: [] for sha256 in sorted(wanted)}
    for one in sorted(by_id.values(), key=_age, reverse=True):
        if one.artifact_sha256 in wanted:
            found[one.artifact_sha256].append(one)
    return found


def evidence_of(measurement: Measurement) -> Evidence:
    """A measurement as the manifest has it."""
    m = measurement
    return Evidence(
        measurement_id=m.id, created=m.created, device=m.device, device_name=m.device_name, soc=m.soc,
        os_build=m.os_build, engine=m.engine, runtime_version=m.runtime_version, verdict=m.verdict,
        verdict_reasons=m.verdict_reasons, emulated=m.emulated, clock_regime=m.clock_regime, threads=m.threads,
        p50_ms=m.p50_ms, p90_ms=m.p90_ms, ci95_ms=m.ci95_ms, model_rss_bytes=m.model_rss_bytes,
        instructions=m.instructions, cycles=m.cycles, sram_bytes=m.sram_bytes, flash_bytes=m.flash_bytes,
    )  # fmt: skip


def doubts(what: str, measured: Sequence[Measurement], kind: Kind) -> tuple[str, ...]:
    """What is to be said of a file's measurements: that there are none on such a device, or which can't be trusted."""
    if not measured:
        return (f"There is no measurement of {what} in the store.",)
    said = []
    for one in measured:
        if not kind.has(one):
            said.append(f"{what} was measured on {one.device_name} ({one.device}), which is no {kind.name}.")
            continue
        if one.verdict != "ok":
            reasons = "; ".join(reason.rstrip(".") for reason in one.verdict_reasons)
            why = f": {reasons}" if reasons else ""
            said.append(f"The measurement of {what} on {one.device_name} ({one.id[:8]}) is {one.verdict}{why}.")
        if one.emulated:
            tells = "its times are no device's" if one.p50_ms is not None else _counted(one)
            said.append(f"{one.device_name}, which {what} was measured on ({one.id[:8]}), is emulated: {tells}.")
    if not any(_real(one, kind) for one in measured):
        said.append(f"There is no measurement of {what} on {kind.one}.")
    return tuple(dict.fromkeys(said))


def _counted(m: Measurement) -> str:
    if m.instructions is None:
        return "it tells no time"
    return "the instructions are counted, exactly, and what time they take on a board is not known"


def _real(m: Measurement, kind: Kind) -> bool:
    return kind.has(m) and not m.emulated


def device_rows(
    model: str, candidates: Sequence[Candidate], kind: Kind
) -> tuple[tuple[DeviceRow, ...], tuple[str, ...]]:
    """Which variant each measured device of this kind runs, sorted by its name, and what could not be decided.

    Where a choice was made for a device, its candidate runs there, with its threads. On other devices it is the variant
    with the lowest median among the newest measurements that are ok, if all variants measured there were measured under
    equal conditions; with one variant there is nothing to compare. Emulated devices get no row.

    Raises:
        BundleError: two choices name different files, or numbers of threads, for one device; one was measured with
            another number of threads than it names.
    """
    rows: dict[tuple[str, str], DeviceRow] = {}
    said: list[str] = []
    for candidate in candidates:
        for row, place in _chosen(candidate, kind, said):
            other = rows.setdefault(place, row)
            if (other.variant, other.threads) != (row.variant, row.threads):
                raise BundleError(
                    f"Two choices of {model} differ for {row.device_name}: {other.variant} (threads: {other.threads}) "
                    f"and {row.variant} (threads: {row.threads}).", where=row.device_name,
                    next_step="Give one choice for each device.",
                )  # fmt: skip
    trusted = [(one.variant, m) for one in candidates for m in one.measured if m.verdict == "ok" and _real(m, kind)]
    measured = [(variant, m) for variant, m in trusted if m.p50_ms is not None]
    for place in sorted({_place(m) for _, m in measured} - set(rows)):
        here = [(variant, m) for variant, m in measured if _place(m) == place]
        best = _fastest(here)
        if best is not None:
            rows[place] = _row(*best)
        else:
            names = ", ".join(dict.fromkeys(variant for variant, _ in here))
            said.append(f"{names} of {model} were not measured under equal conditions on {place[0]}, which runs the "
                        "first variant.")  # fmt: skip
    return tuple(rows[place] for place in sorted(rows)), tuple(said)


def _chosen(candidate: Candidate, kind: Kind, said: list[str]) -> Iterable[tuple[DeviceRow, tuple[str, str]]]:
    """The rows that choices give; a measurement that the store does not have is no evidence."""
    by_id = {one.id: one for one in candidate.measured}
    standings = [one.choice for one in candidate.choices if one.choice]
    named = [(one.candidate.threads, *pair) for one in standings for pair in sorted(one.measurements.items())]
    missing = []
    for threads, spec, one in named:
        measured = by_id.get(one)
        if measured is None:
            missing.append(f"{one[:8]} on {spec}")
        elif measured.threads != threads:
            raise BundleError(
                f"The choice of {candidate.variant} is for {threads} threads, and the measurement that it rests on "
                f"({one[:8]} on {spec}) is of {measured.threads}.", where=one,
                next_step="It was edited, or is damaged: choose again.",
            )  # fmt: skip
        elif _real(measured, kind):
            yield _row(candidate.variant, measured), _place(measured)
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        said.append(f"The store has no such measurement of the file as {candidate.variant} was chosen by: "
                    f"{', '.join(missing[:3])}{more}.")  # fmt: skip


def _fastest(here: Sequence[tuple[str, Measurement]]) -> tuple[str, Measurement] | None:
    """The lowest median of the newest conditions under which every variant was measured; none if there are none."""
    variants = {variant for variant, _ in here}
    for _, newest in sorted(here, key=lambda one: _age(one[1]), reverse=True):
        alike = [(variant, m) for variant, m in here if _conditions(m) == _conditions(newest)]
        if {variant for variant, _ in alike} == variants:
            return min(alike, key=lambda one: (one[1].p50_ms or 0.0, one[1].threads))
    return None


def _row(variant: str, m: Measurement) -> DeviceRow:
    return DeviceRow(device_name=m.device_name, soc=m.soc, variant=variant, threads=m.threads, p50_ms=m.p50_ms,
                     measurement_id=m.id)  # fmt: skip


def _conditions(m: Measurement) -> Conditions:
    return Conditions(
        device_name=m.device_name, soc=m.soc, os_build=m.os_build, emulated=m.emulated, clock_regime=m.clock_regime,
        harness=m.harness, harness_version=m.harness_version, plan=m.plan,
    )  # fmt: skip


def _place(m: Measurement) -> tuple[str, str]:
    """A kind of device: phones of one model count as one."""
    return m.device_name, m.soc or ""


def _age(m: Measurement) -> tuple[int, str]:
    return microseconds(m.created), m.id
