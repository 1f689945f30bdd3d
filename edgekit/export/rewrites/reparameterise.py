"""Merge parallel linear branches of one tensor into one convolution or linear layer.

A sum of convolutions of the same x, of x itself and of x behind a batch norm or a scale per channel is one convolution:
kernels add up once the smaller ones are padded with zeros to the place where they read, x is a kernel with a one in the
middle, and a batch norm or layer scale behind the sum scales the whole (Ding et al. 2021, arXiv:2101.03697, section
3.3; Vasu et al. 2022, arXiv:2206.04040, and 2023, arXiv:2303.14189). What RepVGG, MobileOne, FastViT, RepViT and
RepGhost have for training ends up as published for inference, whoever wrote the module; so do a layer scale behind a
convolution, two classifiers that are averaged, and a positional encoding ``x + depthwise(x)``.

The merged weights are computed in float64; what remains is float32 rounding in another order. Branches are merged only
where that costs no more multiply-accumulates (a dense 1x1 and a depthwise 7x7 stay two), and a sum is only rewritten if
fewer operators are left. Shared weights and values that somebody else reads stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, known, linear_layers, match
from edgekit.export.rewrites.linear_layers import Geometry, Layer
from edgekit.export.rewrites.linear_terms import LINEAR, Context, Terms, expansions

REASON = "parallel linear branches are one convolution; no runtime merges them itself"
BOUND = 1e-5

_aten = torch.ops.aten
Tensor = torch.Tensor


@dataclass(frozen=True)
class Branch:
    """``weight * layer(source)``, or ``weight * source`` without a layer."""

    weight: Tensor
    source: Node
    layer: Layer | None = None

    @property
    def plain(self) -> bool:
        """Whether the weight is one throughout."""
        return bool((self.weight == 1).all())


@dataclass(frozen=True)
class Group:
    """Branches that become one layer of this geometry; without a geometry, one branch that stays what it is."""

    branches: tuple[Branch, ...]
    geometry: Geometry | None
    macs: int

    @property
    def negated(self) -> bool:
        """Whether the branch only has to be subtracted."""
        return self.geometry is None and bool((self.branches[0].weight == -1).all())

    @property
    def source(self) -> Node:
        return self.branches[0].source

    @property
    def layers(self) -> list[Layer]:
        return [branch.layer for branch in self.branches if branch.layer is not None]


@dataclass(frozen=True)
class Plan:
    """What a sum becomes, and how many operators fewer that is. ``axis`` is that of the channels."""

    root: Node
    groups: tuple[Group, ...]
    offset: Tensor
    axis: int | None
    consumed: tuple[Node, ...]
    gain: int

    @property
    def is_copy(self) -> bool:
        """Whether the sum is one of its operands as it is."""
        group, *others = self.groups
        return not others and group.geometry is None and group.branches[0].plain and bool((self.offset == 0).all())


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many sums were replaced."""
    changed = 0
    while True:
        before = changed
        context = Context(program)
        for root in [n for n in reversed(program.graph.nodes) if match.is_call(n, LINEAR)]:
            # A sum that was replaced took the operators below it along.
            plan = _best(context, root) if root in context.aliases else None
            if plan is not None and _emit(context, plan):
                changed += 1
                context = Context(program)
        if changed == before:
            break
    if changed:
        Context(program).parameters.finish()
    return changed


def _best(context: Context, root: Node) -> Plan | None:
    """The way to write this sum that leaves the fewest operators; null if none saves any."""
    best: Plan | None = None
    for terms in expansions(context, root):
        plan = _plan(context, terms)
        if plan is not None and plan.gain > (best.gain if best is not None else 0):
            best = plan
    return best


def _plan(context: Context, terms: Terms) -> Plan | None:
    leaves = terms.leaves()
    if leaves is None:
        return None
    branches = [_branch(context, terms, node, weight) for node, weight in leaves.items()]
    read = [branch.source for branch in branches]
    if not context.aliases.same_value_at(read, terms.root, terms.consumed):
        return None
    groups = _grouped(branches, match.shape(terms.root) or ())
    before = len(terms.consumed) + sum(branch.layer is not None for branch in branches)
    after = sum(_operators(group) for group in groups) + len(groups) - 1 + all(group.negated for group in groups)
    if bool((terms.offset != 0).any()) and not any(group.layers for group in groups):
        after += 1
    return Plan(terms.root, tuple(groups), terms.offset, terms.axis, tuple(terms.consumed), before - after)


def _branch(context: Context, terms: Terms, node: Node, weight: Tensor) -> Branch:
    """A leaf as a layer of its input, if only this sum reads it and the layer's channels are those of the weights."""
    layer = linear_layers.parse(context, node) if all(user in terms.consumed for user in node.users) else None
    if layer is None or terms.axis not in (None, layer.geometry.axis % node.meta["val"].dim()):
        return Branch(weight, node)
    return Branch(weight, layer.source, layer)


def _operators(group: Group) -> int:
    """How many it takes beside the additions and subtractions between the groups."""
    return 1 if group.geometry is not None or not (group.branches[0].plain or group.negated) else 0


def _grouped(branches: list[Branch], result: tuple[int, ...]) -> list[Group]:
    """Join branches as long as no join costs multiply-accumulates."""
    groups = [_alone(branch) for branch in branches]
    groups.sort(key=lambda group: (group.geometry is None, group.negated, -group.macs))
    merged = True
    while merged:
        merged = False
        for first in groups:
            joined = next(((second, made) for second in groups if (made := _joined(first, second, result))), None)
            if joined is not None:
                groups = [joined[1] if group is first else group for group in groups if group is not joined[0]]
                merged = True
                break
    return groups


