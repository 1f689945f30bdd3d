"""Golden inputs: what every conversion of a model is checked on. Neither torch nor any converter is needed here."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from edgekit.errors import UsageError
from edgekit.model.natural import natural_images
from edgekit.records import Preprocess, TensorSpec

Array = npt.NDArray[Any]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
FLOATS = ("float16", "float32")
# A photograph has up to about 50 million pixels; more is a decompression bomb.
MAX_PIXELS = 64_000_000
MAX_BYTES = 2 << 30
# Integer inputs are token or class numbers more often than not: small values are valid for most models.
INTEGER_RANGE = 10

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}


def golden_inputs(
    specs: Sequence[TensorSpec],
    *,
    directory: Path | None,
    preprocess: Preprocess | None,
    count: int = 8,
    seed: int = 0,
) -> tuple[list[Array], str]:
    """Inputs for a model, from the user's files or generated.

    Args:
        specs: the model's inputs; their shapes include the batch.
        directory: a folder of images (png, jpg, jpeg, bmp, webp) or of .npy files, taken in the order of their names;
            other files in it are ignored, subfolders are not searched. A model with several inputs takes
            ``directory/input0``, ``directory/input1`` and so on, files paired by order. Null generates inputs: pictures
            with natural statistics for 4-D images, whole numbers below 10 for integers, else a standard normal.
        preprocess: how an image becomes an input; null means resize to fit, centre crop and scale to 0..1.
        count: how many samples at most.
        seed: for generated inputs; the same seed gives the same inputs in every process.

    Returns:
        One array per input, of shape (n, *spec.shape) and the input's dtype with 1 <= n <= ``count``, and a text that
        says where they come from.

    Raises:
        UsageError: the folder or a file in it can't be used (the file is named), or the inputs would be too large.
    """
    _check_size(specs, count)
    if directory is None:
        arrays = [_generated(spec, preprocess, count, [seed, index]) for index, spec in enumerate(specs)]
        kinds = sorted({_generated_kind(spec) for spec in specs})
        return arrays, f"{count} samples of {' and '.join(kinds)}, seed {seed}"
    if len(specs) == 1:
        array, source = _from_folder(specs[0], directory, preprocess, count)
        return [array], source
    return _from_folders(specs, directory, preprocess, count)


def preprocess_image(
    image: Image.Image, preprocess: Preprocess | None, shape: Sequence[int]
) -> npt.NDArray[np.float32]:
    """One image as a model input: upright by its EXIF tag, short side resized, centre crop, 0..1, normalised.

    ``shape`` is the input's own shape with its batch, (N, C, H, W) or (N, H, W, C) with C of 1 (grey) or 3 (RGB); its
    H and W win over the preprocessing's. Three-channel statistics are averaged for a grey input. Transparency is
    dropped. The arithmetic is that of torchvision's Resize, CenterCrop, ToTensor and Normalize.

    Returns:
        float32 of shape (1, *shape[1:]).

    Raises:
        UsageError: the shape is not an image's, or the image has more than 8 bits per channel.
    """
    layout = image_layout(shape)
    if layout is None:
        message = f"An image can't be fed to an input of shape {tuple(shape)}."
        raise UsageError(message, where=str(tuple(shape)), next_step="Give .npy files of that shape.")
    channels, height, width = layout
    if image.mode.startswith(("I", "F")):
        message = f"The image has the pixel format {image.mode}; 8 bits per channel are supported."
        raise UsageError(message, where=getattr(image, "filename", ""), next_step="Convert it, or give .npy files.")
    upright = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
    fraction = preprocess.crop_fraction if preprocess else 1.0
    name = preprocess.interpolation if preprocess else "bicubic"
    if name not in _FILTERS:
        message = f"The interpolation {name!r} is not known."
        raise UsageError(message, where="preprocess", next_step=f"Use one of: {', '.join(_FILTERS)}.")
    pixels = np.asarray(_cropped(upright, height, width, fraction, _FILTERS[name]), dtype=np.float32) / 255.0
    pixels = pixels.reshape(height, width, channels)
    if preprocess is not None:
        mean, std = per_channel(preprocess.mean, channels), per_channel(preprocess.std, channels)
        pixels = (pixels - mean) / std
    if not channels_last(shape):
        pixels = pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(pixels[None], dtype=np.float32)


def image_layout(shape: Sequence[int]) -> tuple[int, int, int] | None:
    """Channels, height and width of an image input, (N, C, H, W) or (N, H, W, C); None if it is not one."""
    if len(shape) != 4:
        return None
    if channels_last(shape):
        return shape[3], shape[1], shape[2]
    return (shape[1], shape[2], shape[3]) if shape[1] in (1, 3) else None


def channels_last(shape: Sequence[int]) -> bool:
    """Whether a 4-D image input is (N, H, W, C)."""
    return shape[1] not in (1, 3) and shape[3] in (1, 3)


def base_side(side: int, crop_fraction: float) -> int:
    """The side of which a crop of ``side`` pixels is ``crop_fraction``."""
    return math.floor(side / crop_fraction)


class Placement(NamedTuple):
    """The size that a picture is resized to, and where in it the crop begins, in pixels; and which of the two passes
    comes first, since each rounds to 8 bits."""

    width: int
    height: int
    left: int
    top: int
    rows_first: bool


def placement(picture: tuple[int, int], base: tuple[int, int], crop: tuple[int, int]) -> Placement:
    """Resize so that ``base`` is covered, then crop the centre; every argument is (height, width)."""
    scale = max(base[0] / picture[0], base[1] / picture[1])
    height = max(int(picture[0] * scale + 1e-6), crop[0])
    width = max(int(picture[1] * scale + 1e-6), crop[1])
    left, top = round((width - crop[1]) / 2.0), round((height - crop[0]) / 2.0)
    # Pillow's rule since version 13; earlier versions always begin with the columns.
    rows_first = picture[0] - height > max(0, 2 * (picture[1] - width))
    return Placement(width, height, left, top, rows_first)


def _cropped(image: Image.Image, height: int, width: int, fraction: float, resampling: Image.Resampling) -> Image.Image:
    base = base_side(height, fraction), base_side(width, fraction)
    at = placement((image.height, image.width), base, (height, width))
    # One pass at a time, so that every version of Pillow makes the same bits.
    between = (image.width, at.height) if at.rows_first else (at.width, image.height)
    for size in (between, (at.width, at.height)):
        image = image if size == image.size else image.resize(size, resampling)
    return image.crop((at.left, at.top, at.left + width, at.top + height))


def per_channel(values: Sequence[float], channels: int) -> npt.NDArray[np.float32]:
    """Statistics as float32 of shape (channels,); three are averaged for a grey input, one is repeated.

    Raises:
        UsageError: an input of three channels has neither one nor three values.
    """
    if len(values) == channels:
        return np.asarray(values, dtype=np.float32)
    if channels == 1 or len(values) == 1:
        return np.full(channels, np.mean(values), dtype=np.float32)
    message = f"The preprocessing has {len(values)} values per pixel, the input has {channels} channels."
    raise UsageError(message, where="preprocess", next_step="Give .npy files instead of images.")


def _check_size(specs: Sequence[TensorSpec], count: int) -> None:
    if count < 1:
        raise UsageError(f"{count} samples were asked for.", where="count", next_step="Ask for at least one.")
    for spec in specs:
        if spec.dtype not in FLOATS and np.dtype(spec.dtype).kind not in "iub":
            message = f"Input {spec.name} has the dtype {spec.dtype}, which golden inputs can't have."
            raise UsageError(message, where=spec.name, next_step=f"Use one of {', '.join(FLOATS)}, bool or integers.")
    size = sum(math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in specs) * count
    if size > MAX_BYTES:
        message = f"{count} samples would take {size} bytes; the limit is {MAX_BYTES}."
        raise UsageError(message, where="inputs", next_step="Use a smaller input shape or fewer samples.")


def _from_folders(
    specs: Sequence[TensorSpec], directory: Path, preprocess: Preprocess | None, count: int
) -> tuple[list[Array], str]:
    arrays, sources = [], []
    for index, spec in enumerate(specs):
        folder = directory / f"input{index}"
        if not folder.is_dir():
            raise UsageError(
                f"The model has {len(specs)} inputs, but {directory} has no folder input{index}.",
                where=str(folder),
                next_step="Put the files of each input into a folder of its own: input0, input1, ...",
            )
        array, source = _from_folder(spec, folder, preprocess, count)
        arrays.append(array)
        sources.append(source)
    counts = [len(array) for array in arrays]
    if len(set(counts)) > 1:
        message = f"The folders of the inputs hold different numbers of samples: {counts}."
        raise UsageError(message, where=str(directory), next_step="Give every input the same number of files.")
    return arrays, "; ".join(f"input {spec.name}: {text}" for spec, text in zip(specs, sources, strict=True))


def _from_folder(spec: TensorSpec, folder: Path, preprocess: Preprocess | None, count: int) -> tuple[Array, str]:
    files = _usable_files(folder)
    if files[0].suffix.lower() == ".npy":
        chosen = files[:count]
        array = np.stack([_read_npy(file, spec) for file in chosen])
        return array, f"{len(chosen)} of {len(files)} .npy files in {folder}"
    return _from_images(spec, files, folder, preprocess, count)


def _from_images(
    spec: TensorSpec, files: list[Path], folder: Path, preprocess: Preprocess | None, count: int
) -> tuple[Array, str]:
    batch = spec.shape[0] if spec.shape else 1
    samples = min(count, len(files) // batch)
    if image_layout(spec.shape) is None or spec.dtype not in FLOATS:
        raise UsageError(
            f"{folder} holds images, but input {spec.name} has the shape {spec.shape} and dtype {spec.dtype}.",
            where=str(files[0]),
            next_step="Images fit float inputs (N, C, H, W) or (N, H, W, C) with 1 or 3 channels; or give .npy.",
        )
    if samples == 0:
        message = f"{folder} holds {len(files)} images, but one sample takes {batch}."
        raise UsageError(message, where=str(folder), next_step="Add images.")
    used = files[: samples * batch]
    pixels = np.concatenate([read_image(file, preprocess, spec.shape) for file in used])
    array = pixels.reshape(samples, *spec.shape).astype(spec.dtype)
    return array, f"{len(used)} of {len(files)} images in {folder}, {_described(preprocess)}"


def _described(preprocess: Preprocess | None) -> str:
    if preprocess is None:
        return "cropped to the input's size and scaled to 0..1 (the model states no preprocessing)"
    mean, std = ("/".join(f"{value:g}" for value in values) for values in (preprocess.mean, preprocess.std))
    crop = f"short side by {preprocess.interpolation}, centre crop of {preprocess.crop_fraction:g}"
    return f"{crop}, mean {mean}, std {std} ({preprocess.source})"


def _usable_files(folder: Path) -> list[Path]:
    """The images or the .npy files of a folder, sorted by name; at least one, of one kind."""
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise UsageError(f"{folder} {what}.", where=str(folder), next_step="Name a folder of images or .npy files.")
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UsageError(f"{folder} can't be read: {error.strerror}.", where=str(folder)) from None
    files = [entry for entry in entries if entry.is_file() and not entry.name.startswith(".")]
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    arrays = [file for file in files if file.suffix.lower() == ".npy"]
    if images and arrays:
        message = f"{folder} holds both images ({images[0].name}) and .npy files ({arrays[0].name})."
        raise UsageError(message, where=str(arrays[0]), next_step="Keep one kind in the folder.")
    if not images and not arrays:
        inside = " Subfolders are not searched." if any(entry.is_dir() for entry in entries) else ""
        message = f"{folder} holds no image ({', '.join(IMAGE_SUFFIXES)}) and no .npy file.{inside}"
        raise UsageError(message, where=str(folder), next_step="Name a folder that holds such files directly.")
    return images or arrays


def read_image(file: Path, preprocess: Preprocess | None, shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """:func:`preprocess_image` of a file, with bounds on its size.

    Raises:
        UsageError: the file is damaged, no image, has too many pixels or more than 8 bits per channel; it is named.
    """
    try:
        with warnings.catch_warnings():
            # Pillow only warns between its limit and twice its limit; the bound below is ours.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                pixels = image.width * image.height
                if pixels > MAX_PIXELS:
                    message = f"{file} has {pixels} pixels; the limit is {MAX_PIXELS}."
                    raise UsageError(message, where=str(file), next_step="Give a smaller image.")
                return preprocess_image(image, preprocess, shape)
    except UnidentifiedImageError:
        raise _bad_file(file, "is not an image") from None
    except Image.DecompressionBombError as error:
        raise _bad_file(file, f"is too large ({error})") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # what Pillow's readers raise on damaged files
        raise _bad_file(file, f"can't be read ({error})") from None


def _bad_file(file: Path, what: str) -> UsageError:
    return UsageError(f"{file} {what}.", where=str(file), next_step="Remove it from the folder or replace it.")


def _read_npy(file: Path, spec: TensorSpec) -> Array:
    try:
        # Mapped, so that the header is checked before any data is read.
        stored = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, OverflowError) as error:
        raise _bad_file(file, f"is not a plain .npy file ({error})") from None
    if not isinstance(stored, np.ndarray):
        raise _bad_file(file, "is not a plain .npy file")
    allowed = [spec.shape] + ([spec.shape[1:]] if spec.shape and spec.shape[0] == 1 else [])
    if stored.shape not in allowed:
        shapes = " or ".join(str(shape) for shape in allowed)
        message = f"{file} has the shape {stored.shape}; input {spec.name} takes {shapes}."
        raise UsageError(message, where=str(file), next_step="Save one array per sample in the input's shape.")
    if not np.can_cast(stored.dtype, spec.dtype, casting="safe"):
        message = f"{file} holds {stored.dtype}, which does not fit into {spec.dtype} without loss."
        raise UsageError(message, where=str(file), next_step=f"Save it with .astype('{spec.dtype}').")
    array = np.array(stored, dtype=spec.dtype).reshape(spec.shape)
    if array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
        raise _bad_file(file, "holds NaN or infinite values")
    return array


def _is_picture(spec: TensorSpec) -> bool:
    return spec.dtype in FLOATS and image_layout(spec.shape) is not None


def _generated_kind(spec: TensorSpec) -> str:
    if spec.dtype not in FLOATS:
        return f"uniform integers below {INTEGER_RANGE}" if spec.dtype != "bool" else "random booleans"
    return "generated pictures with natural statistics" if _is_picture(spec) else "standard normal noise"


def _generated(spec: TensorSpec, preprocess: Preprocess | None, count: int, seed: list[int]) -> Array:
    generator = np.random.default_rng(seed)
    shape = (count, *spec.shape)
    if spec.dtype == "bool":
        return generator.integers(0, 2, size=shape).astype(np.bool_)
    if spec.dtype not in FLOATS:
        return generator.integers(0, INTEGER_RANGE, size=shape).astype(spec.dtype)
    layout = image_layout(spec.shape)
    if layout is None:
        return generator.standard_normal(size=shape, dtype=np.float32).astype(spec.dtype)
    channels, height, width = layout
    pictures = natural_images(generator, count * spec.shape[0], channels, height, width)
    if preprocess is not None:
        mean, std = per_channel(preprocess.mean, channels), per_channel(preprocess.std, channels)
        pictures = (pictures - mean[:, None, None]) / std[:, None, None]
    if channels_last(spec.shape):
        pictures = pictures.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pictures.reshape(shape).astype(spec.dtype))
