"""The caller's side of the doctor: start its process, collect the reports, and say what they come to. No torch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from edgekit.convert import backend as backends
from edgekit.convert import events, launch
from edgekit.diagnosis import BackendReport, Diagnosis, Finding, ModelReport
from edgekit.doctor.request import DoctorRequest
from edgekit.errors import ConvertError, EdgekitError, ParityError, RuntimeCrashError, UsageError

_MODULE = "edgekit.doctor.session"
_ORDER = ("fails", "wrong", "splits", "undelegated", "precision")


@dataclass
class _Collected:
    exported: bool = False
    model: ModelReport | None = None
    backends: dict[str, BackendReport] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def diagnose(request: DoctorRequest, on_event: Callable[[events.Event], None]) -> Diagnosis:
    """Examine a model for the chosen formats, before anything is converted.

    Raises:
        UsageError: an unknown format or precision.
        MissingConverterError: a converter's package is not installed.
        ModelError, ExportError: the model can't be loaded or exported.
        ConvertError: the doctor's process died.
    """
    started = time.monotonic()
    collected = _collect(request, on_event)
    if collected.model is None:
        raise ConvertError("The doctor's process said nothing of the model.", next_step="Please report it.")
    return Diagnosis(
        model=collected.model,
        backends=tuple(collected.backends[name] for name in request.formats),
        findings=_settled(collected),
        seconds=round(time.monotonic() - started, 3),
    )


def failing(request: DoctorRequest, on_event: Callable[[events.Event], None]) -> dict[str, Finding]:
    """The first finding for each format that will fail; formats that will convert are not in it."""
    collected = _collect(msgspec.structs.replace(request, model=False), on_event)
    found: dict[str, Finding] = {}
    for finding in _settled(collected):
        if finding.severity == "fails" and finding.rewrite is None:
            found.setdefault(finding.backend, finding)
    return found


def examines(name: str) -> bool:
    """Whether the doctor knows this format; of a quantised one it would have to quantise first."""
    return not backends.lookup(name).calibrated


def _collect(request: DoctorRequest, on_event: Callable[[events.Event], None]) -> _Collected:
    for name in request.formats:
        backends.check(backends.lookup(name), request.precision if examines(name) else "")
        if not examines(name):
            raise UsageError(
                f"The doctor does not examine {name}.", where="--to",
                next_step="edgekit convert names every operator that can't be compiled, with its place.",
            )  # fmt: skip
    collected = _Collected()
    with tempfile.TemporaryDirectory(prefix="edgekit-", ignore_cleanup_errors=True) as temporary:
        with launch.session(_MODULE, msgspec.json.encode(request), temporary) as process:
            assert process.stdout is not None
            for line in process.stdout:
                event = events.decode(line)
                on_event(event)
                _take(event, collected)
        missing = [name for name in request.formats if name not in collected.backends]
        if missing or (request.model and collected.model is None):
            when = f"while {missing[0] if missing else 'the model'} was being examined"
            raise launch.died(process, when if collected.exported else "before the model was exported", _MODULE)
    return collected


def _take(event: events.Event, collected: _Collected) -> None:
    if isinstance(event, events.ExportedReady):
        collected.exported = True
    elif isinstance(event, events.Proved):
        collected.model = event.report
        collected.findings.extend(event.findings)
    elif isinstance(event, events.Examined):
        collected.backends[event.report.name] = event.report
        collected.findings.extend(event.findings)
    elif isinstance(event, events.Failed):
        error = EdgekitError.from_dict(event.error)
        error.facts["traceback"] = event.traceback
        raise error


def _settled(collected: _Collected) -> tuple[Finding, ...]:
    """All findings in the order of the report, each with the proof of its rewrite."""
    common = {proof.name: proof.proved for proof in (collected.model.rewrites if collected.model else ())}
    made = []
    for finding in collected.findings:
        own = collected.backends[finding.backend].rewrites if finding.backend in collected.backends else ()
        proofs = {**common, **{proof.name: proof.proved for proof in own}}
        if finding.rewrite is not None:
            finding = msgspec.structs.replace(finding, proved=proofs.get(finding.rewrite))
        made.append(finding)
    return tuple(sorted(made, key=lambda f: (f.rewrite is not None, _ORDER.index(f.severity), -f.count)))


def verdict(diagnosis: Diagnosis) -> dict[str, EdgekitError]:
    """What stands in the way, by format ("" for all of them): empty if every format will convert and be right."""
    errors: dict[str, EdgekitError] = {}
    for finding in diagnosis.findings:
        if finding.rewrite is not None or finding.backend in errors:
            continue
        if finding.severity == "fails":
            errors[finding.backend] = explained(finding)
        elif finding.severity == "wrong" and (finding.proved is False or not finding.backend):
            errors[finding.backend] = ParityError(
                f"{finding.op}: {finding.cause}", where=finding.op, next_step=finding.remedy
            )
    return dict(sorted(errors.items(), key=lambda entry: entry[1].code))


def is_unexplained(error: EdgekitError) -> bool:
    """Whether a conversion failed in its converter or runtime, and the error names no operator."""
    if isinstance(error, RuntimeCrashError):
        return True
    return isinstance(error, ConvertError) and "cause" in error.facts and "op" not in error.facts


def explained(finding: Finding, instead_of: EdgekitError | None = None) -> ConvertError:
    """The error of a conversion that fails for this finding; it keeps the sentence of the error that it replaces."""
    replaced = {} if instead_of is None else {"converter_message": instead_of.message}
    place = " at ".join(text for text in (finding.module, finding.source) if text)
    return ConvertError(
        f"{finding.backend} can't take the operator {finding.op}: {finding.cause}.",
        where=f"{finding.op} in {place}" if place else finding.op,
        next_step=finding.remedy,
        format=finding.backend,
        op=finding.op,
        module=finding.module,
        source=finding.source,
        cause=finding.cause,
        **replaced,
    )
