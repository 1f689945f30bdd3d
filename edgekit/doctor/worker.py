"""One process of the doctor, for the model itself or for one backend; forked from the session, as in a conversion."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from edgekit.convert import backend as backends
from edgekit.convert import events, speedups
from edgekit.convert.backend import BackendInfo
from edgekit.convert.worker import Task as ConvertTask
from edgekit.convert.worker import redirect_output
from edgekit.diagnosis import BackendReport, Finding, ModelReport, Placement, RewriteProof
from edgekit.doctor import precision, trial
from edgekit.doctor.aside import Aside
from edgekit.doctor.cost import cost
from edgekit.doctor.known import silent
from edgekit.doctor.problems import Examination, History, Problem, findings
from edgekit.doctor.proof import Prover, Sample
from edgekit.errors import ConvertError, EdgekitError, ParityError
from edgekit.export import rewrites
from edgekit.records import UndelegatedOp

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edgekit.export.provenance import NodeOrigin

# The task of the model itself, beside those of the backends.
MODEL = BackendInfo(
    name="model", label="", suffix="", module="", extra="", packages=(), imports=(), memory_bytes=400 << 20, cost=2.5
)


@dataclass(frozen=True)
class Task(ConvertTask):
    """What one process is to examine, on which golden inputs; ``alone`` keeps it from using a second core."""

    samples: tuple[Sample, ...] = ()
    alone: bool = False


class Checker(Protocol):
    """What a backend's converter knows. Made in the process that examines."""

    def examine(self, program: ExportedProgram) -> Examination:
        """What will happen to the program; it is not changed."""
        ...


def checker(backend: str, precision_name: str) -> Checker | None:
    """The checker of a backend; null for one that a third party added."""
    if backend == "executorch":
        from edgekit.doctor.executorch import Checker as ExecutorchChecker

        return ExecutorchChecker(precision_name)
    return trial.Checker(backend, precision_name) if backend in backends.BACKENDS else None


def main(task: Task, emit_bytes: Callable[[bytes], None], log: str) -> None:
    """Entry point of the process: everything that happens ends as an event."""

    def emit(event: events.Event) -> None:
        emit_bytes(events.encode(event))

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    redirect_output(log)
    tempfile.tempdir = os.environ["TMPDIR"] = str(Path(log).parent)
    name = task.info.name
    try:
        torch.set_num_threads(1)
        speedups.install()
        _run(task, emit)
    except EdgekitError as known:
        emit(events.Failed(error=known.to_dict(), format=name, traceback=traceback.format_exc()))
    except MemoryError:
        emit(events.Failed(error=backends.out_of_memory(task.info).to_dict(), format=name))
    except Exception as failure:  # noqa: BLE001 - the process boundary: a defect of ours must still reach the user in words
        defect = ConvertError(f"Examining {name} failed: {failure!r}", next_step="This is a defect; please report it.")
        emit(events.Failed(error=defect.to_dict(), format=name, traceback=traceback.format_exc()))


def _run(task: Task, emit: Callable[[events.Event], None]) -> None:
    model = task.info.name == MODEL.name
    stage: events.Stage = "prove" if model else "examine"
    shown = None if model else task.info.name
    started = time.monotonic()
    emit(events.Progress(stage=stage, state="started", format=shown))
    program, origins = task.program, task.origins
    if program is None or origins is None:
        from edgekit.export.archive import load_program

        program, origins = load_program(task.cache.path("programs", task.exported.sha256))
    done = _model(task, program, origins) if model else _backend(task, program, origins)
    emit(events.Progress(stage=stage, state="finished", format=shown, seconds=time.monotonic() - started))
    emit(done)


def _model(task: Task, program: ExportedProgram, origins: Mapping[str, NodeOrigin]) -> events.Event:
    exported = task.exported
    macs = cost(program, origins)
    prover = Prover(program, task.samples, History.of(program))
    proofs = _applied(prover, rewrites.names(None))
    counted = cost(program, origins)
    report = ModelReport(
        name=exported.name,
        spec=exported.spec,
        weights=exported.weights,
        inputs=exported.inputs,
        outputs=exported.outputs,
        operators=counted.operators,
        parameters=exported.parameters,
        weight_bytes=counted.weight_bytes,
        macs=macs.macs,
        traffic_bytes=counted.traffic_bytes,
        peak_activation_bytes=counted.peak_activation_bytes,
        rewrites=proofs,
        top_macs=macs.top_macs,
        top_traffic=counted.top_traffic,
        warnings=exported.warnings,
    )
    return events.Proved(report=report, findings=(*_unproved(proofs, ""), *_meaningless(prover, exported.name)))


