"""The definition of preprocessing against Pillow, bit by bit.

``python -m tests.unit.bundle.test_preprocessing`` writes the golden vectors anew, from Pillow.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from edgekit.bundle import preprocessing
from edgekit.bundle.preprocessing import MAX_SIDE, Steps, apply, grey, normalised, picture, steps_of, vector
from edgekit.bundle.records import Quantisation, Tensor
from edgekit.errors import BundleError
from edgekit.export.inputs import placement, preprocess_image
from edgekit.harness.int8_tensors import quantise
from edgekit.records import Preprocess

GOLDEN = Path(__file__).parents[2] / "golden/preprocess.json"
INTERPOLATIONS = ("nearest", "bilinear", "box", "bicubic")
# name: interpolation, crop fraction, shape of the input, quantisation, width and height of the picture
ROWS: dict[str, tuple[str, float, tuple[int, ...], Quantisation | None, int, int]] = {
    **{f"{name}, smaller": (name, 0.875, (1, 3, 24, 24), None, 97, 61) for name in INTERPOLATIONS},
    **{f"{name}, larger": (name, 0.875, (1, 3, 32, 40), None, 13, 11) for name in INTERPOLATIONS},
    **{f"{name}, tall, so rows first": (name, 0.9, (1, 16, 16, 3), None, 23, 190) for name in INTERPOLATIONS},
    **{f"{name}, grey": (name, 0.95, (1, 1, 20, 28), None, 64, 48) for name in INTERPOLATIONS},
    "the size stays": ("bicubic", 1.0, (1, 24, 16, 3), None, 16, 24),
    "the width stays": ("bicubic", 1.0, (1, 12, 37, 3), None, 37, 29),
    "the height stays": ("bicubic", 1.0, (1, 29, 12, 3), None, 37, 29),
    "an odd crop, halves to even": ("bilinear", 0.61, (1, 3, 17, 20), None, 120, 90),
    "a crop fraction above one": ("bicubic", 1.3, (1, 3, 16, 24), None, 50, 40),
    "11 * (15 / 11) is below 15, across": ("bilinear", 0.8, (1, 3, 12, 12), None, 11, 20),
    "11 * (15 / 11) is below 15, down": ("bilinear", 0.8, (1, 3, 12, 12), None, 20, 11),
    "one pixel": ("bicubic", 0.875, (1, 3, 8, 8), None, 1, 1),
    "one row": ("bilinear", 0.875, (1, 3, 8, 8), None, 200, 1),
    "one column": ("bicubic", 1.0, (1, 1, 8, 8), None, 1, 300),
    "huge ratio": ("bicubic", 0.875, (1, 3, 4, 4), None, 400, 300),
    "int8": ("bicubic", 0.875, (1, 24, 24, 3), Quantisation(scale=0.0186584, zero_point=-14), 97, 61),
    "int8 grey": ("bilinear", 1.0, (1, 16, 16, 1), Quantisation(scale=1 / 255, zero_point=-128), 40, 50),
    "int8 that saturates": ("nearest", 1.0, (1, 3, 10, 10), Quantisation(scale=0.005, zero_point=120), 33, 21),
}


def case(name: str) -> tuple[Preprocess, Tensor, npt.NDArray[np.uint8]]:
    interpolation, fraction, shape, quantisation, width, height = ROWS[name]
    preprocess = Preprocess(height=1, width=1, crop_fraction=fraction, interpolation=interpolation)
    return preprocess, tensor(shape, quantisation), picture(width, height, seed=len(name))


def tensor(shape: tuple[int, ...], quantisation: Quantisation | None = None) -> Tensor:
    dtype = "int8" if quantisation else "float32"
    return Tensor(name="x", identifier="x", shape=shape, dtype=dtype, quantisation=quantisation)


def by_pillow(preprocess: Preprocess, tensor: Tensor, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    made = preprocess_image(Image.fromarray(rgb), preprocess, tensor.shape)
    stored = tensor.quantisation
    return quantise(made, stored.scale, stored.zero_point) if stored else made


def same_bits(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def golden_document() -> dict[str, Any]:
    rows = []
    for name in ROWS:
        preprocess, fed, rgb = case(name)
        made = by_pillow(preprocess, fed, rgb)
        rows.append(
            {
                "name": name,
                "steps": msgspec.to_builtins(steps_of(preprocess, fed)),
                "picture": {"width": rgb.shape[1], "height": rgb.shape[0], "seed": len(name)},
                "picture_sha256": sha256(rgb.tobytes()).hexdigest(),
                "dtype": str(made.dtype),
                "shape": list(made.shape),
                "sha256": sha256(made.tobytes()).hexdigest(),
                "first": made.ravel()[:6].tolist(),
            }
        )
    rule = "edgekit.bundle.preprocessing.picture; sha256 of little-endian values, row by row"
    made: dict[str, Any] = json.loads(json.dumps({"rule": rule, "cases": rows}))
    return made


def test_the_golden_vectors_are_pillow_s() -> None:
    assert json.loads(GOLDEN.read_text()) == golden_document()


@pytest.mark.parametrize("name", ROWS)
def test_golden_cases(name: str) -> None:
    preprocess, fed, rgb = case(name)
    assert same_bits(apply(steps_of(preprocess, fed), rgb), by_pillow(preprocess, fed, rgb))


sides = st.one_of(st.integers(1, 8), st.integers(1, 120), st.integers(100, 900))


@given(
    interpolation=st.sampled_from(INTERPOLATIONS),
    fraction=st.one_of(st.sampled_from((1.0, 0.875, 0.9, 0.95, 1.3)), st.floats(0.1, 1.5)),
    layout=st.tuples(st.sampled_from((1, 3)), st.integers(4, 64), st.integers(4, 64), st.booleans()),
    width=sides,
    height=sides,
    seed=st.integers(0, 2**32 - 1),
    edges=st.booleans(),
)
@example(interpolation="box", fraction=1.0, layout=(3, 7, 5, True), width=3, height=1, seed=0, edges=False)
@example(interpolation="nearest", fraction=0.3, layout=(3, 49, 63, True), width=37, height=841, seed=0, edges=False)
@settings(max_examples=250, deadline=None, derandomize=True)
def test_any_picture(
    interpolation: str, fraction: float, layout: tuple[int, int, int, bool], width: int, height: int, seed: int,
    edges: bool,
) -> None:  # fmt: skip
    channels, to_height, to_width, last = layout
    scale = max(to_height / fraction / height, to_width / fraction / width)
    if width * height * scale * scale > 3e6:  # Pillow makes the whole of what is cropped
        width = height = max(width, height) // 9 + 1
    rgb = picture(width, height, seed)
    if edges:
        rgb = (rgb // 128 * 255).astype(np.uint8)
    fed = tensor((1, to_height, to_width, channels) if last else (1, channels, to_height, to_width))
    preprocess = Preprocess(height=1, width=1, crop_fraction=fraction, interpolation=interpolation)
    assert same_bits(apply(steps_of(preprocess, fed), rgb), by_pillow(preprocess, fed, rgb))


@pytest.mark.parametrize("interpolation", ("bilinear", "box", "bicubic"))
def test_every_small_size_to_every_small_size(interpolation: preprocessing.Interpolation) -> None:
    """Pillow's own resize, of one row, without what is around it."""
    for size in range(1, 34):
        row = picture(size, 1, size)
        for resized in range(1, 34):
            pillow = Image.fromarray(row).resize((resized, 1), Image.Resampling[interpolation.upper()])
            ours = preprocessing._resized(row, 1, resized, interpolation, 0, resized)
            assert np.array_equal(ours, np.asarray(pillow)), (size, resized)


