"""The whole flow on one screen: load → export → convert → deploy → measure → store.

No torch in this process: loading, export and conversion run in the convert stage's own process, artifacts run in the
device's. Every function takes records and gives records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgekit.convert import check as check_stage
from edgekit.convert.check import Checked
from edgekit.convert.request import ConvertRequest
from edgekit.device import lease
from edgekit.device.device import Device
from edgekit.diagnosis import Diagnosis
from edgekit.doctor import diagnose as doctor_stage
from edgekit.doctor.request import DoctorRequest
from edgekit.errors import EdgekitError
from edgekit.evaluate import subjects as evaluate_stage
from edgekit.evaluate.subjects import EvaluateRequest, Scored
from edgekit.measure import profile as profile_stage
from edgekit.measure import runner
from edgekit.measure.plan import Candidate, check_plan
from edgekit.prepare import OnEvent, Subject, Subjects, check_on_device, subjects
from edgekit.records import (
    ClockRegime,
    Deployment,
    DeviceParity,
    Measurement,
    Plan,
    Profile,
    Push,
)
from edgekit.store.store import Store

Say = Callable[[str], None]


def check(request: ConvertRequest, files: Sequence[str], on_event: OnEvent) -> Checked:
    """Judge files that were converted before, as they are, against the model."""
    return check_stage.check(request, files, on_event)


def doctor(request: DoctorRequest, on_event: OnEvent) -> Diagnosis:
    """What would go wrong with a model in the chosen formats; nothing is converted."""
    return doctor_stage.diagnose(request, on_event)


def deploy(
    request: ConvertRequest,
    device: Device,
    plan: Plan,
    *,
    threads: int,
    store: Store,
    on_event: OnEvent,
    say: Say,
    clocks: ClockRegime = "free",
    wait_s: float = 0.0,
    output: Path | None = None,
) -> tuple[list[Deployment], Subjects]:
    """Convert, push, check on the device, measure, store; a format that fails does not stop the others.

    ``output`` also gets a copy of every converted file.
    """
    check_plan(plan)  # before the minutes of converting
    found = subjects(request, device, on_event, output)
    # Held from the first byte that is sent: a push would disturb another process's measurement on the same device.
    with lease.hold(device.info().spec, wait_s=wait_s):
        pushed = {s.artifact.format: device.push(s.artifact, s.inputs) for s in found.ready}
        say("parity on the device")
        checked = _check_all(found, request, device, threads)
        ready = [s for s in found.ready if s.artifact.format in checked]
        for subject in ready:
            store.add_artifact(subject.artifact)
        outcomes = runner.measure(
            [Candidate(s.artifact, s.inputs) for s in ready],
            device,
            plan,
            threads=threads,
            on_repeat=store.save_measurement,
            progress=say,
            clocks=clocks,
        )
    deployments = []
    for subject, outcome in zip(ready, outcomes, strict=True):
        name = subject.artifact.format
        if outcome.error is not None:
            found.errors[name] = outcome.error
        if outcome.measurement is not None:
            deployments.append(_deployment(subject, checked[name], pushed[name], outcome.measurement))
    return deployments, found


def _deployment(subject: Subject, checked: DeviceParity, push: Push, measurement: Measurement) -> Deployment:
    return Deployment(
        artifact=subject.artifact,
        parity=subject.artifact.parity,
        device_parity=checked,
        push=push,
        measurement=measurement,
    )


def _check_all(found: Subjects, request: ConvertRequest, device: Device, threads: int) -> dict[str, DeviceParity]:
    """Parity on the device for every subject, side by side: nothing is being measured yet."""

    def one(subject: Subject) -> DeviceParity | EdgekitError:
        try:
            return check_on_device(
                subject, device, cache=Path(request.cache), check_parity=request.check_parity, threads=threads
            )
        except EdgekitError as error:
            return error

    if len(found.ready) == 1:  # in this thread: Ctrl-C would wait for the end of another, and that can be minutes
        results = [one(found.ready[0])]
    else:
        with ThreadPoolExecutor(max_workers=2) as pool:
            results = list(pool.map(one, found.ready))
    checked = {}
    for subject, result in zip(found.ready, results, strict=True):
        if isinstance(result, EdgekitError):
            found.errors[subject.artifact.format] = result
        else:
            checked[subject.artifact.format] = result
    return checked


def profile(
    request: ConvertRequest,
    device: Device,
    *,
    threads: int,
    runs: int,
    on_event: OnEvent,
    say: Say,
    wait_s: float,
    store: Store | None = None,
) -> tuple[list[Profile], Subjects]:
    """Per-operator times of every format, from passes of their own; with a store they are kept there."""
    found = subjects(request, device, on_event)
    profiles = []
    for subject in found.ready:
        say(f"{subject.artifact.model} {subject.artifact.format}: profiling {runs} runs")
        try:
            device.push(subject.artifact, subject.inputs)
            made = profile_stage.profile(subject.artifact, subject.inputs, device, threads, runs, wait_s=wait_s)
        except EdgekitError as error:
            found.errors[subject.artifact.format] = error
        else:
            profiles.append(made)
            if store is not None:
                store.add_artifact(subject.artifact)
                store.save_profile(made)
    return profiles, found


def evaluate(
    request: EvaluateRequest, device: Device, store: Store, say: Say, wait_s: float = 0.0
) -> tuple[list[Scored], dict[str, EdgekitError]]:
    """Score files by their runtimes on the device, and models by PyTorch here, on the same data; keep the results."""
    with lease.hold(device.info().spec, wait_s=wait_s):
        made, errors = evaluate_stage.evaluate_all(request, device, say)
    for scored in made:
        if scored.artifact is not None:
            store.add_artifact(scored.artifact)
        store.save_evaluation(scored.evaluation)
    return made, errors
