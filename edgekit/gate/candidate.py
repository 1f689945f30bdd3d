"""From one model of a budget to a converted file that is proved, with what it takes to run it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgekit import paths
from edgekit.convert import check as check_stage
from edgekit.convert.request import CalibrationRequest, ConvertRequest, GoldenRequest
from edgekit.device.device import Device
from edgekit.device.foreign import file_inputs
from edgekit.errors import DeviceError, IncomparableError, ParityError, UsageError
from edgekit.gate.baseline import Entry
from edgekit.gate.budget import ModelBudget
from edgekit.job import ENGINE_OF_FORMAT
from edgekit.model.request import ARTIFACT_FORMATS, LoadRequest, parse_input_shape, parse_input_spec, parse_spec
from edgekit.prepare import OnEvent, Subject, check_on_device, subjects
from edgekit.records import Artifact, DeviceInfo, DeviceParity, TensorSpec


@dataclass(frozen=True)
class Resources:
    """What conversions may use side by side."""

    jobs: int = 2
    memory_limit_bytes: int = 8 << 30


@dataclass(frozen=True)
class Prepared:
    """A candidate: its file, the inputs to run it on and their shapes, and what parity on the device came to."""

    artifact: Artifact
    stacks: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    device_parity: DeviceParity
    subject: Subject


def prepare_model(
    model: ModelBudget, device: Device, *, threads: int, resources: Resources, on_event: OnEvent
) -> Prepared:
    """Convert the model, or take its file, and prove it, here and on the device.

    Raises:
        EdgekitError: it can't be loaded or converted, fails parity, or the device can't run it.
    """
    request = _request(model, resources)
    subject = _checked_file(model, request, on_event) if model.file and model.spec else None
    if subject is None:
        found = subjects(request, device, on_event)
        for error in found.errors.values():
            raise error
        (subject,) = found.ready
    info = device.info()
    if ENGINE_OF_FORMAT.get(subject.artifact.format) not in info.engines:
        raise DeviceError(f"{info.spec} has no runtime for {subject.artifact.format} files.",
                          where=f"model {model.name}",
                          next_step="edgekit devices lists each device's runtimes.")  # fmt: skip
    device.push(subject.artifact, subject.inputs)
    parity = check_on_device(subject, device, cache=Path(request.cache), check_parity=True, threads=threads)
    exported, artifact = subject.exported, subject.artifact
    inputs = exported.inputs if exported else file_inputs(Path(artifact.path), artifact.format, device)
    return Prepared(artifact, subject.inputs, inputs, parity, subject)


def _request(model: ModelBudget, resources: Resources) -> ConvertRequest:
    spec = model.spec or model.file or ""
    kind = parse_spec(spec).kind
    if model.file and Path(model.file).suffix.lower() not in ARTIFACT_FORMATS:
        raise UsageError(f"The file of {model.name} is no converted file.", where=f"model {model.name}: file",
                         next_step="Write a model as spec, with its format.")  # fmt: skip
    if kind != "artifact" and not model.file and model.format is None:
        raise UsageError(f"The model {model.name} has no format.", where=f"model {model.name}: format",
                         next_step='For example format = "litert".')  # fmt: skip
    if kind == "artifact" and model.file and model.spec:
        raise UsageError(f"The spec of {model.name} is a converted file.", where=f"model {model.name}: spec",
                         next_step="Give the PyTorch model that the file is checked against, or no spec.")  # fmt: skip
    return ConvertRequest(
        load=LoadRequest(
            spec=spec, arch=model.arch, trust_pickle=model.trust_pickle, seed=model.seed, weights=model.weights,
            pretrained=model.pretrained,
            input_shape=parse_input_shape(model.input_shape) if model.input_shape else None,
            input_spec=parse_input_spec(model.input_spec) if model.input_spec else None,
        ),
        formats=(model.format,) if model.format else (),
        precision=model.precision,
        golden=GoldenRequest(directory=model.inputs, count=model.golden_count, seed=model.seed),
        calibration=CalibrationRequest(source=model.calibration, limit=model.calibration_count),
        jobs=resources.jobs, memory_limit_bytes=resources.memory_limit_bytes, cache=str(paths.cache_dir()),
    )  # fmt: skip


def _checked_file(model: ModelBudget, request: ConvertRequest, on_event: OnEvent) -> Subject:
    """The given file, judged against the model as ``edgekit check MODEL FILE`` does."""
    file = model.file or ""
    checked = check_stage.check(msgspec.structs.replace(request, formats=()), [file], on_event)
    for error in checked.errors.values():
        raise error
    if checked.exported is None or not checked.artifacts:
        raise ParityError(f"{file} was not judged.", where=file, next_step="Run edgekit check on it.")
    return Subject(checked.artifacts[0], checked.exported, checked.exported.golden.inputs)


def refuse_incomparable(model: ModelBudget, prepared: Prepared, entry: Entry) -> None:
    """Refuse to compare files that are not meant to do the same.

    Raises:
        IncomparableError: the format, the precision or the inputs are others than the baseline's.
    """
    now, base = prepared.artifact, entry.artifact
    pairs = [
        ("format", base.format, now.format),
        ("precision", base.precision, now.precision),
        ("inputs", _shapes(entry.inputs), _shapes(prepared.inputs)),
    ]
    different = [f"{what} {old}, now {new}" for what, old, new in pairs if old != new]
    if different:
        raise IncomparableError(
            f"{model.name} is not what its baseline is: {'; '.join(different)}.", where=f"model {model.name}",
            next_step="If that is meant, set the baseline again with --set-baseline.",
        )  # fmt: skip


def _shapes(inputs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{spec.dtype} {'x'.join(str(side) for side in spec.shape)}" for spec in inputs)


def refuse_other_device(known: DeviceInfo, now: DeviceInfo) -> None:
    """Refuse a baseline that was set on a device of another kind.

    Raises:
        IncomparableError: profile, chip, processor or kind of machine differ.
    """
    if _kind(known) != _kind(now):
        raise IncomparableError(
            f"The baseline was set on {_words(known)}; this is {_words(now)}.", where=now.spec,
            next_step="Set the baseline on this kind of device, in a folder of its own, or write same_device = false: "
            "both files are measured again on the device at hand.",
        )  # fmt: skip


def _kind(info: DeviceInfo) -> tuple[object, ...]:
    return (info.profile or info.soc or info.name, info.abi, info.emulated)


def _words(info: DeviceInfo) -> str:
    return f"{info.spec} ({info.profile or info.name}{', ' + info.soc if info.soc else ''}, {info.abi})"
