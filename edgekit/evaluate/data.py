"""Data sets with known answers, prepared as the .npy files that the harness reads."""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, final

import numpy as np
import numpy.typing as npt

from edgekit.errors import UsageError
from edgekit.evaluate.callables import UserFunction, is_callable_spec
from edgekit.records import Preprocess, TensorSpec

Array = npt.NDArray[Any]

# What an .npz may say that it unpacks to. Larger sets come as folders of images, which are read one at a time.
MAX_NPZ_BYTES = 16 << 30
_INPUT_NAMES = ("inputs", "x", "images")
_LABEL_NAMES = ("labels", "y")
_FORMS = (
    "Give a folder with one sub-folder of images per class, a FILE.npz with arrays 'inputs' and 'labels', or a "
    "function that returns (inputs, labels): path/file.py:function or pkg.module:function."
)


@final
@dataclass(frozen=True)
class Dataset:
    """Samples and labels on disk; use it in a ``with`` statement, or call :meth:`close`, to delete its files.

    ``inputs`` holds one .npy path per model input, each of shape (count, *input shape) with the input's batch
    dimension in it. ``labels`` has shape (count, ...). ``sha256`` covers the samples and labels as they were given,
    before any preprocessing, so that it is the same for every model.
    """

    name: str
    sha256: str
    count: int
    inputs: tuple[str, ...]
    labels: Array
    folder: Path

    def __enter__(self) -> Dataset:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Deletes the prepared files."""
        shutil.rmtree(self.folder, ignore_errors=True)


def load_dataset(
    source: str,
    specs: Sequence[TensorSpec] | None,
    preprocess: Preprocess | None = None,
    *,
    limit: int | None = None,
    parent: Path | None = None,
) -> Dataset:
    """Reads and prepares a data set for a model with these inputs.

    Args:
        source: a folder of class folders, a FILE.npz, or a function's name; see the message of a wrong one.
        specs: the model's inputs. None if they are not known: arrays are then taken as float32 samples of a model
            with batch size 1, and the runtime refuses them if they don't fit.
        preprocess: how an image becomes the model's input; only used for folders.
        limit: at most so many samples, evenly spaced over the set.
        parent: where the prepared files go; the system's folder for temporary files by default.

    Raises:
        UsageError: the data can't be read, is empty, does not fit the model, or does not fit on the disk.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"The limit is not positive: {limit}.", where="--limit", next_step="Give 1 or more.")
    folder = Path(tempfile.mkdtemp(prefix="edgekit-data-", dir=parent))
    try:
        return _prepare(source, specs, preprocess, limit, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _prepare(
    source: str, specs: Sequence[TensorSpec] | None, preprocess: Preprocess | None, limit: int | None, folder: Path
) -> Dataset:
    path = Path(source)
    if path.is_dir():
        from edgekit.evaluate.images import read_folder

        found = read_folder(path, limit)
        stacks, labels, digest = (found.write(folder, specs, preprocess),), found.labels, found.sha256
        return Dataset(path.resolve().name, digest, len(labels), stacks, labels, folder)
    if path.suffix.lower() == ".npz":
        inputs, labels = _read_npz(path, specs)
    elif is_callable_spec(source):
        inputs, labels = _from_function(source, specs)
    else:
        reason = "is neither a folder, an .npz file nor a function" if path.exists() else "does not exist"
        raise UsageError(f"The data '{source}' {reason}.", where="--data", next_step=_FORMS)
    inputs, labels = _checked(inputs, labels, limit, source)
    digest = _array_digest((*inputs, labels))
    fitted = [_fit(array, specs[k] if specs else None, source) for k, array in enumerate(inputs)]
    need_room(folder, sum(array.nbytes for array in fitted))
    names = tuple(str(folder / f"input_{k}.npy") for k in range(len(fitted)))
    for name, array in zip(names, fitted, strict=True):
        np.save(name, array, allow_pickle=False)
    return Dataset(path.stem if path.suffix.lower() == ".npz" else source, digest, len(labels), names, labels, folder)


def _read_npz(path: Path, specs: Sequence[TensorSpec] | None) -> tuple[list[Array], Array]:
    try:
        with zipfile.ZipFile(path) as archive:
            declared = sum(entry.file_size for entry in archive.infolist())
        if declared > MAX_NPZ_BYTES:
            raise UsageError(
                f"{path} says that it unpacks to {declared} bytes.", where=str(path),
                next_step=f"Give at most {MAX_NPZ_BYTES} bytes, or a folder of images.",
            )  # fmt: skip
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}.", where="--data", next_step=_FORMS) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise UsageError(
            f"{path} can't be read: {error}", where=str(path),
            next_step="Save it again with numpy.savez(file, inputs=..., labels=...); arrays of objects are refused.",
        ) from error  # fmt: skip
    label_name = next((name for name in _LABEL_NAMES if name in found), None)
    if label_name is None:
        raise UsageError(
            f"{path} has no array 'labels' or 'y'; it has: {', '.join(sorted(found)) or 'none'}.", where=str(path),
            next_step="Save it with numpy.savez(file, inputs=..., labels=...).",
        )  # fmt: skip
    labels = found.pop(label_name)
    return _by_name(found, specs, str(path)), labels


