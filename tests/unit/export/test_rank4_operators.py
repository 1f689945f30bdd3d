"""Windows, heads and masks leave no tensor of more than four axes behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rewrite_proof import Program, convert, error, exported, random, refuse
from torch import Tensor, nn
from torch.nn import functional

from edgekit.export.rewrites import rank4_operators, rank4_permute

X = random(2, 3, 4, 5, 6)


def ranks(program: Program) -> list[int]:
    values = [n.meta.get("val") for n in program.graph.nodes if n.op == "call_function"]
    return [v.dim() for v in values if isinstance(v, Tensor)]


FORMS: dict[str, Callable[[Tensor], Any]] = {
    "unbind": lambda x: [t * 2 for t in x.unbind(1)],
    "unbind the last": lambda x: x.unbind(-1)[2] * 2,
    "split": lambda x: [t.sum((0, 1, 2)) for t in x.split([1, 3], 2)],
    "chunk": lambda x: [t.sum((0, 1, 2)) for t in x.chunk(2, -1)],
    "select": lambda x: x[:, :, -1] * 2,
    "slice": lambda x: x[:, :, 1:, ::2].sum((0, 4)),
    "cat": lambda x: torch.cat((x, x * 2), 2).sum((0, 1)),
    "stack": lambda x: torch.stack((x[0], x[1] * 2), 2).sum((0, 1)),
    "softmax": lambda x: x.softmax(-1).sum((0, 1)),
    "softmax inside": lambda x: x.softmax(2).sum((0, 1)),
    "scale and activation": lambda x: functional.gelu(x * 0.5 + 1).sum((0, 1)),
    "a mask per window": lambda x: (x + x[:1, :, :1]).sum((0, 1)),
    "expand": lambda x: x[:, :, :1].expand(2, 3, 4, 5, 6).sum((0, 1)),
    "mean inside": lambda x: x.mean((2, 3), keepdim=True).sum((0, 1)),
    "maximum": lambda x: x.amax(1, keepdim=True).amin((3, 4)),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_operator_gets_at_most_four_axes_and_keeps_its_value(form: str) -> None:
    program = exported(FORMS[form], X)
    assert max(ranks(program)) <= 5 and rank4_operators.apply(program) >= 1
    assert rank4_operators.apply(program) == 0
    assert error(program, FORMS[form], X) <= 1e-6
    assert max(ranks(program)) <= 4


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.layer = nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return (self.layer(self.norm(x)) @ x[..., :3, :]).flatten(2)


def test_layers_and_products_have_at_most_four_axes() -> None:
    program = exported(Layers(), X)
    assert rank4_operators.apply(program) >= 3 and error(program, Layers(), X) <= rank4_operators.BOUND
    assert max(ranks(program)) <= 4


class Windows(nn.Module):
    """Shifted-window attention as timm's Swin writes it, with a mask per window."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.qkv = nn.Linear(8, 24)
        self.register_buffer("mask", torch.where(random(4, 4, 4) > 1, -100.0, 0.0))
        self.register_buffer("bias", random(2, 4, 4, seed=1))

    def forward(self, x: Tensor) -> Tensor:
        windows = x.view(1, 2, 2, 2, 2, 8).permute(0, 1, 3, 2, 4, 5).contiguous().view(4, 4, 8)
        q, k, v = self.qkv(windows).reshape(4, 4, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q * 0.5) @ k.transpose(-2, -1) + self.bias.unsqueeze(0)
        scores = scores.view(1, 4, 2, 4, 4) + self.mask.unsqueeze(1).unsqueeze(0)
        y = (scores.view(4, 2, 4, 4).softmax(-1) @ v).transpose(1, 2).reshape(4, 4, 8)
        return y.view(1, 2, 2, 2, 2, 8).permute(0, 1, 3, 2, 4, 5).contiguous().view(1, 4, 4, 8)


def test_window_attention_is_left_with_four_axes() -> None:
    x = random(1, 4, 4, 8)
    program = exported(Windows(), x)
    assert max(ranks(program)) == 6
    assert rank4_permute.apply(program) == 3 and rank4_operators.apply(program) > 0
    assert max(ranks(program)) <= 4
    assert error(program, Windows(), x) <= rank4_operators.BOUND


def test_what_has_four_axes_or_is_written_into_stays() -> None:
    def writes(x: Tensor) -> Tensor:
        y = x * 1
        y[:, :, 0] = 0.0
        return y.sum((0, 1))

    refuse(rank4_operators, lambda x: (x.softmax(-1), x.unbind(1)[0] * 2, x + 1), random(2, 3, 4, 5))
    program = exported(writes, X)
    rank4_operators.apply(program)
    assert error(program, writes, X) <= 1e-6


def test_a_copy_that_is_taken_before_a_write_stays() -> None:
    def model(x: Tensor) -> Tensor:
        y = x * 1
        kept = y.clone()
        y.add_(1)
        return (kept * y).sum((0, 1))

    program = exported(model, X)
    rank4_operators.apply(program)
    assert error(program, model, X) <= 1e-6


@pytest.mark.parametrize("format_name", ["litert", "coreml"])
def test_window_attention_converts_with_four_axes(format_name: str, tmp_path: Path) -> None:
    x = random(1, 4, 4, 8)
    _, parity = convert(format_name, tmp_path, Windows(), x)
    assert parity.passed
    if format_name == "litert":
        assert largest_rank(tmp_path / "model.tflite") <= 4


def largest_rank(path: Path) -> int:
    from ai_edge_litert.interpreter import Interpreter

    return max(len(tensor["shape"]) for tensor in Interpreter(str(path)).get_tensor_details())


def test_core_ml_takes_six_axes_only_when_they_are_merged(tmp_path: Path) -> None:
    def model(x: Tensor) -> Tensor:
        return (x.reshape(1, 2, 4, 5, 3, 4).permute(0, 3, 5, 1, 4, 2) * 2).reshape(1, 20, 24)

    x = random(1, 8, 5, 12)
    assert convert("coreml", tmp_path, model, x)[1].passed
    with pytest.raises(ValueError, match="rank"):
        convert("coreml", tmp_path, model, x, without=("rank4_permute", "rank4_operators"))
