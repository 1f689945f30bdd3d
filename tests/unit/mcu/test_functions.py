"""Trees of operators on one tensor as one table: over all its 256 values what LiteRT's reference kernels answer."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import ConvertError
from tests.tflite_maker import Maker, reference_outputs
from tests.unit.mcu.compiler import needs_compiler
from tests.unit.mcu.litert import check_equal, compiled

pytestmark = needs_compiler

EVERY = np.arange(-128, 128).astype(np.int8).reshape(1, 16, 16)
SOURCES = [(0.05, -3), (0.0237, 17), (0.11, -128), (0.4, 90), (0.003, 5), (1.0, 0)]
SIGMOID = (1 / 256, -128)


class Tree:
    """Operators on tensors of the input's shape; a quantisation is (scale, zero point)."""

    def __init__(self, source=(0.05, -3), shape=EVERY.shape):
        self.maker, self.shape = Maker(), shape
        self.x = self.maker.input(shape, *source)
        self.scale = source[0]

    def __call__(self, kind, *operands, to, shape=None, **options):
        """A float among the operands is a scalar constant."""
        numbers = [self.constant(o) if isinstance(o, float) else o for o in operands]
        made = self.maker.tensor(shape or self.shape, *to)
        self.maker.operator(kind, numbers, [made], **options)
        return made

    def constant(self, value, shape=()):
        return self.maker.constant(np.full(shape, 127 if value > 0 else -127, np.int8), abs(value) / 127, 0)

    def build(self, *outputs):
        self.maker.output(*outputs)
        return self.maker.build()


def sigmoid_gelu(source, scale):
    """x * sigmoid(1.702 * x), as the reference's ViT blocks have it: the sigmoid goes through a RESHAPE."""
    tree = Tree(source)
    sigmoid = tree("LOGISTIC", tree("MUL", tree.x, 1.702, to=(1.7 * scale, -3)), to=SIGMOID)
    shaped = tree("RESHAPE", sigmoid, to=SIGMOID, shape=(1, *EVERY.shape), new_shape=[1, *EVERY.shape])
    return tree.build(tree("MUL", tree.x, shaped, to=(scale * 0.7, -101), shape=(1, *EVERY.shape)))


def hard_swish(source, scale):
    """x * relu6(x + 3) / 6, the constant first."""
    tree = Tree(source)
    gate = tree("ADD", 3.0, tree.x, to=(6 / 255, -128), fused_activation_function="RELU6")
    return tree.build(tree("MUL", tree("MUL", gate, 1 / 6, to=SIGMOID), tree.x, to=(scale * 0.8, -40)))


def tanh_gelu(source, scale):
    """0.5 * x * (1 + tanh(0.8 * (x + 0.045 * x^3)))."""
    tree = Tree(source)
    reach = scale * 128
    cube = tree("MUL", tree("MUL", tree.x, tree.x, to=(reach * scale, -128)), tree.x, to=(reach * reach * scale, 1))
    inner = tree("ADD", tree.x, tree("MUL", cube, 0.044715, to=(reach * reach * scale / 20, 0)), to=(2 * scale, 4))
    tanh = tree("TANH", tree("MUL", inner, 0.7978, to=(1.7 * scale, 2)), to=(1 / 128, 0))
    half = tree("MUL", tree.x, 0.5, to=(scale / 2, source[1]))
    return tree.build(tree("MUL", half, tree("ADD", tanh, 1.0, to=(2 / 255, -128)), to=(scale, -7)))


def hard_sigmoid_by_extremes(source, scale):
    """A clamp spelt with MINIMUM and MAXIMUM, requantised and subtracted."""
    tree = Tree(source)
    low, high = (tree.maker.constant(np.array(v, np.int8), *source) for v in (-77, 90))
    clamped = tree("MAXIMUM", low, tree("MINIMUM", tree.x, high, to=source), to=source)
    finer = tree("QUANTIZE", clamped, to=(scale * 0.6, 9))
    return tree.build(tree("SUB", 128 * scale, finer, to=(2 * scale, 30)))


