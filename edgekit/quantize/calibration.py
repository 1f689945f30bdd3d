"""Calibration data: the inputs from which the ranges of a model's activations are read. No torch, no converter.

It can be a folder of images or of .npy files, one .npy, or one .npz. Where there is none, generated inputs of another
seed than the golden ones stand in, so that a file is not judged on what it was fitted to. They are good enough to try a
conversion, no more: a digits network trained on pixels of -1 to 1 kept 15 % of its answers when it was calibrated on
generated ones of 0 to 1, and parity on generated inputs can't show that. So it is never silent: the
:attr:`Calibration.warning` goes into the record of whatever is made from them.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from edgekit.errors import UsageError
from edgekit.export.inputs import FLOATS, IMAGE_SUFFIXES, MAX_BYTES, golden_inputs, image_layout, read_image
from edgekit.records import Preprocess, TensorSpec

Array = npt.NDArray[Any]

DEFAULT_LIMIT = 128
# Measured on networks with random weights: 8 generated pictures are 2 to 16 dB better than one, 128 are up to 5 dB
# better than 32 on small inputs and no better on others.
SYNTHETIC_COUNT = 32
SYNTHETIC_SEED = 1_000_003
# More files than this in a folder are a mistake in the path: a whole disk, say.
MAX_FILES = 1_000_000
# What the only input of a model may be called in an .npz, besides its own name; evaluate's data sets use these.
_INPUT_NAMES = ("inputs", "x", "images")
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
# What numpy, zipfile and zlib raise on damaged, encrypted or foreign files.
_DAMAGED = (
    OSError, ValueError, EOFError, KeyError, SyntaxError, TypeError, OverflowError, RuntimeError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip
_FORMS = (
    "Give a folder of images (subfolders are searched), a folder of .npy files with one sample each, a FILE.npy with "
    "the samples along its first axis, or a FILE.npz with one such array per input."
)


@dataclass(frozen=True)
class Calibration:
    """Prepared samples: one array per model input, each of shape (count, *input shape) with the batch in it.

    ``sha256`` covers dtypes, shapes and values as the model gets them; ``source`` says in words where they come from.
    """

    inputs: tuple[Array, ...]
    sha256: str
    source: str
    synthetic: bool

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(self.inputs[0])

    @property
    def warning(self) -> str | None:
        """What must be said of a model that was calibrated on these, or null."""
        if not self.synthetic:
            return None
        return (
            f"calibrated on {self.count} synthetic inputs ({self.source}): the int8 ranges are a guess, real data "
            "outside of them is cut off, and parity can't show it; give calibration data before the model is used"
        )


def load_calibration(
    specs: Sequence[TensorSpec],
    source: Path | None,
    preprocess: Preprocess | None = None,
    *,
    limit: int = DEFAULT_LIMIT,
) -> Calibration:
    """Read and check calibration data for a model with these inputs.

    Args:
        specs: the model's inputs; their shapes include the batch.
        source: see the module; null generates at most ``SYNTHETIC_COUNT`` inputs, and the result says so. A model with
            several inputs takes a folder with ``input0``, ``input1`` and so on in it, or an .npz.
        preprocess: how an image becomes the model's input; null means crop to its size and scale to 0..1.
        limit: at most so many samples, evenly spaced over what is there; of a folder of .npy files the first ones.

    Raises:
        UsageError: the data can't be read, is empty, too large, of another shape or dtype, or not finite.
    """
    if limit < 1:
        raise UsageError(f"{limit} calibration samples were asked for.", where="limit", next_step="Ask for 1 or more.")
    if source is None:
        count = min(limit, SYNTHETIC_COUNT)
        inputs, said = golden_inputs(specs, directory=None, preprocess=preprocess, count=count, seed=SYNTHETIC_SEED)
        return _made(inputs, said, synthetic=True)
    _check_size(specs, limit, source)
    if source.is_dir():
        inputs, said = _from_folder(specs, source, preprocess, limit)
    elif source.suffix.lower() == ".npy":
        inputs, said = _from_npy(specs, source, limit)
    elif source.suffix.lower() == ".npz":
        inputs, said = _from_npz(specs, source, limit)
    else:
        what = "is neither a folder, a .npy nor an .npz file" if source.exists() else "does not exist"
        raise UsageError(f"The calibration data {source} {what}.", where=str(source), next_step=_FORMS)
    return _made(inputs, said, synthetic=False)


def _made(inputs: Sequence[Array], said: str, *, synthetic: bool) -> Calibration:
    digest = hashlib.sha256()
    for array in inputs:
        digest.update(f"{array.dtype.newbyteorder('<').str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).data)
    return Calibration(tuple(inputs), digest.hexdigest(), said, synthetic)


def _check_size(specs: Sequence[TensorSpec], limit: int, source: Path) -> None:
    size = sum(math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in specs) * limit
    if size > MAX_BYTES:
        raise UsageError(
            f"{limit} calibration samples would take {size} bytes; the limit is {MAX_BYTES}.",
            where=str(source),
            next_step="Ask for fewer samples.",
        )


def _from_folder(
    specs: Sequence[TensorSpec], folder: Path, preprocess: Preprocess | None, limit: int
) -> tuple[list[Array], str]:
    files = _images_below(folder) if len(specs) == 1 else []
    if not files:
        # Folders of .npy, one folder per input, and the words for a folder that holds neither.
        return golden_inputs(specs, directory=folder, preprocess=preprocess, count=limit)
    (spec,) = specs
    if image_layout(spec.shape) is None or spec.dtype not in FLOATS:
        raise UsageError(
            f"{folder} holds images, but input {spec.name} has the shape {spec.shape} and dtype {spec.dtype}.",
            where=str(files[0]),
            next_step="Images fit float inputs (N, C, H, W) or (N, H, W, C) with 1 or 3 channels; or give .npy files.",
        )
    batch = spec.shape[0]
    samples = min(limit, len(files) // batch)
    if samples == 0:
        message = f"{folder} holds {len(files)} images, but one sample takes {batch}."
        raise UsageError(message, where=str(folder), next_step="Add images.")
    chosen = [files[index] for index in _spaced(len(files), samples * batch)]
    pixels = np.concatenate([read_image(file, preprocess, spec.shape) for file in chosen])
    how = f"preprocessing: {preprocess.source}" if preprocess else "cropped and scaled to 0..1"
    said = f"{len(chosen)} of {len(files)} images in {folder}, {how}"
    return [pixels.reshape(samples, *spec.shape).astype(spec.dtype)], said


def _images_below(folder: Path) -> list[Path]:
    """Every image in the folder and below it, hidden ones apart, in the order of their paths."""
    files = []
    try:
        for number, entry in enumerate(folder.rglob("*")):
            if number >= MAX_FILES:
                message = f"There are more than {MAX_FILES} files in {folder}."
                raise UsageError(message, where=str(folder), next_step="Name a smaller folder.")
            hidden = any(part.startswith(".") for part in entry.relative_to(folder).parts)
            if entry.suffix.lower() in IMAGE_SUFFIXES and not hidden and entry.is_file():
                files.append(entry)
    except OSError as error:
        message = f"{folder} can't be read: {error.strerror}."
        raise UsageError(message, where=str(folder), next_step="Check its permissions.") from error
    mixed = next(folder.glob("*.npy"), None)
    if files and mixed is not None:
        message = f"{folder} holds both images ({files[0].name}) and .npy files ({mixed.name})."
        raise UsageError(message, where=str(mixed), next_step="Keep one kind in the folder.")
    return sorted(files)


def _from_npy(specs: Sequence[TensorSpec], file: Path, limit: int) -> tuple[list[Array], str]:
    if len(specs) != 1:
        raise UsageError(
            f"The model has {len(specs)} inputs; {file} holds one array.",
            where=str(file),
            next_step="Give a FILE.npz with one array per input.",
        )
    try:
        # Mapped, so that the header is checked before any data is read.
        stored = np.load(file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UsageError(f"There is no file {file}.", where=str(file), next_step=_FORMS) from None
    except _DAMAGED as error:
        raise _unreadable(file, error) from error
    if not isinstance(stored, np.ndarray):
        raise _unreadable(file, "it is not a .npy file")
    array = _fitted(stored, specs[0], f"{file}", limit)
    return [array], f"{len(array)} of {len(stored)} samples of {file}"


def _from_npz(specs: Sequence[TensorSpec], file: Path, limit: int) -> tuple[list[Array], str]:
    try:
        with zipfile.ZipFile(file) as archive:
            names = [entry.removesuffix(".npy") for entry in archive.namelist()]
            wanted = _names_of(specs, names, file)
            arrays = [_member(archive, name, file) for name in wanted]
    except FileNotFoundError:
        raise UsageError(f"There is no file {file}.", where=str(file), next_step=_FORMS) from None
    except _DAMAGED as error:
        raise _unreadable(file, error) from error
    counts = [len(array) if array.ndim else 0 for array in arrays]
    if len(set(counts)) > 1:
        raise UsageError(
            f"The arrays of {file} hold different numbers of samples: {counts}.",
            where=str(file),
            next_step="The first axis of every array counts the samples.",
        )
    fitted = [_fitted(a, s, f"{file}: {n}", limit) for a, s, n in zip(arrays, specs, wanted, strict=True)]
    return fitted, f"{len(fitted[0])} of {counts[0]} samples of {file}"


def _names_of(specs: Sequence[TensorSpec], names: Sequence[str], file: Path) -> list[str]:
    """Which arrays the inputs are: those of their own names; for an only input the only array or an agreed name too."""
    own = [spec.name for spec in specs]
    if set(own) <= set(names):
        return own
    if len(specs) == 1:
        known = [name for name in _INPUT_NAMES if name in names] or (list(names) if len(names) == 1 else [])
        if known:
            return known[:1]
    raise UsageError(
        f"{file} has no arrays named {', '.join(own)}; it has: {', '.join(names) or 'none'}.",
        where=str(file),
        next_step="Name the arrays by the model's inputs.",
    )


def _member(archive: zipfile.ZipFile, name: str, file: Path) -> Array:
    """One array of an .npz; its header is checked before memory is taken for it."""
    entry = archive.getinfo(f"{name}.npy")
    if entry.file_size > MAX_BYTES:
        raise UsageError(
            f"The array {name} of {file} unpacks to {entry.file_size} bytes; the limit is {MAX_BYTES}.",
            where=str(file),
            next_step="Give fewer samples.",
        )
    with archive.open(entry) as stream:
        shape, dtype = _header(stream)
        if dtype.hasobject or math.prod(shape) * dtype.itemsize > entry.file_size:
            raise ValueError(f"the array {name} is not what its header says")
    with archive.open(entry) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"an array has the format version {version}")
    shape, _, dtype = _HEADERS[version](stream)
    return shape, dtype


def _fitted(stored: Array, spec: TensorSpec, where: str, limit: int) -> Array:
    """At most ``limit`` samples in the input's shape and dtype, checked."""
    allowed = [spec.shape] + ([spec.shape[1:]] if spec.shape and spec.shape[0] == 1 else [])
    if stored.ndim == 0 or stored.shape[1:] not in allowed:
        shapes = " or ".join(str(("N", *shape)).replace("'", "") for shape in allowed)
        message = f"{where} has the shape {stored.shape}; input {spec.name} takes {shapes}."
        raise UsageError(
            message, where=where, next_step="Save the samples along the first axis, as the model takes them."
        )
    if len(stored) == 0:
        raise UsageError(f"{where} holds no samples.", where=where, next_step=_FORMS)
    if not np.can_cast(stored.dtype, spec.dtype, casting="safe"):
        message = f"{where} holds {stored.dtype}, which does not fit into {spec.dtype} without loss."
        raise UsageError(message, where=where, next_step=f"Save it with .astype('{spec.dtype}').")
    if np.dtype(spec.dtype).kind == "f" and stored.dtype.kind != "f":
        # Raw pixels would fit without loss, and every range would be 255 times too wide.
        message = f"{where} holds {stored.dtype}; input {spec.name} takes {spec.dtype}."
        raise UsageError(
            message, where=where, next_step="Save the values as the model takes them, after preprocessing."
        )
    chosen = _spaced(len(stored), min(limit, len(stored)))
    array = np.array(stored[chosen], dtype=spec.dtype).reshape(len(chosen), *spec.shape)
    if array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
        raise UsageError(f"{where} holds NaN or infinite values.", where=where, next_step="Clean the data first.")
    return array


def _spaced(count: int, wanted: int) -> npt.NDArray[np.int64]:
    """``wanted`` of the indices 0 to ``count`` - 1, evenly spaced."""
    return np.arange(wanted, dtype=np.int64) * count // wanted


def _unreadable(file: Path, why: object) -> UsageError:
    return UsageError(
        f"{file} can't be read: {why}.",
        where=str(file),
        next_step="Save it again with numpy.save or numpy.savez; arrays of objects are refused.",
    )
