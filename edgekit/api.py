"""The public verbs for programs: what the command line does, with records in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edgekit import paths, pipeline, prepare
from edgekit.convert import events
from edgekit.convert.request import DEFAULT_GOLDEN_COUNT, CalibrationRequest, ConvertRequest, GoldenRequest
from edgekit.device.resolve import open_device
from edgekit.diagnosis import Diagnosis
from edgekit.doctor.request import DEFAULT_SAMPLES, DoctorRequest
from edgekit.errors import ParityError
from edgekit.model.request import LoadRequest
from edgekit.records import Artifact, Deployment, Measurement, Plan, Profile
from edgekit.store.query import Query
from edgekit.store.store import Store

_MEMORY_LIMIT_BYTES = 8 << 30


def _request(
    model: str,
    formats: Sequence[str],
    precision: str,
    arch: str | None,
    input_shape: Sequence[Sequence[int]] | None,
    inputs: str | Path | None,
    trust_pickle: bool,
    weights: str | Path | None = None,
    pretrained: bool = False,
    calibration: str | Path | None = None,
) -> ConvertRequest:
    shapes = tuple(tuple(shape) for shape in input_shape) if input_shape else None
    return ConvertRequest(
        load=LoadRequest(
            spec=str(model),
            arch=arch,
            trust_pickle=trust_pickle,
            input_shape=shapes,
            weights=str(weights) if weights else None,
            pretrained=pretrained,
        ),
        formats=tuple(formats),
        precision=precision,
        golden=GoldenRequest(directory=str(inputs) if inputs else None, count=DEFAULT_GOLDEN_COUNT),
        memory_limit_bytes=_MEMORY_LIMIT_BYTES,
        cache=str(paths.cache_dir()),
        calibration=CalibrationRequest(source=str(calibration) if calibration else None),
    )


def convert(
    model: str,
    formats: Sequence[str] = ("executorch", "litert", "coreml", "onnx"),
    *,
    output: str | Path | None = None,
    precision: str | None = None,
    arch: str | None = None,
    input_shape: Sequence[Sequence[int]] | None = None,
    inputs: str | Path | None = None,
    trust_pickle: bool = False,
    weights: str | Path | None = None,
    pretrained: bool = False,
    calibration: str | Path | None = None,
    on_event: Callable[[events.Event], None] = lambda event: None,
) -> list[Artifact]:
    """Convert ``model`` (a model spec) and check every file on the golden inputs.

    Args:
        input_shape: one shape per input, batch included.
        inputs: directory of golden inputs; seeded natural ones if null.
        weights: a file of weights for a model that is named (``zoo:``, ``timm:``, a factory).
        pretrained: take the published weights of a zoo or timm model from the network.
        calibration: data that int8 conversions (``mcu``) take their ranges from: a folder of images or .npy files, an
            .npy or an .npz; ``"synthetic"`` for generated inputs.
        output: directory for the files; they stay in the cache if null.

    Raises:
        EdgekitError: the first format that failed, or what failed before any was converted.
    """
    request = _request(
        model, formats, precision or "", arch, input_shape, inputs, trust_pickle, weights, pretrained, calibration
    )
    outcome = prepare.convert(request, Path(output) if output else None, on_event)
    for error in outcome.errors.values():
        raise error
    return outcome.artifacts


def check(
    model: str,
    files: Sequence[str | Path],
    *,
    precision: str | None = None,
    arch: str | None = None,
    input_shape: Sequence[Sequence[int]] | None = None,
    inputs: str | Path | None = None,
    trust_pickle: bool = False,
    weights: str | Path | None = None,
    pretrained: bool = False,
    on_event: Callable[[events.Event], None] = lambda event: None,
) -> list[Artifact]:
    """Judge converted files, as they are written, against ``model`` (a model spec) on the golden inputs.

    Args:
        precision: the tolerance to judge by, ``fp32`` or ``fp16``; that of each file's weights if null.
        input_shape: one shape per input, batch included.
        inputs: directory of golden inputs; seeded natural ones if null.
        weights: a file of weights for a model that is named (``zoo:``, ``timm:``, a factory).
        pretrained: take the published weights of a zoo or timm model from the network.

    Returns:
        One artifact per file; a file that is wrong has ``parity.passed`` false, the reason and the first diverging
        tensor, one that can't be judged here has it null.

    Raises:
        EdgekitError: the model can't be loaded, or a file can't be read or run at all.
    """
    request = _request(model, (), precision or "", arch, input_shape, inputs, trust_pickle, weights, pretrained)
    checked = pipeline.check(request, [str(file) for file in files], on_event)
    for error in checked.errors.values():
        if not isinstance(error, ParityError):
            raise error
    return checked.artifacts


def doctor(
    model: str,
    formats: Sequence[str] = ("executorch", "litert", "coreml", "onnx"),
    *,
    precision: str | None = None,
    arch: str | None = None,
    input_shape: Sequence[Sequence[int]] | None = None,
    inputs: str | Path | None = None,
    trust_pickle: bool = False,
    weights: str | Path | None = None,
    pretrained: bool = False,
    on_event: Callable[[events.Event], None] = lambda event: None,
) -> Diagnosis:
    """What would fail, come out wrong, leave the delegate or lose precision in ``formats``; nothing is converted.

    The arguments are those of :func:`convert`. A format that will fail is in the answer, not an exception.

    Raises:
        EdgekitError: the model can't be loaded or exported, or a converter is not installed.
    """
    asked = _request(model, formats, precision or "", arch, input_shape, inputs, trust_pickle, weights, pretrained)
    golden = GoldenRequest(directory=str(inputs) if inputs else None, count=DEFAULT_SAMPLES)
    request = DoctorRequest(
        load=asked.load,
        formats=asked.formats,
        precision=precision or "fp32",
        golden=golden,
        memory_limit_bytes=_MEMORY_LIMIT_BYTES,
    )
    return pipeline.doctor(request, on_event)


def deploy(
    model: str,
    device: str = "host",
    formats: Sequence[str] | None = None,
    *,
    plan: Plan | None = None,
    threads: int = 1,
    precision: str | None = None,
    arch: str | None = None,
    input_shape: Sequence[Sequence[int]] | None = None,
    inputs: str | Path | None = None,
    trust_pickle: bool = False,
    weights: str | Path | None = None,
    pretrained: bool = False,
    calibration: str | Path | None = None,
    store: str | None = None,
) -> list[Deployment]:
    """Convert, check on the device, measure there and keep the result in the store (``store``: an SQLAlchemy URL).

    Without ``formats`` it is every format that the device has a runtime for.

    Raises:
        EdgekitError: the first format that failed; the others were measured and stored.
    """
    opened_device = open_device(device)
    chosen = formats or prepare.runnable_formats(opened_device)
    request = _request(
        model, chosen, precision or "", arch, input_shape, inputs, trust_pickle, weights, pretrained, calibration
    )
    with Store.open(store) as opened:
        made, found = pipeline.deploy(
            request,
            opened_device,
            plan or Plan(),
            threads=threads,
            store=opened,
            on_event=lambda event: None,
            say=lambda text: None,
        )
    for error in found.errors.values():
        raise error
    return made


def profile(
    model: str, device: str = "host", formats: Sequence[str] | None = None, *, threads: int = 1, runs: int = 30,
    arch: str | None = None,
) -> list[Profile]:  # fmt: skip
    """Per-operator times, from passes of their own.

    Raises:
        EdgekitError: the first format that failed.
    """
    opened = open_device(device)
    request = _request(model, formats or prepare.runnable_formats(opened), "", arch, None, None, False)
    made, found = pipeline.profile(
        request,
        opened,
        threads=threads,
        runs=runs,
        on_event=lambda event: None,
        say=lambda text: None,
        wait_s=0.0,
    )
    for error in found.errors.values():
        raise error
    return made


def results(query: Query | None = None, store: str | None = None) -> list[Measurement]:
    """Stored measurements, newest first.

    Raises:
        StoreError: the store can't be opened or read.
    """
    with Store.open(store) as opened:
        return opened.measurements(query or Query())