def test_every_small_size_to_every_small_size_nearest() -> None:
    for size in (*range(1, 60), 1000):
        row = picture(size, 1, size)
        for resized in range(1, 120):
            pillow = Image.fromarray(row).resize((resized, 1), Image.Resampling.NEAREST)
            ours = row[:, preprocessing.nearest(size, resized)]
            assert np.array_equal(ours, np.asarray(pillow)), (size, resized)


@given(st.integers(1, 200), st.integers(1, 400), st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_one_pass_at_a_time_is_what_pillow_does_at_once(width: int, height: int, across: int, down: int) -> None:
    """Since version 13; which pass comes first is ours to say, so that other versions make no other bits."""
    if int(Image.__version__.split(".")[0]) < 13:
        pytest.skip("Pillow before 13 always begins with the columns")
    image = Image.fromarray(picture(width, height, seed=width))
    at = placement((height, width), (down, across), (down, across))
    once = np.asarray(image.resize((at.width, at.height), Image.Resampling.BICUBIC))
    once = once[at.top : at.top + down, at.left : at.left + across]
    steps = Steps(
        channels=3, height=down, width=across, channels_last=True, base_height=down, base_width=across,
        interpolation="bicubic", mean=(0.0,) * 3, std=(1.0,) * 3,
    )  # fmt: skip
    assert np.array_equal(preprocessing.resample(steps, np.asarray(image)), once)


@pytest.mark.parametrize(("width", "height"), [(MAX_SIDE, 2), (2, MAX_SIDE)])
def test_the_longest_pictures(width: int, height: int) -> None:
    preprocess, fed = Preprocess(height=1, width=1, crop_fraction=1.0), tensor((1, 3, 6, 5))
    steps, rgb = steps_of(preprocess, fed), picture(width, height, seed=3)
    assert same_bits(apply(steps, rgb), by_pillow(preprocess, fed, rgb))
    longer = np.zeros((1, MAX_SIDE + 1, 3) if width == MAX_SIDE else (MAX_SIDE + 1, 1, 3), np.uint8)
    with pytest.raises(BundleError, match="16384"):
        apply(steps, longer)


@pytest.mark.parametrize(
    "rgb",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3))],
    ids=str,
)
def test_what_is_no_picture(rgb: npt.NDArray[Any]) -> None:
    with pytest.raises(BundleError, match="uint8 of shape"):
        apply(steps_of(Preprocess(height=1, width=1), tensor((1, 3, 8, 8))), rgb)


