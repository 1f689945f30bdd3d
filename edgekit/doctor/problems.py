"""What a backend says about a program, operator by operator, and how that becomes the findings of a report."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch.utils import _pytree as pytree

from edgekit.convert.remedies import remedy_for
from edgekit.diagnosis import Finding, Severity
from edgekit.export.rewrites.graph import origin_of

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node

    from edgekit.export.provenance import NodeOrigin

# The most severe first.
SEVERITIES: tuple[Severity, ...] = ("fails", "wrong", "splits", "undelegated", "precision")
# What is the same trouble of an operator in two programs, though its severity may differ.
_KIND = {"fails": "fails", "wrong": "wrong", "splits": "outside", "undelegated": "outside", "precision": "precision"}


@dataclass(frozen=True)
class Problem:
    """One operator of a program in trouble: ``node`` is its name there, empty if it could not be traced back.

    ``operator`` names what the converter had made of it by then. ``partitions`` is what all the problems of the same
    cause together cost; ``remedy`` is null where the one for the operator applies.
    """

    node: str
    severity: Severity
    cause: str
    operator: str = ""
    partitions: int | None = None
    remedy: str | None = None


@dataclass(frozen=True)
class Examination:
    """A backend's view of one program. ``undelegated`` counts by the names that the converted file will have."""

    problems: tuple[Problem, ...]
    partitions: int | None = None
    undelegated: Mapping[str, int] | None = None


@dataclass
class History:
    """What the rewrites did to the nodes of the program as it was exported.

    ``removed`` says which rewrite took a node away, or changed the numbers that it is called with; ``applied`` are all
    that changed anything.
    """

    removed: dict[str, str] = field(default_factory=dict)
    stands_for: dict[str, str] = field(default_factory=dict)
    neighbours: dict[str, list[str]] = field(default_factory=dict)
    numbers: dict[str, list[str]] = field(default_factory=dict)
    applied: list[str] = field(default_factory=list)

    @staticmethod
    def of(program: ExportedProgram) -> History:
        """The history of a program that no rewrite has seen yet."""
        nodes = list(program.graph.nodes)
        near = {n.name: [m.name for m in (*n.all_input_nodes, *n.users) if m.op != "placeholder"] for n in nodes}
        numbers = {n.name: _numbers(n) for n in nodes}
        return History(neighbours=near, stands_for={n.name: n.name for n in nodes}, numbers=numbers)

    def record(self, rewrite: str, program: ExportedProgram) -> None:
        """Note what ``rewrite`` has just done."""
        self.applied.append(rewrite)
        now = {node.name: origin_of(node) for node in program.graph.nodes}
        numbers = {node.name: _numbers(node) for node in program.graph.nodes}
        for name in self.stands_for:
            if numbers.get(name) != self.numbers.get(name):
                self.removed.setdefault(name, rewrite)
        self.stands_for.update(now)
        self.numbers = {**self.numbers, **numbers}

    def removed_by(self, rewrite: str) -> list[str]:
        """The exported nodes that the rewrite replaced or took away."""
        names = [self.stands_for[name] for name, by in self.removed.items() if by == rewrite]
        return list(dict.fromkeys(names))

    def mender(self, name: str) -> str | None:
        """The rewrite that took this exported node away, or the one that changed the graph nearest to it."""
        seen, queue = {name}, deque([name])
        while queue:
            current = queue.popleft()
            if current in self.removed:
                return self.removed[current]
            for other in self.neighbours.get(current, ()):
                if other not in seen:
                    seen.add(other)
                    queue.append(other)
        return None


def _numbers(node: Node) -> list[str]:
    """The numbers that an operator is called with: what a rewrite can change of a node that it leaves in its place."""
    if node.op != "call_function":
        return []
    values = pytree.tree_leaves((node.args, node.kwargs))
    return [repr(value) for value in values if isinstance(value, (bool, int, float))]


def source_node(node: Node, known: Iterable[str] | Mapping[str, Any]) -> str:
    """The name of the node in an earlier program, of the ``known`` names, that this one was made from; "" if none.

    The passes of torch and the converters keep each node's history; the earliest entry counts, because later programs
    use the same names for other nodes.
    """
    names = [node.name] if not node.meta.get("from_node") else []
    history = node.meta.get("from_node") or []
    while history:
        names.append(history[0].name)
        history = history[0].from_node
    return next((name for name in reversed(names) if name in known), "")


def findings(
    backend: str,
    before: Sequence[Problem],
    after: Sequence[Problem],
    history: History,
    origins: Mapping[str, NodeOrigin],
) -> tuple[Finding, ...]:
    """One finding per cause: what the rewrites mended, and what is left.

    ``before`` speaks of the exported program's nodes, ``after`` of those of the rewritten one.
    """
    left = [(problem, history.stands_for.get(problem.node, problem.node), None) for problem in after]
    still = {(_KIND[problem.severity], name) for problem, name, _ in left}
    mended: list[tuple[Problem, str, str | None]] = []
    for problem in before:
        if (_KIND[problem.severity], problem.node) not in still:
            mender = history.mender(problem.node)
            if mender is not None:
                mended.append((problem, problem.node, mender))
    return tuple(sorted((*_grouped(backend, left, origins), *_grouped(backend, mended, origins)), key=order))


def order(finding: Finding) -> tuple[Any, ...]:
    """What is left before what is mended, then the most severe first, then the most frequent."""
    return (finding.rewrite is not None, SEVERITIES.index(finding.severity), -finding.count)


def _grouped(
    backend: str, found: Sequence[tuple[Problem, str, str | None]], origins: Mapping[str, NodeOrigin]
) -> list[Finding]:
    groups: dict[tuple[Any, ...], dict[str, list[Problem]]] = {}
    for problem, name, mender in found:
        op = origins[name].op if name in origins else problem.operator or "(unknown operator)"
        key = (problem.severity, op, problem.cause, mender)
        groups.setdefault(key, {}).setdefault(name, []).append(problem)
    place = {name: index for index, name in enumerate(origins)}
    made = []
    for (severity, op, cause, mender), by_name in groups.items():
        names = sorted(by_name, key=lambda name: place.get(name, len(place)))
        first = origins.get(names[0])
        costs = [p.partitions for problems in by_name.values() for p in problems if p.partitions is not None]
        remedies = [p.remedy for problems in by_name.values() for p in problems if p.remedy is not None]
        modules = tuple(dict.fromkeys(origins[name].module for name in names if name in origins))
        parts = Counter(p.operator for problems in by_name.values() for p in problems if p.operator)
        made.append(
            Finding(
                severity=severity,
                backend=backend,
                op=op,
                module=first.module if first else "",
                source=first.source if first else "",
                cause=cause,
                remedy=_mended_by(mender) if mender else next(iter(remedies), remedy_for(op, severity)),
                rewrite=mender,
                count=len(names) if names != [""] else sum(parts.values()),
                modules=modules,
                becomes=tuple(f"{count} {name}" for name, count in parts.most_common()),
                partitions=max(costs) if costs else None,
            )
        )
    return made


def _mended_by(rewrite: str) -> str:
    return f"edgekit's rewrite {rewrite} mends it"
