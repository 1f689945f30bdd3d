"""ExecuTorch: the edge program as the conversion would make it, up to the delegate's partitions and no further.

Everything is asked of executorch itself: its verifier, its XNNPACK partitioner (which says why it leaves an operator
out), its table of out-variants, and the kernels that its runtime has registered here.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeGuard

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from edgekit.convert.failure import first_line
from edgekit.diagnosis import Severity
from edgekit.doctor.excerpt import is_operator
from edgekit.doctor.problems import Examination, Problem, source_node

_REASONS = "executorch.backends.xnnpack.partition.config."
# Each trial of what a group of operators costs partitions the program once more.
_MOST_TRIALS = 8
# XNN_MAX_TENSOR_DIMS; a delegate with more fails when it is loaded.
_XNNPACK_RANK = 6
# What every kernel takes; other types are checked operator by operator against executorch's table.
_COMMON = (torch.float32, torch.int64, torch.int32, torch.bool)


class _Partitioned(Exception):
    """The partitioner has spoken; ends the conversion where the doctor has seen enough."""


class Checker:
    """Asks executorch's own front half."""

    def __init__(self, precision: str) -> None:
        self._kernels = _registered_kernels()

    def examine(self, program: ExportedProgram) -> Examination:
        """What would fail, and what would stay outside the delegate."""
        edge = _Edge(program)
        if edge.refused is not None:
            return Examination((edge.refused,))
        failing = [*self._failing(edge)]
        names = {problem.node for problem in failing}
        outside = [node for node in edge.outside() if edge.source(node) not in names]
        undelegated = Counter(name for node in edge.outside() if (name := _file_name(node)) is not None)
        return Examination(
            (*failing, *_undelegated(edge, outside)), partitions=len(edge.tags), undelegated=dict(undelegated)
        )

    def _failing(self, edge: _Edge) -> Iterator[Problem]:
        for node in edge.operators():
            cause = edge.refusal(node) or self._unsupported(edge, node)
            if cause is not None:
                yield Problem(edge.source(_first_complex(node)), "fails", cause, _short(node))

    def _unsupported(self, edge: _Edge, node: Node) -> str | None:
        """Why the node can't run, though the converter takes it."""
        value = node.meta.get("val")
        if edge.delegated(node):
            ranks = [v.dim() for v in (value, *(n.meta.get("val") for n in node.all_input_nodes)) if _is_tensor(v)]
            too_many = max(ranks, default=0) > _XNNPACK_RANK
            return f"XNNPACK has tensors of at most {_XNNPACK_RANK} axes" if too_many else None
        if _is_view(node):
            return None
        try:
            name = _out_variant(node)
        except RuntimeError:
            return "it has no variant that writes into memory planned ahead, which ExecuTorch needs"
        if name not in self._kernels:
            return "ExecuTorch's runtime has no kernel for it, and XNNPACK does not take it"
        weight = node.args[1].meta.get("val") if "::convolution" in name and isinstance(node.args[1], Node) else None
        if _is_tensor(weight) and weight.dim() > 4:
            return "ExecuTorch's own convolution has at most two spatial axes, and XNNPACK does not take it"
        return None


