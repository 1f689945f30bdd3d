"""Parallel linear branches become one layer: whose, within which bound, at which cost, and what stays."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rewrite_proof import Program, convert, error, exported, prove, random, refuse, targets
from torch import nn
from torch.nn import functional

from edgekit.export.rewrites import aliasing, fold_affine, fold_batch_norm, fold_constants, reparameterise
from edgekit.model.torchvision_ops import make_importable

X = random(2, 6, 9, 8)
TOKENS = random(2, 5, 6)
LAYERS = ("aten.conv2d.default", "aten.conv1d.default", "aten.linear.default")


def trained(module: nn.Module, seed: int = 1) -> nn.Module:
    """Norms, scales and biases that move every channel."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.running_mean.uniform_(-0.5, 0.5, generator=generator)
            layer.running_var.uniform_(0.3, 2.0, generator=generator)
            with torch.no_grad():
                layer.weight.uniform_(0.5, 1.5, generator=generator)
                layer.bias.uniform_(-0.5, 0.5, generator=generator)
    return module.eval()


def conv_norm(channels: int, size: int, **options: Any) -> nn.Sequential:
    convolution = nn.Conv2d(channels, channels, size, padding=size // 2, bias=False, **options)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels))


class RepVgg(nn.Module):
    """3x3 + 1x1 + batch norm, then the activation in place."""

    def __init__(self, channels: int = 6, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.dense = conv_norm(channels, 3, stride=stride, groups=groups)
        self.point = conv_norm(channels, 1, stride=stride, groups=groups)
        self.norm = nn.BatchNorm2d(channels) if stride == 1 else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = 0 if self.norm is None else self.norm(x)
        return functional.relu(self.dense(x) + self.point(x) + skip, inplace=True)


class MobileOne(nn.Module):
    """A loop over copies that adds in place, a 1x1 branch and a norm."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.scale, self.identity = conv_norm(channels, 1, groups=channels), nn.BatchNorm2d(channels)
        self.copies = nn.ModuleList(conv_norm(channels, 3, groups=channels) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = 0
        for copy in self.copies:
            out += copy(x)
        out += self.scale(x)
        out += self.identity(x)
        return functional.relu(out, inplace=True)


class RepMixer(nn.Module):
    """FastViT's token mixer: x + scale * (mixer(x) - norm(x))."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.mixer, self.norm = MobileOne(channels), nn.BatchNorm2d(channels)
        self.gamma = nn.Parameter(torch.linspace(-1, 1, channels)[:, None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixer = self.mixer
        mixed = mixer.scale(x) + mixer.identity(x) + sum(copy(x) for copy in mixer.copies)
        return x + self.gamma * (mixed - self.norm(x))


class LargeKernel(nn.Module):
    """A depthwise 7x7 with a 3x3 beside it and a dilated 3x3 (UniRepLKNet), normed each."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.large, self.small = conv_norm(channels, 7, groups=channels), conv_norm(channels, 3, groups=channels)
        self.wide = nn.Conv2d(channels, channels, 3, padding=3, dilation=3, groups=channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.large(x) + self.small(x) + self.wide(x)


class Crossed(nn.Module):
    """A 3x3 with 1x3 and 3x1 beside it (ACNet)."""

    def __init__(self) -> None:
        super().__init__()
        self.square = nn.Conv2d(6, 4, 3, padding=1)
        self.row, self.column = nn.Conv2d(6, 4, (1, 3), padding=(0, 1)), nn.Conv2d(6, 4, (3, 1), padding="same")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.square(x) + self.row(x) - self.column(x)


class Mixed(nn.Module):
    """Branches of different groups, and a norm over all (RepViT)."""

    def __init__(self) -> None:
        super().__init__()
        self.halves = nn.Conv2d(6, 6, 3, padding=1, groups=2)
        self.each, self.norm = nn.Conv2d(6, 6, 1, groups=6), nn.BatchNorm2d(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.halves(x) / 2 + self.each(x) * 0.3 + x)


class RepNormOverConv(nn.Module):
    """alpha * y + norm(y) of a convolution's result, which both read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.alpha = nn.Conv2d(6, 6, 3), nn.BatchNorm2d(6), nn.Parameter(torch.tensor([0.7]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return self.alpha * y + self.norm(y)


class Heads(nn.Module):
    """Two classifiers, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(6, 10), nn.Linear(6, 10, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.one(x) + self.two(x)) / 2


class Residual(nn.Module):
    """x + scale * layer(other), without and with a sign."""

    def __init__(self, layer: nn.Module, shape: tuple[int, ...], sign: int = 1) -> None:
        super().__init__()
        self.layer, self.sign = layer, sign
        self.gamma = nn.Parameter(torch.linspace(0.2, 1.5, math.prod(shape)).reshape(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled = self.layer(functional.gelu(x)) * self.gamma
        return x + scaled if self.sign > 0 else scaled - x


class Position(nn.Module):
    """A conditional positional encoding: x + depthwise(x)."""

    def __init__(self, kind: type[nn.Module] = nn.Conv2d, size: int = 7) -> None:
        super().__init__()
        self.conv = kind(6, 6, size, padding=size // 2, groups=6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + x


def merged(model: nn.Module, *inputs: torch.Tensor, places: int = 1) -> Program:
    """Proved within the bound after what comes before it in the table."""
    program = exported(trained(model), *inputs)
    fold_constants.apply(program)
    fold_batch_norm.apply(program)
    macs = sum_of_macs(program)
    assert reparameterise.apply(program) == places
    assert reparameterise.apply(program) == 0
    assert error(program, model, *inputs) <= reparameterise.BOUND
    assert sum_of_macs(program) <= macs
    prove(reparameterise, model, *inputs, places=places)
    return program


def sum_of_macs(program: Program) -> int:
    layers = [node for node in program.graph.nodes if str(node.target) in LAYERS or "conv2d" in str(node.target)]
    return sum(
        node.meta["val"].numel() * math.prod(node.args[1].meta["val"].shape[1:])
        for node in layers
        if node.op == "call_function"
    )


ONE_LAYER: dict[str, tuple[Callable[[], nn.Module], torch.Tensor]] = {
    "RepVGG": (RepVgg, X),
    "RepVGG, stride 2": (lambda: RepVgg(stride=2), X),
    "RepVGG, groups": (lambda: RepVgg(groups=2), X),
    "MobileOne": (MobileOne, X),
    "FastViT's RepMixer": (RepMixer, X),
    "large kernel": (LargeKernel, X),
    "crossed kernels": (Crossed, X),
    "groups of two sizes": (Mixed, X),
    "alpha and norm of a convolution": (RepNormOverConv, X),
    "positional encoding": (Position, X),
    "1-d positional encoding": (lambda: Position(nn.Conv1d, 3), X[..., 0]),
    "averaged heads": (Heads, TOKENS),
    "averaged heads of one row": (Heads, TOKENS[:, 0]),
    "an offset": (lambda: nn.Sequential(nn.Conv2d(6, 4, 3, bias=False), Plus((4, 1, 1))), X),
}


class Plus(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.linspace(-1, 1, math.prod(shape)).reshape(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.offset


@pytest.mark.parametrize("name", ONE_LAYER)
def test_the_branches_become_one_layer(name: str) -> None:
    make, x = ONE_LAYER[name]
    torch.manual_seed(0)
    program = merged(make(), x)
    (layer,) = (t for t in targets(program) if "relu" not in t)
    assert layer == (LAYERS[2] if isinstance(make(), Heads) else LAYERS[4 - x.dim()])


@pytest.mark.parametrize(
    ("layer", "shape", "x", "sign"),
    [
        (nn.Conv2d(6, 6, 3, padding=1), (6, 1, 1), X, 1),
        (nn.Conv2d(6, 6, 3, padding=1, groups=3), (1, 6, 1, 1), X, -1),
        (nn.Linear(6, 6), (6,), TOKENS, 1),
        (nn.Linear(6, 6, bias=False), (1,), TOKENS, -1),
    ],
    ids=["conv2d", "conv2d, subtracted", "linear", "linear by a number, subtracted"],
)
def test_a_layer_scale_goes_into_the_layer_and_the_residual_stays(
    layer: nn.Module, shape: tuple[int, ...], x: torch.Tensor, sign: int
) -> None:
    program = merged(Residual(layer, shape, sign), x)
    joining = "aten.add.Tensor" if sign > 0 else "aten.sub.Tensor"
    assert len(targets(program)) == 3 and {"aten.gelu.default", joining} < set(targets(program))


def test_a_chain_of_blocks_is_merged_block_by_block() -> None:
    program = merged(nn.Sequential(RepVgg(), MobileOne(), RepMixer(), Position()), X, places=4)
    assert [t for t in targets(program) if "relu" not in t] == ["aten.conv2d.default"] * 4


def test_an_affine_alone_keeps_one_product_and_one_sum() -> None:
    class Affine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.gelu(self.norm(x) + 0.5 * x - 1)

    assert targets(merged(Affine(), X)) == ["aten.mul.Tensor", "aten.add.Tensor", "aten.gelu.default"]


class Pair(nn.Module):
    """Two convolutions of x, added; ``change`` spoils it."""

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(x) + self.second(x)


NOT_MERGED = {
    "a dense 1x1 and a depthwise 7x7": (nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 7, padding=3, groups=6)),
    "1x3 and 3x1": (nn.Conv2d(6, 6, (1, 3), padding=(0, 1)), nn.Conv2d(6, 6, (3, 1), padding=(1, 0))),
    "two dilations": (nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=3, dilation=3)),
}


@pytest.mark.parametrize("name", NOT_MERGED)
def test_what_would_cost_multiplications_stays(name: str) -> None:
    refuse(reparameterise, Pair(*NOT_MERGED[name]), X)


def test_a_sparse_grid_holds_two_dilated_kernels() -> None:
    wide = [nn.Conv2d(6, 6, size, padding=size - 1, dilation=2, groups=6) for size in (3, 5)]
    assert targets(merged(Pair(*wide), random(1, 6, 16, 16))) == ["aten.conv2d.default"]


def test_kernels_that_read_elsewhere_are_moved_there() -> None:
    corner, centre = nn.Conv2d(6, 6, 2, stride=2), nn.Conv2d(6, 6, 3, stride=2, padding=1)
    assert targets(merged(Pair(corner, centre), random(1, 6, 8, 8))) == ["aten.conv2d.default"]


class Refused(nn.Module):
    def __init__(self, forward: Callable[[Any, torch.Tensor], Any]) -> None:
        super().__init__()
        self.conv, self.other = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.map = nn.Parameter(torch.rand(9, 8))
        self.function = forward

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, x)


def shared_weight(m: Any, x: torch.Tensor) -> Any:
    return m.conv(x) + functional.conv2d(x, m.conv.weight)[..., :1, :1]


def weight_used_twice(m: Any, x: torch.Tensor) -> Any:
    return (
        functional.conv2d(x, m.conv.weight, padding=1) + functional.conv2d(torch.relu(x), m.conv.weight, padding=1) * 2
    )


def branch_read_elsewhere(m: Any, x: torch.Tensor) -> Any:
    y = m.conv(x)
    return y + m.other(x), torch.relu(y)


def scale_per_pixel(m: Any, x: torch.Tensor) -> Any:
    return m.conv(x) * m.map


def scale_that_depends_on_x(m: Any, x: torch.Tensor) -> Any:
    return m.conv(x) * x.mean((2, 3), keepdim=True)


def broadcast_branch(m: Any, x: torch.Tensor) -> Any:
    return m.conv(x) + m.other(x.mean((2, 3), keepdim=True))


def different_inputs(m: Any, x: torch.Tensor) -> Any:
    return m.conv(x) + m.other(torch.relu(x))


def training_norm(m: Any, x: torch.Tensor) -> Any:
    return x + functional.batch_norm(x, None, None, training=True)


def activation_between(m: Any, x: torch.Tensor) -> Any:
    return torch.relu(m.conv(x)) + torch.relu(m.other(x))


def overwritten_in_between(m: Any, x: torch.Tensor) -> Any:
    hidden = x * x
    first = m.conv(hidden)
    hidden.relu_()  # the second convolution reads another tensor than the first
    return first + m.other(hidden)


def result_seen_through_a_view(m: Any, x: torch.Tensor) -> Any:
    y = m.conv(x)
    corner = y[:, :, :1, :1]
    y += m.other(x)  # changes the corner, too
    return y, corner * 2


def copy_that_is_overwritten(m: Any, x: torch.Tensor) -> Any:
    hidden = x * x
    copy = hidden + 0
    return copy.relu_() * hidden


@pytest.mark.parametrize(
    "forward",
    [
        shared_weight, weight_used_twice, branch_read_elsewhere, scale_per_pixel, scale_that_depends_on_x,
        broadcast_branch, different_inputs, training_norm, activation_between, overwritten_in_between,
        result_seen_through_a_view, copy_that_is_overwritten,
    ],
)  # fmt: skip
def test_a_near_miss_stays(forward: Callable[[Any, torch.Tensor], Any]) -> None:
    refuse(reparameterise, Refused(forward), X)


def test_another_dtype_stays() -> None:
    refuse(reparameterise, Position().double(), X.double())


def test_a_scale_that_float16_could_not_hold_stays() -> None:
    model = Residual(nn.Conv2d(6, 6, 3, padding=1), (6, 1, 1))
    model.gamma.data.fill_(1e-5)
    refuse(reparameterise, model, X)


def test_a_dense_convolution_of_x_and_x_itself_costs_nothing_more() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(6, 6, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.conv(x)

    assert targets(merged(Skip(), X)) == ["aten.conv2d.default"]


def test_writes_that_nobody_misses_are_no_obstacle_and_others_are_seen() -> None:
    def harmless(x: torch.Tensor) -> torch.Tensor:
        return (x * 2).relu_() + 1

    def read_again(x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        view = y[:1]
        y.relu_()
        return view + 1

    for function, safe in ((harmless, True), (read_again, False)):
        program = exported(function, X)
        product = next(n for n in program.graph.nodes if "mul" in n.name)
        aliases = aliasing.Aliases(program)
        assert aliases.functional(product) is safe
        assert aliases.written(product)


# What of the network is exported: the whole of it takes seconds and holds more of the same.
FAMILIES: dict[str, Callable[[Any], nn.Module]] = {
    "repvgg_a0": lambda m: nn.Sequential(m.stem, m.stages[0]),
    "mobileone_s0": lambda m: nn.Sequential(m.stem, m.stages[0]),
    "mobileone_s4": lambda m: nn.Sequential(m.stem, m.stages[0][0]),
    "fastvit_t8": lambda m: nn.Sequential(m.stem, m.stages[0], m.stages[1]),
    "repghostnet_050": lambda m: nn.Sequential(m.conv_stem, m.bn1, m.act1, m.blocks[:4]),
    "repvit_m1": lambda m: nn.Sequential(m.stem, m.stages[0]),
    "repvit_m1, head": lambda m: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 384), m.head),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_timms_families_end_up_as_timm_re_parameterises_them(name: str) -> None:
    make_importable()
    import timm
    from timm.utils.model import reparameterize_model

    torch.manual_seed(0)
    module = trained(FAMILIES[name](timm.create_model(name.partition(",")[0], num_classes=10)))
    x = random(1, 3, 32, 32)
    program = exported(module, x)
    for rewrite in (fold_constants, fold_batch_norm, fold_affine, reparameterise):
        rewrite.apply(program)
    with torch.no_grad():
        theirs = reparameterize_model(module).eval()
        expected, found = theirs(x), program.module()(x)
    layers = [m for m in theirs.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len([t for t in targets(program) if t in LAYERS]) == len(layers)
    assert not any("batch_norm" in t for t in targets(program))
    assert float((found - expected).abs().max()) <= reparameterise.BOUND * float(expected.abs().max())
    assert error(program, module, x) <= reparameterise.BOUND


@pytest.mark.parametrize("format_name", ["executorch", "coreml"])
def test_a_converted_file_holds_one_convolution_per_block(format_name: str, tmp_path: Path) -> None:
    model, x = trained(nn.Sequential(RepVgg(), RepMixer())), random(1, 6, 8, 8)
    conversion, parity = convert(format_name, tmp_path, model, x)
    assert parity.passed
    assert conversion.operators is not None and conversion.operators <= 4  # over 20 without the rewrite