def squared(source, scale):
    """(|x| - c)^2 - prelu(x), where the constant is written out for every position."""
    tree = Tree(source)
    magnitude = tree("ABS", tree.x, to=(scale, -128))
    wide = tree.constant(50 * scale, shape=EVERY.shape)
    square = tree("SQUARED_DIFFERENCE", magnitude, wide, to=(scale * scale * 80, -128))
    slope = tree("PRELU", tree.x, tree.constant(-0.3, shape=(1,)), to=(scale * 1.1, 12))
    return tree.build(tree("SUB", square, slope, to=(scale * scale * 80 + scale, -60)))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("make", [sigmoid_gelu, hard_swish, tanh_gelu, hard_sigmoid_by_extremes, squared])
def test_a_tree_is_one_table(make, source):
    made = check_equal(make(source, source[0]), [[EVERY]])
    assert [step.kernel for step in made.program.steps] == ["lookup"]
    assert made.plan.arena_bytes == EVERY.size


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL", "SQUARED_DIFFERENCE"])
@pytest.mark.parametrize("constant_first", [False, True])
def test_a_single_operator_with_a_scalar_is_one_table(kind, constant_first):
    for source in SOURCES:
        for value in (1.7, -0.02):
            tree = Tree(source)
            operands = (value, tree.x) if constant_first else (tree.x, value)
            made = check_equal(tree.build(tree(kind, *operands, to=(source[0] * 2 + 0.03, 11))), [[EVERY]])
            assert [step.kernel for step in made.program.steps] == ["lookup"]


def _logistic(x):
    return 1 / (1 + np.exp(-x))


UNARY = {
    "TANH": np.tanh, "RELU": lambda x: np.maximum(x, 0), "RELU6": lambda x: np.clip(x, 0, 6), "ABS": np.abs,
    "LEAKY_RELU": lambda x: np.where(x < 0, 0.3 * x, x), "QUANTIZE": lambda x: x, "LOGISTIC": _logistic,
    "GELU": lambda x: x * _logistic(1.702 * x),
}  # fmt: skip
BINARY = {
    "ADD": np.add, "SUB": np.subtract, "MUL": np.multiply, "SQUARED_DIFFERENCE": lambda a, b: (a - b) ** 2,
}  # fmt: skip


class RandomTree:
    """Operators on anything made before, in quantisations that fit their values more or less."""

    def __init__(self, seed):
        self.chance = np.random.default_rng(seed)
        scale, zero_point = float(np.float32(10 ** self.chance.uniform(-2, -0.5))), int(self.chance.integers(-128, 128))
        self.tree = Tree((scale, zero_point))
        self.reals = {self.tree.x: scale * (np.arange(-128.0, 128) - zero_point)}
        self.unread = []

    def add(self, kind, *operands):
        function = (UNARY | BINARY)[kind]
        real = function(*(o if isinstance(o, float) else self.reals[o] for o in operands))
        width = max(float(np.ptp(real)), 0.01)
        scale = float(np.float32(width / 255 * self.chance.uniform(0.7, 1.5)))
        zero_point = int(np.clip(round(-128 - real.min() / scale + self.chance.uniform(-20, 20)), -128, 127))
        options = {"alpha": 0.3} if kind == "LEAKY_RELU" else {}
        made = self.tree(kind, *operands, to=SIGMOID if kind == "LOGISTIC" else (scale, zero_point), **options)
        self.reals[made] = real
        self.unread = [n for n in self.unread if n not in operands] + [made]

    def any_of(self, *several):
        return several[int(self.chance.integers(len(several)))]

    def build(self, count):
        for _ in range(count):
            operand = self.any_of(*self.reals)
            if self.chance.random() < 0.5:
                self.add(self.any_of(*UNARY), operand)
            else:
                other = self.any_of(*self.reals) if self.chance.random() < 0.7 else float(self.chance.normal(0, 2))
                self.add(self.any_of(*BINARY), operand, other)
        while len(self.unread) > 1:
            self.add("ADD", *self.unread[:2])
        return self.tree.build(*self.unread)


def random_tree(seed):
    return RandomTree(seed).build(2 + seed % 7)


@pytest.mark.parametrize("seed", range(40))
def test_random_trees(seed):
    content = random_tree(seed)
    made = check_equal(content, [[EVERY]])
    assert [step.kernel for step in made.program.steps] == ["lookup"]


def test_random_trees_tell_values_apart():
    spread = [len(np.unique(reference_outputs(random_tree(seed), [EVERY])[0])) for seed in range(40)]
    assert np.median(spread) > 80


