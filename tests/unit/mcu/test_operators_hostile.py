"""A model with every operator besides convolution: equal to LiteRT, and damaged in its records, under sanitizers."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from edgekit.convert.mcu.kernels import KERNELS
from edgekit.paths import mcu_dir
from tests.tflite_maker import Maker, random_inputs
from tests.unit.mcu.compiler import needs_compiler
from tests.unit.mcu.litert import check_equal, compiled

pytestmark = needs_compiler

Q = (0.05, -3)


def ints(*values):
    return np.array(values, np.int32)


class Chain:
    """Operators one after another on (1, height, width, channels); ``x`` is the last result."""

    def __init__(self):
        self.maker = Maker()
        self.shape = (1, 6, 5, 4)
        self.x = self.maker.input(self.shape, *Q)

    def then(self, kind, more=(), shape=None, quantisation=Q, *, first=False, **options):
        self.shape = shape or self.shape
        made = self.maker.tensor(self.shape, *quantisation)
        reads = [*more, self.x] if first else [self.x, *more]
        self.maker.operator(kind, reads, [made], **options)
        self.x = made
        return made

    def constant(self, values, scale=0.02, zero_point=5):
        array = np.asarray(values)
        return self.maker.constant(array, *((scale, zero_point) if array.dtype == np.int8 else ()))


def every_operator():
    chain = Chain()
    values = np.random.default_rng(8).integers(-128, 128, (1, 6, 5, 4)).astype(np.int8)
    start = chain.then("TANH", quantisation=Q)
    chain.then("ADD", [chain.constant(values[0, 0, 0])])
    chain.then("SUB", [start])
    chain.then("PRELU", [chain.constant(values[0, 0, 0])])
    chain.then("MUL", [chain.constant(values[0, :, :, :1])])
    chain.then("SQUARED_DIFFERENCE", [start])
    chain.then("MAXIMUM", [start])
    pool = {"stride_h": 1, "stride_w": 1, "filter_height": 3, "filter_width": 2, "padding": "SAME"}
    chain.then("AVERAGE_POOL_2D", **pool)
    chain.then("MAX_POOL_2D", **pool)
    chain.then("PAD", [chain.constant(ints(0, 0, 1, 0, 0, 2, 0, 0).reshape(4, 2))], (1, 7, 7, 4))
    chain.then("TRANSPOSE", [chain.constant(ints(0, 2, 1, 3))])
    sizes = {"align_corners": False, "half_pixel_centers": True}
    chain.then("RESIZE_BILINEAR", [chain.constant(ints(5, 9))], (1, 5, 9, 4), **sizes)
    chain.then("RESIZE_NEAREST_NEIGHBOR", [chain.constant(ints(8, 6))], (1, 8, 6, 4), **sizes)
    peaks = chain.x
    chain.then("MEAN", [chain.constant(ints(1))], (1, 6, 4), keep_dims=False)
    chain.then("SOFTMAX", quantisation=(1 / 256, -128), beta=1.0)
    weights = chain.x
    chain.x, chain.shape = peaks, (1, 8, 6, 4)
    chain.then("REDUCE_MAX", [chain.constant(ints(1))], (1, 6, 4), keep_dims=False)
    chain.then("BATCH_MATMUL", [weights], (1, 6, 6), (0.2, 1), adj_x=False, adj_y=True)
    filled = chain.maker.tensor((1, 6, 2), 0.2, 1)
    chain.maker.operator(
        "FILL", [chain.constant(ints(1, 6, 2)), chain.constant(np.array(9, np.int8), 0.2, 1)], [filled]
    )
    chain.then("CONCATENATION", [filled], (1, 6, 8), (0.2, 1), axis=2, fused_activation_function="NONE")
    chain.maker.output(chain.x)
    return chain.maker.build()


def test_every_operator_in_one_model():
    content = every_operator()
    made = check_equal(content, [random_inputs(content, seed) for seed in range(20)])
    assert {step.kernel for step in made.program.steps} == set(KERNELS) - {"conv", "depthwise"}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    out = tmp_path_factory.mktemp("mcu_tests")
    command = [sys.executable, str(mcu_dir() / "build.py"), "--target", "host", "--sanitize", "--out", str(out)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout.strip()


def test_damaged_records(program, tmp_path):
    path = tmp_path / "every.ekm"
    path.write_bytes(compiled(every_operator()).ekm)
    done = subprocess.run([program, "fuzz", str(path), "7", "20000"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[:4000]
    tally = json.loads(done.stdout)
    assert tally["opened"] > 1000  # harmless changes: they ran, and stayed in their memory
    assert tally["refused"][4] > 5000  # EK_BAD_OPERATOR
