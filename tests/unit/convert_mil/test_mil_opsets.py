"""Compressed weights, and the operators of iOS 17 and iOS 18."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mil_programs import MilCase, mb, random, relative, run_mil_cases, types
from torch.nn import functional as F

X = random(2, 6)
IMAGE = random(1, 2, 4, 5)
PART = IMAGE[..., [1, 3], :]
BYTES = np.random.default_rng(0).integers(0, 256, (2, 6)).astype(np.uint8)
LUT = np.array([0.5, -1.0, 2.0, 3.0], dtype=np.float32)
CODES = np.array([0, 3, 1, 2, 2, 1, 3, 0, 0, 1, 2, 3])
PACKED = np.array([sum(int(code) << 2 * i for i, code in enumerate(CODES[n : n + 4])) for n in (0, 4, 8)], np.uint8)
MASK = np.array([[1, 0, 1, 1, 0, 0], [0, 1, 1, 0, 0, 1]])
VALUES = random(int(MASK.sum()))
SPARSE = np.zeros((2, 6), np.float32)
SPARSE[MASK > 0] = VALUES
NARROW = np.random.default_rng(1).integers(-8, 8, (2, 6)).astype(np.int8)
SCALES = np.array([[0.5, 0.25], [2.0, 1.0]], dtype=np.float32)
ROWS = np.array([2, 0], dtype=np.int32)
Q, K, V = random(1, 2, 5, 4), random(1, 2, 7, 4, seed=1), random(1, 2, 7, 3, seed=2)
KEEP = np.random.default_rng(2).random((5, 7)) > 0.3
VECTORS = np.array([[[[1.0, 2.0], [3.0, 4.0]]]], dtype=np.float32)  # one table of two entries of two elements


def _add(case_name: str, weight: object, expected: np.ndarray) -> MilCase:
    """The weight shows as what is added to x; it is made while the program is."""
    return MilCase(case_name, lambda x: mb.add(x=x, y=weight()), {"x": X}, X + expected)  # type: ignore[operator]


IOS16 = [
    _add(
        "affine",
        lambda: mb.constexpr_affine_dequantize(
            quantized_data=BYTES, zero_point=np.uint8(128), scale=np.array([0.02, 0.01], np.float32), axis=0
        ),
        np.array([[0.02], [0.01]], np.float32) * (BYTES.astype(np.float32) - 128),
    ),
    _add(
        "affine_signed",
        lambda: mb.constexpr_affine_dequantize(
            quantized_data=BYTES.astype(np.int8), zero_point=np.int8(-3), scale=np.float32(0.5), axis=1
        ),
        0.5 * (BYTES.astype(np.int8).astype(np.float32) + 3),
    ),
    _add(
        "table",
        lambda: mb.constexpr_lut_to_dense(indices=PACKED, lut=LUT, shape=np.array([2, 6], np.uint32)),
        LUT[CODES].reshape(2, 6),
    ),
    _add(
        "sparse",
        lambda: mb.constexpr_sparse_to_dense(
            nonzero_data=VALUES,
            mask=np.packbits(MASK.reshape(-1).astype(np.uint8), bitorder="little"),
            shape=np.array([2, 6], np.uint32),
        ),
        SPARSE,
    ),
    _add(
        "half",
        lambda: mb.constexpr_cast(source_val=SPARSE.astype(np.float16), output_dtype="fp32"),
        SPARSE.astype(np.float16).astype(np.float32),
    ),
]

STEP = np.array([0.1, 0.2, 0.05, 0.1, 0.3, 0.1], dtype=np.float32)
CODED = np.clip(np.round(X / STEP) + 3, -128, 127)

IOS17 = [
    MilCase(
        "quantize",
        lambda x: mb.dequantize(
            input=mb.quantize(input=x, scale=STEP, zero_point=np.full(6, 3, np.int8), output_dtype="int8", axis=1),
            scale=STEP,
            zero_point=np.full(6, 3, np.int8),
            axis=1,
        ),
        {"x": X},
        (CODED - 3) * STEP,
    ),
    MilCase(
        "quantize_saturates",
        lambda x: mb.cast(x=mb.quantize(input=x, scale=np.float32(0.001), output_dtype="uint8"), dtype="int32"),
        {"x": X},
        np.clip(np.round(X / np.float32(0.001)), 0, 255),
    ),
    MilCase("reshape_right", lambda x: mb.reshape(x=x, shape=[1, 0, -1, 0]), {"x": X}, X.reshape(1, 1, 2, 6)),
    MilCase("gather", lambda x: mb.gather(x=x, indices=ROWS.astype(np.uint16), axis=1), {"x": X}, X[:, ROWS]),
    MilCase(
        "resize",
        lambda x: mb.resize(
            x=x, shape=[9, 3], resized_dims=np.uint32(2), interpolation_mode="LINEAR", sampling_mode="UNALIGN_CORNERS"
        ),
        {"x": IMAGE},
        F.interpolate(torch.from_numpy(IMAGE), (9, 3), mode="bilinear", align_corners=False),
    ),
    MilCase(
        "resize_nearest",
        lambda x: mb.resize(
            x=x,
            shape=[12, 5],
            resized_dims=np.uint32(2),
            interpolation_mode="NEAREST_NEIGHBOR",
            sampling_mode="UNALIGN_CORNERS",
        ),
        {"x": IMAGE},
        F.interpolate(torch.from_numpy(IMAGE), (12, 5), mode="nearest-exact"),
    ),
    MilCase(
        "crop_resize",
        lambda x: mb.crop_resize(
            x=x,
            boxes=np.array([[2, 1, 1, 3]], np.float32),
            box_indices=np.array([0], np.int32),
            target_height=2,
            target_width=3,
            box_coordinate_mode="CORNERS_WIDTH_FIRST",
            sampling_mode="ALIGN_CORNERS",
        ),
        {"x": IMAGE},
        np.stack(
            [IMAGE[..., [1, 3], 2], (IMAGE[..., [1, 3], 2] + IMAGE[..., [1, 3], 1]) / 2, IMAGE[..., [1, 3], 1]], -1
        ),
    ),
]


def _attention(mask: np.ndarray | None) -> np.ndarray:
    scores = Q @ K.swapaxes(-1, -2) / math.sqrt(4)
    scores = scores if mask is None else scores + mask
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ V


def _attend(mask: np.ndarray | None) -> MilCase:
    name = "attention" if mask is None else f"attention_{mask.dtype.name}"
    given = {} if mask is None else {"attn_mask": mask}
    expected = None if mask is None else np.where(mask, 0, -np.inf) if mask.dtype == bool else mask
    return MilCase(
        name,
        lambda q, k, v: mb.scaled_dot_product_attention(query=q, key=k, value=v, **given),
        {"q": Q, "k": K, "v": V},
        _attention(expected),
    )


def _updated() -> np.ndarray:
    made = X.copy()
    made[1:, 4:0:-2] = -1
    return made


IOS18 = [
    _attend(None),
    _attend(KEEP),
    _attend(random(5, 7)),
    MilCase(
        "slice_update",
        lambda x: mb.slice_update(
            x=x, update=np.full((1, 2), -1, np.float32), begin=[1, 4], end=[2, 0], stride=[1, -2]
        ),
        {"x": X},
        _updated(),
    ),
    _add(
        "blockwise",
        lambda: mb.constexpr_blockwise_shift_scale(
            data=NARROW.astype(types.np_int4_dtype), scale=SCALES, offset=np.full((2, 2), 2).astype(types.np_int4_dtype)
        ),
        np.repeat(SCALES, 3, axis=1) * (NARROW - 2.0),
    ),
    _add(
        "tables",
        lambda: mb.constexpr_lut_to_dense(
            indices=CODES.reshape(2, 6).astype(types.np_uint2_dtype),
            lut=np.stack([LUT, 10 * LUT]).reshape(2, 1, 4, 1),
        ),
        LUT[CODES].reshape(2, 6) * np.array([[1.0], [10.0]]),
    ),
    _add(
        "vectors",
        lambda: mb.constexpr_lut_to_dense(
            indices=np.array([[0, 1, 1], [1, 0, 0]]).astype(types.np_uint1_dtype), lut=VECTORS, vector_axis=1
        ),
        np.array([[1, 2, 3, 4, 3, 4], [3, 4, 1, 2, 1, 2]]),
    ),
    _add(
        "sparse",
        lambda: mb.constexpr_sparse_to_dense(nonzero_data=VALUES, mask=MASK.astype(types.np_uint1_dtype)),
        SPARSE,
    ),
]

OPSETS = {"iOS16": IOS16, "iOS17": IOS17, "iOS18": IOS18}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[np.ndarray]]]:
    folder = tmp_path_factory.mktemp("mil")
    return {opset: run_mil_cases(cases, folder / f"{opset}.mlpackage", opset) for opset, cases in OPSETS.items()}


@pytest.mark.parametrize(
    ("opset", "case"),
    [pytest.param(opset, case, id=f"{opset}-{case.name}") for opset, cases in OPSETS.items() for case in cases],
)
def test_operator(results: dict[str, dict[str, list[np.ndarray]]], opset: str, case: MilCase) -> None:
    (actual,) = results[opset][case.name]
    assert relative(actual, np.asarray(case.expected)) < case.tolerance
