"""Each operator against PyTorch: a function, converted by coremltools, must compute what eager PyTorch computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from mil_programs import TorchCase, relative, run_torch_cases, tensor
from torch.nn import functional as F

IMAGE = (1, 4, 9, 7)
_W = {
    "dense": tensor(6, 4, 3, 3, seed=1) * 0.3,
    "deep": tensor(4, 1, 3, 3, seed=2) * 0.3,
    "grouped": tensor(8, 2, 3, 3, seed=3) * 0.3,
    "transposed": tensor(4, 3, 3, 3, seed=4) * 0.3,
    "one": tensor(6, 4, 3, seed=5) * 0.3,
    "linear": tensor(5, 7, seed=6),
    "bias": tensor(6, seed=7),
    "positive": tensor(4, seed=8).abs() + 0.5,
    "table": tensor(10, 6, seed=9),
}


def case(name: str, function: Callable[..., Any], *inputs: torch.Tensor) -> TorchCase:
    return TorchCase(name, function, inputs or (tensor(*IMAGE),))


def _positive(*shape: int) -> torch.Tensor:
    return tensor(*shape, seed=11).abs() + 0.1


ACTIVATIONS = [
    case("relu", torch.relu),
    case("relu6", lambda x: F.relu6(x * 5)),
    case("leaky_relu", lambda x: F.leaky_relu(x, 0.1)),
    case("prelu", lambda x: F.prelu(x, _W["positive"])),
    case("elu", lambda x: F.elu(x, 0.7)),
    case("gelu", F.gelu),
    case("silu", F.silu),
    case("mish", F.mish),
    case("hardswish", lambda x: F.hardswish(x * 3)),
    case("hardsigmoid", lambda x: F.hardsigmoid(x * 3)),
    case("hardtanh", lambda x: F.hardtanh(x, -0.5, 0.7)),
    case("sigmoid", torch.sigmoid),
    case("tanh", torch.tanh),
    case("softplus", F.softplus),
    case("softplus_beta", lambda x: F.softplus(x, beta=2)),
    case("softmax", lambda x: F.softmax(x, dim=1)),
    case("softmax_last", lambda x: F.softmax(x * 10, dim=-1)),
    case("log_softmax", lambda x: F.log_softmax(x, dim=1)),
    case("threshold", lambda x: F.threshold(x, 0.2, 0.0)),
    case("glu", lambda x: F.glu(x, dim=1)),
]

ELEMENTWISE = [
    case("abs", torch.abs),
    case("neg", torch.neg),
    case("sqrt", torch.sqrt, _positive(2, 5)),
    case("rsqrt", torch.rsqrt, _positive(2, 5)),
    case("exp", torch.exp),
    case("log", torch.log, _positive(2, 5)),
    case("erf", torch.erf),
    case("sin_cos", lambda x: torch.sin(x) * torch.cos(x)),
    case("tan", torch.tan, tensor(2, 5) * 0.3),
    case("asin_acos", lambda x: torch.asin(x) + 2 * torch.acos(x), tensor(2, 5).tanh()),
    case("atan", torch.atan),
    case("atanh", torch.atanh, tensor(2, 5).tanh() * 0.9),
    case("sinh_cosh", lambda x: torch.sinh(x) - torch.cosh(x)),
    case("sign", torch.sign),
    case("ceil", lambda x: torch.ceil(x * 3)),
    case("round", lambda x: torch.round(x), torch.tensor([-2.5, -1.5, -0.5, 0.4, 0.5, 1.5, 2.6])),
    case("square", torch.square),
    case("clamp", lambda x: x.clamp(-0.3, 0.4)),
    case("clamp_min", lambda x: x.clamp_min(0.1)),
    case("add_broadcast", lambda x, y: x + y, tensor(2, 3, 1), tensor(3, 4, seed=1)),
    case("sub", lambda x, y: x - 2 * y, tensor(2, 3), tensor(2, 3, seed=1)),
    case("mul", lambda x, y: x * y, tensor(2, 3), tensor(3, seed=1)),
    case("div", lambda x, y: x / y, tensor(2, 3), _positive(2, 3)),
    case("floor_divide", lambda x, y: torch.div(x, y, rounding_mode="floor"), tensor(3, 4) * 5, _positive(3, 4)),
    case("remainder", torch.remainder, tensor(3, 4) * 5, _positive(3, 4)),
    case("pow", lambda x: x**3),
    case("pow_tensor", torch.pow, _positive(2, 3), tensor(2, 3)),
    case("maximum", torch.maximum, tensor(2, 3), tensor(2, 3, seed=1)),
    case("minimum", torch.minimum, tensor(2, 3), tensor(2, 3, seed=1)),
    case("where", lambda x, y: torch.where(x > y, x, y * 2), tensor(2, 3), tensor(2, 3, seed=1)),
    case(
        "compare",
        lambda x, y: torch.logical_or(torch.logical_and(x >= y, x <= 2 * y), x < -1).float(),
        tensor(4, 9),
        tensor(4, 9, seed=1),
    ),
    case("not_equal", lambda x: torch.logical_xor(x.round() != 0, x > 1).float(), tensor(4, 9)),
    case("logical_not", lambda x: (~(x > 0)).float(), tensor(4, 9)),
    case("masked_fill", lambda x: x.masked_fill(x < 0, 3.0)),
    case("to_int", lambda x: (x * 3).to(torch.int32)),
]

CONVOLUTIONS = [
    case("conv", lambda x: F.conv2d(x, _W["dense"], _W["bias"], padding=1)),
    case("conv_stride", lambda x: F.conv2d(x, _W["dense"], stride=2, padding=(1, 0))),
    case("conv_dilated", lambda x: F.conv2d(x, _W["dense"], padding=2, dilation=2)),
    case("conv_same", lambda x: F.conv2d(x, _W["dense"][..., :2], padding="same")),
    case("conv_depthwise", lambda x: F.conv2d(x, _W["deep"], padding=1, groups=4)),
    case("conv_grouped", lambda x: F.conv2d(x, _W["grouped"], groups=2)),
    case("conv1d", lambda x: F.conv1d(x, _W["one"], _W["bias"], stride=2, padding=1), tensor(1, 4, 11)),
    case("conv3d", lambda x: F.conv3d(x, _W["dense"][..., None], padding=(1, 1, 0)), tensor(1, 4, 5, 4, 3)),
    case("conv_transpose", lambda x: F.conv_transpose2d(x, _W["transposed"], stride=2, padding=1)),
    case("conv_transpose_out", lambda x: F.conv_transpose2d(x, _W["transposed"], _W["bias"][:3], 2, 1, 1)),
    case("conv_transpose_grouped", lambda x: F.conv_transpose2d(x, _W["transposed"], stride=3, groups=2)),
    case("conv_transpose1d", lambda x: F.conv_transpose1d(x, _W["one"][:4], stride=2), tensor(1, 4, 5)),
]

POOLS = [
    case("max_pool", lambda x: F.max_pool2d(x, 3, 2, 1)),
    case("max_pool_ceil", lambda x: F.max_pool2d(x, 2, 2, ceil_mode=True)),
    case("max_pool1d", lambda x: F.max_pool1d(x, 3, 2), tensor(1, 4, 11)),
    case("avg_pool", lambda x: F.avg_pool2d(x, 3, 2, 1)),
    case("avg_pool_no_pad", lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)),
    case("avg_pool_ceil", lambda x: F.avg_pool2d(x, 2, 2, ceil_mode=True)),
    case("avg_pool_ceil_pad", lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), tensor(1, 4, 8, 10)),
    case("avg_pool3d", lambda x: F.avg_pool3d(x, 2), tensor(1, 4, 6, 4, 4)),
    case("adaptive", lambda x: F.adaptive_avg_pool2d(x, 1)),
    case("adaptive_3", lambda x: F.adaptive_avg_pool2d(x, 3), tensor(1, 4, 9, 6)),
    case("adaptive_max", lambda x: F.adaptive_max_pool2d(x, 1)),
]

NORMS = [
    case("batch_norm", lambda x: F.batch_norm(x, _W["bias"][:4], _W["positive"], _W["bias"][:4], _W["positive"])),
    case("layer_norm", lambda x: F.layer_norm(x, (7,), _W["linear"][0], _W["linear"][1], 1e-6)),
    case("layer_norm_two", lambda x: F.layer_norm(x, (9, 7))),
    case("group_norm", lambda x: F.group_norm(x, 2, _W["positive"], _W["bias"][:4])),
    case("instance_norm", lambda x: F.instance_norm(x, weight=_W["positive"], bias=_W["bias"][:4])),
    case("normalize", lambda x: F.normalize(x, dim=1)),
]

LINEAR = [
    case("linear", lambda x: F.linear(x, _W["linear"], _W["bias"][:5])),
    case("matmul", torch.matmul, tensor(2, 3, 4), tensor(2, 4, 5)),
    case("matmul_broadcast", torch.matmul, tensor(2, 1, 3, 4), tensor(3, 4, 5)),
    case("matmul_transposed", lambda x, y: x @ y.transpose(-1, -2), tensor(2, 3, 4), tensor(2, 5, 4)),
    case("einsum", lambda x, y: torch.einsum("bhid,bhjd->bhij", x, y), tensor(1, 2, 3, 4), tensor(1, 2, 5, 4)),
    case("einsum_nchw", lambda x, y: torch.einsum("nchw,nwhu->nchu", x, y), tensor(1, 2, 3, 4), tensor(1, 4, 3, 5)),
    case("attention", F.scaled_dot_product_attention, tensor(1, 2, 5, 4), tensor(1, 2, 6, 4), tensor(1, 2, 6, 3)),
    case("bmm", torch.bmm, tensor(2, 3, 4), tensor(2, 4, 5)),
    case("addmm", torch.addmm, tensor(5), tensor(3, 4), tensor(4, 5)),
]

REDUCTIONS = [
    case("mean", lambda x: x.mean((2, 3))),
    case("mean_keep", lambda x: x.mean(1, keepdim=True)),
    case("sum", lambda x: x.sum(-1)),
    case("amax", lambda x: x.amax((2, 3), keepdim=True)),
    case("amin", lambda x: x.amin(1)),
    case("var", lambda x: x.var(1)),
    case("std", lambda x: x.std((2, 3), unbiased=False)),
    case("norm", lambda x: torch.linalg.vector_norm(x, dim=1)),
    case("norm_l1", lambda x: torch.linalg.vector_norm(x, ord=1, dim=(1, 2))),
    case("logsumexp", lambda x: torch.logsumexp(x, 1)),
    case("argmax", lambda x: x.argmax(1).to(torch.int32)),
    case("argmin", lambda x: x.argmin(-1, keepdim=True).to(torch.int32)),
    case("cumsum", lambda x: x.cumsum(2)),
    case("topk", lambda x: torch.topk(x, 3)[0]),
    case("sort", lambda x: torch.sort(x, dim=1)[0]),
]

SHAPES = [
    case("reshape", lambda x: x.reshape(2, -1, 7)),
    case("flatten", lambda x: x.flatten(1)),
    case("permute", lambda x: x.permute(0, 2, 3, 1)),
    case("unsqueeze", lambda x: x.unsqueeze(0).unsqueeze(-1), tensor(3, 4)),
    case("squeeze", lambda x: x.squeeze(0)),
    case("cat", lambda x, y: torch.cat([x, y, x], 1), tensor(1, 2, 3), tensor(1, 4, 3)),
    case("stack", lambda x, y: torch.stack([x, y], 2), tensor(1, 2, 3), tensor(1, 2, 3, seed=1)),
    case("split", lambda x: torch.split(x, [1, 3], 1)),
    case("chunk", lambda x: torch.chunk(x, 2, 1)),
    case("unbind", lambda x: torch.unbind(x, 0)[1], tensor(3, 2, 4)),
    case("repeat", lambda x: x.repeat(2, 1, 3, 1)),
    case("expand", lambda x: x.expand(3, 4, 5) * 2, tensor(3, 1, 5)),
    case("flip", lambda x: x.flip(2, 3)),
    case("roll", lambda x: torch.roll(x, (1, -2), (2, 3))),
    case("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2)),
    case("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2), tensor(1, 3, 4, 6)),
    case("channel_shuffle", lambda x: x.reshape(1, 2, 2, 9, 7).transpose(1, 2).reshape(1, 4, 9, 7)),
    case("slice", lambda x: x[:, 1:3, ::2, -5:-1]),
    case("select", lambda x: x[:, -1]),
    case("narrow", lambda x: x.narrow(2, 3, 4)),
    case("pad", lambda x: F.pad(x, (1, 2, 0, 1), value=0.5)),
    case("pad_reflect", lambda x: F.pad(x, (1, 2, 3, 1), mode="reflect")),
    case("pad_replicate", lambda x: F.pad(x, (1, 2, 3, 1), mode="replicate")),
    case("unfold", lambda x: F.unfold(x, 3, stride=2)),
    case("gather", lambda x: torch.gather(x, 1, torch.tensor([[0, 2], [1, 1]])), tensor(2, 3)),
    case("index_select", lambda x: torch.index_select(x, 2, torch.tensor([4, 0, 4]))),
    case("index", lambda x: x[:, torch.tensor([2, 0])]),
    case("embedding", lambda x: F.embedding(x, _W["table"]), torch.tensor([[1, 9], [0, 3]], dtype=torch.int32)),
    case("tril", lambda x: torch.tril(x), tensor(5, 5)),
    case("triu", lambda x: torch.triu(x, 1), tensor(5, 5)),
    case("arange", lambda x: x + torch.arange(7)),
    case("full", lambda x: x + torch.full((7,), 2.5)),
    case("scatter", lambda x: torch.zeros(2, 4).scatter(1, torch.tensor([[0, 2], [1, 3]]), x), tensor(2, 2)),
]

RESIZES = [
    case("bilinear", lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)),
    case("bilinear_corners", lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)),
    case("bilinear_size", lambda x: F.interpolate(x, size=(14, 5), mode="bilinear", align_corners=False)),
    case("nearest", lambda x: F.interpolate(x, scale_factor=3, mode="nearest")),
    case("nearest_size", lambda x: F.interpolate(x, size=(18, 21), mode="nearest")),
    case("grid_sample", lambda x, g: F.grid_sample(x, g, align_corners=False), tensor(1, 2, 5, 6), tensor(1, 3, 4, 2)),
    case(
        "grid_sample_border",
        lambda x, g: F.grid_sample(x, g, padding_mode="border", align_corners=True),
        tensor(1, 2, 5, 6),
        tensor(1, 3, 4, 2),
    ),
]

# coremltools 9 converts these to something else without a word: it ignores ``approximate`` and ``alpha`` of an exported
# program, and adds 1e-4 to the divisor.
CONVERTED_WRONGLY = [
    case("gelu_tanh", lambda x: F.gelu(x, approximate="tanh")),
    case("sub_alpha", lambda x, y: torch.sub(x, y, alpha=2), tensor(2, 3), tensor(2, 3, seed=1)),
    case("reciprocal", torch.reciprocal, _positive(2, 5)),
]

# One program each: in one of all, coremltools mixes up names (an operator's and a string argument's, for example).
FAMILIES = [ACTIVATIONS, ELEMENTWISE, CONVOLUTIONS, POOLS, NORMS, LINEAR, REDUCTIONS, SHAPES, RESIZES]
CASES = [case for family in FAMILIES for case in family]
Results = dict[str, tuple[list[np.ndarray], list[np.ndarray]]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The evaluated and the eager outputs of every case."""
    folder = tmp_path_factory.mktemp("mil")
    found: Results = {}
    for index, family in enumerate([*FAMILIES, CONVERTED_WRONGLY]):
        found |= run_torch_cases(family, folder / f"family{index}.mlpackage")
    return found


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_operator_agrees_with_torch(results: Results, name: str) -> None:
    evaluated, eager = results[name]
    assert len(evaluated) == len(eager)
    for actual, expected in zip(evaluated, eager, strict=True):
        assert relative(actual, expected) < 2e-5


@pytest.mark.parametrize("name", [case.name for case in CONVERTED_WRONGLY])
def test_wrong_conversion_is_seen(results: Results, name: str) -> None:
    (actual,), (expected,) = results[name]
    assert relative(actual, expected) > 1e-4
