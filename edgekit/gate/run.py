"""The gate: every model of a budget made, proved, measured beside its baseline, and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from statistics import median

import msgspec

from edgekit.device import lease
from edgekit.device.device import Device
from edgekit.errors import EdgekitError, IncomparableError, ParityError, RegressedError
from edgekit.gate import accuracy, baseline, speed
from edgekit.gate.baseline import Baseline, Entry
from edgekit.gate.budget import Budget, ModelBudget
from edgekit.gate.candidate import Prepared, Resources, prepare_model, refuse_incomparable, refuse_other_device
from edgekit.gate.lines import ROUNDING, Line, ModelReport, Result, Unit, exact_change, exact_limit, parity_line, same
from edgekit.gate.rounds import PLAN
from edgekit.measure import runner
from edgekit.measure.plan import Candidate
from edgekit.measure.session import Say
from edgekit.prepare import OnEvent
from edgekit.records import Artifact, Evaluation, Measurement
from edgekit.store.store import Store

# Processes behind the measurement that a baseline states.
_REPEATS = 5


@dataclass(frozen=True)
class Session:
    """With what a budget is checked."""

    budget: Budget
    device: Device
    store: Store
    on_event: OnEvent
    say: Say
    resources: Resources
    wait_s: float = 0.0

    @property
    def folder(self) -> Path:
        """The baseline's."""
        return Path(self.budget.baseline)

    def prepare(self, model: ModelBudget) -> Prepared:
        """The model as a proved file on the device."""
        self.say(f"{model.name}: convert and compare with PyTorch")
        return prepare_model(model, self.device, threads=self.budget.threads, resources=self.resources,
                             on_event=self.on_event)  # fmt: skip


@dataclass
class Checked:
    """What came of every model, and what failed, by the model's name; ``notes`` are of the whole."""

    models: list[ModelReport] = field(default_factory=list)
    errors: dict[str, EdgekitError] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def undecided(self) -> list[tuple[str, Line]]:
        """What the data did not decide, with the model's name."""
        return [(model.name, line) for model in self.models for line in model.undecided]


def check(session: Session) -> Checked:
    """Judge every model of the budget; one that fails does not stop the others.

    Raises:
        IncomparableError: there is no baseline, it is damaged, or of another kind of device.
        DeviceError: the device is not there, or busy.
    """
    known = baseline.read(session.folder)
    info = session.device.info()
    if session.budget.same_device:
        refuse_other_device(known.device, info)
    made = Checked(notes=_notes(known))
    with lease.hold(info.spec, wait_s=session.wait_s):
        for model in session.budget.model:
            try:
                report = _check_model(session, model, known.entry(model.name))
            except EdgekitError as error:
                made.errors[model.name] = error
                continue
            made.models.append(report)
            if report.failing:
                made.errors[model.name] = _regressed(report)
    return made


def _notes(known: Baseline) -> tuple[str, ...]:
    from edgekit.version import __version__

    if known.edgekit_version == __version__:
        return ()
    return (f"The baseline was set by edgekit {known.edgekit_version}; this is {__version__}.",)


def _check_model(session: Session, model: ModelBudget, entry: Entry) -> ModelReport:
    old = baseline.file_of(session.folder, entry)
    prepared = session.prepare(model)
    refuse_incomparable(model, prepared, entry)
    equal = prepared.artifact.sha256 == entry.sha256
    lines = [parity_line(prepared.artifact.parity, prepared.device_parity), *_sizes(model, old, prepared.artifact)]
    if model.data is not None:
        lines += _accuracy(session, model, prepared, entry, old)
    measured = speed.judge(
        model, session.budget, session.device, None if equal else Candidate(old, prepared.stacks),
        Candidate(prepared.artifact, prepared.stacks), session.say,
    )  # fmt: skip
    report = ModelReport(
        name=model.name, artifact=prepared.artifact, baseline_sha256=entry.sha256,
        device_parity=prepared.device_parity, lines=(*lines, *measured.lines),
        notes=(*_runtime(entry, measured.kept), *_counted(entry, measured.kept), *_busy(session, measured.kept)),
    )  # fmt: skip
    return _kept(session, report, old, measured.kept)


def _runtime(entry: Entry, kept: Sequence[Measurement]) -> tuple[str, ...]:
    """A runtime that changed since is not compared: both files were run by today's."""
    before = entry.measurement.runtime_version if entry.measurement else None
    now = kept[-1].runtime_version if kept else None
    if before is None or now is None or before == now:
        return ()
    return (f"The runtime changed from {before} to {now} since the baseline was set; both files were run by {now}.",)


