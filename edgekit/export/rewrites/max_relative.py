"""Write the maximum of differences with one common operand as one difference.

``max_i(x - s_i) = x - min_i(s_i)`` and ``max_i(s_i - x) = max_i(s_i) - x``; with a zero among them (``x - x`` or zeros,
as an accumulator starts) the result goes through ReLU. This is the max-relative graph convolution over shifted maps of
MobileViG (Munir et al. 2023, arXiv:2307.00395, section 3.1) and GreedyViG: in MobileViG-Ti 14 subtractions and 12
maxima become 2 subtractions, 10 minima and 2 ReLUs. How the shifted maps are made doesn't matter.

Bit-equal for finite values, the sign of a zero aside: rounding is monotone, so the largest rounded difference is the
rounded largest difference. NaN in any operand gives NaN either way. Infinity differs: where x and one s_i are the same
infinity, or x is infinite and the accumulator started at ``x - x``, the original is NaN and this is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, match
from edgekit.export.rewrites.linear_terms import Context

REASON = "the maximum of x - s over many s is x - the minimum of them: half the operators"
BOUND = 0.0

_aten = torch.ops.aten
_MAXIMA = (_aten.maximum.default, _aten.max.other)
_SUB = (_aten.sub.Tensor,)


@dataclass(frozen=True)
class _Tree:
    """A maximum of maxima: its inner nodes, and its leaves, the differences among them apart.

    ``differences`` holds (node, minuend, subtrahend); ``zeros`` the leaves that are zero throughout.
    """

    inner: list[Node]
    differences: list[tuple[Node, Node, Node]]
    zeros: list[Node]
    others: list[Node]


@dataclass(frozen=True)
class _Group:
    """Differences that share their minuend (``shared - smallest of rest``) or subtrahend (``largest - shared``)."""

    shared: Node
    rest: tuple[Node, ...]
    minuend: bool


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many maxima of differences were replaced."""
    context = Context(program)
    changed = 0
    for root in reversed(program.graph.nodes):
        if match.is_call(root, _MAXIMA) and root in context.aliases and not _is_inner(root) and _rewrite(context, root):
            changed += 1
            context = Context(program)
    if changed:
        context.parameters.finish()
    return changed


def _is_inner(node: Node) -> bool:
    return len(node.users) == 1 and match.is_call(next(iter(node.users)), _MAXIMA)


def _rewrite(context: Context, root: Node) -> bool:
    tree = _tree(context, root)
    if tree is None:
        return False
    groups, single = _groups(tree)
    made = [zero for zero in tree.zeros if match.is_call(zero, _SUB) and {*zero.users} <= {*tree.inner}]
    before = len(tree.inner) + len(tree.differences) + len(made)
    after = sum(len(group.rest) for group in groups) + len(single) + bool(tree.zeros)
    after += len(groups) + len(single) + len(tree.others) - 1
    operands = {n for _, *pair in tree.differences for n in pair} | {*tree.others}
    if after >= before or not context.aliases.same_value_at(operands, root):
        return False
    parts = [_difference(context, root, group) for group in groups] + single + tree.others
    total = _chain(context, root, _aten.maximum.default, parts)
    if tree.zeros:
        total = graph.call(context.program, root, _aten.relu.default, total)
    graph.replace(context.program, root, total)
    leftover = {*tree.inner, *tree.zeros} | {node for node, _, _ in tree.differences}
    for node in sorted(leftover - {root}, key=context.aliases.index, reverse=True):
        if not node.users and node.op == "call_function":
            context.program.graph.erase_node(node)
    return True


def _tree(context: Context, root: Node) -> _Tree | None:
    """The root as one maximum over all its leaves; null if it is not float32, or broadcasts."""
    tree = _Tree([], [], [], [])
    pending = [root]
    while pending:
        node = pending.pop()
        if not match.is_float32(node) or match.shape(node) != match.shape(root):
            return None
        if node is root or (match.is_call(node, _MAXIMA) and _is_inner(node)):
            tree.inner.append(node)
            pending += [operand for operand in reversed(node.args) if isinstance(operand, Node)]
        elif _is_zero(context, node):
            tree.zeros.append(node)
        else:
            pair = _pair(node, tree.inner)
            if pair is None:
                tree.others.append(node)
            else:
                tree.differences.append((node, *pair))
    return tree if tree.differences else None


def _pair(node: Node, inner: list[Node]) -> tuple[Node, Node] | None:
    """Minuend and subtrahend of a difference that only this tree reads."""
    if not match.is_call(node, _SUB) or match.argument(node, "alpha") != 1 or not {*node.users} <= {*inner}:
        return None
    operands = node.args[0], node.args[1]
    if not match.is_float32(*operands) or any(match.shape(n) != match.shape(node) for n in operands):  # type: ignore[arg-type]  # is_float32 saw nodes
        return None
    return operands  # type: ignore[return-value]  # as above


def _is_zero(context: Context, node: Node) -> bool:
    if match.is_call(node, _SUB):
        return node.args[0] is node.args[1] and match.argument(node, "alpha") == 1
    value = context.value(node)
    return value is not None and not bool(value.any())


def _groups(tree: _Tree) -> tuple[list[_Group], list[Node]]:
    """Differences with a common operand, the most common first, and those that share none."""
    left = {node: (minuend, subtrahend) for node, minuend, subtrahend in tree.differences}
    groups: list[_Group] = []
    while left:
        members: dict[tuple[Node, bool], list[Node]] = {}
        for node, (minuend, subtrahend) in left.items():
            members.setdefault((minuend, True), []).append(node)
            members.setdefault((subtrahend, False), []).append(node)
        (shared, is_minuend), nodes = max(members.items(), key=lambda item: len(item[1]))
        if len(nodes) < 2:
            break
        rest = dict.fromkeys(left.pop(node)[1 if is_minuend else 0] for node in nodes)
        groups.append(_Group(shared, tuple(rest), is_minuend))
    return groups, list(left)


def _difference(context: Context, root: Node, group: _Group) -> Node:
    extreme = _aten.minimum.default if group.minuend else _aten.maximum.default
    end = _chain(context, root, extreme, list(group.rest))
    operands = (group.shared, end) if group.minuend else (end, group.shared)
    return graph.call(context.program, root, _aten.sub.Tensor, *operands)


def _chain(context: Context, root: Node, target: object, operands: list[Node]) -> Node:
    total = operands[0]
    for operand in operands[1:]:
        total = graph.call(context.program, root, target, total, operand)
    return total
