"""What the doctor says before a conversion is what the conversion does, for every backend."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch
import troubled

from edgekit.convert import backend as backends
from edgekit.convert import judge
from edgekit.convert.backend import BACKENDS, Conversion
from edgekit.convert.mil.failures import NotEvaluated
from edgekit.doctor.problems import Examination
from edgekit.doctor.worker import checker
from edgekit.export import provenance, rewrites

# Quantised formats have tests of their own.
FLOAT = tuple(name for name, info in BACKENDS.items() if not info.calibrated)

# Refusals that are there without the rewrites and with them, by backend: what the test below is about.
FAIL = {
    "executorch": {"spectrum", "custom", "order"},
    "litert": {"spectrum", "custom", "float64", "order", "branch"},
    "coreml": {"spectrum", "custom", "branch"},
    "onnx": {"custom", "float64"},
}
MODELS = ("spectrum", "bicubic", "attention", "roll", "custom", "float64", "int64", "order", "branch")
every_backend = pytest.mark.parametrize("backend", FLOAT)


def exported(name: str, backend: str) -> Any:
    program = torch.export.export(troubled.make(name), troubled.EXAMPLE, strict=False)
    provenance.strip(program)
    rewrites.apply_all(program)
    rewrites.apply_all(program, backend)
    return program


def converted(name: str, backend: str, folder: Path) -> Conversion | None:
    """What the file says; null if it could not be made or run."""
    info = backends.lookup(backend)
    path = folder / f"{name}{info.suffix}"
    try:
        with contextlib.redirect_stdout(None):
            made = backends.instantiate(info).convert(exported(name, backend), "fp32", path)
        judge.outputs(backend, path, [torch.rand(1, *troubled.EXAMPLE[0].shape).numpy()])
    except NotEvaluated:
        return made
    except Exception:  # noqa: BLE001 - converters raise anything; that they do is what is compared
        return None
    return made


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[Examination, Conversion | None]]:
    folder = tmp_path_factory.mktemp("files")
    found = {}
    for backend in FLOAT:
        check = checker(backend, "fp32")
        assert check is not None
        for name in MODELS:
            found[backend, name] = (check.examine(exported(name, backend)), converted(name, backend, folder))
    return found


@every_backend
def test_what_is_said_to_fail_fails_and_nothing_else(seen: Any, backend: str) -> None:
    said = {name for name in MODELS if any(p.severity == "fails" for p in seen[backend, name][0].problems)}
    happened = {name for name in MODELS if seen[backend, name][1] is None}
    assert said == happened == FAIL[backend]


def test_partitions_and_undelegated_operators_are_those_of_the_file(seen: Any) -> None:
    compared = 0
    for name in MODELS:
        examined, made = seen["executorch", name]
        if made is not None:
            outside = {op.op: op.count for op in made.undelegated_ops or ()}
            assert (examined.partitions, examined.undelegated) == (made.partitions, outside), name
            compared += 1
    assert compared == len(MODELS) - len(FAIL["executorch"])


@every_backend
def test_the_operator_that_fails_is_named(seen: Any, backend: str) -> None:
    culprits = {
        "custom": "twice", "spectrum": "fft_rfft2", "order": "sort", "branch": "cond", "float64": "conv2d_1",
    }  # fmt: skip
    for name in FAIL[backend]:
        assert {p.node for p in seen[backend, name][0].problems if p.severity == "fails"} == {culprits[name]}, name
