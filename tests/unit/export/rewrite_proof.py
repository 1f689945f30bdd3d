"""What every rewrite's tests share: is it within its bound and complete, and what does a backend make of the result?"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from edgekit.convert import backend as backends
from edgekit.convert import judge, parity
from edgekit.convert.backend import Conversion
from edgekit.export import provenance, rewrites
from edgekit.records import Parity

Program = torch.export.ExportedProgram


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*inputs)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normally distributed float32."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def as_module(model: Any) -> nn.Module:
    """The model in evaluation mode; a function is wrapped."""
    return (model if isinstance(model, nn.Module) else Function(model)).eval()


def exported(model: Any, *inputs: torch.Tensor) -> Program:
    """As edgekit exports it, without provenance."""
    with torch.no_grad():
        program = torch.export.export(as_module(model), inputs, strict=False)
    provenance.strip(program)
    return program


def targets(program: Program) -> list[str]:
    """The operators, in order: ``aten.add.Tensor``."""
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]


def error(program: Program, model: Any, *inputs: torch.Tensor) -> float:
    """The largest difference from the model, relative to the largest absolute value of the output it is in."""
    with torch.no_grad():
        wanted = pytree.tree_leaves(as_module(model)(*inputs))
        found = pytree.tree_leaves(program.module()(*inputs))
    assert [(f.shape, f.dtype) for f in found] == [(w.shape, w.dtype) for w in wanted]
    worst = 0.0
    for f, w in zip(found, wanted, strict=True):
        same = (f == w) | (torch.isnan(f) & torch.isnan(w))
        if not bool(same.all()):
            difference = float(torch.where(same, 0.0, f.double() - w.double()).abs().max() / w.double().abs().max())
            worst = max(worst, difference) if difference == difference else torch.inf
    return worst


def prove(rewrite: Any, model: Any, *inputs: torch.Tensor, places: int = 1) -> Program:
    """Apply it twice; within its bound before and after a round trip through the archive."""
    program = exported(model, *inputs)
    before = {name: value.clone() for name, value in as_module(model).state_dict().items()}
    assert rewrite.apply(program) == places
    assert rewrite.apply(program) == 0
    after = as_module(model).state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    archive = io.BytesIO()
    torch.export.save(program, archive)
    archive.seek(0)
    for one in (program, torch.export.load(archive)):
        assert error(one, model, *inputs) <= rewrite.BOUND
    return program


def refuse(rewrite: Any, model: Any, *inputs: torch.Tensor) -> None:
    """It leaves the program alone."""
    program = exported(model, *inputs)
    before = str(program.graph)
    assert rewrite.apply(program) == 0
    assert str(program.graph) == before


def convert(
    format_name: str, directory: Path, model: Any, *inputs: torch.Tensor, without: tuple[str, ...] = ()
) -> tuple[Conversion, Parity]:
    """Convert with the rewrites of the table but those ``without``, run the file and compare it."""
    program = exported(model, *inputs)
    for name in (*rewrites.names(None), *rewrites.names(format_name)):
        if name not in without:
            __import__(f"edgekit.export.rewrites.{name}", fromlist=["apply"]).apply(program)
    with torch.no_grad():
        wanted = [value.numpy()[None] for value in pytree.tree_leaves(as_module(model)(*inputs))]
    info = backends.BACKENDS[format_name]
    path = directory / f"model{info.suffix}"
    conversion = backends.instantiate(info).convert(program, "fp32", path)
    found = judge.outputs(format_name, path, [value.numpy()[None] for value in inputs])
    return conversion, parity.compare(found, wanted, "fp32")
