"""From what the user asked for to files that run on the device: converted, proved, or taken as they are.

No torch in this process: loading, export and conversion run in the convert stage's own process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edgekit.convert import convert as convert_stage
from edgekit.convert import entries, events
from edgekit.convert.cache import Cache
from edgekit.convert.launch import Outcome
from edgekit.convert.mcu.compile import Compiled, compile_file
from edgekit.convert.mcu.exact import INT8_SUFFIX
from edgekit.convert.mcu.foreign import compile_foreign, for_portable_kernels
from edgekit.convert.mcu.target import has_dsp
from edgekit.convert.request import ConvertRequest
from edgekit.device import check as device_check
from edgekit.device.device import Device
from edgekit.device.foreign import describe_file
from edgekit.doctor import diagnose as doctor_stage
from edgekit.doctor.request import DoctorRequest
from edgekit.errors import DeviceError, EdgekitError, ParityError, UsageError
from edgekit.job import ENGINE_OF_FORMAT
from edgekit.model.request import parse_spec
from edgekit.records import Artifact, DeviceInfo, DeviceParity, Exported

OnEvent = Callable[[events.Event], None]


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
    """Everything of ``request`` that can run on the device: converted now, or given as a converted file.

    Raises:
        DeviceError: nothing that was asked for runs on it.
    """
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
    portable = is_portable(device.info())
    outcome = convert(request, None if portable else output, on_event)
    found = placed(outcome, request, device.info(), output if portable else None)
    _refuse_nothing(found, device)
    return found


def is_portable(info: DeviceInfo) -> bool:
    """Whether the device is a core without the DSP extension, for which packed models are laid out anew.

    The backend packs for the DSP kernels, which not every core has; the host runs either.
    """
    return info.engines == ("edgekit-mcu",) and not has_dsp(info.abi or "")


def placed(outcome: Outcome, request: ConvertRequest, info: DeviceInfo, output: Path | None = None) -> Subjects:
    """What was converted, as far as the device runs it. Models laid out anew for it are also copied to ``output``."""
    found = Subjects(outcome=outcome, errors=dict(outcome.errors))
    exported = outcome.exported
    for artifact in outcome.artifacts:
        if artifact.format in found.errors or exported is None:
            continue
        if ENGINE_OF_FORMAT.get(artifact.format) not in info.engines:
            found.skipped[artifact.format] = f"{info.spec} has no runtime for {artifact.format} files"
        else:
            packed = _portable(artifact, request, output) if is_portable(info) else artifact
            found.ready.append(Subject(packed, exported, exported.golden.inputs, judged=artifact))
    return found


def check_on_device(subject: Subject, device: Device, *, cache: Path, check_parity: bool, threads: int) -> DeviceParity:
    """Parity on the device; the file has been pushed. ``passed`` is null, with a reason, where it is not checked.

    Raises:
        ParityError: the device computes something else.
        EdgekitError: the file could not be run there.
    """
    if subject.expected:
        return device_check.check_exact(subject.artifact, subject.inputs, subject.expected, device)
    if subject.exported is None:
        return DeviceParity(passed=None, bit_equal=None, reason="no PyTorch model was given to compare with")
    if not check_parity:
        return DeviceParity(passed=None, bit_equal=None, reason="turned off with --no-parity")
    outputs = entries.parity_outputs(Cache(cache), subject.judged or subject.artifact, subject.exported)
    golden = subject.exported.golden
    return device_check.check(subject.artifact, golden, device, host_outputs=outputs, threads=threads)


def _refuse_nothing(found: Subjects, device: Device) -> None:
    """Nothing that was asked for runs on the device: that is no success."""
    if found.ready or found.errors or not found.skipped:
        return
    raise DeviceError(
        f"{'; '.join(found.skipped.values())}.", where="--to",
        next_step=f"It runs {', '.join(runnable_formats(device))}.", skipped=found.skipped,
    )  # fmt: skip


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