def test_grey_of_every_tone() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    rgb[:256, 0] = np.arange(256, dtype=np.uint8)[:, None]
    assert np.array_equal(grey(rgb)[..., 0], np.asarray(Image.fromarray(rgb).convert("L")))
    assert np.array_equal(grey(rgb)[:256, 0, 0], np.arange(256))


def test_int8_is_that_of_the_runtime() -> None:
    quantisation = Quantisation(scale=0.0078125, zero_point=-1)  # halves are met exactly
    fed = tensor((1, 8, 8, 3), quantisation)
    preprocess = Preprocess(height=8, width=8, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    table = normalised(steps_of(preprocess, fed))
    plain = normalised(steps_of(preprocess, tensor((1, 8, 8, 3))))
    assert table.shape == (3, 256)
    assert table.dtype == np.int8
    assert np.array_equal(table, quantise(plain, quantisation.scale, quantisation.zero_point))


def test_steps() -> None:
    preprocess = Preprocess(height=99, width=99, crop_fraction=0.875, interpolation="bilinear")
    steps = steps_of(preprocess, tensor((4, 1, 224, 200)))
    assert (steps.channels, steps.height, steps.width, steps.channels_last) == (1, 224, 200, False)
    assert (steps.base_height, steps.base_width) == (256, 228)
    assert steps.mean == (float(np.float32(np.mean(preprocess.mean))),)
    assert steps_of(preprocess, tensor((1, 224, 200, 3))).channels_last


@pytest.mark.parametrize(
    ("changes", "shape", "dtype", "reason"),
    [
        ({"interpolation": "lanczos"}, (1, 3, 8, 8), "float32", "lanczos"),
        ({"interpolation": "hamming"}, (1, 3, 8, 8), "float32", "hamming"),
        ({}, (1, 8), "float32", "not clearly"),
        ({}, (1, 4, 8, 8), "float32", "not clearly"),
        ({}, (1, 3, 8, 3), "float32", "not clearly"),
        ({}, (1, 3, 8, 8), "float16", "float16"),
        ({}, (1, 3, 8, 8), "int8", "int8 without quantisation"),
        ({}, (1, 3, 8, MAX_SIDE + 1), "float32", "16384"),
        ({"crop_fraction": 1e-9}, (1, 3, 8, 8), "float32", "16384"),
        ({"crop_fraction": 9.0}, (1, 3, 8, 8), "float32", "cropped from 0"),
        ({"crop_fraction": 0.0}, (1, 3, 8, 8), "float32", "crop fraction"),
        ({"crop_fraction": float("nan")}, (1, 3, 8, 8), "float32", "crop fraction"),
        ({"std": (1.0, 1e-60, 1.0)}, (1, 3, 8, 8), "float32", "0 in float32"),
        ({"mean": (1.0, 1e60, 1.0)}, (1, 3, 8, 8), "float32", "not finite"),
        ({"mean": (1.0, 1.0)}, (1, 3, 8, 8), "float32", "2 values"),
    ],
)
def test_what_can_t_be_the_same_bits_is_refused(
    changes: dict[str, Any], shape: tuple[int, ...], dtype: str, reason: str
) -> None:
    fed = Tensor(name="photo", identifier="photo", shape=shape, dtype=dtype)
    with pytest.raises(BundleError, match=reason) as caught:
        steps_of(Preprocess(height=8, width=8, **changes), fed)
    assert caught.value.where == "photo"
    assert caught.value.next_step


def test_the_golden_picture_is_the_rule_s() -> None:
    width, height, seed = 7, 9, 0xFFFF_FFFF
    state, expected = seed, []
    for y in range(height):
        for x in range(width):
            for c in range(3):
                state = (1664525 * state + 1013904223) % 2**32
                value = (7 * x + 5 * y + 40 * c) % 256
                value = 255 - value if (x // 5 + y // 4) % 2 else value
                expected.append((value + (state >> 28)) % 256)
    assert picture(width, height, seed).ravel().tolist() == expected


def test_vector() -> None:
    preprocess, fed, _ = case("int8")
    steps = steps_of(preprocess, fed)
    rgb, expected = vector(steps)
    assert rgb.shape == (29, 37, 3)
    assert same_bits(expected, by_pillow(preprocess, fed, rgb))
    assert len(np.unique(expected)) > 100


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden_document(), indent=1) + "\n")
