"""A GELU in any hand-written spelling becomes the one operator; what only looks like one stays."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from rewrite_proof import Program, convert, exported, prove, random, refuse, targets
from torch import nn
from torch.nn import functional

from edgekit.convert.mil.evaluate import load
from edgekit.export import rewrites
from edgekit.export.rewrites import fold_constants, recognise_gelu

X = random(1, 8, 6, 6) * 2
ROOT, INNER = math.sqrt(2), math.sqrt(2 / math.pi)
Form = Callable[[torch.Tensor], torch.Tensor]

EXACT: dict[str, Form] = {
    "transformers, GELUActivation": lambda x: x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0))),
    "half first": lambda x: 0.5 * x * (1 + torch.erf(x / ROOT)),
    "half last": lambda x: (torch.erf(x * 0.7071067811865475) + 1) * x * 0.5,
    "gate halved": lambda x: x * (0.5 * (1 + torch.erf(x / ROOT))),
    "gate halved after": lambda x: (0.5 + torch.erf(x * 0.70710678) / 2) * x,
    "multiplied out": lambda x: 0.5 * x + 0.5 * x * torch.erf(x / ROOT),
    "halved sum": lambda x: (x + x * torch.erf(x / ROOT)) / 2.0,
    "subtracted": lambda x: x * (1 - torch.erf(-x / ROOT)) * 0.5,
    "subtracted from": lambda x: -0.5 * x * (-torch.erf(x / ROOT) - 1),
    "reversed": lambda x: 0.5 * x * torch.rsub(torch.erf(-x / ROOT), 1),
    "alpha": lambda x: torch.add(0.5 * x, x * torch.erf(x / ROOT), alpha=0.5),
    "erfc": lambda x: 0.5 * x * torch.erfc(-x / ROOT),
    "special.erf": lambda x: 0.5 * x * (1 + torch.special.erf(x / ROOT)),
    "distribution function": lambda x: x * torch.special.ndtr(x),
    "other names": lambda x: torch.multiply(torch.divide(x, 2), torch.add(torch.erf(torch.true_divide(x, ROOT)), 1)),
    "in place": lambda x: (x * 0.5).mul_((x / ROOT).erf_().add_(1)),
}
TANH: dict[str, Form] = {
    "transformers, NewGELU": lambda x: 0.5 * x * (1.0 + torch.tanh(INNER * (x + 0.044715 * torch.pow(x, 3.0)))),
    "transformers, FastGELU": lambda x: 0.5 * x * (1.0 + torch.tanh(x * 0.7978845608 * (1.0 + 0.044715 * x * x))),
    "Megatron": lambda x: x * 0.5 * (1.0 + torch.tanh(0.79788456 * x * (1 + 0.044715 * x * x))),
    "products": lambda x: 0.5 * x * (1 + torch.tanh(INNER * (x + 0.044715 * x * x * x))),
    "cube": lambda x: x * (0.5 * (torch.tanh((x**3 * 0.044715 + x) * INNER) + 1)),
    "square": lambda x: 0.5 * x * (1 + torch.tanh(INNER * x * (1 + 0.044715 * x.square()))),
    "whole power": lambda x: 0.5 * x * (1 + torch.tanh(INNER * (x + 0.044715 * x**2 * x))),
    "multiplied out": lambda x: 0.5 * (x + x * torch.tanh(INNER * x + INNER * 0.044715 * x**3)),
    "negative": lambda x: 0.5 * x * (1 - torch.tanh(-INNER * (x + 0.044715 * x**3))),
}


class Scalars(nn.Module):
    """Constants that are tensors, of the shapes and types that people give them."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("one", torch.ones(1, 1, 1, 1))
        self.register_buffer("root", torch.tensor(2.0, dtype=torch.float64).sqrt(), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor * (self.one + torch.erf(x / self.root))


def values(program: Program) -> list[Any]:
    return [(n.args, n.kwargs) for n in program.graph.nodes if str(n.target) == "aten.gelu.default"]


@pytest.mark.parametrize("scale", [0.01, 1.0, 3.0, 30.0])
@pytest.mark.parametrize("form", EXACT)
def test_the_exact_form_is_found_in_every_spelling(form: str, scale: float) -> None:
    program = prove(recognise_gelu, EXACT[form], X * scale)
    assert targets(program) == ["aten.gelu.default"]
    assert [len(args) for args, options in values(program) if not options] == [1]


@pytest.mark.parametrize("scale", [0.01, 1.0, 3.0, 30.0])
@pytest.mark.parametrize("form", TANH)
def test_the_tanh_form_is_found_in_every_spelling(form: str, scale: float) -> None:
    program = prove(recognise_gelu, TANH[form], X * scale)
    assert targets(program) == ["aten.gelu.default"]
    assert [options for _, options in values(program)] == [{"approximate": "tanh"}]


def test_constants_may_be_tensors() -> None:
    program = prove(recognise_gelu, Scalars(), X)
    assert targets(program) == ["aten.gelu.default"]
    assert not program.state_dict and not program.constants


def test_constants_may_be_computed_in_the_model() -> None:
    def form(x: torch.Tensor) -> torch.Tensor:
        return 0.5 * x * (1 + torch.tanh(torch.sqrt(torch.tensor(2 / math.pi)) * (x + 0.044715 * x**3)))

    program = exported(form, X)
    fold_constants.apply(program)
    assert recognise_gelu.apply(program) == 1 and targets(program) == ["aten.gelu.default"]


def test_each_of_several_is_found_and_what_is_around_it_stays() -> None:
    torch.manual_seed(0)
    first, second = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 1)

    def model(x: torch.Tensor) -> torch.Tensor:
        y = EXACT["halved sum"](first(x) * 3 + 1) + x
        return TANH["cube"](second(y)) * 0.5

    program = prove(recognise_gelu, model, X, places=2)
    assert targets(program) == [
        "aten.conv2d.default", "aten.mul.Tensor", "aten.add.Tensor", "aten.gelu.default", "aten.add.Tensor",
        "aten.conv2d.default", "aten.gelu.default", "aten.mul.Tensor",
    ]  # fmt: skip


