"""Everything that takes a tensor apart becomes slices and reshapes, bit by bit the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rewrite_proof import convert, prove, random, refuse, targets
from torch import Tensor, nn

from edgekit.export.rewrites import plain_slices

X = random(2, 6, 1, 5)

FORMS: dict[str, Callable[[Tensor], Any]] = {
    "select": lambda x: x[:, 2] * 2,
    "select the last": lambda x: x.select(-1, -1) * 2,
    "select from one": lambda x: x[:, :, 0] * 2,
    "unbind": lambda x: [t * 2 for t in x.unbind(1)],
    "unbind some": lambda x: x.unbind(-1)[3] * 2,
    "unbind one": lambda x: x.unbind(2)[0] * 2,
    "split": lambda x: [t * 2 for t in x.split(4, 1)],
    "split unevenly": lambda x: [t * 2 for t in x.split([1, 3, 2], 1)],
    "split sizes": lambda x: [t * 2 for t in torch.split_with_sizes(x, [2, 3], -1)],
    "chunk": lambda x: [t * 2 for t in x.chunk(4, 1)],
    "one chunk": lambda x: x.chunk(1, 1)[0] * 2,
    "tensor_split": lambda x: [t * 2 for t in x.tensor_split(4, 1)],
    "tensor_split at": lambda x: [t * 2 for t in x.tensor_split((1, 4), 1)],
    "squeeze": lambda x: x.squeeze() * 2,
    "squeeze an axis": lambda x: x.squeeze(2) * 2,
    "squeeze axes": lambda x: x[:1].squeeze((0, 2)) * 2,
    "unsqueeze": lambda x: x.unsqueeze(1) * 2,
    "of a transpose": lambda x: (lambda a, b: a + b)(*x.transpose(1, 3).chunk(2, 3)),
    "a gate": lambda x: (lambda a, b: a * torch.sigmoid(b))(*x.chunk(2, 1)),
    "returned": lambda x: (x.chunk(2, 1), x[:, 1], x.squeeze(2)),
}
PLACES = {"squeeze axes": 1, "returned": 3}


@pytest.mark.parametrize("form", FORMS)
def test_the_pieces_are_the_same_bit_by_bit(form: str) -> None:
    program = prove(plain_slices, FORMS[form], X, places=PLACES.get(form, 1))
    allowed = ("slice", "reshape", "mul", "add", "sigmoid", "transpose")
    assert all(any(name in t for name in allowed) for t in targets(program))


def test_what_is_whole_is_not_sliced() -> None:
    assert "aten.slice.Tensor" not in targets(prove(plain_slices, FORMS["one chunk"], X))


def test_an_input_is_never_returned_directly() -> None:
    program = prove(plain_slices, lambda x: x.chunk(1, 1)[0], X)
    (output,) = (node for node in program.graph.nodes if node.op == "output")
    assert output.args[0][0].op == "call_function"


def test_pieces_that_are_written_into_stay() -> None:
    def first(x: Tensor) -> Tensor:
        y = x * 1
        y[:, 0] = 0.0
        return y

    def chunk(x: Tensor) -> Tensor:
        y = x * 1
        y.chunk(2, 1)[0].add_(1)
        return y

    refuse(plain_slices, first, X)
    refuse(plain_slices, chunk, X)


def test_integers_and_empty_pieces_stay() -> None:
    refuse(plain_slices, lambda x: (x[0], x.unbind(0), x.chunk(2)), torch.arange(6).reshape(2, 3))
    refuse(plain_slices, lambda x: x.split([0, 6], 1)[1] + 1, X)


class Attention(nn.Module):
    """As timm writes it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.qkv, self.gate = nn.Linear(16, 48), nn.Linear(16, 32)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).reshape(1, 6, 3, 2, 8).permute(2, 0, 3, 1, 4).unbind(0)
        y = ((q * 8**-0.5) @ k.transpose(-2, -1)).softmax(-1) @ v
        a, b = self.gate(y.transpose(1, 2).reshape(1, 6, 16)).chunk(2, -1)
        return (a * b)[:, 0]


def test_xnnpack_takes_a_whole_attention(tmp_path: Path) -> None:
    x = random(1, 6, 16)
    conversion, parity = convert("executorch", tmp_path, Attention(), x)
    assert parity.passed and conversion.partitions == 1 and not conversion.undelegated_ops
    before, _ = convert("executorch", tmp_path, Attention(), x, without=("plain_slices", "batched_products"))
    outside = {op.op: op.count for op in before.undelegated_ops or ()}
    assert before.partitions is not None and before.partitions > 3
    assert outside["aten.expand_copy.out"] == 4 and outside["aten.squeeze_copy.dims_out"] == 3
