"""What tests of the agent share: its builds, small packed models, and the fuzzer with them as its seeds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "mcu"))

from build_agent import build_fuzzer, build_host_agent, build_wire
from tflite_maker import Maker

from edgekit.convert.mcu.compile import compile_graph
from edgekit.convert.mcu.tflite import parse_tflite

__all__ = ["build_host_agent", "build_wire", "convolutions", "fuzz", "others", "packed"]


def packed(content: bytes) -> bytes:
    """A .tflite's bytes as a packed model for the portable kernels."""
    return compile_graph(parse_tflite(content, "made"), dsp=False).ekm


def fuzz(folder: Path, frames: int, seed: int, timeout_s: float) -> dict[str, int]:
    """Build the fuzzer in ``folder`` and run it; what it counted. Fails with its last words."""
    program = build_fuzzer(folder)
    models = []
    for name, content in (("convolutions", convolutions()), ("others", others())):
        models.append(folder / f"{name}.ekm")
        models[-1].write_bytes(packed(content))
    done = subprocess.run(
        [str(program), str(frames), str(seed), *map(str, models)], capture_output=True, text=True, timeout=timeout_s
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def convolutions() -> bytes:
    """A convolution, a depthwise one and a fully connected layer."""
    generator = np.random.default_rng(5)
    maker = Maker()
    x = maker.input((1, 6, 6, 4), scale=0.05, zero_point=-3)
    y = maker.tensor((1, 6, 6, 8), scale=0.1, zero_point=4)
    w = maker.constant(generator.integers(-127, 128, (8, 3, 3, 4), np.int8), scale=[0.01] * 8, axis=0)
    b = maker.constant(generator.integers(-500, 500, 8, np.int32), scale=[0.0005] * 8)
    maker.operator("CONV_2D", [x, w, b], [y], padding="SAME", stride_h=1, stride_w=1,
                   fused_activation_function="RELU")  # fmt: skip
    z = maker.tensor((1, 3, 3, 8), scale=0.1, zero_point=4)
    w = maker.constant(generator.integers(-127, 128, (1, 3, 3, 8), np.int8), scale=[0.01] * 8, axis=3)
    b = maker.constant(generator.integers(-500, 500, 8, np.int32), scale=[0.001] * 8)
    maker.operator("DEPTHWISE_CONV_2D", [y, w, b], [z], padding="SAME", stride_h=2, stride_w=2, depth_multiplier=1,
                   fused_activation_function="NONE")  # fmt: skip
    flat = maker.tensor((1, 72), scale=0.1, zero_point=4)
    maker.operator("RESHAPE", [z], [flat], new_shape=[1, 72])
    out = maker.tensor((1, 10), scale=0.2, zero_point=0)
    w = maker.constant(generator.integers(-127, 128, (10, 72), np.int8), scale=0.01)
    b = maker.constant(generator.integers(-500, 500, 10, np.int32), scale=0.001)
    maker.operator("FULLY_CONNECTED", [flat, w, b], [out], fused_activation_function="NONE")
    maker.output(out)
    return maker.build()


def others() -> bytes:
    """Addition, multiplication, pooling, softmax, a table."""
    maker = Maker()
    x = maker.input((1, 6, 6, 4), scale=0.05, zero_point=-3)
    y = maker.tensor((1, 6, 6, 4), scale=1 / 256, zero_point=-128)
    maker.operator("LOGISTIC", [x], [y])
    z = maker.tensor((1, 6, 6, 4), scale=0.1, zero_point=4)
    maker.operator("MUL", [x, y], [z], fused_activation_function="NONE")
    s = maker.tensor((1, 6, 6, 4), scale=0.1, zero_point=4)
    maker.operator("ADD", [x, z], [s], fused_activation_function="RELU")
    p = maker.tensor((1, 3, 3, 4), scale=0.1, zero_point=4)
    maker.operator("AVERAGE_POOL_2D", [s], [p], padding="VALID", stride_h=2, stride_w=2, filter_height=2,
                   filter_width=2, fused_activation_function="NONE")  # fmt: skip
    flat = maker.tensor((1, 36), scale=0.1, zero_point=4)
    maker.operator("RESHAPE", [p], [flat], new_shape=[1, 36])
    out = maker.tensor((1, 36), scale=1 / 256, zero_point=-128)
    maker.operator("SOFTMAX", [flat], [out], beta=1.0)
    maker.output(out)
    return maker.build()
