"""The table of silently wrong conversions: every row is wrong without its rewrite, and right with it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from doctor_programs import Function, exported, image, plain_parity
from torch import nn
from torch.nn import functional

from edgekit.doctor.known import SILENT, silent
from edgekit.export import rewrites


class Case(NamedTuple):
    rewrite: str
    backends: tuple[str, ...]
    node: str
    function: Function


def resize(**how: object) -> Function:
    return lambda x: functional.interpolate(x, **how)  # type: ignore[arg-type]  # any of its arguments


def statistics() -> nn.Module:
    norm = nn.InstanceNorm2d(4, track_running_stats=True).eval()
    assert norm.running_mean is not None and norm.running_var is not None
    nn.init.constant_(norm.running_mean, 0.7)
    nn.init.constant_(norm.running_var, 3.0)
    return norm


WRONG = {
    "a pool's own divisor": Case(
        "pool_divisor", ("onnx",), "avg_pool2d", lambda x: functional.avg_pool2d(x, 3, 2, 1, divisor_override=5)
    ),
    "running statistics": Case("statistics_norm", ("coreml",), "instance_norm", statistics()),
    "softmax between convolutions": Case(
        "softmax_rank3", ("executorch",), "softmax", lambda x: functional.conv2d(x.softmax(-1), torch.ones(2, 4, 1, 1))
    ),
    "bilinear by a scale": Case(
        "odd_resize", ("executorch", "litert"), "upsample_bilinear2d", resize(scale_factor=0.55, mode="bilinear")
    ),
    "nearest by a fraction": Case(
        "odd_nearest_resize", ("litert",), "upsample_nearest2d", resize(size=(7, 13), mode="nearest")
    ),
    "nearest by a scale": Case(
        "odd_nearest_resize", ("litert", "coreml"), "upsample_nearest2d", resize(scale_factor=0.55, mode="nearest")
    ),
    "variance of everything": Case("plain_operators", ("coreml",), "var", lambda x: x[:, :, :2, :2].var() + x),
    "deviation of everything": Case("plain_operators", ("coreml",), "std", lambda x: x[:, :, :2, :2].std() + x),
    "logarithm of a sharp softmax": Case(
        "plain_operators", ("coreml",), "log_softmax", lambda x: functional.log_softmax(x * 200, 1)
    ),
    "alpha": Case("explicit_alpha", ("coreml",), "sub", lambda x: torch.sub(x, x * x, alpha=2.5)),
    "GELU's tanh form": Case(
        "tanh_gelu", ("executorch", "coreml"), "gelu", lambda x: functional.gelu(x, approximate="tanh")
    ),
    "a small divisor": Case("exact_reciprocal", ("coreml",), "reciprocal", lambda x: 1 / (x.abs() * 0.01 + 0.001)),
    "a small root": Case("exact_rsqrt", ("coreml",), "rsqrt", lambda x: torch.rsqrt(x.abs() * 1e-12 + 1e-12)),
}
# Replaced by the same rewrites, but right without them.
RIGHT = {
    "variance with a correction of its own": Case(
        "plain_operators", ("coreml",), "var", lambda x: torch.var(x, None, correction=1) + x
    ),
    "nearest by a fraction": Case(
        "odd_nearest_resize", ("coreml",), "upsample_nearest2d", resize(size=(7, 13), mode="nearest")
    ),
}


@pytest.mark.parametrize(("name", "backend"), [(name, b) for name, case in WRONG.items() for b in case.backends])
def test_a_listed_operator_converts_and_is_wrong_without_its_rewrite(name: str, backend: str, tmp_path: Path) -> None:
    case = WRONG[name]
    x = image()
    assert silent(exported(case.function, x), backend)[case.rewrite] >= {case.node}
    assert plain_parity(backend, tmp_path, case.function, x).passed is False
    assert plain_parity(backend, tmp_path, case.function, x, case.rewrite).passed is True


@pytest.mark.parametrize("name", RIGHT)
def test_what_the_same_rewrite_replaces_but_is_right_is_not_said_to_be_wrong(name: str, tmp_path: Path) -> None:
    case = RIGHT[name]
    (backend,) = case.backends
    assert case.node not in silent(exported(case.function), backend)[case.rewrite]
    assert plain_parity(backend, tmp_path, case.function, image()).passed is True


def test_every_row_is_proved_above_and_names_a_rewrite_of_that_backend() -> None:
    proved = {(case.rewrite, backend) for case in WRONG.values() for backend in case.backends}
    assert proved == {(rewrite, backend) for rewrite, which in SILENT.items() for backend in which}
    for rewrite, backend in proved:
        assert rewrite in (*rewrites.names(None), *rewrites.names(backend))
