"""Small packages that ask for much: large tensors, much work, many tensors at once."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mil_edit import block, edit
from mil_programs import MilCase, mb, write

from edgekit.convert.mil.evaluate import load
from edgekit.convert.mil.limits import Limits
from edgekit.errors import RuntimeCrashError


def _bomb(tmp_path: Path, make: Callable[..., Any], value: np.ndarray) -> Path:
    path = tmp_path / "bomb.mlpackage"
    write([MilCase("bomb", make, {"x": value}, None)], path, "iOS16")
    return path


BIG = 1 << 14

BOMBS: dict[str, Callable[..., Any]] = {
    "tile": lambda x: mb.tile(x=x, reps=[1, BIG, BIG]),
    "pad": lambda x: mb.pad(x=x, pad=[0, BIG, 0, BIG]),
    "upsample": lambda x: mb.upsample_nearest_neighbor(x=x, scale_factor_height=BIG, scale_factor_width=BIG),
    "resize": lambda x: mb.resize_bilinear(x=x, target_size_height=2 * BIG, target_size_width=BIG),
    "conv": lambda x: mb.conv(x=x, weight=np.ones((1, 2, 1), np.float32), pad_type="custom", pad=[1 << 28, 0]),
    "conv_transpose": lambda x: mb.conv_transpose(x=x, weight=np.ones((2, 1, 1), np.float32), strides=[1 << 27]),
    "pool": lambda x: mb.max_pool(x=x, kernel_sizes=[1], pad_type="custom", pad=[1 << 28, 0]),
    "one_hot": lambda x: mb.one_hot(indices=mb.cast(x=x, dtype="int32"), one_hot_vector_size=1 << 26),
    "broadcast": lambda x: mb.add(
        x=mb.tile(x=x, reps=[1, 1, BIG]), y=mb.reshape(x=mb.tile(x=x, reps=[1, 1, BIG]), shape=[-1, 1, 1])
    ),
    "outer": lambda x: mb.matmul(
        x=mb.reshape(x=mb.tile(x=x, reps=[1, 1, BIG]), shape=[-1, 1]),
        y=mb.reshape(x=mb.tile(x=x, reps=[1, 1, BIG]), shape=[1, -1]),
    ),
    "gather": lambda x: mb.gather(x=mb.tile(x=x, reps=[1, 1, BIG]), indices=np.zeros(BIG, np.int32), axis=0),
    "windows": lambda x: mb.sliding_windows(x=mb.tile(x=x, reps=[1, 1, BIG]), axis=2, size=BIG),
}


@pytest.mark.parametrize("name", list(BOMBS))
def test_small_file_that_makes_large_tensors(tmp_path: Path, name: str) -> None:
    path = _bomb(tmp_path, BOMBS[name], np.ones((1, 2, 4), np.float32))
    # What the file declares is made harmless, so that only what it would compute is too large.
    edit(path, _declare_open_shapes)
    tracemalloc.start()
    with pytest.raises(RuntimeCrashError, match="more than the reference evaluator allows"):
        load(path).run([np.ones((1, 2, 4), np.float32)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_constant_that_asks_for_a_large_tensor(tmp_path: Path) -> None:
    path = _bomb(tmp_path, lambda x: mb.add(x=x, y=mb.fill(shape=[2, 3], value=1.0)), np.ones((2, 3), np.float32))

    def enlarge(model: Any) -> None:
        for op in block(model).operations:
            ints = op.attributes["val"].immediateValue.tensor.ints if op.type == "const" else None
            if ints is not None and list(ints.values) == [2, 3]:
                ints.values[:] = [1 << 20, 1 << 20]

    edit(path, enlarge)
    with pytest.raises(RuntimeCrashError, match="makes a tensor of 1048576x1048576"):
        load(path).run([np.ones((2, 3), np.float32)])


def test_work_is_bounded(tmp_path: Path) -> None:
    """Few and small tensors, but one multiplication for each pair of their elements."""
    path = _bomb(tmp_path, lambda x: mb.matmul(x=x, y=x, transpose_y=True), np.ones((64, 64), np.float32))
    x = np.ones((64, 64), np.float32)
    assert load(path).run([x])[0][0, 0] == 64
    with pytest.raises(RuntimeCrashError, match="needs more than"):
        load(path, Limits(work=64**3)).run([x])


def test_tensors_are_freed_after_their_last_use(tmp_path: Path) -> None:
    def chain(x: Any) -> Any:
        for _ in range(20):
            x = mb.add(x=x, y=1.0)
        return x

    x = np.zeros((1024, 64), np.float32)  # 256 KiB
    path = _bomb(tmp_path, chain, x)
    assert load(path, Limits(live_bytes=4 * x.nbytes)).run([x])[0][0, 0] == 20
    with pytest.raises(RuntimeCrashError, match="MiB of tensors at once"):
        load(path, Limits(live_bytes=x.nbytes)).run([x])


def _declare_open_shapes(model: Any) -> None:
    for op in block(model).operations:
        for output in op.outputs if op.type != "const" else ():
            for dimension in output.type.tensorType.dimensions:
                dimension.unknown.variadic = False
