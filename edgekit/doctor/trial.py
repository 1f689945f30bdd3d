"""LiteRT, Core ML and ONNX: what is not known to convert is converted on trial, cut out of the model with what is next
to it, and run.

Their registries tell less than that: most refusals of LiteRT come from its compiler's passes, and coremltools' from
within its operators; a whole model takes minutes, a few operators a fraction of a second. A model of well-known
operators (:mod:`~edgekit.doctor.plain`) needs no trial.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.convert import backend as backends
from edgekit.convert import judge
from edgekit.convert.failure import plain_reason, translate
from edgekit.convert.mil.failures import NotEvaluated
from edgekit.convert.remedies import TYPES
from edgekit.doctor.eager import run
from edgekit.doctor.excerpt import constants, excerpt, is_operator, signature
from edgekit.doctor.plain import is_plain, moves_only, unusual_types
from edgekit.doctor.problems import Examination, Problem
from edgekit.errors import EdgekitError, RuntimeCrashError, UsageError
from edgekit.export.provenance import NodeOrigin

# Far outside what rounding does, in any precision.
_WRONG = 0.02
# Each trial takes about half a second; a model with more kinds of unusual operators has the rest unexamined.
MAX_TRIALS = 24


class Checker:
    """Tries what is unusual. Results are kept: the second program of a model has few operators that are new."""

    def __init__(self, backend: str, precision: str) -> None:
        self._info = backends.lookup(backend)
        self._precision = precision
        self._known: dict[tuple[str, ...], tuple[int, Problem] | None] = {}
        self.untried = 0

    def examine(self, program: ExportedProgram) -> Examination:
        """What the converter refuses, its runtime can't load, or comes out wrong."""
        fixed = constants(program)
        unusual = [
            node for node in program.graph.nodes
            if node.op == "call_function" and node not in fixed and self._is_unusual(node)
        ]  # fmt: skip
        problems = [problem for node in unusual if (problem := self._control_flow(node)) is not None]
        open_nodes = [node for node in unusual if is_operator(node)]
        while open_nodes:
            region = _region(open_nodes[0], open_nodes, fixed)
            problem = self._tried(program, region, [node for node in region if node in open_nodes], fixed)
            if problem is None:
                open_nodes = [node for node in open_nodes if node not in region]
                continue
            problems.append(problem)
            # Operators that are unusual for their types only are so because of each other.
            of_types = {node for node in region if unusual_types(node) is not None}
            open_nodes = [node for node in open_nodes if node.name != problem.node and node not in of_types]
        return Examination(tuple(problems))

    def _is_unusual(self, node: Node) -> bool:
        if not is_operator(node):
            return isinstance(node.target, _HIGHER_ORDER)
        return not is_plain(node, self._info.name)

    def _control_flow(self, node: Node) -> Problem | None:
        if is_operator(node) or self._info.name == "onnx":
            return None
        return Problem(node.name, "fails", f"{self._info.name}'s converter has no control flow", str(node.target))

    def _tried(
        self, program: ExportedProgram, region: Sequence[Node], suspects: Sequence[Node], fixed: set[Node]
    ) -> Problem | None:
        key = tuple(f"{node in suspects} {signature(node, fixed)}" for node in region)
        if key not in self._known:
            if len(self._known) >= MAX_TRIALS:
                self.untried += len(suspects)
                return None
            found = self._try(excerpt(program, region, joined=True), suspects)
            place = next((i for i, node in enumerate(region) if found and node.name == found.node), 0)
            self._known[key] = (place, found) if found else None
        known = self._known[key]
        if known is None:
            return None
        place, problem = known
        return replace(problem, node=region[place].name, operator=str(region[place].target))

    def _try(self, part: ExportedProgram, suspects: Sequence[Node]) -> Problem | None:
        inputs = _examples(part)
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / f"trial{self._info.suffix}"
            try:
                with contextlib.redirect_stdout(None):
                    backends.instantiate(self._info).convert(part, self._precision, path)
                actual = judge.outputs(self._info.name, path, [value.numpy()[None] for value in inputs])
            except (NotEvaluated, UsageError):  # it can't be run alone: the model will show
                return None
            except RuntimeCrashError as crash:
                cause = f"it converts, but the runtime can't run the result ({plain_reason(crash.message)})"
                return _blamed(_likeliest(suspects), cause)
            except (OSError, MemoryError):
                raise
            except Exception as failure:  # noqa: BLE001 - converters raise anything; that they do is the finding
                return _refusal(failure, self._info.name, part, suspects)
        return _compared(actual, run(part, inputs), suspects)


