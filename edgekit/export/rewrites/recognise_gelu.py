"""Put a GELU that a model spells out by hand together again as the one operator.

``0.5 x (1 + erf(x / sqrt(2)))`` and ``0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`` (Hendrycks and Gimpel 2016,
arXiv:1606.08415), in any order of operands: the operators between ``x`` and the result are read as a polynomial in
``x`` and ``erf`` or ``tanh``, and its coefficients are compared. Constants may be numbers or one-element tensors, but
must be those of GELU to 1e-6: ``x sigmoid(1.702 x)`` is another function, and so is a GELU whose constants were rounded
to half precision.

ExecuTorch's XNNPACK delegate has a GELU but no ``erf``, which splits its partition; litert-torch makes 28 operators of
an ``erf``; coremltools and TFLite's converter know some of the spellings only; ONNX has an operator for it as well.
torch's kernel evaluates the same formula: measured, the results differ by 2.4e-7 of the largest one at the most; in a
tensor of numbers below -4 alone by more, because there both lose what is left of ``1 + erf`` in float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, match
from edgekit.export.rewrites.linear_terms import Context

REASON = "every backend has a GELU; XNNPACK has no erf, and LiteRT makes 28 operators of one"
BOUND = 2e-6

_aten = torch.ops.aten
_ADD = (_aten.add.Tensor, _aten.add_.Tensor, _aten.add.Scalar, _aten.add_.Scalar)
_SUB = (
    _aten.sub.Tensor, _aten.sub_.Tensor, _aten.sub.Scalar, _aten.sub_.Scalar, _aten.subtract.Tensor,
    _aten.subtract.Scalar)  # fmt: skip
_RSUB = (_aten.rsub.Tensor, _aten.rsub.Scalar)
_MUL = (
    _aten.mul.Tensor, _aten.mul_.Tensor, _aten.mul.Scalar, _aten.mul_.Scalar, _aten.multiply.Tensor,
    _aten.multiply.Scalar)  # fmt: skip
_DIV = (
    _aten.div.Tensor, _aten.div_.Tensor, _aten.div.Scalar, _aten.div_.Scalar, _aten.divide.Tensor, _aten.divide.Scalar,
    _aten.true_divide.Tensor, _aten.true_divide.Scalar)  # fmt: skip
_NEG = (_aten.neg.default, _aten.neg_.default, _aten.negative.default)
_POW = (_aten.pow.Tensor_Scalar, _aten.pow_.Scalar)
_SQUARE = (_aten.square.default, _aten.square_.default)
_ARITHMETIC = _ADD + _SUB + _RSUB + _MUL + _DIV + _NEG + _POW + _SQUARE

# The operators between x and the result are about ten.
_MOST_STEPS = 16
_CLOSE = 1e-6

# Coefficients by the powers of x and of the gate.
_Polynomial = Mapping[tuple[int, int], float]


@dataclass(frozen=True)
class _Gate:
    """``offset + factor * f(scale * z)`` of an operator applied to ``z``, where f is ``erf`` or ``tanh``."""

    approximate: str
    offset: float = 0.0
    factor: float = 1.0
    scale: float = 1.0


_ERF, _ERFC, _TANH = _Gate("none"), _Gate("none", offset=1.0, factor=-1.0), _Gate("tanh")
_NORMAL = _Gate("none", offset=0.5, factor=0.5, scale=math.sqrt(0.5))  # the normal distribution's own function
_GATES: dict[Any, _Gate] = {
    **dict.fromkeys((_aten.erf.default, _aten.erf_.default, _aten.special_erf.default), _ERF),
    **dict.fromkeys((_aten.erfc.default, _aten.erfc_.default, _aten.special_erfc.default), _ERFC),
    **dict.fromkeys((_aten.tanh.default, _aten.tanh_.default), _TANH),
    _aten.special_ndtr.default: _NORMAL,
}
# What the gate's argument has to be.
_ARGUMENTS: dict[str, _Polynomial] = {
    "none": {(1, 0): math.sqrt(0.5)},
    "tanh": {(1, 0): math.sqrt(2 / math.pi), (3, 0): math.sqrt(2 / math.pi) * 0.044715},
}


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many GELUs were found."""
    changed = 0
    context = Context(program)
    for gate in list(program.graph.nodes):
        if match.is_call(gate, _GATES) and match.is_float32(gate) and _rewrite(context, gate):
            changed += 1
            context = Context(program)
    if changed:
        context.parameters.finish()
    return changed


def _rewrite(context: Context, gate: Node) -> bool:
    kind = _GATES[gate.target]
    for x in _operands(gate):
        sign = _sign(context, gate, x)
        root = None if sign is None else _root(context, gate, x, sign)
        if root is None:
            continue
        inner = _between(x, root)
        if not _is_closed(inner, root) or not context.aliases.same_value_at([x], root):
            return False
        if not all(context.aliases.functional(node) for node in inner):
            return False
        options = {} if kind.approximate == "none" else {"approximate": kind.approximate}
        graph.replace(context.program, root, graph.call(context.program, root, _aten.gelu.default, x, **options))
        for node in sorted(inner - {root}, key=context.aliases.index, reverse=True):
            context.program.graph.erase_node(node)
        return True
    return False