def _from_function(source: str, specs: Sequence[TensorSpec] | None) -> tuple[list[Array], Array]:
    result = UserFunction(source)()
    if not isinstance(result, tuple) or len(result) != 2:
        raise UsageError(
            f"{source} returned a {type(result).__name__}.", where=source, next_step="Return a tuple (inputs, labels)."
        )
    inputs, labels = result
    if isinstance(inputs, Mapping):
        named = {str(name): _array(value, source) for name, value in inputs.items()}
        return _by_name(named, specs, source), _array(labels, source)
    several = isinstance(inputs, tuple) or (specs is not None and len(specs) > 1)
    arrays = [_array(value, source) for value in inputs] if several else [_array(inputs, source)]
    if specs is not None and len(arrays) != len(specs):
        raise _input_count(len(specs), len(arrays), source)
    return arrays, _array(labels, source)


def _array(value: object, source: str) -> Array:
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"{source} returned a {type(value).__name__} that is not an array: {error}", where=source,
            next_step="Return numpy arrays, all samples of one shape.",
        ) from error  # fmt: skip


def _by_name(found: Mapping[str, Array], specs: Sequence[TensorSpec] | None, source: str) -> list[Array]:
    if specs is not None and all(spec.name in found for spec in specs):
        return [found[spec.name] for spec in specs]
    name = next((name for name in _INPUT_NAMES if name in found), None)
    if specs is not None and len(specs) > 1:
        name = None
    if name is None:
        wanted = [spec.name for spec in specs] if specs is not None and len(specs) > 1 else list(_INPUT_NAMES[:1])
        raise UsageError(
            f"{source} has no arrays named {', '.join(wanted)}; it has: {', '.join(sorted(found)) or 'none'}.",
            where=source, next_step="Name the arrays by the model's inputs.",
        )  # fmt: skip
    return [found[name]]


def _input_count(expected: int, found: int, source: str) -> UsageError:
    return UsageError(
        f"The model has {expected} inputs; {source} gives {found}.", where=source,
        next_step="Give one array per input, in the model's order.",
    )  # fmt: skip


def _checked(inputs: list[Array], labels: Array, limit: int | None, source: str) -> tuple[list[Array], Array]:
    counts = [array.shape[0] if array.ndim else None for array in (*inputs, labels)]
    if len(set(counts)) != 1 or counts[0] is None:
        raise UsageError(
            f"Inputs of shape {', '.join(str(array.shape) for array in inputs)} and labels of shape {labels.shape} "
            f"don't have the same number of samples in {source}.",
            where=source, next_step="The first dimension of every array counts the samples.",
        )  # fmt: skip
    if counts[0] == 0:
        raise UsageError(f"{source} holds no samples.", where=source, next_step=_FORMS)
    for array in (*inputs, labels):
        if array.dtype.kind not in "biuf":
            raise UsageError(
                f"{source} holds an array of {array.dtype}.", where=source, next_step="Give numbers: floats, integers."
            )
    for array in inputs:
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UsageError(
                f"The inputs of {source} hold NaN or infinity.", where=source, next_step="Clean the data first."
            )
    chosen = spaced(len(labels), limit)
    return [array[chosen] for array in inputs], labels[chosen]


def spaced(count: int, limit: int | None) -> npt.NDArray[np.int64]:
    """At most ``limit`` of the indices 0 to ``count`` - 1, evenly spaced."""
    if limit is None or limit >= count:
        return np.arange(count, dtype=np.int64)
    return np.arange(limit, dtype=np.int64) * count // limit


def _fit(array: Array, spec: TensorSpec | None, source: str) -> Array:
    """The samples in the shape and dtype of the model's input, batch dimension included."""
    if spec is None:
        return np.ascontiguousarray(array[:, None], dtype=np.float32)
    if array.shape[1:] == spec.shape[1:] and spec.shape[:1] == (1,):
        array = array[:, None]
    if array.shape[1:] != spec.shape:
        expected = spec.shape[1:] if spec.shape[:1] == (1,) else spec.shape
        raise UsageError(
            f"The samples of {source} have shape {array.shape[1:]}; input '{spec.name}' expects {expected}.",
            where=source, next_step="Give the samples as the model takes them: channels before height and width.",
        )  # fmt: skip
    target = np.dtype(spec.dtype)
    if array.dtype.kind == "f" and target.kind != "f":
        raise UsageError(
            f"The samples of {source} are {array.dtype}; input '{spec.name}' expects {spec.dtype}.", where=source,
            next_step="Convert them yourself, so that nothing is rounded unseen.",
        )  # fmt: skip
    return np.ascontiguousarray(array, dtype=target)


def check_stacks(stacks: Sequence[Array], specs: Sequence[TensorSpec], model: str) -> None:
    """Compares prepared stacks, of shape (count, *input shape), with the inputs of the model that is to run on them.

    Raises:
        UsageError: the number of inputs, a shape or a dtype differs.
    """
    if len(stacks) != len(specs):
        raise _input_count(len(specs), len(stacks), "the data")
    for stack, spec in zip(stacks, specs, strict=True):
        if stack.shape[1:] != spec.shape or stack.dtype != np.dtype(spec.dtype):
            raise UsageError(
                f"The samples are {stack.dtype} of shape {stack.shape[1:]}; input '{spec.name}' of {model} expects "
                f"{spec.dtype} of shape {spec.shape}.",
                where=spec.name, next_step="Prepare the data for this model's inputs.",
            )  # fmt: skip


def need_room(folder: Path, size: int) -> None:
    """Refuses to fill the disk.

    Raises:
        UsageError: less than ``size`` bytes and a tenth of reserve are free.
    """
    free = shutil.disk_usage(folder).free
    if size * 1.1 > free:
        raise UsageError(
            f"The prepared data needs {math.ceil(size / 2**20)} MiB; {free // 2**20} MiB are free.", where=str(folder),
            next_step="Use --limit N, or set TMPDIR to a larger disk.",
        )  # fmt: skip


def _array_digest(arrays: Sequence[Array]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.newbyteorder('<').str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()