def test_the_input_may_be_read_elsewhere() -> None:
    program = prove(recognise_gelu, lambda x: EXACT["half first"](x) + torch.tanh(x) * x, X)
    assert targets(program).count("aten.gelu.default") == 1


def half(value: float) -> float:
    return float(torch.tensor(value, dtype=torch.float16))


OTHERS: dict[str, Form] = {
    "quick gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "swish": lambda x: x * torch.sigmoid(x),
    "mish": lambda x: x * torch.tanh(functional.softplus(x)),
    "without the root": lambda x: 0.5 * x * (1 + torch.erf(x)),
    "root in three digits": lambda x: 0.5 * x * (1 + torch.erf(x / 1.414)),
    "root in half precision": lambda x: 0.5 * x * (1 + torch.erf(x / half(ROOT))),
    "another cubic": lambda x: 0.5 * x * (1 + torch.tanh(INNER * (x + 0.0447 * x**3))),
    "cubic in half precision": lambda x: 0.5 * x * (1 + torch.tanh(INNER * (x + half(0.044715) * x**3))),
    "a fourth power": lambda x: 0.5 * x * (1 + torch.tanh(INNER * (x + 0.044715 * x**4))),
    "no cubic": lambda x: 0.5 * x * (1 + torch.tanh(INNER * x)),
    "erf of the cubic": lambda x: 0.5 * x * (1 + torch.erf(INNER * (x + 0.044715 * x**3))),
    "not halved": lambda x: x * (1 + torch.erf(x / ROOT)),
    "other sign": lambda x: 0.5 * x * (1 - torch.erf(x / ROOT)),
    "other offset": lambda x: 0.5 * x * (2 + torch.erf(x / ROOT)),
    "squared": lambda x: 0.5 * x * x * (1 + torch.erf(x / ROOT)),
    "gate squared": lambda x: 0.5 * x * (1 + torch.erf(x / ROOT)) ** 2,
    "of another": lambda x: 0.5 * x.relu() * (1 + torch.erf(x / ROOT)),
    "divided by x": lambda x: 0.5 * (1 + torch.erf(x / ROOT)) / x,
    "per channel": lambda x: 0.5 * x * (1 + torch.erf(x / torch.full((8, 1, 1), ROOT))),
    "broadcast": lambda x: 0.5 * x[:1, :1] * (1 + torch.erf(x / ROOT)),
    "gate returned": lambda x: torch.cat([0.5 * x * (1 + (gate := torch.erf(x / ROOT))), gate]),
    "half returned": lambda x: torch.cat([(y := 0.5 * x) * (1 + torch.erf(x / ROOT)), y]),
    "derivative": lambda x: 0.5 * (1 + torch.erf(x / ROOT)) + x * torch.exp(-0.5 * x * x),
}