def _applied(prover: Prover, names: Sequence[str]) -> tuple[RewriteProof, ...]:
    return tuple(proof for name in names if (proof := prover.apply(name)) is not None)


def _unproved(proofs: Sequence[RewriteProof], backend: str) -> tuple[Finding, ...]:
    """A rewrite that leaves its bound is a defect of edgekit, and the file would be wrong."""
    return tuple(
        Finding(
            severity="wrong",
            backend=backend,
            op=proof.name,
            module="",
            source="",
            cause=f"edgekit's rewrite changes the output by {proof.difference:.1e} of its largest value, more than its "
            f"bound of {proof.bound:.0e}",
            remedy="This is a defect of edgekit; please report it with the model's name.",
            proved=False,
            count=proof.places,
        )
        for proof in proofs
        if proof.proved is False
    )


def _meaningless(prover: Prover, model: str) -> tuple[Finding, ...]:
    """Outputs on which any file would pass parity; the conversion refuses them."""
    import numpy as np

    from edgekit.export.golden import check_meaningful

    if not prover.outputs:
        return ()
    stacks = [np.stack([sample[k].numpy() for sample in prover.outputs]) for k in range(len(prover.outputs[0]))]
    try:
        check_meaningful(stacks, model)
    except ParityError as error:
        return (
            Finding(
                severity="wrong", backend="", op=error.where, module="", source="", cause=error.message,
                remedy=error.next_step,
            ),
        )  # fmt: skip
    return ()


def _backend(task: Task, program: ExportedProgram, origins: Mapping[str, NodeOrigin]) -> events.Event:
    started = time.monotonic()
    name = task.info.name
    check = checker(name, task.precision)
    history, suspects = History.of(program), silent(program, name)
    aside = None if check is None else Aside(lambda: check.examine(program), wait=task.alone or name != "executorch")
    _applied(Prover(program, (), history), rewrites.names(None))
    own = rewrites.names(name)
    proofs = _applied(Prover(program, task.samples, history), own) if own else ()
    before = Examination(())
    after = check.examine(program) if check is not None and history.applied else None
    if aside is not None:
        before = aside.result()
    after = before if after is None else after
    measured = _measured(task, program)
    report = BackendReport(
        name=name,
        precision=task.precision,
        convertible=None if check is None else not any(p.severity == "fails" for p in after.problems),
        before=_placement(before),
        after=_placement(after),
        rewrites=proofs,
        note=_note(check),
        seconds=round(time.monotonic() - started, 3),
    )
    found = findings(
        name, (*before.problems, *_silent(history, suspects, before)), (*after.problems, *measured), history, origins
    )
    return events.Examined(report=report, findings=(*_unproved(proofs, name), *found))


def _silent(history: History, suspects: Mapping[str, set[str]], before: Examination) -> list[Problem]:
    """What would have been silently wrong without the rewrites that were applied, unless the checker has it already."""
    told = {problem.node for problem in before.problems if problem.severity in ("fails", "wrong")}
    return [
        Problem(node, "wrong", importlib.import_module(f"edgekit.export.rewrites.{rewrite}").REASON)
        for rewrite in dict.fromkeys(history.removed.values())
        for node in history.removed_by(rewrite)
        if node in suspects.get(rewrite, ()) and node not in told
    ]


def _measured(task: Task, program: ExportedProgram) -> list[Problem]:
    found = precision.float16_problems(program, task.samples) if task.precision == "fp16" else []
    if task.info.name in precision.NARROW:
        found += precision.whole_number_problems(program, task.samples)
    return found


def _placement(examined: Examination) -> Placement:
    failing = dict.fromkeys(problem.operator for problem in examined.problems if problem.severity == "fails")
    counts: Any = examined.undelegated
    ordered = None if counts is None else sorted(counts.items(), key=lambda entry: -entry[1])
    return Placement(
        partitions=examined.partitions,
        undelegated_ops=None if ordered is None else tuple(UndelegatedOp(op=op, count=n) for op, n in ordered),
        failing=tuple(failing),
    )


def _note(check: Checker | None) -> str | None:
    if check is None:
        return "this backend was added by another package; edgekit does not know what it converts"
    untried = getattr(check, "untried", 0)
    return f"{untried} unusual operators were not tried: there are too many kinds of them" if untried else None