_HIGHER_ORDER = torch._ops.HigherOrderOperator


def _region(start: Node, unusual: Sequence[Node], fixed: set[Node]) -> list[Node]:
    """The unusual operators that hang together with ``start``, and the operators right beside them."""
    inside, queue = {start}, [start]
    while queue:
        for other in _beside(queue.pop()):
            if other in unusual and other not in inside:
                inside.add(other)
                queue.append(other)
    around = {other for node in inside for other in _beside(node) if is_operator(other) and other not in fixed}
    return [node for node in start.graph.nodes if node in inside or node in around]


def _beside(node: Node) -> Iterator[Node]:
    for other in (*node.all_input_nodes, *node.users):
        if is_operator(other):
            yield other
        elif other.op == "call_function":  # getitem: what is behind it
            yield from (n for n in (*other.all_input_nodes, *other.users) if is_operator(n) and n is not node)


def _examples(part: ExportedProgram) -> list[torch.Tensor]:
    """Positive floats, on which every function is defined; zeros for whole numbers, which may be indices."""
    generator = torch.Generator().manual_seed(0)
    zeros: Any = part.example_inputs[0] if part.example_inputs else ()
    return [
        (torch.rand(t.shape, generator=generator) * 0.9 + 0.05).to(t.dtype) if t.dtype.is_floating_point else t
        for t in zeros
    ]


def _refusal(failure: Exception, backend: str, part: ExportedProgram, suspects: Sequence[Node]) -> Problem:
    origins = {
        node.name: NodeOrigin(name=node.name, op=str(node.target), module=node.name, source="")
        for node in part.graph.nodes
        if node.op == "call_function"
    }
    error = failure if isinstance(failure, EdgekitError) else translate(failure, backend, part, origins)
    named = str(error.facts.get("module", ""))
    culprit = next((node for node in suspects if node.name == named), _likeliest(suspects))
    if unusual_types(culprit) is not None:
        culprit = _likeliest(suspects)
    return _blamed(culprit, str(error.facts.get("cause") or error.message).rstrip("."))


def _likeliest(suspects: Sequence[Node]) -> Node:
    """The operator to blame where the converter names none: an unknown one, or else one that computes."""
    return min(suspects, key=lambda node: (unusual_types(node) is not None, moves_only(node)))


def _blamed(culprit: Node, cause: str) -> Problem:
    types = unusual_types(culprit)
    if types is None:
        return Problem(culprit.name, "fails", cause)
    return Problem(culprit.name, "fails", f"in {types}: {cause}", remedy=TYPES)


def _compared(actual: Sequence[Any], expected: Sequence[torch.Tensor], suspects: Sequence[Node]) -> Problem | None:
    last = suspects[-1].name
    for ours, theirs in zip(expected, actual, strict=True):
        reference, value = ours.detach().numpy().astype(np.float64), np.asarray(theirs)[0].astype(np.float64)
        if reference.shape != value.shape:
            return Problem(last, "wrong", f"the result has the shape {value.shape}, not {reference.shape}")
        scale = float(np.abs(reference).max(initial=0.0))
        with np.errstate(invalid="ignore"):
            difference = float(np.nan_to_num(np.abs(reference - value), nan=np.inf).max(initial=0.0))
        if np.isfinite(reference).all() and difference > _WRONG * scale:
            return Problem(last, "wrong", "it converts, but the result is not PyTorch's")
    return None
