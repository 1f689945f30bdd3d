"""Conversions that succeed and are silently wrong, by the rewrite that mends each (its docstring has the proof)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import match, resample

_aten = torch.ops.aten
Which = Callable[[Node], bool]


def _every(node: Node) -> bool:
    return True


def _states_scale(node: Node) -> bool:
    """A resize by a stated scale that is not the ratio of the sizes."""
    resize = resample.read(node, (_aten.upsample_nearest2d, _aten.upsample_bilinear2d))
    return resize is not None and any(map(resize.stated, range(len(resize.sizes))))


def _loses_correction_or_range(node: Node) -> bool:
    """A variance or deviation over everything with the correction that it has by default, or the logarithm of a softmax
    (which has the logarithm of 0 where the softmax is that small).
    """
    if match.is_call(node, (_aten.var.correction, _aten.std.correction)):
        return match.argument(node, "correction") is None and not match.argument(node, "dim")
    return match.is_call(node, (_aten.log_softmax.int, _aten._log_softmax.default))


# Rewrite -> backend -> which of the operators that the rewrite replaces the backend's file has wrong without it. What
# shows on any input is better left to a trial (:data:`edgekit.doctor.plain.UNLESS`).
SILENT: dict[str, dict[str, Which]] = {
    "pool_divisor": {"onnx": _every},
    "statistics_norm": {"coreml": _every},
    "softmax_rank3": {"executorch": _every},
    "odd_resize": {"executorch": _states_scale, "litert": _states_scale},
    "odd_nearest_resize": {"litert": _every, "coreml": _states_scale},
    "plain_operators": {"coreml": _loses_correction_or_range},
    "explicit_alpha": {"coreml": _every},
    "tanh_gelu": {"executorch": _every, "coreml": _every},
    "exact_reciprocal": {"coreml": _every},
    "exact_rsqrt": {"coreml": _every},
}


def silent(program: ExportedProgram, backend: str) -> dict[str, set[str]]:
    """By rewrite, the names of the program's nodes that ``backend`` would get wrong, if they are such that the rewrite
    replaces them. The program is as it was exported.
    """
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    return {
        rewrite: {node.name for node in nodes if which[backend](node)}
        for rewrite, which in SILENT.items()
        if backend in which
    }
