"""How a converted file is fed and read, and a few samples of both."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.bundle.names import MAX_IDENTIFIER, identifier
from edgekit.bundle.records import Quantisation, Tensor
from edgekit.convert import judge
from edgekit.convert.mil.failures import NotEvaluated
from edgekit.errors import BundleError
from edgekit.export.inputs import golden_inputs
from edgekit.harness.int8_tensors import Endpoint, to_stored
from edgekit.harness.launch import run_job
from edgekit.harness.mcu_model import HostModel
from edgekit.job import ENGINE_OF_FORMAT, Job
from edgekit.records import Exported, TensorSpec
from edgekit.version import __version__

MAX_SAMPLES = 4
# Of all inputs together; one sample is taken however large it is.
MAX_INPUT_BYTES = 4 << 20
_TIMEOUT_S = 600.0

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Fed:
    """A file's inputs and outputs, and samples of them: one stack per tensor, samples first, of its own dtype."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    golden_inputs: tuple[Array, ...]
    golden_outputs: tuple[Array, ...]
    source: str


def of_exported(exported: Exported, format_name: str, path: Path, sha256: str, known: Sequence[Path]) -> Fed:
    """A file converted here, with PyTorch's inputs and outputs as samples.

    Args:
        exported: the program that it was converted from.
        format_name, path, sha256: the file.
        known: what it answered when its parity was checked, one stack per output; it is run if there is none.

    Raises:
        BundleError: its outputs don't have the shapes of PyTorch's.
        EdgekitError: it can't be run.
    """
    ours, expected = first_samples(exported)
    answered = [np.load(one, mmap_mode="r", allow_pickle=False) for one in known]
    inputs, outputs = [spec.name for spec in exported.inputs], [spec.name for spec in exported.outputs]
    if format_name == "coreml":
        # Core ML takes and gives tensors by the names that are in the file.
        program = _program(path)
        inputs, outputs = [spec.name for spec in program.inputs], list(program.output_names)
        dtypes = [spec.dtype for spec in program.inputs]
        ours = tuple(stack.astype(dtype) for stack, dtype in zip(ours, dtypes, strict=True))
    if not answered:
        answered = run_file(format_name, path, sha256, ours)
    if [one.shape[1:] for one in answered] != [one.shape[1:] for one in expected]:
        raise BundleError(
            f"The outputs of {path.name} have the shapes {[one.shape[1:] for one in answered]}, PyTorch's "
            f"{[one.shape[1:] for one in expected]}.", where=str(path), next_step="Convert the model again.",
        )  # fmt: skip
    # A file may count classes in 32 bits where PyTorch does in 64.
    expected = tuple(one.astype(like.dtype) for one, like in zip(expected, answered, strict=True))
    source = source_of(exported, len(expected[0]))
    fed = Fed(_plain(inputs, ours, "input"), _plain(outputs, expected, "output"), ours, expected, source)
    return named_alike(fed, _named(exported.inputs, "input"), _named(exported.outputs, "output"))


def of_file(format_name: str, path: Path, sha256: str) -> Fed:
    """A file made elsewhere: the inputs that it states, generated samples, and what the file itself makes of them.

    Raises:
        BundleError: it can't be run here.
        MissingExtraError: its runtime is not installed.
        EdgekitError: its runtime refuses it.
    """
    if format_name == "coreml":
        return _of_package(path)
    job = _job("describe", format_name, path, sha256)
    specs = run_job(job, timeout_s=_TIMEOUT_S).inputs
    stacks, source = _generated(specs)
    answered = run_file(format_name, path, sha256, stacks)
    names = [f"output_{number}" for number in range(len(answered))]
    return Fed(_plain([s.name for s in specs], stacks, "input"), _plain(names, answered, "output"), stacks,
               tuple(answered), _own(source))  # fmt: skip


def of_packed(ekm: bytes, inputs: Sequence[Array], names: tuple[Sequence[str], Sequence[str]], source: str) -> Fed:
    """A packed model for microcontrollers: int8 as the board stores it, run by the host's build of its runtime.

    Args:
        ekm: the packed model.
        inputs: one stack per input as the packed model's source has it, float32 or int8.
        names: of the inputs and of the outputs.
        source: where the inputs come from.

    Raises:
        ModelError, DeviceError: the packed model or the runtime can't be used.
    """
    model = HostModel(ekm)
    rows = [
        [to_stored(np.asarray(stack[sample]), end) for stack, end in zip(inputs, model.inputs, strict=True)]
        for sample in range(len(inputs[0]))
    ]
    answers = [model.run(row) for row in rows]
    return Fed(
        _stored(names[0], model.inputs, "input"), _stored(names[1], model.outputs, "output"),
        _stacked(rows), _stacked(answers), source,
    )  # fmt: skip


