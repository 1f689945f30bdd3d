"""From a converter's exception to an operator, a module path and a source line."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edgekit.errors import ConvertError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edgekit.export.provenance import NodeOrigin

_MAX_TEXT = 400
_MAX_SEARCHED = 20_000
_MAX_CHAIN = 8
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_CLASS = re.compile(r"^<class '[^']+'>: ")
# How the converters write an operator's name: torch's own ways, then coremltools' and LiteRT's sentences.
_OPERATOR = (
    re.compile(r"\b(?:aten|prims|torchvision|quantized_decomposed)(?:\.|::)(\w+)"),
    re.compile(r"(?:convert function for|lowering for|op) ['\"]?(\w+)['\"]? not (?:implemented|found)"),
    re.compile(r"\bLowering not found: (\w+)"),
    re.compile(r"unsupported (?:op|operator|fx node)[^\w]+(\w+)", re.IGNORECASE),
)


def translate(
    failure: BaseException, format_name: str, program: ExportedProgram, origins: Mapping[str, NodeOrigin]
) -> ConvertError:
    """The typed error for a failed conversion; names the operator's place if the converter named the operator."""
    find = _finder(program, origins)
    for line, cause in _lines(failure):
        found = [find(name) for pattern in _OPERATOR for name in pattern.findall(line)]
        for origin in found:
            if origin is not None:
                return _at_operator(origin, cause, format_name)
    cause = first_line(failure)
    return ConvertError(
        f"{format_name} could not convert the model: {cause}",
        where=format_name,
        next_step="Run again with --traceback for the converter's own report.",
        format=format_name,
    )


def _at_operator(origin: NodeOrigin, cause: str, format_name: str) -> ConvertError:
    place = " at ".join(text for text in (origin.module, origin.source) if text)
    return ConvertError(
        f"{format_name} could not convert the operator {origin.op}: {cause}",
        where=f"{origin.op} in {place}" if place else origin.op,
        next_step="Replace the operator in that line by supported ones, or leave this format out with --to.",
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
                yield line, _CLASS.sub("", why)
        seen = seen.__cause__ or seen.__context__


def first_line(failure: BaseException) -> str:
    """The first line of an exception's text, or its type's name."""
    lines = [line.strip() for line in _COLOUR.sub("", str(failure)).splitlines() if line.strip()]
    return (lines[0] if lines else type(failure).__name__)[:_MAX_TEXT]


def _finder(program: ExportedProgram, origins: Mapping[str, NodeOrigin]) -> Callable[[str], NodeOrigin | None]:
    """From an operator's bare name to the first place in the model that it comes from."""
    direct: dict[str, NodeOrigin] = {}
    for node in program.graph.nodes:
        if node.op == "call_function" and node.name in origins:
            direct.setdefault(_base(node.target), origins[node.name])

    @functools.cache
    def decomposed() -> dict[str, NodeOrigin]:
        return _decomposed_origins(program, origins)

    @functools.cache
    def find(name: str) -> NodeOrigin | None:
        found = direct.get(name) or decomposed().get(name)
        # A converter's own decompositions may rename: aten.special_bessel_j0 becomes prims.bessel_j0.
        near = [operator for operator in direct if operator.endswith(f"_{name}")]
        return found or (direct[near[0]] if len(near) == 1 else None)

    return find


def _base(target: Any) -> str:
    """``aten.fft_rfft.default`` -> ``fft_rfft``."""
    parts = str(target).split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def _decomposed_origins(program: ExportedProgram, origins: Mapping[str, NodeOrigin]) -> dict[str, NodeOrigin]:
    """Operators that only exist after decomposition, traced back through the nodes' history."""
    try:
        decomposed = program.run_decompositions()
    except Exception:  # noqa: BLE001 - the program may be the reason for the failure: then there is no history to follow
        return {}
    found: dict[str, NodeOrigin] = {}
    for node in decomposed.graph.nodes:
        history = node.meta.get("from_node") or [] if node.op == "call_function" else []
        while history:
            if history[0].name in origins:
                found.setdefault(_base(node.target), origins[history[0].name])
                break
            history = history[0].from_node
    return found