def _alone(branch: Branch) -> Group:
    if branch.layer is None:
        return Group((branch,), None, 0 if branch.plain else 1)
    return Group((branch,), branch.layer.geometry, branch.layer.geometry.macs)


def _joined(first: Group, second: Group, result: tuple[int, ...]) -> Group | None:
    source = first.source
    shape = match.shape(source) or ()
    if first is second or first.geometry is None or second.source is not source:
        return None
    other = second.geometry or linear_layers.identity(shape[first.geometry.axis], len(first.geometry.taps))
    # A linear layer and a convolution of one tensor mix different axes of it.
    if len(other.taps) != len(first.geometry.taps):
        return None
    geometry = first.geometry.joined(other)
    if geometry is None or not geometry.gives(shape, result) or geometry.macs > first.macs + second.macs:
        return None
    return Group(first.branches + second.branches, geometry, geometry.macs)


def _emit(context: Context, plan: Plan) -> bool:
    """Replace the sum; False if it can't be, because of the float16 range or of who writes into its memory."""
    carrier = _carrier(plan)
    if plan.is_copy and any(
        context.aliases.written(node, plan.consumed) for node in (plan.root, plan.groups[0].source)
    ):
        return False
    made = [_layer(context, plan, group, plan.offset if group is carrier else None) for group in plan.groups]
    if any(write is None for write in made):
        return False
    total = made[0]()  # type: ignore[misc]  # none of them is null
    for group, write in zip(plan.groups[1:], made[1:], strict=True):
        joining, value = (_aten.sub.Tensor, group.source) if group.negated else (_aten.add.Tensor, write())  # type: ignore[misc]
        total = graph.call(context.program, plan.root, joining, total, value)
    if carrier is None and bool((plan.offset != 0).any()):
        total = graph.call(context.program, plan.root, _aten.add.Tensor, total, _operand(context, plan, plan.offset))
    if not graph.replace(context.program, plan.root, total):
        return False
    leftover = {layer.node for group in plan.groups for layer in group.layers} | {*plan.consumed}
    for node in sorted(leftover - {plan.root}, key=context.aliases.index, reverse=True):
        if not node.users:
            context.program.graph.erase_node(node)
    return True


def _carrier(plan: Plan) -> Group | None:
    """The group whose bias takes the offset: rather one that is rewritten anyway."""
    layers = [group for group in plan.groups if group.geometry is not None]
    changed = [group for group in layers if not _stays(group)]
    return next(iter(changed + layers), None)


def _stays(group: Group) -> bool:
    return len(group.branches) == 1 and group.branches[0].plain


def _layer(context: Context, plan: Plan, group: Group, offset: Tensor | None) -> Callable[[], Node] | None:
    """What writes this group into the graph; null if its weights would not be representable."""
    branch = group.branches[0]
    needs_offset = offset is not None and bool((offset != 0).any())
    if group.geometry is None:
        return lambda: _scaled(context, plan, branch)
    if _stays(group) and not needs_offset:
        assert branch.layer is not None
        kept = branch.layer.node
        return lambda: kept
    kernel, bias = _merged(context, group)
    bias = bias if offset is None else bias + offset
    before = [context.parameters.value(layer.weight) for layer in group.layers]
    if not linear_layers.is_representable(before, kernel):
        return None
    geometry = group.geometry
    return lambda: _write(context, plan.root, group, geometry, (kernel.float(), bias.float()))


def _scaled(context: Context, plan: Plan, branch: Branch) -> Node:
    if branch.plain:
        return branch.source
    factor = _operand(context, plan, branch.weight)
    return graph.call(context.program, plan.root, _aten.mul.Tensor, branch.source, factor)


def _operand(context: Context, plan: Plan, weight: Tensor) -> Node | float:
    """The weight as a number, or as a constant that broadcasts along the channels."""
    if weight.numel() == 1:
        return float(weight)
    assert plan.axis is not None
    shape = (-1,) + (1,) * (plan.root.meta["val"].dim() - 1 - plan.axis)
    return known.constant(context.program, "per_channel", weight.float().reshape(shape))


def _merged(context: Context, group: Group) -> tuple[Tensor, Tensor]:
    """The sum of the branches as one kernel and one bias; float64."""
    geometry = group.geometry
    assert geometry is not None
    total, bias = linear_layers.empty_kernel(geometry), torch.zeros(geometry.outputs, dtype=torch.float64)
    for branch in group.branches:
        if branch.layer is None:
            own = linear_layers.identity(geometry.outputs, len(geometry.taps))
            kernel = linear_layers.identity_kernel(branch.weight, own)
        else:
            own = branch.layer.geometry
            kernel = context.parameters.value(branch.layer.weight).double()
            kernel = kernel if branch.plain else kernel * branch.weight.reshape(-1, *(1,) * (kernel.dim() - 1))
            old = context.value(branch.layer.bias)
            bias = bias if old is None else bias + old.double() * branch.weight
        linear_layers.add_kernel(total, geometry, kernel, own)
    return total, bias


def _write(context: Context, root: Node, group: Group, geometry: Geometry, values: tuple[Tensor, Tensor]) -> Node:
    """A new layer before the root, in the placeholders of an old one where these are its alone."""
    kernel, bias = values
    parameters = context.parameters
    weight = group.layers[0].weight
    parameters.set_value(weight, kernel)
    free = [layer.bias for layer in group.layers if layer.bias is not None and parameters.private(layer.bias)]
    if bool((bias == 0).all()) and all(layer.bias is None for layer in group.layers):
        carrier = None
    elif free:
        carrier = free[0]
        parameters.set_value(carrier, bias)
    else:
        carrier = known.constant(context.program, "bias", bias)
    target, rest = linear_layers.arguments(geometry)
    return graph.call(context.program, root, target, group.source, weight, carrier, *rest)
