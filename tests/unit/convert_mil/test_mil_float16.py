"""float16 programs: what is stored is rounded after every operator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mil_programs import MilCase, build, export_to, mb, random, relative

from edgekit.convert.mil.evaluate import Program

X, Y, Z = (random(3, 50, seed=seed) for seed in range(3))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    case = MilCase(
        "chain",
        lambda x, y, z: (mb.add(x=mb.mul(x=x, y=y), y=z), mb.mul(x=mb.mul(x=x, y=300.0), y=300.0)),
        {"x": X, "y": Y, "z": Z},
        None,
    )
    return build([case], tmp_path_factory.mktemp("mil") / "half.mlpackage", "iOS16", precision="fp16")


def test_every_result_is_rounded_to_float16(program: Program) -> None:
    total, _ = program.run([X, Y, Z])
    # numpy multiplies and adds float16 in float32, and rounds each result.
    x, y, z = (value.astype(np.float16) for value in (X, Y, Z))
    expected = x * y + z
    assert np.array_equal(total.astype(np.float16), expected)
    assert not np.array_equal(expected, (X * Y + Z).astype(np.float16))  # rounding only at the end would differ


def test_overflow_shows(program: Program) -> None:
    ones = np.ones_like(X)
    _, product = program.run([ones, ones, ones])
    assert np.isinf(product).all()


def test_program_is_really_float16(program: Program) -> None:
    assert program.operators()["cast"] >= 3
    assert [spec.dtype for spec in program.inputs] == ["float32"] * 3


def test_network_in_float16_is_close_but_not_equal(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3),
        torch.nn.Flatten(),
        torch.nn.Linear(288, 10),
    ).eval()
    x = random(1, 3, 10, 10)
    with torch.no_grad():
        eager = module(torch.from_numpy(x)).numpy()
    single = export_to(module, [torch.from_numpy(x)], tmp_path / "single.mlpackage").run([x])[0]
    half = export_to(module, [torch.from_numpy(x)], tmp_path / "half.mlpackage", "fp16").run([x])[0]
    assert relative(single, eager) < 2e-6
    assert 1e-5 < relative(half, eager) < 5e-3
