"""Holding a packed model against LiteRT's reference kernels."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from mcu_agents import convolutions
from tflite_maker import Maker, random_inputs
from tiny_networks import Network

from edgekit.convert.mcu.compile import compile_file
from edgekit.convert.mcu.exact import differences, judged
from edgekit.records import Parity

from .compiler import needs_compiler
from .tampering import with_other_weights

pytestmark = needs_compiler
PASSED = Parity(passed=True, samples=3)


def float_ends() -> bytes:
    """One convolution behind QUANTIZE, and DEQUANTIZE behind it."""
    maker = Maker()
    generator = np.random.default_rng(8)
    x = maker.input((1, 5, 5, 3), dtype="float32")
    q = maker.tensor((1, 5, 5, 3), 0.02, -4)
    maker.operator("QUANTIZE", [x], [q])
    y = maker.tensor((1, 5, 5, 6), 0.1, 3)
    w = maker.constant(generator.integers(-127, 128, (6, 3, 3, 3), np.int8), scale=[0.01] * 6, axis=0)
    b = maker.constant(generator.integers(-500, 500, 6, np.int32), scale=[0.0002] * 6)
    maker.operator("CONV_2D", [q, w, b], [y], padding="SAME", fused_activation_function="NONE")
    z = maker.tensor((1, 5, 5, 6), dtype="float32")
    maker.operator("DEQUANTIZE", [y], [z])
    maker.output(z)
    return maker.build()


def two_outputs() -> bytes:
    """The first output does not depend on the convolution."""
    net = Network(5)
    x = net.input(1, 6, 6, 4)
    return net.build(net.average_pool(x, (2, 2)), net.conv(x, 8, 3))


MODELS = {"int8": convolutions, "float outside": float_ends}


@pytest.fixture(params=sorted(MODELS))
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(MODELS[request.param]())
    return path


def stacks(path: Path, count: int = 3) -> list[np.ndarray]:
    samples = [random_inputs(path.read_bytes(), seed) for seed in range(count)]
    return [np.stack(values) for values in zip(*samples, strict=True)]


@pytest.mark.parametrize("dsp", [False, True])
def test_a_compiled_model_has_no_differences(model: Path, dsp: bool) -> None:
    assert differences(model, compile_file(model, dsp=dsp).ekm, stacks(model)) == ""


def test_a_wrong_weight_is_found_and_its_place_is_told(model: Path) -> None:
    ekm = compile_file(model, dsp=False).ekm
    found = differences(model, with_other_weights(ekm, 1), stacks(model))
    assert found.startswith("sample 1 of 3, output 0: ") and "values, by at most " in found
    count, of = found.split(": ")[1].split(" values")[0].split(" of ")
    assert 0 < int(count) <= int(of) and float(found.rpartition(" ")[2]) > 0


def test_the_output_that_differs_is_named(tmp_path: Path) -> None:
    path = tmp_path / "two.tflite"
    path.write_bytes(two_outputs())
    found = differences(path, with_other_weights(compile_file(path, dsp=False).ekm), stacks(path))
    assert found.startswith("sample 1 of 3, output 1: ")


def test_float_values_stand_for_the_int8_model_of_a_float_one(tmp_path: Path) -> None:
    """The path from PyTorch: the .tflite is int8 outside, the packed model's source was float."""
    path = tmp_path / "model.tflite"
    path.write_bytes(convolutions())
    ekm = compile_file(path, dsp=True, float_outside=True).ekm
    given = [np.random.default_rng(3).normal(0, 2, (4, 1, 6, 6, 4)).astype(np.float32)]
    assert differences(path, ekm, given) == ""
    assert differences(path, with_other_weights(ekm), given).startswith("sample 1 of 4, output 0: ")


class TestJudged:
    @pytest.fixture
    def ekm(self, model: Path) -> Path:
        path = model.with_suffix(".ekm")
        path.write_bytes(compile_file(model, dsp=False).ekm)
        return path

    def test_equal(self, ekm: Path, model: Path) -> None:
        assert judged(PASSED, ekm, stacks(model)) == msgspec.structs.replace(PASSED, bit_equal=True)

    def test_different(self, ekm: Path, model: Path) -> None:
        ekm.write_bytes(with_other_weights(ekm.read_bytes()))
        found = judged(PASSED, ekm, stacks(model))
        assert (found.passed, found.bit_equal) == (False, False)
        assert found.reason is not None and found.reason.startswith("the packed model and LiteRT's reference kernels")

    def test_both_reasons_are_told(self, ekm: Path, model: Path) -> None:
        ekm.write_bytes(with_other_weights(ekm.read_bytes()))
        found = judged(Parity(passed=False, reason="cosine 0.5"), ekm, stacks(model))
        assert found.reason is not None and found.reason.startswith("cosine 0.5; the packed model and")

    def test_equal_to_litert_but_not_to_pytorch_stays_failed(self, ekm: Path, model: Path) -> None:
        found = judged(Parity(passed=False, reason="cosine 0.5"), ekm, stacks(model))
        assert (found.passed, found.bit_equal, found.reason) == (False, True, "cosine 0.5")

    def test_without_the_int8_model_nothing_is_claimed(self, ekm: Path, model: Path) -> None:
        given = stacks(model)
        model.unlink()
        assert judged(PASSED, ekm, given) is PASSED
