"""Operators and parameters that a conversion from PyTorch does not reach, made with the builder; numpy is the judge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from mil_programs import MilCase, mb, random, relative, run_mil_cases
from torch.nn import functional as F

X = random(2, 3, 4, 5)
POSITIVE = np.abs(random(2, 3)) + 0.1
INTS = np.array([[7, -7, 3], [-8, 5, 0]], dtype=np.int32)
TWOS = np.array([[2, 2, -2], [3, -3, 4]], dtype=np.int32)
CHANNELS = np.array([0.5, -0.25, 2.0], dtype=np.float32)
COLUMN = CHANNELS[None, :, None, None]


def one(name: str, build: Any, value: np.ndarray, expected: Any) -> MilCase:
    return MilCase(name, build, {"x": value}, expected)


def two(name: str, build: Any, x: np.ndarray, y: np.ndarray, expected: Any) -> MilCase:
    return MilCase(name, build, {"x": x, "y": y}, expected)


def _softplus(value: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(value.astype(np.float64)))


ELEMENTWISE = [
    one(
        "clamped_relu",
        lambda x: mb.clamped_relu(x=x, alpha=0.3, beta=0.4),
        X,
        np.minimum(np.where(X < 0, 0.3 * X, X), 0.4),
    ),
    one("linear", lambda x: mb.linear_activation(x=x, alpha=2.0, beta=-1.0), X, 2 * X - 1),
    one("scaled_tanh", lambda x: mb.scaled_tanh(x=x, alpha=2.0, beta=0.5), X, 2 * np.tanh(0.5 * X)),
    one("sigmoid_hard", lambda x: mb.sigmoid_hard(x=x, alpha=0.7, beta=0.4), X, np.clip(0.7 * X + 0.4, 0, 1)),
    one("thresholded", lambda x: mb.thresholded_relu(x=x, alpha=0.5), X, np.where(X < 0.5, 0, X)),
    one("softsign", lambda x: mb.softsign(x=x), X, X / (1 + np.abs(X))),
    one(
        "softplus_channels",
        lambda x: mb.softplus_parametric(x=x, alpha=CHANNELS, beta=CHANNELS),
        X,
        COLUMN * _softplus(COLUMN * X),
    ),
    one("prelu", lambda x: mb.prelu(x=x, alpha=CHANNELS), X, np.where(X > 0, X, COLUMN * X)),
    one(
        "gelu_tanh",
        lambda x: mb.gelu(x=x, mode="TANH_APPROXIMATION"),
        X,
        F.gelu(torch.from_numpy(X), approximate="tanh"),
    ),
    one("gelu_sigmoid", lambda x: mb.gelu(x=x, mode="SIGMOID_APPROXIMATION"), X, X / (1 + np.exp(-1.702 * X))),
    one("relu6", lambda x: mb.relu6(x=x), X * 9, np.clip(X * 9, 0, 6)),
    one("inverse", lambda x: mb.inverse(x=x, epsilon=0.5), POSITIVE, 1 / (POSITIVE + 0.5)),
    one("log", lambda x: mb.log(x=x, epsilon=0.5), POSITIVE, np.log(POSITIVE + 0.5)),
    one("rsqrt", lambda x: mb.rsqrt(x=x, epsilon=0.5), POSITIVE, 1 / np.sqrt(POSITIVE + 0.5)),
    one("exp2", lambda x: mb.exp2(x=x), X, np.exp2(X)),
    one("floor", lambda x: mb.floor(x=x), X * 3, np.floor(X * 3)),
    one("sign", lambda x: mb.sign(x=x), X, np.sign(X)),
    one("threshold", lambda x: mb.threshold(x=x, alpha=0.25), X, np.maximum(X, 0.25)),
    one("cast_down", lambda x: mb.cast(x=x, dtype="int32"), X * 5, np.trunc(X * 5)),
    one(
        "cast_bool",
        lambda x: mb.cast(x=mb.cast(x=x, dtype="bool"), dtype="int32"),
        np.array([0, -1.5, 0.2], np.float32),
        np.array([0, 1, 1]),
    ),
    two("floor_div", lambda x, y: mb.floor_div(x=x, y=y), INTS, TWOS, INTS // TWOS),
    two("mod", lambda x, y: mb.mod(x=x, y=y), INTS, TWOS, INTS % TWOS),
    two("mod_float", lambda x, y: mb.mod(x=x, y=y), X[0, 0] * 9, POSITIVE[:1, :1], (X[0, 0] * 9) % POSITIVE[:1, :1]),
    two("pow", lambda x, y: mb.pow(x=x, y=y), POSITIVE, random(2, 3), POSITIVE ** random(2, 3)),
    two("equal", lambda x, y: mb.cast(x=mb.equal(x=x, y=y), dtype="int32"), INTS, np.abs(INTS), np.abs(INTS) == INTS),
    two(
        "xor",
        lambda x, y: mb.cast(x=mb.logical_xor(x=mb.greater(x=x, y=0.0), y=mb.less(x=y, y=0.5)), dtype="int32"),
        X,
        X[::-1].copy(),
        (X > 0) ^ (X[::-1] < 0.5),
    ),
    two(
        "select",
        lambda x, y: mb.select(cond=mb.greater(x=x, y=0.5), a=x, b=y),
        X[:, :1],
        X,
        np.where(X[:, :1] > 0.5, X[:, :1], X),
    ),
]

REDUCTIONS = [
    one("all", lambda x: mb.reduce_sum(x=x, keep_dims=True), X, X.sum(keepdims=True)),
    one("negative_axes", lambda x: mb.reduce_max(x=x, axes=[-1, 1]), X, X.max((1, 3))),
    one("prod", lambda x: mb.reduce_prod(x=x, axes=[1, 3]), X, X.prod((1, 3))),
    one("prod_keep", lambda x: mb.reduce_prod(x=x, axes=[0, 2], keep_dims=True), X, X.prod((0, 2), keepdims=True)),
    one("l1", lambda x: mb.reduce_l1_norm(x=x, axes=[2]), X, np.abs(X).sum(2)),
    one("l2", lambda x: mb.reduce_l2_norm(x=x, axes=[2, 3]), X, np.sqrt((X**2).sum((2, 3)))),
    one("sum_square", lambda x: mb.reduce_sum_square(x=x, axes=[1]), X, (X**2).sum(1)),
    one("log_sum", lambda x: mb.reduce_log_sum(x=x, axes=[1]), POSITIVE, np.log(POSITIVE.sum(1))),
    one("mean_ints", lambda x: mb.reduce_mean(x=x, axes=[1]), INTS, np.trunc(INTS.mean(1))),
    one("argmax", lambda x: mb.reduce_argmax(x=x, axis=-2, keep_dims=True), X, X.argmax(2)[:, :, None]),
    two(
        "matmul_flags",
        lambda x, y: mb.matmul(x=x, y=y, transpose_x=True, transpose_y=True),
        X,
        random(2, 3, 6, 4),
        np.matmul(X.swapaxes(-1, -2), random(2, 3, 6, 4).swapaxes(-1, -2)),
    ),
    two(
        "einsum_rank3",
        lambda x, y: mb.einsum(values=(x, y), equation="chw,whr->chr"),
        X[0],
        random(5, 1, 6),
        np.einsum("chw,wr->chr", X[0], random(5, 1, 6)[:, 0]),
    ),
    one("cumsum_exclusive", lambda x: mb.cumsum(x=x, axis=2, exclusive=True), X, X.cumsum(2) - X),
    one("cumsum_reverse", lambda x: mb.cumsum(x=x, axis=1, reverse=True), X, X[:, ::-1].cumsum(1)[:, ::-1]),
    one("argsort", lambda x: mb.argsort(x=x, axis=1), X, np.argsort(-X, axis=1)),
    one("argsort_up", lambda x: mb.argsort(x=x, axis=-1, ascending=True), X, np.argsort(X, axis=-1)),
    one("topk_up", lambda x: mb.topk(x=x, k=2, axis=2, ascending=True)[0], X, np.sort(X, axis=2)[:, :, :2]),
    one("topk_indices", lambda x: mb.topk(x=x, k=2, axis=2)[1], X, np.argsort(-X, axis=2)[:, :, :2]),
    one("topk_values", lambda x: mb.topk(x=x, k=3, return_indices=False), X, -np.sort(-X, axis=-1)[..., :3]),
]

BLOCKS = np.arange(16, dtype=np.float32).reshape(1, 4, 2, 2)

SHAPES = [
    one("reshape_zero", lambda x: mb.reshape(x=x, shape=[0, -1, 2, 0]), X, X.reshape(2, 3 * 2, 2, 5)),
    one("flatten", lambda x: mb.flatten2d(x=x, axis=-1), X, X.reshape(24, 5)),
    two(
        "reshape_like",
        lambda x, y: mb.reshape_like(x=x, ref_tensors=(y, y), begins=(0, 1), ends=(1, 0), end_masks=(False, True)),
        random(12),
        random(2, 6),
        random(12).reshape(2, 6),
    ),
    one("squeeze_others_stay", lambda x: mb.squeeze(x=x, axes=[0, 1]), X[:1], X[0]),
    one("expand", lambda x: mb.expand_dims(x=x, axes=[-1, 0, 2]), X[0, 0], X[0, 0][None, :, None, :, None]),
    one("reverse", lambda x: mb.reverse(x=x), X, X[::-1, ::-1, ::-1, ::-1]),
    two(
        "interleave",
        lambda x, y: mb.concat(values=(x, y), axis=1, interleave=True),
        X,
        -X,
        np.stack([X, -X], 2).reshape(2, 6, 4, 5),
    ),
    one("split_evenly", lambda x: mb.split(x=x, num_splits=2, axis=-2)[1], X, X[:, :, 2:]),
    one("split_sizes", lambda x: mb.split(x=x, split_sizes=[1, 4], axis=3)[1], X, X[..., 1:]),
    one(
        "depth_to_space",
        lambda x: mb.depth_to_space(x=x, block_size=2),
        BLOCKS,
        np.array([[0, 4, 1, 5], [8, 12, 9, 13], [2, 6, 3, 7], [10, 14, 11, 15]], np.float32)[None, None],
    ),
    one(
        "space_to_depth",
        lambda x: mb.space_to_depth(x=x, block_size=2),
        np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4),
        np.array([[[0, 2], [8, 10]], [[1, 3], [9, 11]], [[4, 6], [12, 14]], [[5, 7], [13, 15]]], np.float32)[None],
    ),
    one(
        "blocks_and_back",
        lambda x: mb.batch_to_space(
            x=mb.space_to_batch(x=x, block_shape=[2, 3], paddings=[[1, 1], [0, 1]]),
            block_shape=[2, 3],
            crops=[[1, 1], [0, 1]],
        ),
        X,
        X,
    ),
    one(
        "space_to_batch",
        lambda x: mb.space_to_batch(x=x, block_shape=[2, 2], paddings=[[0, 0], [0, 1]]),
        X[:1],
        np.stack([np.pad(X[0], [(0, 0), (0, 0), (0, 1)])[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]),
    ),
    one(
        "sliding",
        lambda x: mb.sliding_windows(x=x, axis=-1, size=3, stride=2),
        X,
        np.stack([X[..., 0:3], X[..., 2:5]], 3),
    ),
    one("tile", lambda x: mb.tile(x=x, reps=[1, 2, 1, 3]), X, np.tile(X, (1, 2, 1, 3))),
    one("band", lambda x: mb.band_part(x=x, lower=1, upper=0), X, np.tril(X) - np.tril(X, -2)),
    one("band_all_lower", lambda x: mb.band_part(x=x, lower=-1, upper=1), X, np.tril(X, 1)),
    one("fill", lambda x: mb.add(x=x, y=mb.fill(shape=[4, 5], value=2.5)), X, X + 2.5),
    one("fill_like", lambda x: mb.fill_like(ref_tensor=x, value=3), X, np.full(X.shape, 3)),
    one("range", lambda x: mb.add(x=x, y=mb.range_1d(start=1.0, end=10.5, step=2.0)), X, X + np.arange(1, 10.5, 2)),
    one("shape", lambda x: mb.mul(x=mb.shape(x=x), y=2), X, np.array([4, 6, 8, 10])),
    one(
        "one_hot",
        lambda x: mb.one_hot(indices=x, one_hot_vector_size=5, axis=0, on_value=2.0, off_value=-1.0),
        np.array([1, 4], np.int32),
        np.where(np.eye(5)[:, [1, 4]] > 0, 2.0, -1.0),
    ),
]


def _scattered(mode: str) -> MilCase:
    data, updates = X[0, 0] + 3, np.abs(random(3, 5)) + 0.5
    expected = data.copy()
    function = {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "div": np.divide,
        "max": np.maximum,
        "min": np.minimum,
        "update": lambda a, b: b,
    }[mode]
    for row, index in enumerate([1, -1, 1]):  # 1 twice: both count
        expected[index] = function(expected[index], updates[row])
    return MilCase(
        f"scatter_{mode}",
        lambda x, y: mb.scatter(data=x, indices=np.array([1, -1, 1], np.int32), updates=y, axis=0, mode=mode),
        {"x": data, "y": updates},
        expected,
    )


ROWS = np.array([[1, 0], [2, 2]], dtype=np.int32)
VECTORS = np.array([[0, 1, 2], [1, 2, 3], [0, 0, 0]], dtype=np.int32)


def _put(value: np.ndarray) -> np.ndarray:
    made = X[0, 0].copy()
    np.put_along_axis(made, np.array([[0, 1, 0, 1, 2]]), value, 0)
    return made


def _added(value: np.ndarray) -> np.ndarray:
    made = X.copy()
    np.add.at(made, (VECTORS[:, 0], VECTORS[:, 1]), value)
    return made


INDEXING = [
    one(
        "slice_masks",
        lambda x: mb.slice_by_index(
            x=x,
            begin=[0, 1, -3, 4],
            end=[1, 0, 4, 0],
            stride=[1, 1, 2, -2],
            begin_mask=[True, False, False, False],
            end_mask=[True, True, False, True],
        ),
        X,
        X[:, 1:, -3:4:2, 4::-2],
    ),
    one(
        "slice_squeeze",
        lambda x: mb.slice_by_index(
            x=x, begin=[1, 0, -1, 0], end=[0, 3, 0, 5], squeeze_mask=[True, False, True, False]
        ),
        X,
        X[1, :, -1],
    ),
    one("slice_size", lambda x: mb.slice_by_size(x=x, begin=[0, 1, -2, 3], size=[-1, 1, 2, -1]), X, X[:, 1:2, -2:, 3:]),
    one(
        "pad_some",
        lambda x: mb.pad(x=x, pad=[1, 0, 2, 3], mode="constant", constant_val=-1.0),
        X,
        np.pad(X, [(0, 0), (0, 0), (1, 0), (2, 3)], constant_values=-1),
    ),
    one(
        "pad_reflect",
        lambda x: mb.pad(x=x, pad=[2, 1], mode="reflect"),
        X,
        np.pad(X, [(0, 0)] * 3 + [(2, 1)], mode="reflect"),
    ),
    one(
        "pad_replicate",
        lambda x: mb.pad(x=x, pad=[2, 1, 1, 1], mode="replicate"),
        X,
        np.pad(X, [(0, 0)] * 2 + [(2, 1), (1, 1)], mode="edge"),
    ),
    one("gather", lambda x: mb.gather(x=x, indices=ROWS, axis=1), X, np.take(X, ROWS, 1)),
    one("gather_scalar", lambda x: mb.gather(x=x, indices=np.int32(-2), axis=-1), X, X[..., -2]),
    one(
        "gather_batch",
        lambda x: mb.gather(x=x, indices=ROWS, axis=2, batch_dims=1),
        X,
        np.stack([X[0][:, [1, 0]], X[1][:, [2, 2]]]),
    ),
    one(
        "gather_along",
        lambda x: mb.gather_along_axis(x=x, indices=np.argsort(X, axis=2).astype(np.int32), axis=2),
        X,
        np.sort(X, axis=2),
    ),
    one("gather_nd", lambda x: mb.gather_nd(x=x, indices=VECTORS), X, X[tuple(VECTORS.T)]),
    one(
        "gather_nd_batch",
        lambda x: mb.gather_nd(x=x, indices=np.array([[[0, 1]], [[2, 3]]], np.int32), batch_dims=1),
        X,
        np.stack([X[0, 0, 1], X[1, 2, 3]])[:, None],
    ),
    *[_scattered(mode) for mode in ("add", "sub", "mul", "div", "max", "min", "update")],
    two(
        "scatter_nd",
        lambda x, y: mb.scatter_nd(data=x, indices=VECTORS[:, :2], updates=y, mode="add"),
        X,
        random(3, 4, 5),
        _added(random(3, 4, 5)),
    ),
    two(
        "scatter_along",
        lambda x, y: mb.scatter_along_axis(
            data=x, indices=np.array([[0, 1, 0, 1, 2]], np.int32), updates=y, axis=0, mode="update"
        ),
        X[0, 0],
        random(1, 5),
        _put(random(1, 5)),
    ),
]

FAMILIES = {"elementwise": ELEMENTWISE, "reduction": REDUCTIONS, "shape": SHAPES, "index": INDEXING}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[np.ndarray]]]:
    folder = tmp_path_factory.mktemp("mil")
    return {name: run_mil_cases(family, folder / f"{name}.mlpackage", "iOS16") for name, family in FAMILIES.items()}


@pytest.mark.parametrize(
    ("family", "case"),
    [pytest.param(name, case, id=f"{name}-{case.name}") for name, family in FAMILIES.items() for case in family],
)
def test_operator(results: dict[str, dict[str, list[np.ndarray]]], family: str, case: MilCase) -> None:
    (actual,) = results[family][case.name]
    assert relative(actual, np.asarray(case.expected)) < case.tolerance