def _operands(gate: Node) -> Iterator[Node]:
    """What ``x`` may be: the tensors from which arithmetic leads to the gate, the nearest first."""
    queue = [argument for argument in gate.all_input_nodes if match.is_float32(argument)]
    for node in queue:
        if match.shape(node) == match.shape(gate):
            yield node
        if match.is_call(node, _ARITHMETIC) and len(queue) < _MOST_STEPS:
            queue += [n for n in node.all_input_nodes if match.is_float32(n) and n not in queue]


def _sign(context: Context, gate: Node, x: Node) -> float | None:
    """Whether the gate is ``f`` (1) or ``-f`` (-1) of what GELU has there; null if it is neither."""
    kind = _GATES[gate.target]
    found = _Reader(context, x, None).read(gate.args[0])
    if found is None or not found:
        return None
    sign = math.copysign(1.0, found.get((1, 0), 1.0))  # erf and tanh are odd
    wanted = {power: sign * value / kind.scale for power, value in _ARGUMENTS[kind.approximate].items()}
    return sign if _equal(found, wanted) else None


def _root(context: Context, gate: Node, x: Node, sign: float) -> Node | None:
    """The first node that is ``0.5 x + 0.5 x f``; null if there is none."""
    reader = _Reader(context, x, gate)
    queue = list(gate.users)
    for node in queue:
        found = reader.read(node)
        if found is not None and _equal(found, {(1, 0): 0.5, (1, 1): 0.5 * sign}):
            return node
        if found is not None and len(queue) < _MOST_STEPS:
            queue += [user for user in node.users if user not in queue]
    return None


class _Reader:
    """Reads nodes as polynomials in ``x`` and in the ``f`` of a gate."""

    def __init__(self, context: Context, x: Node, gate: Node | None) -> None:
        self._context = context
        self._x, self._gate = x, gate
        self._known: dict[Node, _Polynomial | None] = {}

    def read(self, operand: Any) -> _Polynomial | None:
        """The coefficients other than zero; null for what is no such polynomial of the third degree at most."""
        if isinstance(operand, (int, float)):
            return {(0, 0): float(operand)} if math.isfinite(operand) else None
        if not isinstance(operand, Node):
            return None
        if operand is self._x:
            return {(1, 0): 1.0}
        if operand is self._gate:
            kind = _GATES[operand.target]
            return _clean({(0, 0): kind.offset, (0, 1): kind.factor})
        if operand not in self._known:
            self._known[operand] = None  # also where there are too many steps
            if len(self._known) <= 2 * _MOST_STEPS:
                self._known[operand] = self._read(operand)
        return self._known[operand]

    def _read(self, node: Node) -> _Polynomial | None:
        if self._context.parameters.known(node):
            value = self._context.parameters.value(node)
            return self.read(value.item()) if value.numel() == 1 and not value.is_complex() else None
        if not match.is_call(node, _ARITHMETIC) or not match.is_float32(node):
            return None
        if match.shape(node) != match.shape(self._x):
            return None
        first = self.read(node.args[0])
        if first is None or node.target in _NEG:
            return None if first is None else _sum(first, {}, -1.0, 0.0)
        if node.target in _SQUARE:
            return _product(first, first)
        if node.target in _POW:
            return _power(first, match.argument(node, "exponent"))
        return self._combined(node, first, self.read(match.argument(node, "other")))

    def _combined(self, node: Node, first: _Polynomial, second: _Polynomial | None) -> _Polynomial | None:
        if second is None:
            return None
        if node.target in _MUL:
            return _product(first, second)
        if node.target in _DIV:
            divisor = second.get((0, 0), 0.0)
            return _product(first, {(0, 0): 1 / divisor}) if divisor and len(second) == 1 else None
        alpha = float(match.argument(node, "alpha"))
        if node.target in _RSUB:
            return _sum(first, second, -alpha, 1.0)
        return _sum(first, second, 1.0, alpha if node.target in _ADD else -alpha)


def _sum(first: _Polynomial, second: _Polynomial, a: float, b: float) -> _Polynomial:
    return _clean({p: a * first.get(p, 0.0) + b * second.get(p, 0.0) for p in {*first, *second}})


def _product(first: _Polynomial, second: _Polynomial) -> _Polynomial | None:
    total: dict[tuple[int, int], float] = {}
    for (i, j), a in first.items():
        for (k, m), b in second.items():
            total[i + k, j + m] = total.get((i + k, j + m), 0.0) + a * b
    return _clean(total) if all(i <= 3 and j <= 1 for i, j in total) else None


def _power(base: _Polynomial, exponent: Any) -> _Polynomial | None:
    if exponent not in (1, 2, 3):
        return None
    result: _Polynomial | None = base
    for _ in range(int(exponent) - 1):
        result = None if result is None else _product(result, base)
    return result


def _clean(found: _Polynomial) -> _Polynomial:
    return {power: value for power, value in found.items() if value != 0}


def _equal(found: _Polynomial, wanted: _Polynomial) -> bool:
    return found.keys() == wanted.keys() and all(
        math.isclose(found[power], value, rel_tol=_CLOSE) for power, value in wanted.items()
    )


def _between(x: Node, root: Node) -> set[Node]:
    """The operators from ``x`` to the root, the root among them."""
    inner, queue = {root}, [root]
    while queue:
        for node in queue.pop().all_input_nodes:
            if node is not x and node.op == "call_function" and node not in inner:
                inner.add(node)
                queue.append(node)
    return inner


def _is_closed(inner: Iterable[Node], root: Node) -> bool:
    """Whether nothing outside reads what lies between, which would then have to be computed after all."""
    members = set(inner)
    return all(user in members for node in members if node is not root for user in node.users)
