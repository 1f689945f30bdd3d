"""The whole flow on one screen: load → export → convert → deploy → measure → store.

No torch in this process: loading, export and conversion run in the convert stage's own process, artifacts run in the
device's. Every function takes records and gives records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edgekit.convert import check as check_stage
from edgekit.convert import convert as convert_stage
from edgekit.convert import entries, events
from edgekit.convert.cache import Cache
from edgekit.convert.check import Checked
from edgekit.convert.launch import Outcome
from edgekit.convert.mcu.compile import Compiled, compile_file
from edgekit.convert.mcu.exact import INT8_SUFFIX
from edgekit.convert.mcu.foreign import compile_foreign, for_portable_kernels
from edgekit.convert.mcu.target import has_dsp
from edgekit.convert.request import ConvertRequest
from edgekit.device import check as device_check
from edgekit.device import lease
from edgekit.device.device import Device
from edgekit.device.foreign import describe_file
from edgekit.diagnosis import Diagnosis
from edgekit.doctor import diagnose as doctor_stage
from edgekit.doctor.request import DoctorRequest
from edgekit.errors import DeviceError, EdgekitError, ParityError, UsageError
from edgekit.evaluate import subjects as evaluate_stage
from edgekit.evaluate.subjects import EvaluateRequest, Scored
from edgekit.job import ENGINE_OF_FORMAT
from edgekit.measure import profile as profile_stage
from edgekit.measure import runner
from edgekit.measure.plan import Candidate, check_plan
from edgekit.model.request import parse_spec
from edgekit.records import (
    Artifact,
    ClockRegime,
    Deployment,
    DeviceParity,
    Exported,
    Measurement,
    Plan,
    Profile,
    Push,
)
from edgekit.store.store import Store

OnEvent = Callable[[events.Event], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Subject:
    """An artifact with the inputs to run it on; ``exported`` is null for a file that was converted elsewhere.

    ``expected`` are the outputs that it must give bit by bit, where something else than PyTorch says so. ``judged`` is
    the file that was run on the host, where that is another one (other kernels, the same outputs).
    """

    artifact: Artifact
    exported: Exported | None
    inputs: tuple[str, ...]
    expected: tuple[str, ...] = ()
    judged: Artifact | None = None


@dataclass
class Subjects:
    """What there is to run, what can't run on the device and why, and what failed, by format."""

    ready: list[Subject] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    errors: dict[str, EdgekitError] = field(default_factory=dict)
    outcome: Outcome = field(default_factory=Outcome)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What has to be known of the model, whatever it was converted to."""
        return self.outcome.exported.warnings if self.outcome.exported else ()


def convert(request: ConvertRequest, output: Path | None, on_event: OnEvent) -> Outcome:
    """Model spec → artifacts; a file that failed parity is an error and is not copied to ``output``."""
    if output is not None:
        convert_stage.check_output(output)
    outcome = convert_stage.convert(request, on_event)
    explain(outcome.errors, request, on_event)
    for artifact in outcome.artifacts:
        if artifact.parity.passed is False:
            outcome.errors[artifact.format] = parity_failed(artifact)
    if output is not None:
        outcome.artifacts = [
            a if a.format in outcome.errors else convert_stage.deliver(a, output) for a in outcome.artifacts
        ]
    return outcome


def explain(errors: dict[str, EdgekitError], request: ConvertRequest, on_event: OnEvent) -> None:
    """Replace, in place, the errors of converters and runtimes that name no operator by what the doctor finds.

    Asking takes some seconds, and only after such a failure. An error that the doctor can't explain stays as it is.
    """
    formats = tuple(
        name for name, error in errors.items() if doctor_stage.examines(name) and doctor_stage.is_unexplained(error)
    )
    if not formats:
        return
    asked = DoctorRequest(
        load=request.load,
        formats=formats,
        precision=request.precision or "fp32",
        golden=msgspec.structs.replace(request.golden, count=1),
        jobs=request.jobs,
        memory_limit_bytes=request.memory_limit_bytes,
    )
    try:
        found = doctor_stage.failing(asked, on_event)
    except EdgekitError:  # then the converter's own error is all that is known
        return
    for name, finding in found.items():
        errors[name] = doctor_stage.explained(finding, errors[name])


def check(request: ConvertRequest, files: Sequence[str], on_event: OnEvent) -> Checked:
    """Judge files that were converted before, as they are, against the model."""
    return check_stage.check(request, files, on_event)


def doctor(request: DoctorRequest, on_event: OnEvent) -> Diagnosis:
    """What would go wrong with a model in the chosen formats; nothing is converted."""
    return doctor_stage.diagnose(request, on_event)


def parity_failed(artifact: Artifact) -> ParityError:
    """The error for a file that does not compute what the model computes."""
    first = artifact.parity.first_divergence
    where = f"{first.tensor} ({first.op}) in {first.module} at {first.source}" if first else artifact.format
    return ParityError(
        f"{artifact.format} failed parity: {artifact.parity.reason}.",
        where=where,
        next_step="The first diverging tensor is named above; the file was not delivered and is not measured."
        if first
        else "The file was not delivered and is not measured.",
        format=artifact.format,
    )


def runnable_formats(device: Device) -> tuple[str, ...]:
    """The formats that a model is converted to for this device if none is named: those that it is there to run.

    A microcontroller's format also runs on the host, for parity; its time there is nobody's latency.

    Raises:
        DeviceError: there is no runtime.
    """
    info = device.info()
    names = tuple(name for name, engine in ENGINE_OF_FORMAT.items() if engine in info.engines)
    if info.transport == "local":
        names = tuple(name for name in names if name != "mcu")
    if not names:
        raise DeviceError(
            f"No runtime is installed for {info.spec}.",
            where=info.spec,
            next_step='pip install "edgekit[executorch,litert,onnx]"',
        )
    return names


def subjects(request: ConvertRequest, device: Device, on_event: OnEvent, output: Path | None = None) -> Subjects:
    """Everything of ``request`` that can run on the device: converted now, or given as a converted file."""
    spec = parse_spec(request.load.spec)
    found = Subjects()
    runnable = device.info().engines
    if spec.kind == "artifact":
        if spec.format == "litert" and runnable == ("edgekit-mcu",):
            return _compiled(request, Path(spec.path or spec.text), device, output)
        if ENGINE_OF_FORMAT.get(spec.format or "") not in runnable:
            raise DeviceError(
                f"{device.info().spec} has no runtime for {spec.format} files.",
                where=request.load.spec,
                next_step="edgekit devices lists each device's runtimes.",
            )
        artifact, inputs = describe_file(
            Path(spec.path or spec.text), spec.format or "", device, Cache(Path(request.cache))
        )
        found.ready.append(Subject(artifact, None, inputs))
        return found
    # The backend packs for the DSP kernels, which not every core has; the host runs either.
    portable = runnable == ("edgekit-mcu",) and not has_dsp(device.info().abi or "")
    found.outcome = convert(request, None if portable else output, on_event)
    found.errors.update(found.outcome.errors)
    for artifact in found.outcome.artifacts:
        exported = found.outcome.exported
        if artifact.format in found.errors or exported is None:
            continue
        if ENGINE_OF_FORMAT.get(artifact.format) not in runnable:
            found.skipped[artifact.format] = f"{device.info().spec} has no runtime for {artifact.format} files"
        else:
            packed = _portable(artifact, request, output) if portable else artifact
            found.ready.append(Subject(packed, exported, exported.golden.inputs, judged=artifact))
    return found


def _portable(artifact: Artifact, request: ConvertRequest, output: Path | None) -> Artifact:
    """A packed model for a core without the DSP extension."""
    if output is not None:
        convert_stage.check_output(output)
    packed = for_portable_kernels(artifact, Cache(Path(request.cache)))
    return convert_stage.deliver(packed, output) if output else packed


def _compiled(request: ConvertRequest, path: Path, device: Device, output: Path | None) -> Subjects:
    """An int8 .tflite compiled for the device's core; one that is not bit-equal with LiteRT is an error.

    Raises:
        UsageError: another format than ``mcu`` is asked for, or ``output`` can't be written.
    """
    if request.formats != ("mcu",):
        raise UsageError(
            f"{device.info().spec} runs nothing but mcu, which the file is compiled to.", where="--to",
            next_step="Leave --to out.",
        )  # fmt: skip
    if output is not None:
        convert_stage.check_output(output)
    made = compile_foreign(path, Cache(Path(request.cache)), request.golden, dsp=has_dsp(device.info().abi or ""))
    found = Subjects()
    if made.artifact.parity.passed is False:
        found.errors[made.artifact.format] = parity_failed(made.artifact)
    else:
        artifact = convert_stage.deliver(made.artifact, output) if output else made.artifact
        found.ready.append(Subject(artifact, None, made.inputs, made.expected))
    return found


def compile_for_mcu(request: ConvertRequest, on_event: OnEvent, *, dsp: bool) -> Compiled:
    """An int8 .tflite, or a PyTorch model quantised on the way, compiled and planned; nothing is run on a device.

    Raises:
        EdgekitError: the model can't be loaded, quantised or compiled.
    """
    spec = parse_spec(request.load.spec)
    if spec.kind == "artifact":
        if spec.format != "litert":
            raise UsageError(
                f"Files of the format {spec.format} can't be compiled for microcontrollers.", where=request.load.spec,
                next_step="It is compiled already: deploy it." if spec.format == "mcu" else
                "Give an int8 .tflite or a PyTorch model.",
            )  # fmt: skip
        return compile_file(Path(spec.path or spec.text), dsp=dsp)
    outcome = convert_stage.convert(msgspec.structs.replace(request, formats=("mcu",)), on_event)
    for error in outcome.errors.values():
        raise error
    (artifact,) = outcome.artifacts
    return compile_file(Path(artifact.path).with_suffix(INT8_SUFFIX), dsp=dsp, name=artifact.model, float_outside=True)


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
    _refuse_nothing(found, device)
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


def _refuse_nothing(found: Subjects, device: Device) -> None:
    """Nothing that was asked for runs on the device: that is no success."""
    if found.ready or found.errors or not found.skipped:
        return
    raise DeviceError(
        f"{'; '.join(found.skipped.values())}.", where="--to",
        next_step=f"It runs {', '.join(runnable_formats(device))}.", skipped=found.skipped,
    )  # fmt: skip


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
    cache = Cache(Path(request.cache))

    def one(subject: Subject) -> DeviceParity | EdgekitError:
        if subject.expected:
            try:
                return device_check.check_exact(subject.artifact, subject.inputs, subject.expected, device)
            except EdgekitError as error:
                return error
        if subject.exported is None:
            return DeviceParity(passed=None, bit_equal=None, reason="no PyTorch model was given to compare with")
        if not request.check_parity:
            return DeviceParity(passed=None, bit_equal=None, reason="turned off with --no-parity")
        outputs = entries.parity_outputs(cache, subject.judged or subject.artifact, subject.exported)
        try:
            golden = subject.exported.golden
            return device_check.check(subject.artifact, golden, device, host_outputs=outputs, threads=threads)
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
    request: ConvertRequest, device: Device, *, threads: int, runs: int, on_event: OnEvent, say: Say, wait_s: float
) -> tuple[list[Profile], Subjects]:
    """Per-operator times of every format, from passes of their own."""
    found = subjects(request, device, on_event)
    _refuse_nothing(found, device)
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