class _Edge:
    """The edge program of one exported program, partitioned but not lowered."""

    def __init__(self, program: ExportedProgram) -> None:
        from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
        from executorch.exir.verification.verifier import EXIREdgeDialectVerifier

        self._targets = {node.name: str(node.target) for node in program.graph.nodes if node.op == "call_function"}
        self._known = set(self._targets)
        self.refused: Problem | None = None
        self.reasons: dict[str, str] = {}
        # The verifier stops at the first operator that it refuses; it is asked for each one below.
        config = EdgeCompileConfig(_check_ir_validity=False)
        dry, self._partitioner, found = _dry_partitioner()
        try:
            with _fewer_decompositions(), _reasons(self.reasons):
                to_edge_transform_and_lower(program, partitioner=[dry], compile_config=config)
        except _Partitioned:
            pass
        except Exception as failure:  # noqa: BLE001 - whatever stops executorch here stops the conversion
            self.refused = Problem(_named_node(failure, self._known), "fails", first_line(failure))
            return
        self._program, result = found[0]
        self.tags = set(result.partition_tags)
        self._branch_of = dict(_branches(self._program.graph_module))
        preserved = list(config._core_aten_ops_exception_list)
        verifier: Any = EXIREdgeDialectVerifier(EdgeCompileConfig(), class_only=True, preserve_ops=preserved)
        self._check: Callable[[Any], None] = verifier().check_valid_edge_op
        self._mismatched = self._dtype_violations()

    def operators(self) -> Iterator[Node]:
        """All operators, those in the branches of control flow included."""
        yield from _operators(self._program.graph_module)

    def outside(self) -> list[Node]:
        """The operators that the delegate does not take and that stay in the file."""
        return [node for node in self.operators() if not self.delegated(node) and not _is_view(node)]

    def delegated(self, node: Node) -> bool:
        """Whether the delegate takes the node."""
        return "delegation_tag" in node.meta

    def source(self, node: Node) -> str:
        """The name of the program's node that this one comes from; in a branch, that of the control flow."""
        while node.graph is not self._program.graph and node.graph in self._branch_of:
            node = self._branch_of[node.graph]
        return source_node(node, self._known)

    def target(self, source: str) -> str:
        """The operator of a node of the program."""
        return self._targets.get(source, "")

    def refusal(self, node: Node) -> str | None:
        """Why executorch's verifier refuses the node."""
        try:
            self._check(node.target)
        except Exception as refusal:  # noqa: BLE001 - SpecViolationError or RuntimeError, by executorch's choice
            return re.sub(r"^Operator torch\._ops\.(\S+)", r"\1", first_line(refusal)).split(" (https")[0]
        if node.name in self._mismatched:
            return f"its types are not in ExecuTorch's table: {self._mismatched[node.name]}"
        return None

    def _dtype_violations(self) -> dict[str, str]:
        values = [node.meta.get("val") for node in self.operators()]
        if all(v.dtype in _COMMON for v in values if _is_tensor(v)):
            return {}
        from executorch.exir.verification.arg_validator import EdgeOpArgValidator

        graph_module = self._program.graph_module
        inputs = [node.meta["val"] for node in graph_module.graph.nodes if node.op == "placeholder"]
        validator: Any = EdgeOpArgValidator(graph_module)
        mode = next((value.fake_mode for value in inputs if hasattr(value, "fake_mode")), None)
        try:
            with mode if mode is not None else torch.no_grad():
                validator.run(*inputs)
        except Exception:  # noqa: BLE001 - control flow can't be run this way; executorch then skips the check too
            return {}
        return {
            node.name: ", ".join(f"{key} {str(value).removeprefix('torch.')}" for key, value in types.items())
            for types, node in validator.violating_ops.values()
        }

    @functools.cached_property
    def _matched(self) -> list[list[Node]]:
        """The groups of nodes that the delegate takes, before they are joined to partitions."""
        found: list[list[Node]] = self._partitioner.get_matched_nodes_from_configs(self._program)
        return found

    def cost(self, group: Sequence[Node]) -> int:
        """How many partitions fewer there would be if the delegate took these operators too."""
        from executorch.exir.backend.canonical_partitioners.pattern_op_partitioner import (
            generate_grouped_partitions_from_list_of_nodes as partition,
        )

        matched = self._matched
        inside = {node for nodes in matched for node in nodes}
        more = [[node] for node in group if node not in inside and node.graph is self._program.graph]
        if not more:
            return 0
        return len(self.tags) - len(partition(self._program.graph_module, matched + more))


def _undelegated(edge: _Edge, outside: Sequence[Node]) -> Iterator[Problem]:
    """Operators outside the delegate, by the operator of the model that they come from."""
    by_source: dict[str, list[Node]] = {}
    for node in outside:
        by_source.setdefault(edge.source(node), []).append(node)
    groups: dict[tuple[str, str], list[Node]] = {}
    for source, nodes in by_source.items():
        groups.setdefault((edge.target(source), _reason(edge, nodes)), []).extend(nodes)
    trials = sorted(groups.values(), key=len, reverse=True)[:_MOST_TRIALS] if len(edge.tags) > 1 else []
    for (_, reason), group in groups.items():
        cost = edge.cost(group) if group in trials else 0
        for node in group:
            severity: Severity = "splits" if cost > 0 else "undelegated"
            yield Problem(edge.source(node), severity, reason, _short(node), cost or None)


def _reason(edge: _Edge, nodes: Sequence[Node]) -> str:
    """Why what has become of one operator stays outside, as the partitioner has it."""
    if len({node.target for node in nodes}) > 1:
        return "XNNPACK does not take what it is made of"
    reason = edge.reasons.get(nodes[0].name, "XNNPACK has no such operator")
    values = [n.meta.get("val") for n in (nodes[0], *nodes[0].all_input_nodes)]
    types = {str(v.dtype).removeprefix("torch.") for v in values if _is_tensor(v)} - {"float32", "float16"}
    return f"XNNPACK takes floats, and here is {', '.join(sorted(types))}" if reason == "invalid dtype" else reason