def _counted(entry: Entry, kept: Sequence[Measurement]) -> tuple[str, ...]:
    """Instructions are exact, so that those of the baseline's own file show what else has changed since."""
    before = entry.measurement.instructions if entry.measurement else None
    now = next((one.instructions for one in kept if one.artifact_sha256 == entry.sha256), None)
    if before is None or now is None or before == now:
        return ()
    return (f"The baseline's own file now takes {now:,} instructions, not {before:,}: the kernels have changed since.",)


def _busy(session: Session, kept: Sequence[Measurement]) -> tuple[str, ...]:
    """Other programs on the machine cost rounds; whoever waits for the check should know."""
    cores = session.device.info().cores
    loads = [load for one in kept for repeat in one.repeats if (load := repeat.state_before.load_1min) is not None]
    if not loads or not cores or median(loads) <= cores:
        return ()
    return (
        f"The machine was busy: a load of {median(loads):.1f} on {cores} cores. At rest, a check takes fewer rounds.",
    )


def _kept(session: Session, report: ModelReport, old: Artifact, kept: Sequence[Measurement]) -> ModelReport:
    """What failed can be looked at afterwards: its measurements go into the store, with every sample."""
    if not report.failing:
        return report
    for measurement in kept:
        artifact = report.artifact if measurement.artifact_sha256 == report.artifact.sha256 else old
        session.store.add_artifact(artifact)
        session.store.save_measurement(measurement)
    return msgspec.structs.replace(report, measurements=tuple(measurement.id for measurement in kept))


def _sizes(model: ModelBudget, old: Artifact, new: Artifact) -> list[Line]:
    lines = []
    if old.sha256 == new.sha256:
        lines.append(same("size", "bytes", new.bytes))
    elif model.regression.size is not None:
        lines.append(exact_change("size", "bytes", old.bytes, new.bytes, model.regression.size))
    if model.limits.size_bytes is not None:
        lines.append(exact_limit("size", "bytes", new.bytes, model.limits.size_bytes))
    return lines


def _accuracy(session: Session, model: ModelBudget, prepared: Prepared, entry: Entry, old: Artifact) -> list[Line]:
    """Both files on the same samples; the baseline's alone is not run again if it is the same file."""
    equal = prepared.artifact.sha256 == old.sha256
    if equal and not model.limits.accuracy:
        return [same(name, "share" if accuracy.is_top(name) else "value") for name in model.metrics]
    with accuracy.open_data(model, prepared) as dataset:
        if entry.dataset_sha256 is not None and dataset.sha256 != entry.dataset_sha256:
            raise IncomparableError(
                f"The data of {model.name} are not those that its baseline was evaluated on.", where=str(model.data),
                next_step="Give the same data and number of samples, or set the baseline again with --set-baseline.",
            )  # fmt: skip
        session.say(f"{model.name}: accuracy on {dataset.count} samples")
        run = (dataset, model.metrics, session.device, session.budget.threads)
        now = accuracy.answer(prepared.artifact, *run)
        before = now if equal else accuracy.answer(old, *run)
    lines = []
    for name in model.metrics:
        lines.append(_accuracy_change(model, name, before, now, equal))
        if name in model.limits.accuracy:
            lines.append(_accuracy_limit(name, now, model.limits.accuracy[name]))
    return lines


def _accuracy_change(
    model: ModelBudget, name: str, before: accuracy.Answers, now: accuracy.Answers, equal: bool
) -> Line:
    unit: Unit = "share" if accuracy.is_top(name) else "value"
    value = now.scores[name].value
    if equal:
        return same(name, unit, value)
    tolerance = model.regression.accuracy.get(name, accuracy.default_tolerance(name))
    lost = accuracy.drop(before, now, name)
    result: Result = "ok"
    if tolerance is None:
        result = "not-checked"
    elif lost.value > tolerance + ROUNDING:
        result = "regressed" if lost.certain() else "undecided"
    return Line(
        quantity=name, unit=unit, result=result, baseline=before.scores[name].value, now=value, change=-lost.value,
        ci95=None if lost.interval is None else (-lost.interval[1], -lost.interval[0]), tolerance=tolerance,
        note=None if tolerance is not None else "no tolerance is stated for it",
    )  # fmt: skip


