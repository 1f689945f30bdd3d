"""Each rewrite is exact: bit-equal outputs, a valid program, and nothing left of what it removes."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from edgekit.export import rewrites
from edgekit.export.rewrites import (
    graph,
    implicit_broadcast,
    odd_nearest_resize,
    remove_identities,
    resample,
    softmax_rank3,
)


class Identities(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.drop = nn.Conv2d(3, 4, 1), nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.drop(self.conv(x))
        return torch.relu(torch.ops.aten.alias(y)), torch.ops.aten.alias(y).detach()


class Attention(nn.Module):
    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.before, self.after, self.axis = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), axis

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.before(x).softmax(self.axis))


class Resize(nn.Module):
    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.size = (height, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(torch.relu(x), size=self.size, mode="nearest")


class Gate(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = x.mean((2, 3), keepdim=True)
        return x * gate.expand_as(x) + gate.expand(1, 3, 6, 6)


class Materialised(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(1, keepdim=True).expand(1, 3, 6, 6).reshape(1, 108) * 2


def check(module: nn.Module, rewrite: object, places: int, size: int = 6) -> torch.export.ExportedProgram:
    """Apply, count, compare bit by bit, and survive a round trip through the archive."""
    torch.manual_seed(0)
    module, x = module.eval(), torch.randn(1, 3, size, size)
    program = torch.export.export(module, (x,), strict=False)
    assert rewrite.apply(program) == places  # type: ignore[attr-defined]
    assert rewrite.apply(program) == 0  # type: ignore[attr-defined]
    archive = io.BytesIO()
    torch.export.save(program, archive)
    archive.seek(0)
    wanted = torch.utils._pytree.tree_leaves(module(x))
    for one in (program, torch.export.load(archive)):
        found = torch.utils._pytree.tree_leaves(one.module()(x))
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    return program


def operators(program: torch.export.ExportedProgram) -> set[str]:
    return {str(node.target) for node in program.graph.nodes}


def test_identities_go() -> None:
    program = check(Identities(), remove_identities, 4)
    assert not operators(program) & {"aten.alias.default", "aten.detach.default", "aten.dropout.default"}


def test_dropout_that_is_active_stays() -> None:
    program = torch.export.export(nn.Dropout(0.5).train(), (torch.randn(1, 3),), strict=False)
    assert remove_identities.apply(program) == 0


def test_an_input_is_never_returned_directly() -> None:
    class Pass(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.ops.aten.alias(x)

    program = torch.export.export(Pass(), (torch.randn(1, 3),), strict=False)
    assert remove_identities.apply(program) == 0


def test_a_rank_4_softmax_becomes_rank_3() -> None:
    program = check(Attention(), softmax_rank3, 1)
    (softmax,) = (n for n in program.graph.nodes if "softmax" in str(n.target))
    assert graph.origin_of(softmax) == "softmax"
    assert len(softmax.meta["val"].shape) == 3


def test_a_softmax_over_channels_stays() -> None:
    check(Attention(axis=1), softmax_rank3, 0)


@pytest.mark.parametrize(("size", "target"), [(3, (7, 7)), (3, (7, 6)), (6, (4, 9)), (5, (13, 5))])
def test_an_odd_resize_becomes_selections(size: int, target: tuple[int, int]) -> None:
    assert "aten.upsample_nearest2d.vec" not in operators(check(Resize(*target), odd_nearest_resize, 1, size))


def test_a_whole_factor_stays() -> None:
    check(Resize(12, 18), odd_nearest_resize, 0)


@pytest.mark.parametrize("size_in", range(1, 40))
def test_source_indices_are_those_that_torch_documents(size_in: int) -> None:
    for size_out in range(1, 80):
        # aten/native/UpSample.h, nearest_neighbor_compute_source_index
        scale = np.float32(size_in) / np.float32(size_out)
        wanted = [min(int(np.floor(np.float32(i) * scale)), size_in - 1) for i in range(size_out)]
        assert resample.source_indices(torch.ops.aten.upsample_nearest2d, size_in, size_out) == wanted


def test_a_broadcasting_expand_goes() -> None:
    assert "aten.expand.default" not in operators(check(Gate(), implicit_broadcast, 2))


def test_an_expand_that_is_reshaped_stays() -> None:
    check(Materialised(), implicit_broadcast, 0)


def test_every_rewrite_of_the_table_says_why() -> None:
    for rewrite in rewrites.REWRITES:
        module = __import__(f"edgekit.export.rewrites.{rewrite.name}", fromlist=["REASON"])
        assert module.REASON and callable(module.apply)