@pytest.mark.parametrize("form", OTHERS)
def test_other_functions_and_gates_that_are_read_elsewhere_stay(form: str) -> None:
    refuse(recognise_gelu, OTHERS[form], X)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_stay(dtype: torch.dtype) -> None:
    refuse(recognise_gelu, EXACT["half first"], X.to(dtype))


def test_an_input_that_is_overwritten_on_the_way_stays() -> None:
    def form(x: torch.Tensor) -> torch.Tensor:
        y = x + 1
        gate = 1 + torch.erf(y / ROOT)
        return y.mul_(0.5) * gate

    def after(x: torch.Tensor) -> torch.Tensor:
        y = x + 1
        z = 0.5 * y * (1 + torch.erf(y / ROOT))
        return z + y.mul_(2)

    refuse(recognise_gelu, form, X)
    assert "aten.mul_.Tensor" in targets(exported(after, X))
    program = exported(after, X)
    recognise_gelu.apply(program)
    with torch.no_grad():
        assert torch.allclose(program.module()(X), after(X), atol=1e-6)


def test_a_long_sum_before_it_is_no_trouble() -> None:
    def form(x: torch.Tensor) -> torch.Tensor:
        for _ in range(1500):
            x = x + 1e-6
        return EXACT["half first"](x)

    program = exported(form, X)
    assert recognise_gelu.apply(program) == 1


def test_it_comes_after_the_constants_are_folded_and_before_anything_reads_a_gelu() -> None:
    order = [rewrite.name for rewrite in rewrites.REWRITES]
    assert order.index("fold_constants") < order.index("recognise_gelu") < order.index("fold_affine")
    assert order.index("recognise_gelu") < order.index("tanh_gelu")


FOUND = {"exact": EXACT["multiplied out"], "tanh": TANH["transformers, FastGELU"]}
each_form = pytest.mark.parametrize("form", FOUND)


def test_xnnpack_takes_the_whole_model(tmp_path: Path) -> None:
    conversion, parity = convert("executorch", tmp_path, FOUND["exact"], X)
    assert parity.passed and conversion.partitions == 1 and not conversion.undelegated_ops
    before, _ = convert("executorch", tmp_path, FOUND["exact"], X, without=("recognise_gelu",))
    assert before.partitions == 2 and [op.op for op in before.undelegated_ops or ()] == ["aten.erf.out"]


def test_xnnpack_gets_the_tanh_form_and_not_the_exact_one(tmp_path: Path) -> None:
    conversion, parity = convert("executorch", tmp_path, FOUND["tanh"], X)
    assert parity.max_abs is not None and parity.max_abs < 2e-6
    assert conversion.partitions == 1 and not conversion.undelegated_ops


@each_form
def test_litert_gets_one_operator(form: str, tmp_path: Path) -> None:
    _, parity = convert("litert", tmp_path, FOUND[form], X)
    assert parity.max_abs is not None and parity.max_abs < 2e-6
    assert _litert_operators(tmp_path) == ["GELU"]
    convert("litert", tmp_path, FOUND[form], X, without=("recognise_gelu",))
    assert "GELU" not in _litert_operators(tmp_path)


def _litert_operators(folder: Path) -> list[str]:
    details = Interpreter(str(folder / "model.tflite"))._get_ops_details()
    return [op["op_name"] for op in details if op["op_name"] != "DELEGATE"]


@each_form
def test_core_ml_gets_one_operator(form: str, tmp_path: Path) -> None:
    _, parity = convert("coreml", tmp_path, FOUND[form], X)
    assert parity.max_abs is not None and parity.max_abs < 2e-6
    assert load(tmp_path / "model.mlpackage").operators() == {"gelu": 1}
    convert("coreml", tmp_path, FOUND[form], X, without=("recognise_gelu",))
    assert "gelu" not in load(tmp_path / "model.mlpackage").operators()


@each_form
def test_onnx_gets_one_operator(form: str, tmp_path: Path) -> None:
    _, parity = convert("onnx", tmp_path, FOUND[form], X)
    assert parity.passed
    nodes = onnx.load(tmp_path / "model.onnx").graph.node
    assert [node.op_type for node in nodes if node.op_type != "Constant"] == ["Gelu"]