def _accuracy_limit(name: str, now: accuracy.Answers, least: float) -> Line:
    """Below the least value only if the interval says so; a metric without an interval is what it is."""
    score = now.scores[name]
    low, high = score.ci95 or (score.value, score.value)
    result: Result = "over-budget" if high < least else "ok" if low >= least else "undecided"
    return Line(quantity=name, unit="share" if accuracy.is_top(name) else "value", result=result, now=score.value,
                ci95=score.ci95, limit=least)  # fmt: skip


def _regressed(report: ModelReport) -> RegressedError:
    words = {"regressed": "worse than its baseline in", "over-budget": "over its budget in"}
    parts = []
    for result, text in words.items():
        names = list(dict.fromkeys(line.quantity for line in report.failing if line.result == result))
        if names:
            parts.append(f"{text} {', '.join(names)}")
    return RegressedError(
        f"{report.name} is {' and '.join(parts)}.", where=f"model {report.name}",
        next_step="Look at what changed in the model or its conversion; if it is meant, set the baseline again with "
        "--set-baseline, or change the budget.",
        model=report.name, quantities=[line.quantity for line in report.failing],
    )  # fmt: skip


def set_baseline(session: Session) -> Baseline:
    """Make every model of the budget and keep the files as the new baseline; on any failure the old one stays.

    Raises:
        ParityError: a file does not compute what its model computes.
        EdgekitError: a model can't be made, or the device can't run it.
    """
    info = session.device.info()
    entries, artifacts = [], []
    with lease.hold(info.spec, wait_s=session.wait_s):
        prepared = [session.prepare(model) for model in session.budget.model]
        measured = _measure(session, prepared)
        for model, one, measurement in zip(session.budget.model, prepared, measured, strict=True):
            _require_parity(model, one)
            entries.append(_entry(session, model, one, measurement))
            artifacts.append(one.artifact)
    made = Baseline(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        device=msgspec.structs.replace(info, state="", lease=None), clocks=session.budget.clocks,
        threads=session.budget.threads, models=tuple(entries),
    )  # fmt: skip
    baseline.write(session.folder, made, artifacts)
    return made


def _require_parity(model: ModelBudget, one: Prepared) -> None:
    """A file of a model has to be proved; a converted file that comes alone has nothing to be proved against."""
    if one.subject.exported is None or one.artifact.parity.passed or one.device_parity.passed:
        return
    reason = one.artifact.parity.reason or one.device_parity.reason
    raise ParityError(f"{model.name} can't become a baseline: its parity was not checked ({reason}).",
                      where=f"model {model.name}", next_step="Set it where its runtime is.")  # fmt: skip


def _measure(session: Session, prepared: Sequence[Prepared]) -> list[Measurement]:
    for one in prepared:
        session.store.add_artifact(one.artifact)
    outcomes = runner.measure(
        [Candidate(one.artifact, one.stacks) for one in prepared], session.device,
        msgspec.structs.replace(PLAN, repeats=_REPEATS), threads=session.budget.threads,
        on_repeat=session.store.save_measurement, progress=session.say, clocks=session.budget.clocks,
    )  # fmt: skip
    made = []
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
        assert outcome.measurement is not None
        made.append(outcome.measurement)
    return made


def _entry(session: Session, model: ModelBudget, one: Prepared, measurement: Measurement) -> Entry:
    from edgekit.evaluate.evaluate import evaluate

    dataset_sha256: str | None = None
    evaluations: tuple[Evaluation, ...] = ()
    if model.data is not None:
        with accuracy.open_data(model, one) as dataset:
            session.say(f"{model.name}: accuracy on {dataset.count} samples")
            dataset_sha256 = dataset.sha256
            evaluations = evaluate(one.artifact, dataset, model.metrics, device=session.device,
                                   threads=session.budget.threads)  # fmt: skip
    for evaluation in evaluations:
        session.store.save_evaluation(evaluation)
    return Entry(
        name=model.name, file=baseline.place_of(one.artifact), sha256=one.artifact.sha256, bytes=one.artifact.bytes,
        artifact=msgspec.structs.replace(one.artifact, path=""), inputs=one.inputs, parity=one.artifact.parity,
        dataset_sha256=dataset_sha256, evaluations=evaluations,
        measurement=msgspec.structs.replace(measurement, repeats=()),
    )  # fmt: skip
