"""The public verbs for programs: what the command line does, with records in and out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path

from edgekit import paths, pipeline, prepare
from edgekit.bundle.make import make
from edgekit.bundle.records import Bundle, ComputeUnits, Target
from edgekit.bundle.request import BundleRequest, for_models, source_texts
from edgekit.choose.ask import ChooseRequest, answer
from edgekit.choose.combine import Across
from edgekit.choose.limits import parse_constraint, parse_objective
from edgekit.compare.comparison import Comparison
from edgekit.compare.runs import compare_stored
from edgekit.convert import events
from edgekit.convert.request import DEFAULT_GOLDEN_COUNT, CalibrationRequest, ConvertRequest, GoldenRequest
from edgekit.device.resolve import open_device
from edgekit.diagnosis import Diagnosis
from edgekit.doctor.request import DEFAULT_SAMPLES, DoctorRequest
from edgekit.errors import ParityError
from edgekit.model.request import LoadRequest
from edgekit.records import Artifact, Deployment, Measurement, Plan, Profile
from edgekit.selection import Choice, Constraint, Objective, Sweep, SweepCell
from edgekit.store.query import Query
from edgekit.store.store import Store
from edgekit.sweep import grid as grids
from edgekit.sweep import grid_file, start
from edgekit.sweep import run as sweeping
from edgekit.sweep.grid import GridFile

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
            spec=str(model), arch=arch, trust_pickle=trust_pickle, input_shape=shapes,
            weights=str(weights) if weights else None, pretrained=pretrained,
        ),
        formats=tuple(formats),
        precision=precision,
        golden=GoldenRequest(directory=str(inputs) if inputs else None, count=DEFAULT_GOLDEN_COUNT),
        memory_limit_bytes=_MEMORY_LIMIT_BYTES,
        cache=str(paths.cache_dir()),
        calibration=CalibrationRequest(source=str(calibration) if calibration else None),
    )  # fmt: skip


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
    arch: str | None = None, store: str | None = None,
) -> list[Profile]:  # fmt: skip
    """Per-operator times, from passes of their own; kept only if ``store`` (an SQLAlchemy URL) is given.

    Raises:
        EdgekitError: the first format that failed.
    """
    opened = open_device(device)
    request = _request(model, formats or prepare.runnable_formats(opened), "", arch, None, None, False)
    with nullcontext() if store is None else Store.open(store) as kept:
        made, found = pipeline.profile(
            request,
            opened,
            threads=threads,
            runs=runs,
            on_event=lambda event: None,
            say=lambda text: None,
            wait_s=0.0,
            store=kept,
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


def sweep(
    grid: GridFile | str | Path,
    *,
    store: str | None = None,
    new: bool = False,
    retry_failed: bool = False,
    wait_s: float = 0.0,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[Sweep, list[SweepCell]]:
    """Measure every cell of a grid, a TOML file or a record; its paths are relative to the file, or to here.

    What is stored of the same grid is continued: called again, it measures what is missing. A cell that failed is a
    result with its reason, and no exception.

    Args:
        new: begin anew, whatever is stored of this grid.
        retry_failed: do failed and skipped cells again.
        wait_s: how long to wait for a busy device, in seconds.
        say: takes a line of text for every step.

    Raises:
        DeviceError: a device was lost; its cells are still ``pending``.
        UsageError: the grid is wrong.
        StoreError: the results can't be kept.
    """
    if isinstance(grid, GridFile):
        settled = grids.settle(grids.checked(grid), Path.cwd())
    else:
        settled = grids.settle(grid_file.load(Path(grid)), Path(grid).parent, Path(grid).stem)
    with Store.open(store) as opened:
        devices = sweeping.Devices(settled, say)
        begun = start.begin(settled, opened, devices.formats, new=new, retry_failed=retry_failed)
        how = sweeping.Options(
            cache=str(paths.cache_dir()), store=store or paths.store_url(), jobs=os.cpu_count() or 1,
            memory_limit_bytes=_MEMORY_LIMIT_BYTES, wait_s=wait_s,
        )  # fmt: skip
        lost = sweeping.run(begun.sweep, settled, opened, devices, how, say, lambda event: None)
        for error in lost.values():
            raise error
        return begun.sweep, opened.cells(begun.sweep.id)


def compare(
    a: str, b: str, *, store: str | None = None, store_b: str | None = None, emulated: bool = False
) -> Comparison:
    """Run ``b`` against run ``a``: each a sweep's name or id, or the beginning of a measurement's id.

    Args:
        store: an SQLAlchemy URL; the user's own store if null.
        store_b: where ``b`` is, if it is in another store.
        emulated: compare the times of emulators too, which are not a device's.

    Raises:
        UsageError: there is no such run, more than one, or both are the same.
        IncomparableError: no pair of the two runs can be compared.
        StoreError: a store can't be opened or read.
    """
    with ExitStack() as stack:
        first = stack.enter_context(Store.open(store))
        second = stack.enter_context(Store.open(store_b, create=False)) if store_b else None
        return compare_stored(first, a, b, store_b=second, emulated=emulated)


def choose(
    devices: str | Sequence[str],
    limits: Sequence[str | Constraint] = (),
    *,
    objectives: Sequence[str | Objective],
    accuracy: str | Path | None = None,
    dataset: str | None = None,
    model_stands_in: bool = False,
    across: Across = "worst",
    weights: Mapping[str, float] | None = None,
    model: str | None = None,
    since: str | None = None,
    sweep: str | None = None,
    strict: bool = False,
    emulated: bool = False,
    store: str | None = None,
) -> Choice:
    """What to ship, from the measurements in the store that can be compared; nothing is opened or measured.

    Args:
        devices: specs, names or profiles of the devices that it has to run on.
        limits: such as ``"p90_ms<=12"`` or ``"top1>=75%"``, each of them to be kept on every device.
        objectives: such as ``"maximize top1"`` or ``"minimize latency"``; the first counts first.
        accuracy: ``"evaluations"`` (the default), ``"published"`` or a CSV file; ``dataset`` is that of evaluations.
        model_stands_in: where a float file was not evaluated but passed parity, take its PyTorch model's accuracy.
        across: the worst device, or the ``"weighted"`` mean by ``weights``.
        model, since, sweep: which measurements count, as in :class:`edgekit.choose.ask.ChooseRequest`.
        strict: leave noisy measurements out as well.
        emulated: take the times of emulated devices.

    Raises:
        UsageError: nothing was measured there, no accuracy is known, or the request contradicts itself.
        IncomparableError: nothing of what was measured can be compared.
        StoreError: the store can't be opened or read.
    """
    request = ChooseRequest(
        devices=(devices,) if isinstance(devices, str) else tuple(devices),
        constraints=tuple(parse_constraint(one) if isinstance(one, str) else one for one in limits),
        objectives=tuple(parse_objective(one) if isinstance(one, str) else one for one in objectives),
        accuracy=str(accuracy) if accuracy else None, dataset=dataset, model_stands_in=model_stands_in,
        model=model, since=since, sweep=sweep, across=across, weights=dict(weights) if weights else None,
        strict=strict, emulated=emulated,
    )  # fmt: skip
    with Store.open(store) as opened:
        return answer(request, opened)


def bundle(
    sources: str | Path | Choice | Sequence[str | Path | Choice],
    target: Target,
    output: str | Path,
    *,
    name: str | None = None,
    key: str | None = None,
    labels: str | Path | Mapping[str, str | Path] | None = None,
    licence: str | Mapping[str, str] | None = None,
    preprocess: str | Path | Mapping[str, str | Path] | None = None,
    accept_licence: bool = False, compute_units: ComputeUnits | None = None, options: Mapping[str, str] | None = None,
    force: bool = False, store: str | None = None,
) -> Bundle:  # fmt: skip
    """Make a folder that an app or firmware takes as it is: code, model files and a manifest.

    Args:
        sources: each ``[NAME=]PATH`` or ``[NAME=]SHA256`` of a converted file, a choice, or a file with one as JSON;
            those with one name are variants of one model.
        target: ``android``, ``ios``, ``mcu`` or ``linux``.
        output: the folder to make.
        key: a private key to sign with, by its name or path.
        labels: a file with a label per line, or model -> file.
        licence: an SPDX expression, or model -> expression.
        preprocess: a TOML file with the fields of Preprocess, or model -> file.
        accept_licence: bundle a model although its licence forbids redistribution.
        options: those of the target: ``package``, ``delivery``, ``board``, ``abi``.
        force: replace a bundle that is there.

    Raises:
        EdgekitError: an argument is wrong, the bundle can't be made, a file not be run or the store not be read.
    """
    request = BundleRequest(
        sources=source_texts(sources), target=target, output=Path(output), cache=paths.cache_dir(), name=name, key=key,
        labels=for_models(labels), licences=for_models(licence), preprocess=for_models(preprocess),
        compute_units=compute_units, accept_licence=accept_licence, options=dict(options or {}), force=force,
    )  # fmt: skip
    with Store.open(store) as opened:
        return make(request, opened)
