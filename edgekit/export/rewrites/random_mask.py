"""Products with a random mask in an exported program: drop path as it is written by hand."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import match

_aten = torch.ops.aten
_MUL = (_aten.mul.Tensor, _aten.mul_.Tensor, _aten.mul.Scalar)
_DIV = (_aten.div.Tensor, _aten.div_.Tensor, _aten.div.Scalar)
_ADD = (_aten.add.Tensor, _aten.add_.Tensor, _aten.add.Scalar)
_FLOOR = (_aten.floor.default, _aten.floor_.default)
_BELOW = (_aten.lt.Scalar, _aten.le.Scalar, _aten.lt.Tensor, _aten.le.Tensor)
_ABOVE = (_aten.gt.Scalar, _aten.ge.Scalar, _aten.gt.Tensor, _aten.ge.Tensor)
_UNIFORM = (_aten.rand.default, _aten.rand_like.default, _aten.uniform_.default)
_BERNOULLI = (_aten.bernoulli_.float, _aten.bernoulli.p, _aten.bernoulli_.Tensor, _aten.bernoulli.Tensor)
_SAME_VALUES = (_aten.to.dtype, _aten.to.dtype_layout, _aten._to_copy.default, _aten.type_as.default,
                _aten.view.default, _aten.reshape.default, _aten.expand.default, _aten.expand_as.default,
                _aten.unsqueeze.default)  # fmt: skip
_FULL = (_aten.full.default, _aten.full_like.default, _aten.new_full.default)
_ONES = (_aten.ones.default, _aten.ones_like.default, _aten.new_ones.default)
_ASSERT = _aten._assert_tensor_metadata.default


class Mask(NamedTuple):
    """A tensor that is ``value`` with the probability ``keep``, else zero."""

    keep: float
    value: float


class Product(NamedTuple):
    """``result`` is ``value`` times a random mask that is one on average; ``unused`` is what made the mask."""

    result: Node
    value: Node
    unused: tuple[Node, ...]


def mask(node: object) -> Mask | None:
    """The random mask that the node computes; null if it computes something else."""
    if not isinstance(node, Node) or node.op != "call_function":
        return None
    drawn = _drawn(node)
    if drawn is not None:
        return Mask(drawn, 1.0) if 0.0 < drawn <= 1.0 else None
    if match.is_call(node, _SAME_VALUES):
        return mask(node.args[0])
    if match.is_call(node, _MUL + _DIV):
        inner, factor = mask(node.args[0]), _number(node.args[1])
        if inner is not None and factor:
            return Mask(inner.keep, inner.value * factor if match.is_call(node, _MUL) else inner.value / factor)
    return None


def _drawn(node: Node) -> float | None:
    """The probability of one, where the node draws zeros and ones."""
    if match.is_call(node, _BERNOULLI):
        return _number(match.argument(node, "p"))
    if match.is_call(node, (_aten.bernoulli.default,)):
        return _number(node.args[0])
    if match.is_call(node, _FLOOR) and match.is_call(node.args[0], _ADD):
        shifted: Any = node.args[0]
        first, second = shifted.args[:2]
        uniform, keep = (first, second) if _is_uniform(first) else (second, first)
        return _number(keep) if _is_uniform(uniform) and match.argument(shifted, "alpha") == 1 else None
    if match.is_call(node, _BELOW + _ABOVE) and _is_uniform(node.args[0]):
        bound = _number(node.args[1])
        return bound if bound is None or match.is_call(node, _BELOW) else 1.0 - bound
    return None


def _is_uniform(node: object) -> bool:
    """Whether the node draws evenly from zero to one."""
    if not match.is_call(node, _UNIFORM):
        return False
    assert isinstance(node, Node)
    if node.target is not _aten.uniform_.default:
        return True
    return (match.argument(node, "from"), match.argument(node, "to")) == (0, 1)


def _number(value: object) -> float | None:
    """The number, or the one that fills a tensor."""
    if isinstance(value, (int, float)):
        return float(value)
    if match.is_call(value, _FULL):
        return _number(match.argument(value, "fill_value"))  # type: ignore[arg-type]  # it is a node
    if match.is_call(value, _ONES):
        return 1.0
    if match.is_call(value, _MUL):
        assert isinstance(value, Node)
        first, second = _number(value.args[0]), _number(value.args[1])
        return None if first is None or second is None else first * second
    return None


def product(node: Node) -> Product | None:
    """The node as a product with a random mask, together with the rescaling beside it; null if it is none."""
    if not match.is_call(node, _MUL) or not isinstance(node.args[1], Node):
        return None
    for value, drawn in (node.args[:2], node.args[1::-1]):
        found = mask(drawn)
        if found is None or not _alike(value, node):
            continue
        if math.isclose(found.keep * found.value, 1.0, rel_tol=1e-5):
            return Product(node, value, (drawn,))  # type: ignore[arg-type]  # a mask is a node
        if found.value == 1.0:
            return _rescaled(node, value, drawn, found.keep)  # type: ignore[arg-type]  # as above
    return None


def _rescaled(node: Node, value: Node, drawn: Node, keep: float) -> Product:
    """A mask of zeros and ones, with the factor ``1 / keep`` before or behind it, or nowhere."""
    if len(value.users) == 1 and _divides(value, keep) and _alike(value.args[0], value):
        return Product(node, value.args[0], (value, drawn))  # type: ignore[arg-type]  # what is divided is a node
    users = list(node.users)
    if len(users) == 1 and users[0].args[0] is node and _divides(users[0], keep) and _alike(node, users[0]):
        return Product(users[0], value, (drawn,))
    return Product(node, value, (drawn,))


def _alike(first: object, second: Node) -> bool:
    """Whether both are tensors of one shape and dtype."""
    if not isinstance(first, Node) or match.shape(first) is None or match.shape(first) != match.shape(second):
        return False
    return bool(first.meta["val"].dtype == second.meta["val"].dtype)


def _divides(node: Node, keep: float) -> bool:
    if not match.is_call(node, _MUL + _DIV) or not isinstance(node.args[0], Node):
        return False
    factor = _number(node.args[1])
    if not factor or not keep:
        return False
    return math.isclose(factor if match.is_call(node, _DIV) else 1.0 / factor, keep, rel_tol=1e-5)


def erase_unread(program: ExportedProgram, node: Node) -> None:
    """Erase a node that nothing reads any more, and what then is not read either; checks of a mask don't count."""
    pending = [node]
    while pending:
        current = pending.pop()
        if current.op != "call_function" or current._erased:
            continue
        for user in [user for user in current.users if user.target is _ASSERT]:
            program.graph.erase_node(user)
        if not current.users:
            pending += current.all_input_nodes
            program.graph.erase_node(current)
