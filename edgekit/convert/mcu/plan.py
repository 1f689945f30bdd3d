"""The memory planner: operator order and arena offsets minimised together, with a proved lower bound.

First the order whose working sets peak lowest (planning/order.py: exact, with the sharing that kernels permit), then
offsets by greedy rules (planning/offsets.py). If the arena is then as small as the order's bound, that is the proof;
otherwise CP-SAT (planning/exact.py) closes the gap, for the order first and then for all orders at once (not for
branched graphs of hundreds of steps, whose plan then states its gap).
"""

from __future__ import annotations

import random
import time
from dataclasses import replace

from edgekit.convert.mcu.planning import check, exact, offsets, order
from edgekit.convert.mcu.planning.problem import Problem, problem_of
from edgekit.convert.mcu.planning.report import over_budget, peak_step, working_set
from edgekit.convert.mcu.steps import Plan, Program
from edgekit.errors import ConvertError

__all__ = ["over_budget", "plan", "verify", "working_set"]

MAX_SETS = 200_000  # sets of steps that the search for an order looks at; about 10 s
ROUNDS = 300  # greedy placements tried for the best order before the solver is asked
TRIES, ORDERS, ORDER_ROUNDS = 40_000, 6_000, 20  # other orders: tries and orders (per step), greedy placements each

MAX_STEPS_FOR_ALL_ORDERS = 150  # the model of all orders grows with the square of the steps


def plan(program: Program, *, time_limit_s: float = 60, workers: int = 2) -> Plan:
    """Order and offsets with the smallest arena found; the same for the same program unless the time runs out.

    Args:
        program: steps in an order that works.
        time_limit_s: seconds after which the best plan so far is returned with the bound proved so far.
        workers: threads of the solver.

    Raises:
        MissingConverterError: OR-Tools is needed and not installed.
        ConvertError: the program reads a buffer that nothing has written.
    """
    started = time.monotonic()
    _refuse_unwritten(program)
    problem = problem_of(program)
    state = _State(problem, started + time_limit_s, workers)
    state.search(tuple(range(problem.steps)))
    made = _as_plan(program, problem, state, time.monotonic() - started)
    verify(program, made)
    return made


def verify(program: Program, made: Plan) -> None:
    """Check ``made`` against ``program`` by playing it through.

    Raises:
        ConvertError: two pieces that live together overlap, a step runs too early, something leaves the arena.
    """
    found = list(check.faults(program, made))
    if found:
        raise ConvertError(
            f"The memory plan is wrong: {found[0]}.",
            where=program.name,
            next_step="This is a fault of edgekit's planner: report it with the model.",
            format="mcu",
            faults=found[:20],
        )


class _State:
    """The best plan and the best bound so far, in units."""

    def __init__(self, problem: Problem, deadline: float, workers: int) -> None:
        self.problem, self.deadline, self.workers = problem, deadline, workers
        self.bound = 0
        self.order: tuple[int, ...] = ()
        self.best: offsets.Placement | None = None

    def left(self) -> float:
        """Seconds."""
        return self.deadline - time.monotonic()

    def search(self, given: tuple[int, ...]) -> None:
        """Orders, then offsets, then proofs; each only while there is a gap and time."""
        found = order.search(self.problem, given, max_sets=MAX_SETS, seconds=self.left() / 3)
        self.bound = found.bound
        for candidate in dict.fromkeys((found.order, given)):
            self._greedy(candidate, ROUNDS)
        alone = self.problem.one_order
        if not alone:
            self._sample()
        if self._gap():
            effort = exact.Effort(self.left() if alone else self.left() / 3, self.workers)
            meeting = offsets.meet(self.problem, self.order)
            assert self.best is not None
            self._take(exact.prove_offsets(self.problem, meeting, self.best, self.bound, effort), for_all=alone)
        if self._gap() and not alone and self.problem.steps <= MAX_STEPS_FOR_ALL_ORDERS:
            effort = exact.Effort(self.left(), self.workers)
            assert self.best is not None
            self._take(exact.prove_all(self.problem, self.order, self.best, self.bound, effort), for_all=True)

    def _sample(self) -> None:
        """Other orders with a small peak: placements differ a lot between them."""
        chance = random.Random(offsets.SEED)  # noqa: S311  no secret
        deadline = time.monotonic() + self.left() / 6
        seen = {self.order}
        for _ in range(TRIES // self.problem.steps):
            full = len(seen) > max(ORDERS // self.problem.steps, 10)
            if full or not self._gap() or time.monotonic() > deadline or self.best is None:
                return
            candidate = order.sampled(self.problem, self.best.end, chance)
            if candidate is not None and candidate not in seen:
                seen.add(candidate)
                self._greedy(candidate, ORDER_ROUNDS)

    def _greedy(self, candidate: tuple[int, ...], rounds: int) -> None:
        if not self._gap():
            return
        meeting = offsets.meet(self.problem, candidate)
        deadline = time.monotonic() + self.left() / 4
        placed = offsets.improve(self.problem, meeting, self.bound, rounds=rounds, deadline=deadline)
        if self.best is None or placed.end < self.best.end:
            self.order, self.best = candidate, placed

    def _gap(self) -> bool:
        return self.best is None or (self.best.end > self.bound and self.left() > 0)

    def _take(self, proof: exact.Proof, *, for_all: bool) -> None:
        """Take a proof's plan if it is better, and its bound if that holds for all orders."""
        if proof.placement and (self.best is None or proof.placement.end < self.best.end):
            self.order, self.best = proof.order, proof.placement
        if for_all:
            self.bound = max(self.bound, proof.bound)


def _as_plan(program: Program, problem: Problem, state: _State, seconds: float) -> Plan:
    assert state.best is not None
    unit, best = problem.unit, state.best
    places = tuple(offset * unit for offset in best.offsets)
    draft = Plan(
        order=state.order,
        offsets=places[: problem.buffers],
        scratch=places[problem.buffers :],
        arena_bytes=best.end * unit,
        lower_bound_bytes=state.bound * unit,
        peak_step=0,
        seconds=seconds,
    )
    return replace(draft, peak_step=peak_step(program, draft)) if program.steps else draft


def _refuse_unwritten(program: Program) -> None:
    """A step that reads what nothing has written would make every lifetime meaningless."""
    written = {end.buffer for end in program.inputs}
    for step in program.steps:
        for buffer in step.reads:
            if buffer not in written and buffer not in step.writes:
                raise _unwritten(step.name, program.buffers[buffer].name)
        written.update(step.writes)
    for end in program.outputs:
        if end.buffer not in written:
            raise _unwritten("the model's end", program.buffers[end.buffer].name)


def _unwritten(where: str, buffer: str) -> ConvertError:
    return ConvertError(
        f"{where} reads {buffer!r} before anything has written it.",
        where=where,
        next_step="This is a fault of edgekit's compiler: report it with the model.",
        format="mcu",
    )
