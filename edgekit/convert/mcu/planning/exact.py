"""Proofs with CP-SAT: the smallest arena for a fixed order, and for all orders at once.

Every pair of items that may live together gets the disjunction "below, above, sharing, or (all orders) not together".
Where no pair of a set may share, one no-overlap constraint says the same and propagates better.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from edgekit.convert.mcu.planning.offsets import Meeting, Placement
from edgekit.convert.mcu.planning.problem import Problem, Share, bits
from edgekit.errors import MissingConverterError


@dataclass(frozen=True)
class Proof:
    """What the solver reached: a plan if it found one, and a bound in units that holds in any case."""

    bound: int
    order: tuple[int, ...]
    placement: Placement | None


@dataclass(frozen=True)
class Effort:
    """Solver limits: seconds of wall clock, and threads."""

    seconds: float
    workers: int


def _interruptibly(solver: Any, model: Any) -> Any:
    """Solve in a thread, so that Ctrl-C is not held up until the search ends."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        search = pool.submit(solver.Solve, model)
        try:
            return search.result()
        except BaseException:
            solver.StopSearch()
            raise


def _solver_module() -> Any:
    try:
        from ortools.sat.python import cp_model
    except ImportError as error:
        raise MissingConverterError(
            "The memory plan needs OR-Tools to be proved, and it is not installed.",
            where="memory planner",
            next_step="Run: pip install 'edgekit[mcu]'",
            package="ortools",
        ) from error
    return cp_model


