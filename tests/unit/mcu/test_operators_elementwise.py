"""Operators of two operands against LiteRT's reference kernels, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import ConvertError
from tests.tflite_maker import Maker
from tests.unit.mcu.compiler import needs_compiler
from tests.unit.mcu.litert import check_equal, compiled

pytestmark = needs_compiler

KINDS = ["ADD", "SUB", "MUL", "SQUARED_DIFFERENCE", "MINIMUM", "MAXIMUM"]
ACTIVATED = ["ADD", "SUB", "MUL"]
SHAPES = [
    ((1, 6, 5, 4), (1, 6, 5, 4)),
    ((1, 6, 5, 4), (1, 1, 1, 4)),
    ((1, 6, 5, 4), (1,)),
    ((1, 6, 5, 4), (4,)),
    ((1, 6, 5, 4), (1, 6, 5, 1)),
    ((1, 6, 5, 1), (1, 6, 1, 4)),
    ((1, 1, 5, 4), (1, 6, 1, 1)),
    ((1, 7, 9), (1, 7, 1)),
    ((1, 49, 3), (1, 49, 3)),
    ((1, 3, 1, 5, 2), (1, 1, 4, 1, 2)),
    ((1,), (1, 2, 3, 3)),
]
# (scale, zero point) of a, b and the output
QUANTISATIONS = [
    ((0.05, -3), (0.02, 7), (0.06, 11)),
    ((0.011, 127), (0.9, -128), (1.3, -1)),
    ((1.0, 0), (1.0, 0), (2.0, 0)),
    ((0.0004, 5), (0.0123, -20), (0.009, -128)),
]


def model(kind, shapes, quantisations, constant=None, **options):
    """One operator; ``constant`` says which operand is one ("a" or "b")."""
    maker = Maker()
    generator = np.random.default_rng(5)
    numbers = []
    for name, shape, (scale, zero_point) in zip("ab", shapes, quantisations, strict=False):
        if name == constant:
            values = generator.integers(-128, 128, shape).astype(np.int8)
            numbers.append(maker.constant(values, scale, zero_point))
        else:
            numbers.append(maker.input(shape, scale, zero_point))
    made = maker.tensor(np.broadcast_shapes(*shapes), *quantisations[2])
    maker.operator(kind, numbers, [made], **options)
    maker.output(made)
    return maker.build()


def quantisations_of(kind, number):
    made = QUANTISATIONS[number % len(QUANTISATIONS)]
    return (made[0],) * 3 if kind in ("MINIMUM", "MAXIMUM") else made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_shapes(kind, number):
    a, b = SHAPES[number]
    check_equal(model(kind, (a, b), quantisations_of(kind, number)))
    check_equal(model(kind, (b, a), quantisations_of(kind, number + 1)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("constant", ["a", "b"])
@pytest.mark.parametrize("number", [0, 1, 2, 4])
def test_constants(kind, constant, number):
    a, b = SHAPES[number]
    shapes = (a, b) if constant == "b" else (b, a)
    made = check_equal(model(kind, shapes, quantisations_of(kind, number), constant))
    (step,) = made.program.steps
    (overlap,) = step.overlaps  # the computed operand has the output's size: in place
    assert overlap.distance == 0
    assert made.plan.arena_bytes <= 128


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL", "SQUARED_DIFFERENCE"])
@pytest.mark.parametrize("quantisations", QUANTISATIONS)
def test_every_pair_of_values(kind, quantisations):
    values = np.arange(-128, 128).astype(np.int8)
    check_equal(model(kind, ((1, 256, 1), (1, 1, 256)), quantisations),
                [[values.reshape(1, 256, 1), values.reshape(1, 1, 256)]])  # fmt: skip


@pytest.mark.parametrize("kind", ACTIVATED)
@pytest.mark.parametrize("activation", ["RELU", "RELU6", "RELU_N1_TO_1"])
def test_fused_activations(kind, activation):
    check_equal(model(kind, SHAPES[0], QUANTISATIONS[0], fused_activation_function=activation))


def test_an_operand_may_be_read_twice():
    maker = Maker()
    x = maker.input((1, 4, 4, 3), 0.05, -3)
    made = maker.tensor((1, 4, 4, 3), 0.09, 5)
    maker.operator("ADD", [x, x], [made])
    maker.output(made)
    (step,) = check_equal(maker.build()).program.steps
    assert len(step.reads) == 1
    assert [overlap.distance for overlap in step.overlaps] == [0]


@pytest.mark.parametrize("alpha_shape", [(4,), (1, 1, 4), (6, 5, 4), (6, 1, 4), (1,)])
@pytest.mark.parametrize("constant", ["b", None])
def test_prelu(alpha_shape, constant):
    for quantisations in QUANTISATIONS:
        check_equal(model("PRELU", ((1, 6, 5, 4), alpha_shape), quantisations, constant))


def test_scales_that_litert_refuses_are_refused():
    with pytest.raises(ConvertError, match="scales differ too much") as caught:
        compiled(model("ADD", SHAPES[0], ((1.0, 0), (1.0, 0), (1e-7, 0))))
    assert "0" in caught.value.where


def test_extremes_of_tensors_with_different_scales_are_refused():
    with pytest.raises(ConvertError, match="differ in scale"):
        compiled(model("MAXIMUM", SHAPES[0], QUANTISATIONS[0]))