def kernels(content, inputs):
    return [step.kernel for step in check_equal(content, [inputs]).program.steps]


def test_what_is_an_output_is_still_made():
    tree = Tree()
    scaled = tree("MUL", tree.x, 1.702, to=(0.085, -3))
    sigmoid = tree("LOGISTIC", scaled, to=SIGMOID)
    content = tree.build(tree("MUL", tree.x, sigmoid, to=(0.04, -101)), sigmoid)
    assert kernels(content, [EVERY]) == ["lookup", "mul"]


def test_what_others_read_is_still_made_and_read_as_a_source():
    """ReLU(x) goes to a mean as well; the gate on it is one table."""
    tree = Tree()
    kept = tree("RELU", tree.x, to=(0.04, -128))
    gate = tree("LOGISTIC", tree("MUL", kept, 1.702, to=(0.06, -3)), to=SIGMOID)
    gated = tree("MUL", kept, gate, to=(0.04, -101))
    axis = tree.maker.constant(np.array([2], np.int32))
    mean = tree("MEAN", kept, axis, to=(0.04, -128), shape=(1, 16, 1), keep_dims=True)
    content = tree.build(tree("ADD", gated, mean, to=(0.07, -90)))
    assert sorted(kernels(content, [EVERY])) == ["add", "lookup", "lookup", "reduce"]


def test_two_tensors_are_no_tree():
    tree = Tree()
    other = tree.maker.input(EVERY.shape, 0.02, 5)
    content = tree.build(tree("MUL", tree.x, tree("LOGISTIC", other, to=SIGMOID), to=(0.04, 0)))
    assert kernels(content, [EVERY, EVERY[:, ::-1].copy()]) == ["lookup", "mul"]


@pytest.mark.parametrize("shape", [(16,), (1, 16, 1), (16, 1, 1)])
def test_a_constant_that_differs_by_place_stays(shape):
    tree = Tree()
    values = np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)
    constant, output = tree.maker.constant(values, 0.02, 5), np.broadcast_shapes(shape, EVERY.shape)
    content = tree.build(tree("MUL", tree.x, constant, to=(0.04, 0), shape=output))
    assert kernels(content, [EVERY]) == ["mul"]


def test_an_operand_that_is_repeated_stays():
    """Column and row of one tensor: its function at one place depends on two of its values."""
    maker = Maker()
    x = maker.input((1, 16, 1), 0.05, -3)
    row, made = maker.tensor((1, 1, 16), 0.05, -3), maker.tensor((1, 16, 16), 0.1, 0)
    maker.operator("RESHAPE", [x], [row], new_shape=[1, 1, 16])
    maker.operator("ADD", [x, row], [made])
    maker.output(made)
    assert kernels(maker.build(), [EVERY[:, :, :1].copy()]) == ["add"]


def test_a_constant_that_widens_the_result_stays():
    tree = Tree(shape=(1, 1, 16))
    content = tree.build(tree("ADD", tree.x, tree.constant(0.5, shape=(1, 16, 16)), to=(0.1, 0), shape=(1, 16, 16)))
    assert kernels(content, [EVERY[:, :1].copy()]) == ["add"]


def test_a_single_table_stays_as_it_is():
    tree = Tree()
    shaped = tree("RESHAPE", tree.x, to=(0.05, -3), shape=(256,), new_shape=[256])
    made = check_equal(tree.build(tree("TANH", shaped, to=(1 / 128, 0), shape=(256,))), [[EVERY]])
    (step,) = made.program.steps
    assert (step.kernel, step.name.split()[1]) == ("lookup", "TANH")


def test_the_operator_that_litert_refuses_is_named():
    tree = Tree()
    refused = tree("ADD", tree.x, 1.0, to=(1e-8, 0))
    with pytest.raises(ConvertError, match="ADD can't be compiled.*scales differ too much") as caught:
        compiled(tree.build(tree("TANH", refused, to=(1 / 128, 0))))
    assert caught.value.where.startswith("0 ADD")


def test_a_long_chain_is_one_table():
    tree = Tree()
    at = tree.x
    for number in range(300):
        at = tree("ADD" if number % 2 else "SUB", at, tree.x if number % 3 else 0.5, to=(0.05, number % 50))
    assert kernels(tree.build(at), [EVERY]) == ["lookup"]
