"""GELU's tanh form stays one in Core ML and ExecuTorch, which would compute the exact GELU."""

from __future__ import annotations

from pathlib import Path

import pytest
from rewrite_proof import convert, prove, random, refuse
from torch import nn
from torch.nn import functional

from edgekit.convert.mil.evaluate import load
from edgekit.export.rewrites import tanh_gelu

X = random(1, 8, 6, 6) * 2


@pytest.mark.parametrize("scale", [0.01, 1.0, 3.0, 30.0])
def test_the_spelled_out_form_is_the_same(scale: float) -> None:
    prove(tanh_gelu, lambda x: functional.gelu(x, approximate="tanh"), X * scale)


def test_a_module_is_found_as_well() -> None:
    prove(
        tanh_gelu, nn.Sequential(nn.Conv2d(8, 8, 1), nn.GELU("tanh"), nn.Conv2d(8, 4, 1), nn.GELU("tanh")), X, places=2
    )


def test_the_exact_form_and_other_dtypes_stay() -> None:
    refuse(tanh_gelu, functional.gelu, X)
    refuse(tanh_gelu, lambda x: functional.gelu(x, approximate="tanh"), X.double())


def test_core_ml_gets_one_operator_with_the_right_mode(tmp_path: Path) -> None:
    model = nn.GELU("tanh")
    _, right = convert("coreml", tmp_path, model, X)
    assert load(tmp_path / "model.mlpackage").operators() == {"gelu": 1}
    _, wrong = convert("coreml", tmp_path, model, X, without=("tanh_gelu",))
    assert right.max_abs is not None and wrong.max_abs is not None
    assert right.max_abs < 2e-6 and wrong.max_abs > 1e-4


def test_xnnpack_computes_the_tanh_form_inside_the_delegate(tmp_path: Path) -> None:
    model = nn.GELU("tanh")
    conversion, right = convert("executorch", tmp_path, model, X)
    _, wrong = convert("executorch", tmp_path, model, X, without=("tanh_gelu",))
    assert right.max_abs is not None and wrong.max_abs is not None
    assert right.max_abs < 2e-6 and wrong.max_abs > 1e-4
    assert conversion.partitions == 1 and not conversion.undelegated_ops
