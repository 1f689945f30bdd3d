"""Makes ML Programs for the tests: from PyTorch functions by edgekit's own converter, and with coremltools' builder.

Converting takes a second whatever its size, so that many small cases share one program, each with its own inputs and
outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.convert import speedups
from edgekit.convert.coreml import Converter
from edgekit.convert.mil.evaluate import Program, load

with speedups.without_optional_imports(*speedups.COREML_OPTIONAL):
    import coremltools as ct
    from coremltools.converters.mil import mil
    from coremltools.converters.mil.mil import Builder as mb
    from coremltools.converters.mil.mil import types


@dataclass(frozen=True)
class TorchCase:
    """A function of tensors, and the arrays it is called with."""

    name: str
    function: Callable[..., Any]
    inputs: tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class MilCase:
    """Operators made with the builder from placeholders, and what they must give."""

    name: str
    build: Callable[..., Any]
    inputs: dict[str, np.ndarray]
    expected: Any
    tolerance: float = 1e-5
    outputs: list[str] = field(default_factory=list)


class Together(torch.nn.Module):
    """All cases as one module: every input in a row, every output in a row."""

    def __init__(self, cases: Sequence[TorchCase]) -> None:
        super().__init__()
        self.cases = list(cases)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rest = list(inputs)
        made: list[torch.Tensor] = []
        for case in self.cases:
            mine, rest = rest[: len(case.inputs)], rest[len(case.inputs) :]
            result = case.function(*mine)
            made += list(result) if isinstance(result, (tuple, list)) else [result]
        return tuple(made)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def tensor(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(random(*shape, seed=seed))


def export_to(module: torch.nn.Module, inputs: Sequence[torch.Tensor], path: Path, precision: str = "fp32") -> Program:
    """Convert as ``edgekit convert`` does, and load the file."""
    with torch.no_grad():
        program = torch.export.export(module.eval(), tuple(inputs), strict=False)
    Converter().convert(program, precision, path)
    return load(path)


def run_torch_cases(cases: Sequence[TorchCase], path: Path) -> dict[str, tuple[list[np.ndarray], list[np.ndarray]]]:
    """(evaluated, eager) outputs of every case, from one converted file."""
    inputs = [value for case in cases for value in case.inputs]
    evaluated = export_to(Together(cases), inputs, path).run([value.numpy() for value in inputs])
    found = {}
    for case in cases:
        with torch.no_grad():
            result = case.function(*case.inputs)
        eager = [value.numpy() for value in (result if isinstance(result, (tuple, list)) else [result])]
        found[case.name] = (evaluated[: len(eager)], eager)
        evaluated = evaluated[len(eager) :]
    assert not evaluated
    return found


_TYPES = {"float32": types.fp32, "float16": types.fp16, "int32": types.int32, "bool": types.bool}


def build(cases: Sequence[MilCase], path: Path, opset: str, *, precision: str = "fp32") -> Program:
    """Write the cases as one program, and load it."""
    write(cases, path, opset, precision=precision)
    return load(path)


def write(cases: Sequence[MilCase], path: Path, opset: str, *, precision: str = "fp32") -> None:
    """Write the cases as one program; in fp32 without any of coremltools' optimisations."""
    target = getattr(ct.target, opset)
    placeholders = {
        f"{case.name}_{key}": mb.placeholder(shape=value.shape, dtype=_TYPES[value.dtype.name])
        for case in cases
        for key, value in case.inputs.items()
    }
    program = mil.Program()
    with mil.Function(placeholders, opset_version=target) as function:
        outputs = []
        for case in cases:
            results = case.build(**{key: function.inputs[f"{case.name}_{key}"] for key in case.inputs})
            results = list(results) if isinstance(results, (tuple, list)) else [results]
            case.outputs[:] = [f"{case.name}_out{index}" for index in range(len(results))]
            outputs += [mb.identity(x=r, name=n) for r, n in zip(results, case.outputs, strict=True)]
        function.set_outputs(outputs)
        program.add_function("main", function)
    model = ct.convert(
        program,
        source="milinternal",
        convert_to="mlprogram",
        minimum_deployment_target=target,
        compute_precision=ct.precision.FLOAT16 if precision == "fp16" else ct.precision.FLOAT32,
        pass_pipeline=ct.PassPipeline.EMPTY if precision == "fp32" else ct.PassPipeline.DEFAULT,
        skip_model_load=True,
    )
    model.save(str(path))


def run_mil_cases(cases: Sequence[MilCase], path: Path, opset: str) -> dict[str, list[np.ndarray]]:
    """The outputs of every case."""
    program = build(cases, path, opset)
    given = {f"{case.name}_{key}": value for case in cases for key, value in case.inputs.items()}
    evaluated = program.run([given[spec.name] for spec in program.inputs])
    found = {}
    for case in cases:
        found[case.name] = evaluated[: len(case.outputs)]
        evaluated = evaluated[len(case.outputs) :]
    return found


def relative(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, as a share of the largest expected value."""
    assert actual.shape == expected.shape
    if expected.size == 0:
        return 0.0
    a, e = actual.astype(np.float64), expected.astype(np.float64)
    assert np.isfinite(e).all()
    return float(np.abs(a - e).max() / max(np.abs(e).max(), 1e-30))
