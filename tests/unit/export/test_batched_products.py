"""Products of computed matrices become batched products of rank 3; those with a weight stay."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rewrite_proof import convert, prove, random, refuse, targets
from torch import Tensor, nn
from torch.nn import functional

from edgekit.export.rewrites import batched_products

SHAPES = [
    ((4, 5), (5, 6)),
    ((3, 4, 5), (3, 5, 6)),
    ((2, 3, 4, 5), (2, 3, 5, 6)),
    ((2, 2, 3, 4, 5), (2, 2, 3, 5, 6)),
    ((2, 3, 4, 5), (5, 6)),
    ((2, 4, 5), (1, 5, 6)),
    ((4, 5), (1, 1, 5, 6)),
    ((1, 1, 5), (1, 5, 1)),
]


@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_a_product_is_one_of_rank_3(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    program = prove(batched_products, lambda a, b: a @ b, random(*left), random(*right, seed=1))
    assert targets(program).count("aten.bmm.default") == 1 and "aten.matmul.default" not in targets(program)
    assert all(len(n.meta["val"].shape) == 3 for n in program.graph.nodes if n.target is torch.ops.aten.bmm.default)


def test_a_linear_layer_with_a_computed_weight_is_a_product() -> None:
    def model(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return functional.linear(x, weight, bias) + functional.linear(x, weight)

    prove(batched_products, model, random(2, 3, 8), random(6, 8, seed=1), random(6, seed=2), places=2)


def test_torchs_rank_2_product_is_found() -> None:
    assert "aten.bmm.default" in targets(prove(batched_products, torch.mm, random(4, 5), random(5, 6, seed=1)))


class Weighted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.layer = nn.Parameter(random(8, 6)), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x @ self.weight)


def test_constant_weights_repeated_operands_vectors_and_other_dtypes_stay() -> None:
    refuse(batched_products, Weighted(), random(2, 3, 8))
    refuse(batched_products, lambda a, b: a @ b, random(2, 1, 4, 5), random(2, 3, 5, 6))
    refuse(batched_products, lambda a, b: a @ b, random(4, 5), random(3, 5, 6))
    refuse(batched_products, lambda a, b: (a @ b, b @ b), random(3, 5), random(5))
    refuse(batched_products, lambda a, b: a @ b, random(3, 5).double(), random(5, 3).double())


def test_xnnpack_takes_products_without_expands(tmp_path: Path) -> None:
    def model(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return a @ b @ c

    inputs = random(1, 2, 4, 5), random(1, 2, 5, 6, seed=1), random(6, 3, seed=2)
    conversion, parity = convert("executorch", tmp_path, model, *inputs)
    assert parity.passed and conversion.partitions == 1 and not conversion.undelegated_ops
    before, _ = convert("executorch", tmp_path, model, *inputs, without=("batched_products",))
    assert {op.op for op in before.undelegated_ops or ()} >= {"aten.expand_copy.out", "aten.mm.out"}
