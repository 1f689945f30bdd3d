"""A folder with one sub-folder of images per class."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.errors import MissingExtraError, UsageError
from edgekit.evaluate.data import need_room, spaced
from edgekit.records import Preprocess, TensorSpec

# Those that golden inputs may be of, too.
SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp"))
_LAYOUT = "Make one sub-folder per class with its images in it: DATA/cat/1.png, DATA/dog/1.png."


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder in the order of their classes and names; ``sha256`` covers names, labels and contents."""

    files: tuple[Path, ...]
    labels: npt.NDArray[np.int64]
    sha256: str

    def write(self, folder: Path, specs: Sequence[TensorSpec] | None, preprocess: Preprocess | None) -> str:
        """Preprocesses every image into one .npy of shape (count, *input shape); answers its path.

        Raises:
            UsageError: the model does not take one image, or an image can't be read.
            MissingExtraError: Pillow is not installed.
        """
        spec = _image_input(specs, self.files[0].parent.parent)
        read_image = _reader()
        need_room(folder, len(self.files) * math.prod(spec.shape) * np.dtype(spec.dtype).itemsize)
        path = folder / "input_0.npy"
        shape = (len(self.files), *spec.shape)
        stack = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(spec.dtype), shape=shape)
        for index, file in enumerate(self.files):
            stack[index] = read_image(file, preprocess, spec.shape)
        stack.flush()
        return str(path)


def read_folder(root: Path, limit: int | None) -> ImageFolder:
    """Finds the images. A class's number is its place among the sorted sub-folders, or its line in ``labels.txt``.

    Other files, hidden ones and files without an image's suffix are left out.

    Raises:
        UsageError: there are no class folders, no images, or a folder that ``labels.txt`` does not list.
    """
    numbers = _class_numbers(root)
    pairs = [
        (file, number)
        for name, number in numbers.items()
        for file in sorted((root / name).iterdir())
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    ]
    if not pairs:
        raise UsageError(f"There are no images in the class folders of {root}.", where=str(root), next_step=_LAYOUT)
    chosen = [pairs[index] for index in spaced(len(pairs), limit)]
    digest = hashlib.sha256()
    for file, number in chosen:
        content = hashlib.sha256(_bytes(file)).hexdigest()
        digest.update(f"{number}\0{file.relative_to(root).as_posix()}\0{content}\n".encode())
    labels = np.array([number for _, number in chosen], dtype=np.int64)
    return ImageFolder(tuple(file for file, _ in chosen), labels, digest.hexdigest())


def _class_numbers(root: Path) -> dict[str, int]:
    folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not folders:
        raise UsageError(f"{root} has no class folders.", where=str(root), next_step=_LAYOUT)
    listing = root / "labels.txt"
    if not listing.is_file():
        return {name: index for index, name in enumerate(folders)}
    try:
        names = [line.strip() for line in listing.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{listing} can't be read: {error}", where=str(listing), next_step=_LAYOUT) from error
    while names and not names[-1]:
        names.pop()
    unknown = [name for name in folders if name not in names]
    if unknown or len(set(names)) != len(names):
        what = f"does not list the folder {unknown[0]}" if unknown else "lists a folder twice"
        raise UsageError(
            f"{listing} {what}.", where=str(listing),
            next_step="List every class folder once, one name per line, in the order of the model's classes.",
        )  # fmt: skip
    return {name: names.index(name) for name in folders}


def _image_input(specs: Sequence[TensorSpec] | None, root: Path) -> TensorSpec:
    if specs is None:
        raise UsageError(
            "The model's input shape is not known, so images can't be prepared.", where=str(root),
            next_step="Give the shape with --input-shape 1,3,H,W.",
        )  # fmt: skip
    fits = len(specs) == 1 and len(specs[0].shape) == 4 and specs[0].shape[0] == 1
    if not fits or np.dtype(specs[0].dtype).kind != "f":
        found = ", ".join(f"{spec.dtype} {spec.shape}" for spec in specs)
        raise UsageError(
            f"The model does not take one float image of shape (1, C, H, W) but {found}.", where=str(root),
            next_step="Give the data as FILE.npz or as a function.",
        )  # fmt: skip
    return specs[0]


def _reader() -> Callable[[Path, Preprocess | None, Sequence[int]], npt.NDArray[Any]]:
    # Imported only where images are read: the base install need not have Pillow.
    try:
        from edgekit.export.inputs import read_image
    except ImportError as error:
        raise MissingExtraError(
            f"Reading images needs the Python package '{error.name}', which is not installed.", where="--data",
            next_step="Run: pip install pillow",
        ) from error  # fmt: skip
    return read_image


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{file} can't be read: {error.strerror}.", where=str(file), next_step="Check its permissions."
        ) from error
