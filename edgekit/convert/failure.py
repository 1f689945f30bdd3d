"""From a converter's exception to an operator, a module path and a source line."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edgekit.convert.remedies import remedy_for
from edgekit.errors import ConvertError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edgekit.export.provenance import NodeOrigin

_MAX_TEXT = 400
_MAX_SEARCHED = 20_000
_MAX_CHAIN = 8
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What only the authors of a converter can read in its sentences.
_NOISE = (
    (re.compile(r"^<class '[^']+'>: "), ""),
    (re.compile(r"^Failed to run converter passes:\s*|<unknown>:\d+: error: "), ""),
    (re.compile(r'loc\("[^"]*"\("[^"]*"\)\): '), ""),
    (re.compile(r" that was explicitly marked illegal|: %\d+ = .*$"), ""),
    (re.compile(r"ERROR: \[[^]]*\]\s*(└\s*)?"), ""),
    (re.compile(r"^The runtime could not (load|run) the model: (?=.)"), ""),
    (re.compile(r"CompiledModel error: code=\d+, message="), ""),
    (re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : "), ""),
)
# How the converters write an operator's name: torch's own ways, then coremltools' and LiteRT's sentences.
_OPERATOR = (
    re.compile(r"\b(?:aten|prims|torchvision|quantized_decomposed)(?:\.|::)(\w+)"),
    re.compile(r"(?:convert function for|lowering for|op) ['\"]?(\w+)['\"]? not (?:implemented|found)"),
    re.compile(r"\bLowering not found: (\w+)"),
    re.compile(r"unsupported (?:op|operator|fx node)[^\w]+(\w+)", re.IGNORECASE),
    # Operators of other libraries, in executorch's list of those that it can't plan memory for.
    re.compile(r"Missing out variants: .*?::(\w+)"),
    re.compile(r"OpOverload\(op='\w+\.(\w+)'"),
    re.compile(r"\bLowering not found: \w+\.(\w+)"),
)
# How they write a node's name: LiteRT's compiler, torch.fx and coremltools.
_NODE = (
    re.compile(r'loc\("[^"]*"\("(\w+)"\)\)'),
    re.compile(r"While executing %(\w+)"),
    re.compile(r'Layer "(\w+)"'),
)


def translate(
    failure: BaseException, format_name: str, program: ExportedProgram, origins: Mapping[str, NodeOrigin]
) -> ConvertError:
    """The typed error for a failed conversion; names the operator's place if the converter named the operator."""
    find, find_node = _finders(program, origins)
    for line, cause in _lines(failure):
        found = [find(name) for pattern in _OPERATOR for name in pattern.findall(line)]
        found += [find_node(name) for pattern in _NODE for name in pattern.findall(line)]
        for origin in found:
            if origin is not None:
                return _at_operator(origin, cause, format_name)
    cause = plain_reason(first_line(failure))
    return ConvertError(
        f"{format_name} could not convert the model: {cause}",
        where=format_name,
        next_step="Run again with --traceback for the converter's own report.",
        format=format_name,
        cause=cause,
    )


def _at_operator(origin: NodeOrigin, cause: str, format_name: str) -> ConvertError:
    place = " at ".join(text for text in (origin.module, origin.source) if text)
    return ConvertError(
        f"{format_name} could not convert the operator {origin.op}: {cause}",
        where=f"{origin.op} in {place}" if place else origin.op,
        next_step=f"{remedy_for(origin.op, 'fails')} Or leave this format out with --to.",
        format=format_name,
        op=origin.op,
        module=origin.module,
        source=origin.source,
        cause=cause,
    )


def _lines(failure: BaseException) -> Iterator[tuple[str, str]]:
    """Each line of the exception's text and of what caused it, outermost first, with the sentence that says why."""
    seen: BaseException | None = failure
    for _ in range(_MAX_CHAIN):
        if seen is None:
            return
        for line in _COLOUR.sub("", str(seen)[:_MAX_SEARCHED]).splitlines():
            if line.strip():
                # torch.fx adds the node that was being run below the reason.
                why = first_line(seen) if line.startswith("While executing") else line.strip()[:_MAX_TEXT]
                yield line, plain_reason(why)
        seen = seen.__cause__ or seen.__context__


def plain_reason(text: str) -> str:
    """A converter's sentence without marks of its own compiler; what it says stays word for word."""
    for pattern, instead in _NOISE:
        text = pattern.sub(instead, text)
    return text.strip()


def first_line(failure: BaseException) -> str:
    """The first line of an exception's text, or its type's name."""
    lines = [line.strip() for line in _COLOUR.sub("", str(failure)).splitlines() if line.strip()]
    return (lines[0] if lines else type(failure).__name__)[:_MAX_TEXT]


_Find = Callable[[str], "NodeOrigin | None"]


def _finders(program: ExportedProgram, origins: Mapping[str, NodeOrigin]) -> tuple[_Find, _Find]:
    """From an operator's bare name to the first place in the model that it comes from; and from a node's name."""
    direct: dict[str, NodeOrigin] = {}
    for node in program.graph.nodes:
        if node.op == "call_function" and node.name in origins:
            direct.setdefault(_base(node.target), origins[node.name])

    @functools.cache
    def decomposed() -> tuple[dict[str, NodeOrigin], dict[str, NodeOrigin]]:
        return _decomposed_origins(program, origins)

    @functools.cache
    def find(name: str) -> NodeOrigin | None:
        found = direct.get(name) or decomposed()[0].get(name)
        # A converter's own decompositions may rename: aten.special_bessel_j0 becomes prims.bessel_j0.
        near = [operator for operator in direct if operator.endswith(f"_{name}")]
        return found or (direct[near[0]] if len(near) == 1 else None)

    def find_node(name: str) -> NodeOrigin | None:
        # The converters name what they have made by then, which may be called like another node of the program.
        return decomposed()[1].get(name) or origins.get(name)

    return find, find_node


def _base(target: Any) -> str:
    """``aten.fft_rfft.default`` -> ``fft_rfft``."""
    parts = str(target).split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def _decomposed_origins(
    program: ExportedProgram, origins: Mapping[str, NodeOrigin]
) -> tuple[dict[str, NodeOrigin], dict[str, NodeOrigin]]:
    """Operators and nodes that only exist after decomposition, by name, traced back through the nodes' history."""
    try:
        decomposed = program.run_decompositions()
    except Exception:  # noqa: BLE001 - the program may be the reason for the failure: then there is no history to follow
        return {}, {}
    operators: dict[str, NodeOrigin] = {}
    nodes: dict[str, NodeOrigin] = {}
    for node in decomposed.graph.nodes:
        history = node.meta.get("from_node") or [] if node.op == "call_function" else []
        while history:
            if history[0].name in origins:
                operators.setdefault(_base(node.target), origins[history[0].name])
                nodes[node.name] = origins[history[0].name]
                break
            history = history[0].from_node
    return operators, nodes
