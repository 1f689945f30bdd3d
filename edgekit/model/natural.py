"""Seeded pictures with the statistics of photographs, for checking models when no real images are given.

Amplitude spectra fall as 1/f (Field, "Relations between the statistics of natural images and the response properties of
cortical cells", 1987); occlusion is modelled by shapes laid over each other, which gives edges at every scale (Lee,
Mumford and Huang, "Occlusion models for natural images", 2001); the colour channels share most of their variation.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

# Share of the variation that the colour channels do not have in common.
_CHROMA = 0.25
_SHAPES = 10


def natural_images(generator: np.random.Generator, count: int, channels: int, height: int, width: int) -> Array:
    """``count`` pictures of shape (count, channels, height, width), float32 in 0..1.

    The same generator state gives the same pictures in every process.
    """
    pictures = [_picture(generator, channels, height, width) for _ in range(count)]
    return np.stack(pictures).astype(np.float32)


def _picture(generator: np.random.Generator, channels: int, height: int, width: int) -> npt.NDArray[np.float64]:
    picture = _texture(generator, channels, height, width)
    cloth = 0.4 * _texture(generator, channels, height, width)
    for _ in range(_SHAPES):
        mask = _shape(generator, height, width)
        # Every surface has a colour of its own, and less texture than the scene varies. One texture, moved about,
        # serves all surfaces: it is periodic, and making one costs more than everything else here.
        shift = (int(generator.integers(height)), int(generator.integers(width)))
        colour = _mixed(generator.normal(size=1), generator.normal(size=channels))[:, None, None]
        surface = np.roll(cloth, shift, axis=(1, 2)) + colour
        picture = np.where(mask, surface, picture)
    picture -= picture.mean()
    contrast = generator.uniform(0.15, 0.27) / max(float(picture.std()), 1e-6)
    return np.clip(generator.uniform(0.35, 0.6) + contrast * picture, 0.0, 1.0)


def _texture(generator: np.random.Generator, channels: int, height: int, width: int) -> npt.NDArray[np.float64]:
    """Coloured 1/f noise of unit variance, shape (channels, height, width)."""
    vertical, horizontal = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    frequency = np.hypot(vertical, horizontal)
    # The mean carries no structure; below it, one cycle per picture is the lowest frequency there is.
    amplitude = np.maximum(frequency, 1.0 / max(height, width)) ** -generator.uniform(0.9, 1.3)
    amplitude[0, 0] = 0.0
    noise = np.fft.rfft2(generator.normal(size=(channels + 1, height, width)))
    fields = np.fft.irfft2(noise * amplitude, s=(height, width))
    fields /= np.maximum(fields.std(axis=(1, 2), keepdims=True), 1e-12)
    return _mixed(fields[:1], fields[1:])


def _mixed(shared: npt.NDArray[np.float64], own: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if len(own) == 1:
        return np.broadcast_to(shared, own.shape).copy()
    mixed: npt.NDArray[np.float64] = np.sqrt(1.0 - _CHROMA**2) * shared + _CHROMA * own
    return mixed


def _shape(generator: np.random.Generator, height: int, width: int) -> npt.NDArray[np.bool_]:
    """A rotated ellipse or box, as a mask; sizes follow a power law as objects at every distance do."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    y, x = y / height - generator.uniform(), x / width - generator.uniform()
    angle = generator.uniform(0.0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    size = 0.08 * generator.uniform(0.03, 1.0) ** -0.5
    along, across = along / size, across / (size * generator.uniform(0.4, 1.0))
    inside = np.hypot(along, across) < 1.0 if generator.uniform() < 0.5 else np.maximum(abs(along), abs(across)) < 1.0
    return np.asarray(inside, dtype=np.bool_)