class _Arena:
    """The variables that both models share: one offset per item, and the arena's end."""

    def __init__(self, problem: Problem, items: Iterable[int], floor: int, ceiling: int) -> None:
        self.cp = _solver_module()
        self.problem = problem
        self.model = self.cp.CpModel()
        self.end = self.model.NewIntVar(floor, ceiling, "end")
        self.multiple: dict[int, Any] = {}
        self.offset: dict[int, Any] = {}
        for item in items:
            align = problem.align[item]
            self.multiple[item] = self.model.NewIntVar(0, (ceiling - problem.size[item]) // align, f"o{item}")
            self.offset[item] = self.multiple[item] * align
            self.model.Add(self.offset[item] + problem.size[item] <= self.end)
        self.model.Minimize(self.end)

    def below(self, low: int, high: int) -> Any:
        """A literal: ``low`` ends at or before the start of ``high``."""
        literal = self.model.NewBoolVar(f"b{low}_{high}")
        self.model.Add(self.offset[low] + self.problem.size[low] <= self.offset[high]).OnlyEnforceIf(literal)
        return literal

    def sharing(self, share: Share) -> Any:
        """A literal: the two lie as ``share`` asks for."""
        read, write = self.offset[share.read], self.offset[share.write]
        literal = self.model.NewBoolVar(f"s{share.read}_{share.write}")
        if share.distance is None:
            self.model.Add(write == read).OnlyEnforceIf(literal)
        else:
            self.model.Add(write + share.distance <= read).OnlyEnforceIf(literal)
        return literal

    def hint(self, placement: Placement) -> None:
        """Where to start."""
        for item, variable in self.multiple.items():
            self.model.AddHint(variable, placement.offsets[item] // self.problem.align[item])

    def solve(self, effort: Effort) -> tuple[Any, bool]:
        """(the solver, whether it has a plan)."""
        solver = self.cp.CpSolver()
        solver.parameters.max_time_in_seconds = max(effort.seconds, 0.01)
        solver.parameters.num_workers = effort.workers
        solver.parameters.interleave_search = effort.workers > 1  # the same result every time
        solver.parameters.random_seed = 5
        # It would leave SIGINT at its default behind, so that the next Ctrl-C ends Python without a clean-up.
        solver.parameters.catch_sigint_signal = False
        status = _interruptibly(solver, self.model)
        return solver, status in (self.cp.OPTIMAL, self.cp.FEASIBLE)

    def placement(self, solver: Any) -> Placement:
        """The offsets found."""
        offsets = [0] * len(self.problem.size)
        for item, variable in self.offset.items():
            offsets[item] = int(solver.Value(variable))
        end = max((o + self.problem.size[i] for i, o in enumerate(offsets) if i in self.offset), default=0)
        return Placement(tuple(offsets), end)


def prove_offsets(problem: Problem, meeting: Meeting, hint: Placement, floor: int, effort: Effort) -> Proof:
    """The smallest arena for the order of ``meeting``, from ``floor`` to the hint's end, in units."""
    arena = _Arena(problem, [i for i, life in enumerate(meeting.lives) if life], floor, hint.end)
    sizes, covered = problem.size, set[tuple[int, int]]()
    for clique in _cliques(problem, meeting):
        covered.update(itertools.combinations(clique, 2))
        arena.model.AddNoOverlap(
            [arena.model.NewFixedSizeIntervalVar(arena.offset[i], sizes[i], f"i{i}") for i in clique]
        )
    for one, others in enumerate(meeting.neighbours):
        for other, shares in others.items():
            if other > one and (one, other) not in covered:
                ways = [arena.below(one, other), arena.below(other, one), *(arena.sharing(s) for s in shares)]
                arena.model.AddBoolOr(ways)
    arena.hint(hint)
    return _proof(arena, effort, lambda _: meeting.order)


def _cliques(problem: Problem, meeting: Meeting) -> list[tuple[int, ...]]:
    """The largest sets of items that all live together and share nothing."""
    found: set[tuple[int, ...]] = set()
    for position in range(-1, problem.steps + 1):
        alive = [i for i, life in enumerate(meeting.lives) if life and life.first <= position <= life.last]
        sharing = [(a, b) for a, b in itertools.combinations(alive, 2) if meeting.neighbours[a][b]]
        left = {a for a, _ in sharing}, {b for _, b in sharing}
        found.update(tuple(i for i in alive if i not in leave) for leave in left)
        if not sharing:
            found.add(tuple(alive))
    sets = sorted((c for c in found if len(c) > 1), key=lambda c: (-len(c), c))
    kept: list[tuple[int, ...]] = []
    for clique in sets:
        if not any(set(clique) <= set(other) for other in kept):
            kept.append(clique)
    return kept


class _Orders:
    """Positions of the steps as variables, and literals for who runs before whom."""

    def __init__(self, arena: _Arena) -> None:
        self.arena, self.problem = arena, arena.problem
        model, count = arena.model, arena.problem.steps
        self.position = [
            model.NewIntVar(self.problem.before[s].bit_count(), count - 1 - self.problem.after[s].bit_count(), f"p{s}")
            for s in range(count)
        ]
        model.AddAllDifferent(self.position)
        for step in range(count):
            for earlier in bits(self.problem.before[step]):
                model.Add(self.position[earlier] < self.position[step])
        self._literals: dict[tuple[int, int], Any] = {}

    def precedes(self, one: int, other: int) -> Any:
        """True, False, or a literal: ``one`` runs before ``other``."""
        if one == other or self.problem.before[one] >> other & 1:
            return False
        if self.problem.before[other] >> one & 1:
            return True
        if (one, other) not in self._literals:
            literal = self.arena.model.NewBoolVar(f"t{one}_{other}")
            self.arena.model.Add(self.position[one] < self.position[other]).OnlyEnforceIf(literal)
            self.arena.model.Add(self.position[other] < self.position[one]).OnlyEnforceIf(literal.Not())
            self._literals[one, other] = literal
            self._literals[other, one] = literal.Not()
        return self._literals[one, other]

    def all_precede(self, steps: Iterable[int], other: int) -> list[Any] | None:
        """The literals that say that all ``steps`` run before ``other``; None if that can't be."""
        literals = []
        for step in steps:
            literal = self.precedes(step, other)
            if literal is False:
                return None
            if literal is not True:
                literals.append(literal)
        return literals

    def steps_of(self, item: int) -> list[int]:
        """The steps that need ``item``."""
        buffers = self.problem.buffers
        return [item - buffers] if item >= buffers else bits(self.problem.users[item])

    def over_before(self, one: int, other: int) -> list[Any] | None:
        """The literals that say that ``one`` is not needed any more when ``other`` begins; None if that can't be."""
        if one in self.problem.outputs or other in self.problem.inputs:
            return None
        return self.all_precede(self.steps_of(one), self.steps_of(other)[0])


def prove_all(problem: Problem, order: Sequence[int], hint: Placement, floor: int, effort: Effort) -> Proof:
    """The smallest arena over all orders, from ``floor`` to the hint's end, in units."""
    items = [
        i for i, size in enumerate(problem.size)
        if size and (i >= problem.buffers or problem.users[i] or i in problem.inputs or i in problem.outputs)
    ]  # fmt: skip
    arena = _Arena(problem, items, floor, hint.end)
    orders = _Orders(arena)
    shares = _possible_shares(problem)
    for one, other in itertools.combinations(items, 2):
        _keep_apart(arena, orders, one, other, shares.get((one, other), []))
    arena.hint(hint)
    for position, step in enumerate(order):
        arena.model.AddHint(orders.position[step], position)

    def found(solver: Any) -> tuple[int, ...]:
        return tuple(sorted(range(problem.steps), key=lambda step: solver.Value(orders.position[step])))

    return _proof(arena, effort, found)


def _keep_apart(arena: _Arena, orders: _Orders, one: int, other: int, shares: list[tuple[Share, int]]) -> None:
    """One of: never together, below, above, sharing."""
    ways = []
    for first, second in ((one, other), (other, one)):
        over = orders.over_before(first, second)
        if over == []:
            return
        if over:
            ways.append(_both(arena, over))
    ways += [arena.below(one, other), arena.below(other, one)]
    for share, step in shares:
        rest = orders.all_precede([s for s in bits(orders.problem.users[share.read]) if s != step], step)
        if rest is not None:
            ways.append(_both(arena, [arena.sharing(share), *rest]))
    arena.model.AddBoolOr(ways)


def _possible_shares(problem: Problem) -> dict[tuple[int, int], list[tuple[Share, int]]]:
    """Per pair of items, the lower first: the shares that some order permits, each with its step."""
    found: dict[tuple[int, int], list[tuple[Share, int]]] = {}
    for step, shares in enumerate(problem.shares):
        for share in shares:
            if share.read not in problem.outputs and problem.begins(share.write, problem.before[step]):
                low, high = sorted((share.read, share.write))
                found.setdefault((low, high), []).append((share, step))
    return found


def _both(arena: _Arena, literals: list[Any]) -> Any:
    """A literal that implies all of ``literals``."""
    if len(literals) == 1:
        return literals[0]
    literal = arena.model.NewBoolVar("")
    arena.model.AddBoolAnd(literals).OnlyEnforceIf(literal)
    return literal


def _proof(arena: _Arena, effort: Effort, order_of: Callable[[Any], tuple[int, ...]]) -> Proof:
    solver, found = arena.solve(effort)
    bound = max(math.ceil(solver.BestObjectiveBound() - 1e-6), 0)
    if not found:
        return Proof(bound, (), None)
    return Proof(bound, order_of(solver), arena.placement(solver))
