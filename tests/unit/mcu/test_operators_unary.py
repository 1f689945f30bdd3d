"""Tables of functions of one value, and softmax, against LiteRT's reference kernels, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgekit.convert.mcu import tables
from edgekit.convert.mcu.graph import Quantisation
from edgekit.errors import ConvertError
from edgekit.harness.mcu_model import HostModel
from tests.unit.mcu.compiler import needs_compiler
from tests.unit.mcu.litert import check_equal, compiled, unary

pytestmark = needs_compiler

EVERY = np.arange(-128, 128).astype(np.int8).reshape(1, 16, 16)
SOURCES = [(0.05, -3), (0.0237, 17), (0.11, -128), (0.4, 90), (0.003, 5), (1.0, 0)]
TARGETS = [(0.05, -3), (0.031, -128), (0.0078125, 0), (0.25, 100), (0.0173, -12)]
SIGMOID = [(1 / 256, -128)]


def check(kind, source, target, values=EVERY, **options):
    check_equal(unary(kind, values.shape, source, target, **options), [[values]])


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("TANH", {}), ("GELU", {"approximate": False}), ("GELU", {"approximate": True}), ("RELU", {}),
        ("RELU6", {}), ("RELU_N1_TO_1", {}), ("RELU_0_TO_1", {}), ("LEAKY_RELU", {"alpha": 0.1}),
        ("LEAKY_RELU", {"alpha": 1.7}), ("ABS", {}), ("QUANTIZE", {}),
    ],
)  # fmt: skip
def test_every_value(kind, options, source):
    for target in TARGETS:
        check(kind, source, target, **options)


@pytest.mark.parametrize("source", SOURCES)
def test_elu(source):
    # LiteRT has one int8 kernel for it, which its set of reference kernels leaves out.
    for target in TARGETS:
        content = unary("ELU", EVERY.shape, source, target)
        interpreter = Interpreter(
            model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        )
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], EVERY)
        interpreter.invoke()
        expected = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        (answer,) = HostModel(compiled(content).ekm).run([EVERY])
        np.testing.assert_array_equal(answer, expected)


@pytest.mark.parametrize("source", SOURCES)
def test_logistic(source):
    check("LOGISTIC", source, SIGMOID[0])


@pytest.mark.parametrize("source", [(0.05, 60), (0.02, 127), (0.011, 0), (0.03, -100)])
def test_exp(source):
    for target in [(0.01, -128), (0.2, 3), (1.0, -100)]:
        check("EXP", source, target)


@pytest.mark.parametrize("source", SOURCES)
def test_hard_swish(source):
    for target in TARGETS:
        if target[0] * 128 > source[0]:
            check("HARD_SWISH", source, target)


def test_neg():
    check("NEG", (0.05, 0), (0.05, 0))
    with pytest.raises(ConvertError, match="negates stored values"):
        compiled(unary("NEG", (1, 4), (0.05, 3), (0.05, 3)))


@pytest.mark.parametrize("scale", [0.0004, 0.003, 0.05, 1.0])
@pytest.mark.parametrize("zero_point", [-128, -100, 0])
def test_rsqrt(scale, zero_point):
    values = np.arange(zero_point, 128).astype(np.int8).reshape(1, -1)
    for target in [(0.01, -128), (0.2, 3), (0.004, -7)]:
        check("RSQRT", (scale, zero_point), target, values)


def test_random_quantisations():
    generator = np.random.default_rng(3)
    for kind in ("TANH", "GELU", "LOGISTIC"):
        for _ in range(12):
            source = (float(np.float32(10 ** generator.uniform(-3, 0))), int(generator.integers(-128, 128)))
            target = (float(np.float32(10 ** generator.uniform(-2.5, -0.5))), int(generator.integers(-128, 128)))
            options = {"approximate": bool(generator.integers(2))} if kind == "GELU" else {}
            check(kind, source, SIGMOID[0] if kind == "LOGISTIC" else target, **options)


def test_what_litert_leaves_undefined_is_refused():
    with pytest.raises(ConvertError, match="too large for the scale"):
        compiled(unary("EXP", (1, 4), (1.0, -128), (1e-6, 0)))
    with pytest.raises(ConvertError, match="less than 1/128"):
        compiled(unary("HARD_SWISH", (1, 4), (1.0, 0), (0.001, 0)))


@pytest.mark.parametrize("shape", [(1, 10), (1, 7, 1), (1, 3, 5, 64), (2, 197), (1, 1000)])
@pytest.mark.parametrize("source", [(0.1, 3), (0.013, -128), (1.5, 0), (0.0005, 20), (40.0, 0)])
@pytest.mark.parametrize("beta", [1.0, 0.37])
def test_softmax(shape, source, beta):
    generator = np.random.default_rng(1)
    values = generator.integers(-128, 128, shape).astype(np.int8)
    few = np.full(shape, -128, np.int8)
    few[..., 0] = 127
    if shape[-1] < 500:
        rounds = [[values], [few], [np.full(shape, 5, np.int8)]]
    elif source[0] * beta > 0.01:
        rounds = [[values], [few]]
    else:
        rounds = []  # LiteRT stops at rows whose exponentials add up to 512
    content = unary("SOFTMAX", shape, source, (1 / 256, -128), beta=beta)
    for inputs in rounds:
        check_equal(content, [inputs])


def test_softmax_of_rows_that_litert_stops_at():
    made = HostModel(compiled(unary("SOFTMAX", (1, 4000), (0.001, 0), (1 / 256, -128), beta=1.0)).ekm)
    (answer,) = made.run([np.full((1, 4000), 5, np.int8)])
    assert (answer == -128).all()  # 1/4000 is nearest to 0


def test_softmax_every_difference():
    values = np.stack([np.full(256, 127), np.arange(-128, 128)], axis=1).astype(np.int8)
    for scale in (0.001, 0.02, 0.0783, 0.31):
        check_equal(unary("SOFTMAX", (1, 256, 2), (scale, 0), (1 / 256, -128), beta=1.0), [[values[None]]])


def test_softmax_that_litert_refuses_is_refused():
    with pytest.raises(ConvertError, match="scale 1/256"):
        compiled(unary("SOFTMAX", (1, 4), (0.1, 0), (1 / 128, -128), beta=1.0))
    with pytest.raises(ConvertError, match="rows of 1 to"):
        compiled(unary("SOFTMAX", (1, 5000), (0.1, 0), (1 / 256, -128), beta=1.0))
    with pytest.raises(ConvertError, match="less than"):
        compiled(unary("SOFTMAX", (1, 5), (1e-9, 0), (1 / 256, -128), beta=1.0))


def test_a_table_is_in_the_order_of_unsigned_bytes():
    table = tables.relu({}, Quantisation((1.0,), (0,)), Quantisation((1.0,), (0,)))
    assert table[:128].tolist() == list(range(128))
    assert not table[128:].any()


def test_functions_of_one_value_work_in_place():
    made = compiled(unary("TANH", (1, 8, 8, 3), (0.05, 0), (1 / 128, 0)))
    assert made.plan.arena_bytes == 192
