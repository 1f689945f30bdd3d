"""Operators that coremltools refuses or gets wrong are spelled out with the values that torch gives them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rewrite_proof import convert, prove, random, refuse
from torch import Tensor, nn
from torch.nn import functional

from edgekit.export.rewrites import plain_operators

X, Y = random(2, 8, 5, 6) * 3, random(2, 8, 5, 6, seed=1)
V, M = random(6), random(3, 6, 4, seed=2)


def conditions(x: Tensor, y: Tensor) -> Tensor:
    return torch.where(((x > 0) & (y > 0)) | ((x < -1) ^ (y < -1)), x, -1.0)


def numbers(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    return torch.where(x > 0, 2.0, y), torch.where(x > 0, 1.0, 0.5)


def products(v: Tensor, m: Tensor) -> tuple[Tensor, ...]:
    return v @ m, m.transpose(1, 2) @ v, m[0].t() @ v, v @ m[1], v @ v


# form -> how many operators are spelled out
FORMS: dict[str, tuple[Callable[..., Any], int]] = {
    "celu": (lambda x, y: functional.celu(x) + functional.celu(y, 0.3), 2),
    "logsigmoid": (lambda x, y: functional.logsigmoid(x * 10), 1),
    "hardshrink": (lambda x, y: functional.hardshrink(x, 0.7), 1),
    "addcmul": (lambda x, y: torch.addcmul(x, y, x, value=0.3), 1),
    "addcdiv": (lambda x, y: torch.addcdiv(x, y, y.abs() + 1, value=-2), 1),
    "lerp": (lambda x, y: torch.lerp(x, y, 0.3) + torch.lerp(x, y, 0.8) + torch.lerp(x, y, torch.sigmoid(y)), 3),
    "conditions": (conditions, 4),
    "numbers": (numbers, 2),
    "var": (lambda x, y: x.var() + x.var(unbiased=False) + x.std(), 3),
    "var_mean": (lambda x, y: (torch.var_mean(x, 1), torch.std_mean(x, (2, 3), unbiased=False, keepdim=True)), 2),
    "var_mean of all": (lambda x, y: (torch.var_mean(x), torch.std_mean(x, correction=2)), 2),
    "log_softmax": (lambda x, y: functional.log_softmax(x * 40, 1) + torch.log_softmax(y, -1), 2),
    "cosine_similarity": (lambda x, y: functional.cosine_similarity(x, y) + functional.cosine_similarity(x, y * 0), 2),
    "rms_norm": (lambda x, y: functional.rms_norm(x, (6,)) + functional.rms_norm(x, (5, 6), y[0, 0]), 2),
    "channel_shuffle": (lambda x, y: functional.channel_shuffle(x, 4), 1),
    "max_pool2d": (lambda x, y: functional.max_pool2d(x, 3) + functional.max_pool2d(x, (3, 3), padding=1)[:, :, :1], 2),
    "argmax": (lambda x, y: (x.argmax(), x.argmin(), x.argmax(keepdim=True)), 3),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_is_what_torch_computes(form: str) -> None:
    model, places = FORMS[form]
    prove(plain_operators, model, X, Y, places=places)


def test_a_product_with_a_vector_is_one_of_matrices() -> None:
    prove(plain_operators, products, V, M, places=5)


@pytest.mark.parametrize("shape", [(3, 8), (2, 8, 5), (2, 8, 3, 2, 2)])
def test_a_slope_per_channel_is_a_product(shape: tuple[int, ...]) -> None:
    slopes = nn.PReLU(8)
    nn.init.normal_(slopes.weight)
    prove(plain_operators, slopes, random(*shape))


def test_nan_and_infinity_are_kept() -> None:
    special = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, -0.0, 1e-42])
    prove(plain_operators, lambda x: (functional.celu(x), functional.hardshrink(x)), special, places=2)


def test_what_core_ml_takes_stays() -> None:
    norm, pool = nn.RMSNorm(6, eps=1e-6), nn.MaxPool2d(2)
    refuse(plain_operators, lambda x, y: (x.var(1), x.std((2, 3)), x.argmax(1), torch.where(x > 0, x, y)), X, Y)
    refuse(plain_operators, lambda x: (norm(x), pool(x), functional.prelu(x, torch.ones(1)), x @ x.mT), X)
    refuse(plain_operators, nn.PReLU(8), X)
    refuse(plain_operators, lambda x: (x & 3, x | 4, x ^ 1), torch.arange(6))
    refuse(plain_operators, lambda x: functional.log_softmax(x, 1), X.double())


@pytest.mark.parametrize("form", ["var", "log_softmax"])
def test_core_ml_would_be_silently_wrong(form: str, tmp_path: Path) -> None:
    _, parity = convert("coreml", tmp_path, FORMS[form][0], X, Y, without=("plain_operators",))
    assert parity.passed is False


def test_core_ml_takes_the_forms_and_computes_what_torch_does(tmp_path: Path) -> None:
    def everything(x: Tensor, y: Tensor, v: Tensor, m: Tensor) -> list[Any]:
        floats = [form(x, y) for name, (form, _) in FORMS.items() if name not in ("argmax", "numbers")]
        return [*floats, numbers(x, y)[0], *products(v, m)]

    assert convert("coreml", tmp_path, everything, X, Y, V, M)[1].passed
