"""Values that a precision can't hold, measured on the golden inputs.

float16 ends at 65504, its smallest number is 6e-8, and it counts exactly to 2048; LiteRT and Core ML keep whole numbers
in 32 bits. A value that is too large becomes infinite; one that is too small becomes zero, which matters where it
divides something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.convert.remedies import WHOLE_NUMBERS
from edgekit.doctor.eager import run
from edgekit.doctor.excerpt import constants, is_operator
from edgekit.doctor.plain import bare_name
from edgekit.doctor.problems import Problem, source_node
from edgekit.doctor.proof import Sample

_MAX, _TINY, _EXACT = 65504.0, 2.0**-24, 2048
_INT32 = 2**31 - 1
# operator -> which argument it divides by, or takes the logarithm of
_DIVIDES = {"div": 1, "rsqrt": 0, "reciprocal": 0, "log": 0}
# operator -> which of its results is 1 / sqrt(variance + eps)
_NORMS = {"native_layer_norm": 2, "native_group_norm": 2, "_native_batch_norm_legit": 2}
# Backends that store whole numbers in 32 bits.
NARROW = ("litert", "coreml")


def float16_problems(program: ExportedProgram, samples: Sequence[Sample]) -> list[Problem]:
    """Operators of the program whose values leave float16's range; the program is decomposed for it, not changed."""
    core = program.run_decompositions()
    known = {node.name for node in program.graph.nodes if node.op == "call_function"}
    worst: dict[tuple[str, str], tuple[float, Node]] = {}

    def note(node: Node, value: Any, inputs: dict[Node, Any]) -> None:
        for text, amount in _float16(node, value, inputs):
            key = (source_node(node, known), text)
            if amount > worst.get(key, (0.0, node))[0]:
                worst[key] = (amount, node)

    _watch(core, samples, note)
    return [
        Problem(name, "precision", text.format(_figure(amount, text)), str(node.target))
        for (name, text), (amount, node) in worst.items()
    ]


def whole_number_problems(program: ExportedProgram, samples: Sequence[Sample]) -> list[Problem]:
    """Operators whose whole numbers do not fit 32 bits. Nothing is run for a program without such operators."""
    fixed = constants(program)
    wide = {n for n in program.graph.nodes if is_operator(n) and n not in fixed and _dtype(n) is torch.int64}
    largest: dict[Node, int] = {}

    def note(node: Node, value: Any, _: dict[Node, Any]) -> None:
        if node in wide and value.numel():
            largest[node] = max(largest.get(node, 0), int(value.abs().max()))

    if wide:
        _watch(program, samples, note)
    text = "its whole numbers reach {}, and the file keeps them in 32 bits"
    return [
        Problem(node.name, "wrong", text.format(f"{value:.3g}"), str(node.target), remedy=WHOLE_NUMBERS)
        for node, value in largest.items()
        if value > _INT32
    ]


def _watch(
    program: ExportedProgram, samples: Sequence[Sample], note: Callable[[Node, Any, dict[Node, Any]], None]
) -> None:
    for sample in samples:
        values: dict[Node, Any] = {}

        def see(node: Node, value: Any, values: dict[Node, Any] = values) -> None:
            values[node] = value
            if is_operator(node):
                note(node, value, {argument: values.get(argument) for argument in node.all_input_nodes})
            for argument in node.all_input_nodes:
                if list(argument.users)[-1] is node:  # nothing reads it any more
                    values.pop(argument, None)

        run(program, sample, see)


def _float16(node: Node, value: Any, inputs: dict[Node, Any]) -> Iterator[tuple[str, float]]:
    """(what is wrong, with a place for the figure; by how much) for each thing that is."""
    name = bare_name(node)
    if name in _NORMS:
        deviation = value[_NORMS[name]]
        if deviation.numel() and float(deviation.max()) > _TINY**-0.5:
            yield "it divides by the root of {}, which float16 can't tell from zero", float(deviation.max())
        value = value[0]
    if not isinstance(value, torch.Tensor) or not value.numel():
        return
    if value.dtype is torch.float32:
        finite = value.abs().nan_to_num(0.0, 0.0)
        if float(finite.max()) > _MAX:
            yield "its values reach {}, and float16 ends at 65504", float(finite.max())
        whole = [v for v in inputs.values() if isinstance(v, torch.Tensor) and v.dtype in (torch.int64, torch.int32)]
        if name == "_to_copy" and whole and int(whole[0].abs().max()) > _EXACT:
            yield "it turns whole numbers up to {} into floats, exact in float16 only to 2048", float(finite.max())
    divisor = inputs.get(node.args[_DIVIDES[name]]) if name in _DIVIDES else None  # type: ignore[arg-type]
    if isinstance(divisor, torch.Tensor) and divisor.dtype is torch.float32:
        small = divisor.abs()
        small = small[(small > 0) & (small < _TINY)]
        if small.numel():
            yield "it divides by {}, which float16 can't tell from zero", 1.0 / float(small.min())


def _figure(amount: float, text: str) -> str:
    if "divides by the root" in text:
        return f"{amount**-2:.2g}"
    return f"{1.0 / amount:.2g}" if "divides" in text else f"{amount:.3g}"


def _dtype(node: Node) -> torch.dtype | None:
    value = node.meta.get("val")
    return value.dtype if isinstance(value, torch.Tensor) else None
