"""Packing for the board at hand: an int8 .tflite made elsewhere, held against LiteRT's reference kernels; and a model
from PyTorch for a core without the DSP extension. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from edgekit.convert import entries, sources
from edgekit.convert.cache import Cache, key_of
from edgekit.convert.mcu import exact
from edgekit.convert.mcu.compile import compile_file
from edgekit.convert.request import GoldenRequest
from edgekit.export.inputs import golden_inputs
from edgekit.harness.content import bytes_of, sha256_of
from edgekit.harness.int8_tensors import quantise
from edgekit.harness.launch import run_job
from edgekit.job import Job
from edgekit.records import Artifact, Parity, TensorSpec
from edgekit.version import __version__

_TIMEOUT_S = 1800.0
# Raised when other things are kept beside the packed file.
_RECIPE = 1

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class CompiledFile:
    """The packed model, inputs for it and what LiteRT's reference kernels make of them: .npy stacks, samples first."""

    artifact: Artifact
    inputs: tuple[str, ...]
    expected: tuple[str, ...]


def compile_foreign(path: Path, cache: Cache, golden: GoldenRequest, *, dsp: bool) -> CompiledFile:
    """Compile the file, run it here and by LiteRT's reference kernels on the golden inputs, and compare every bit.

    Raises:
        ConvertError: an operator can't be compiled, or the file is no int8 model.
        ParityError: never; a difference is in the artifact's ``parity``.
        UsageError: the golden inputs can't be used.
    """
    source = sha256_of(path)
    made_by = [__version__, _RECIPE, sources.compiler_sha256(), sources.runtime_sha256()]
    key = key_of("mcu", made_by, source, path.stem, dsp, golden)

    made_now = False

    def fill(folder: Path) -> None:
        nonlocal made_now
        made_now = True
        compiled = compile_file(path, dsp=dsp, name=path.stem)
        ekm = folder / f"{path.stem}_mcu_int8.ekm"
        ekm.write_bytes(compiled.ekm)
        for index, stack in enumerate(_inputs(path, golden, compiled.program.inputs)):
            np.save(folder / f"input_{index}.npy", stack, allow_pickle=False)
        expected = run_job(_job("outputs", path, source, folder), timeout_s=_TIMEOUT_S).outputs
        for index, name in enumerate(expected):
            Path(name).rename(folder / f"expected_{index}.npy")
        stacks = [np.load(name) for name in _numbered(folder, "input")]
        different = exact.differences(path, ekm.read_bytes(), stacks)
        parity = Parity(
            passed=not different, bit_equal=not different, samples=len(stacks[0]),
            reason=f"the packed model and LiteRT's reference kernels differ: {different}" if different else None,
        )  # fmt: skip
        entries.write(
            folder / "artifact.json",
            Artifact(
                sha256=sha256_of(ekm), bytes=bytes_of(ekm), format="mcu", precision="int8", path=ekm.name,
                model=path.stem, exported_sha256=None, parity=parity, converter=f"edgekit {__version__}",
                operators=len(compiled.program.steps), weight_bytes=compiled.data_bytes,
                placement_note=f"compiled from {path.name}",
            ),
        )  # fmt: skip

    folder = cache.ensure("mcu", key, fill)
    artifact = entries.read(folder / "artifact.json", Artifact)
    assert artifact is not None  # the cache verified the entry's files
    artifact = msgspec.structs.replace(artifact, path=str(folder / artifact.path), cached=not made_now)
    return CompiledFile(artifact, _numbered(folder, "input"), _numbered(folder, "expected"))


def for_portable_kernels(artifact: Artifact, cache: Cache) -> Artifact:
    """A model that came from PyTorch, packed anew for cores without the DSP extension: the same to the last bit.

    Args:
        artifact: of the backend ``mcu``, with the int8 model that it was packed from beside it.
        cache: where the new file is kept.
    """
    key = key_of("mcu-portable", __version__, sources.compiler_sha256(), artifact.sha256)
    path = Path(artifact.path)

    def fill(folder: Path) -> None:
        compiled = compile_file(path.with_suffix(exact.INT8_SUFFIX), dsp=False, name=path.stem, float_outside=True)
        (folder / path.name).write_bytes(compiled.ekm)

    made = cache.ensure("mcu", key, fill) / path.name
    return msgspec.structs.replace(artifact, path=str(made), sha256=sha256_of(made), bytes=bytes_of(made))


def _numbered(folder: Path, name: str) -> tuple[str, ...]:
    count = len(list(folder.glob(f"{name}_*.npy")))
    return tuple(str(folder / f"{name}_{index}.npy") for index in range(count))


def _job(mode: Any, path: Path, source: str, folder: Path | None) -> Job:
    return Job(
        harness_version=__version__,
        mode=mode,
        engine="litert-reference",
        artifact=str(path),
        artifact_sha256=source,
        inputs=_numbered(folder, "input") if folder else (),
        outputs_dir=str(folder) if folder else None,
    )


def _inputs(path: Path, golden: GoldenRequest, endpoints: Any) -> list[Array]:
    """The golden inputs in the file's own dtypes. Generated ones span the whole of int8, so that clamping is met."""
    specs = run_job(_job("describe", path, sha256_of(path), None), timeout_s=_TIMEOUT_S).inputs
    floats = [TensorSpec(name=spec.name, shape=spec.shape) for spec in specs]
    directory = Path(golden.directory) if golden.directory else None
    stacks, _source = golden_inputs(floats, directory=directory, preprocess=None, count=golden.count, seed=golden.seed)
    made = []
    for spec, endpoint, stack in zip(specs, endpoints, stacks, strict=True):
        if spec.dtype == "float32":
            made.append(stack)
            continue
        scale, zero_point = endpoint.scale, endpoint.zero_point
        if directory is None:
            scale, zero_point = float(np.abs(stack).max()) / 127 or 1.0, 0
        made.append(quantise(stack, scale, zero_point))
    return made