def _first_complex(node: Node) -> Node:
    """Where the complex numbers that the node reads come from; the node itself if it reads none."""
    for argument in node.all_input_nodes:
        value = argument.meta.get("val")
        if is_operator(argument) and _is_tensor(value) and value.is_complex():
            return _first_complex(argument)
    return node


def _operators(graph_module: GraphModule) -> Iterator[Node]:
    for node in graph_module.graph.nodes:
        if is_operator(node):
            yield node
    for _, child in graph_module.named_children():
        if isinstance(child, GraphModule):
            yield from _operators(child)


def _branches(graph_module: GraphModule) -> Iterator[tuple[Any, Node]]:
    """(graph of a branch, the node that may run it), at any depth."""
    for node in graph_module.graph.nodes:
        child = getattr(graph_module, str(node.target), None) if node.op == "get_attr" else None
        if isinstance(child, GraphModule):
            yield from ((child.graph, user) for user in node.users)
            yield from _branches(child)


def _is_tensor(value: object) -> TypeGuard[torch.Tensor]:
    return isinstance(value, torch.Tensor)


def _is_view(node: Node) -> bool:
    """Whether ExecuTorch only reads the same memory by another shape: such a node is no instruction."""
    return str(getattr(node.target, "__name__", "")).endswith("view_copy.default")


def _short(node: Node) -> str:
    return str(getattr(node.target, "__name__", node.target))


def _out_variant(node: Node) -> str:
    """``aten::mean.out`` for ``aten.mean.dim``.

    Raises:
        RuntimeError: the operator has none.
    """
    from executorch.exir.operator.convert import to_out_variant

    target: Any = node.target
    made = target.to_out_variant() if hasattr(target, "to_out_variant") else to_out_variant(target)[0]
    schema = made._schema
    return f"{schema.name}.{schema.overload_name}" if schema.overload_name else str(schema.name)


def _file_name(node: Node) -> str | None:
    """The operator's name in the .pte, or null if it can't get there."""
    try:
        return _out_variant(node).replace("::", ".")
    except RuntimeError:
        return None


def _registered_kernels() -> frozenset[str]:
    from executorch.extension.pybindings import _C as runtime

    return frozenset(runtime._get_operator_names())


def _named_node(failure: BaseException, known: set[str]) -> str:
    """torch quotes the node that it was at: ``While executing %name``."""
    found = re.search(r"While executing %(\w+)", str(failure))
    return found[1] if found and found[1] in known else ""


def _dry_partitioner() -> tuple[Any, Any, list[Any]]:
    """A partitioner that keeps its result (with the edge program) in a list and stops there; and a real one."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    found: list[Any] = []

    class Dry(XnnpackPartitioner):  # type: ignore[misc]  # executorch is not typed
        def partition(self, exported_program: ExportedProgram) -> Any:
            found.append((exported_program, super().partition(exported_program)))
            raise _Partitioned

    return Dry(), XnnpackPartitioner(), found


@contextmanager
def _reasons(found: dict[str, str]) -> Iterator[None]:
    """Collect what the partitioner's configurations say about nodes that they leave out, by node name."""
    from executorch.exir.backend.utils import WhyNoPartition

    original = WhyNoPartition.__call__

    def note(self: Any, node: Node, reason: str) -> None:
        found[node.name] = " ".join(str(reason).split())

    WhyNoPartition.__call__ = note
    try:
        yield
    finally:
        WhyNoPartition.__call__ = original


@contextmanager
def _fewer_decompositions() -> Iterator[None]:
    """Decompose once instead of three times, with the same result.

    executorch first decomposes nothing, only to make the program functional, which the next call does as well; and it
    decomposes again at the end, also where nothing is left to decompose.
    """
    original = ExportedProgram.run_decompositions
    functional: list[ExportedProgram] = []

    def run(self: ExportedProgram, decomp_table: Any = None, **options: Any) -> ExportedProgram:
        if decomp_table is not None and not decomp_table:
            return self
        seen = any(self is known for known in functional)
        if seen and decomp_table is not None and not any(n.target in decomp_table for n in self.graph.nodes):
            return self
        made: ExportedProgram = original(self, decomp_table, **options)
        functional.append(made)
        return made

    ExportedProgram.run_decompositions = run  # type: ignore[method-assign]
    try:
        yield
    finally:
        ExportedProgram.run_decompositions = original  # type: ignore[method-assign]
