"""Instance norm in evaluation mode with running statistics is a batch norm, and folds like one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rewrite_proof import convert, error, exported, prove, random, refuse, targets
from torch import nn

from edgekit.export.rewrites import fold_batch_norm, statistics_norm

X = random(2, 3, 8, 6)


def network(affine: bool) -> nn.Module:
    torch.manual_seed(0)
    norm = nn.InstanceNorm2d(5, affine=affine, track_running_stats=True)
    nn.init.uniform_(norm.running_mean, -1, 1)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    if affine:
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.uniform_(norm.bias, -1, 1)
    return nn.Sequential(nn.Conv2d(3, 5, 3), norm, nn.ReLU()).eval()


@pytest.mark.parametrize("affine", [True, False])
def test_it_becomes_a_batch_norm_and_folds(affine: bool) -> None:
    model = network(affine)
    program = prove(statistics_norm, model, X)
    assert "aten.batch_norm.default" in targets(program)
    assert fold_batch_norm.apply(program) == 1
    assert error(program, model, X) < 2e-6


def test_one_without_running_statistics_stays() -> None:
    refuse(statistics_norm, nn.InstanceNorm2d(3, affine=True), X)


def test_core_ml_uses_the_running_statistics(tmp_path: Path) -> None:
    model, x = nn.Sequential(nn.ReLU(), network(True)[1]), random(1, 5, 4, 4)
    assert "aten.instance_norm.default" in targets(exported(model, x))
    assert convert("coreml", tmp_path, model, x)[1].passed
    assert convert("coreml", tmp_path, model, x, without=("statistics_norm",))[1].passed is False