def first_samples(exported: Exported) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """The first golden inputs and PyTorch's outputs for them: at most 4 samples and 4 MiB of inputs, at least one.

    Raises:
        BundleError: the files can't be read.
    """
    try:
        inputs, outputs = (
            [np.load(name, mmap_mode="r", allow_pickle=False) for name in names]
            for names in (exported.golden.inputs, exported.golden.outputs)
        )
        count = _count(sum(one.nbytes for one in inputs) // max(1, len(inputs[0])), len(inputs[0]))
        taken = tuple(np.array(one[:count]) for one in inputs), tuple(np.array(one[:count]) for one in outputs)
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise BundleError(
            f"The golden inputs of {exported.name} can't be read: {error}", where=exported.golden.sha256,
            next_step="Convert the model again.",
        ) from error  # fmt: skip
    return taken


def source_of(exported: Exported, count: int) -> str:
    """Where the first ``count`` golden inputs come from."""
    source = exported.golden.source
    return source if count == exported.golden.count else f"the first {count} of {source}"


def run_file(format_name: str, path: Path, sha256: str, inputs: Sequence[Array]) -> list[Array]:
    """What the file answers here, on one thread: one stack per output.

    Raises:
        EdgekitError: it can't be run.
    """
    if format_name not in ENGINE_OF_FORMAT:
        _quiet_coremltools()
        return judge.outputs(format_name, path, inputs)
    with tempfile.TemporaryDirectory(prefix="edgekit-bundle-") as work:
        files = []
        for number, stack in enumerate(inputs):
            files.append(str(Path(work) / f"input_{number}.npy"))
            np.save(files[-1], stack, allow_pickle=False)
        job = _job("outputs", format_name, path, sha256, tuple(files), work)
        answered = run_job(job, timeout_s=_TIMEOUT_S).outputs
        return [np.load(name, allow_pickle=False) for name in answered]


def identifiers(names: Sequence[str], prefix: str) -> list[str]:
    """A different identifier for each name: where two would be the same, the later one gets a number behind it."""
    made: list[str] = []
    for name in names:
        plain = wanted = identifier(name, prefix)
        number = 2
        # Underscores don't tell names apart: they go when a language wants camelCase.
        while wanted.replace("_", "") in [one.replace("_", "") for one in made]:
            behind, number = f"_{number}", number + 1
            wanted = plain[: MAX_IDENTIFIER - len(behind)].rstrip("_") + behind
        made.append(wanted)
    return made


def named_alike(fed: Fed, inputs: Sequence[str], outputs: Sequence[str]) -> Fed:
    """The same tensors with these identifiers."""
    return replace(fed, inputs=_with(fed.inputs, inputs), outputs=_with(fed.outputs, outputs))


def _with(tensors: Sequence[Tensor], names: Sequence[str]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(name=t.name, identifier=name, shape=t.shape, dtype=t.dtype, quantisation=t.quantisation)
        for t, name in zip(tensors, names, strict=True)
    )


def _named(specs: Sequence[TensorSpec], prefix: str) -> list[str]:
    return identifiers([spec.name for spec in specs], prefix)


def _of_package(path: Path) -> Fed:
    """An .mlpackage made elsewhere, by edgekit's evaluator, which knows most of Core ML's operators."""
    try:
        program = _program(path)
        stacks, source = _generated(program.inputs)
        answered = judge.outputs("coreml", path, stacks)
    except NotEvaluated as error:
        raise _not_run(path, error.message) from error
    return Fed(_plain([s.name for s in program.inputs], stacks, "input"),
               _plain(program.output_names, answered, "output"), stacks, tuple(answered), _own(source))  # fmt: skip


def _program(path: Path) -> Any:
    """An .mlpackage for edgekit's evaluator."""
    _quiet_coremltools()
    from edgekit.convert.mil.evaluate import load

    return load(path)


def _quiet_coremltools() -> None:
    """On import it says which of macOS' libraries are not there."""
    logging.getLogger("coremltools").setLevel(logging.ERROR)


def _not_run(path: Path, reason: str) -> BundleError:
    return BundleError(
        f"{path.name} was made elsewhere and can't be run here, so nothing says what it should answer: "
        f"{reason.rstrip('.')}.", where=str(path),
        next_step="Convert the PyTorch model with edgekit convert, and bundle the file that makes.",
    )  # fmt: skip


def _own(source: str) -> str:
    return f"{source}; the outputs are the file's own on the machine that made the bundle"


def _generated(specs: Sequence[TensorSpec]) -> tuple[tuple[Array, ...], str]:
    one = sum(int(np.prod(spec.shape, dtype=np.int64)) * np.dtype(spec.dtype).itemsize for spec in specs)
    stacks, source = golden_inputs(specs, directory=None, preprocess=None, count=_count(one, MAX_SAMPLES))
    return tuple(stacks), source


def _count(sample_bytes: int, available: int) -> int:
    return max(1, min(MAX_SAMPLES, available, MAX_INPUT_BYTES // max(1, sample_bytes)))


def _plain(names: Sequence[str], stacks: Sequence[Array], prefix: str) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(name=name, identifier=own, shape=tuple(stack.shape[1:]), dtype=stack.dtype.name)
        for name, own, stack in zip(names, identifiers(names, prefix), stacks, strict=True)
    )


def _stored(names: Sequence[str], ends: Sequence[Endpoint], prefix: str) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(name=name, identifier=own, shape=tuple(end.shape), dtype="int8",
               quantisation=Quantisation(scale=end.scale, zero_point=end.zero_point))
        for name, own, end in zip(names, identifiers(names, prefix), ends, strict=True)
    )  # fmt: skip


def _stacked(rows: Sequence[Sequence[Array]]) -> tuple[Array, ...]:
    return tuple(np.stack([row[number] for row in rows]) for number in range(len(rows[0])))


def _job(mode: Any, format_name: str, path: Path, sha256: str, inputs: tuple[str, ...] = (), out: str = "") -> Job:
    return Job(
        harness_version=__version__, mode=mode, engine=ENGINE_OF_FORMAT[format_name], artifact=str(path),
        artifact_sha256=sha256, inputs=inputs, outputs_dir=out or None,
    )  # fmt: skip
