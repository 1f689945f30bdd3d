"""Orders of the steps: the smallest possible peak over all of them, and an order that has it.

The working set of a step depends only on which steps ran before it, not on their order. So the best order is a path
through sets of steps whose largest working set is smallest, and best-first search finds it; stopped early, the
smallest key that is still open is a lower bound all the same.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.convert.mcu.planning.problem import Problem, saving


@dataclass(frozen=True)
class Orders:
    """``bound`` in units holds for every order; ``order`` is one whose working sets stay within ``peak``."""

    bound: int
    order: tuple[int, ...]
    peak: int


@dataclass(frozen=True)
class _Move:
    """One step run: units live afterwards, and the most that was needed during it."""

    step: int
    live: int
    peak: int


def search(problem: Problem, given: Sequence[int], *, max_sets: int, seconds: float) -> Orders:
    """The order with the smallest peak; the given one if none is better.

    Looks at ``max_sets`` sets of steps (about 0.5 KB each) at the most, or for ``seconds``; after that ``bound`` may be
    below ``peak``.
    """
    floor = max(unavoidable(problem), _at_rest(problem))
    own = peak_of(problem, given)
    if own == floor:
        return Orders(floor, tuple(given), own)
    found, bound = _best_first(problem, floor, max_sets, time.monotonic() + seconds)
    if found is None:
        found = _greedy(problem)
    peak = peak_of(problem, found)
    return Orders(bound, tuple(given), own) if own <= peak else Orders(bound, found, peak)


def peak_of(problem: Problem, order: Sequence[int]) -> int:
    """The largest working set of ``order`` in units, with all sharing that the order permits."""
    done, live, peak = 0, _live_inputs(problem), _at_rest(problem)
    for step in order:
        move = _run(problem, done, live, step)
        done, live, peak = done | 1 << step, move.live, max(peak, move.peak)
    return peak


def unavoidable(problem: Problem) -> int:
    """The largest set of units that one step needs in whatever order: made before or by it, needed by it or later."""
    most = 0
    for step in range(problem.steps):
        early = problem.before[step] | 1 << step
        late = problem.after[step] | 1 << step
        need = problem.size[problem.buffers + step]
        for buffer in range(problem.buffers):
            made = buffer in problem.inputs or problem.writers[buffer] & early
            if made and (buffer in problem.outputs or problem.users[buffer] & late):
                need += problem.size[buffer]
        possible = [
            share
            for share in problem.shares[step]
            if share.read not in problem.outputs
            and not problem.users[share.read] & problem.after[step]
            and problem.begins(share.write, problem.before[step])
        ]
        most = max(most, need - saving(problem, possible))
    return most


def _at_rest(problem: Problem) -> int:
    """Units that the inputs need together before the first step, and the outputs after the last."""
    return max(sum(problem.size[b] for b in problem.inputs), sum(problem.size[b] for b in problem.outputs))


def _live_inputs(problem: Problem) -> int:
    return sum(problem.size[b] for b in problem.inputs if problem.users[b] or b in problem.outputs)


def _run(problem: Problem, done: int, live: int, step: int) -> _Move:
    """What running ``step`` after ``done`` needs."""
    born = sum(problem.size[b] for b in problem.touches[step] if problem.begins(b, done))
    dead = sum(problem.size[b] for b in problem.touches[step] if problem.dies(b, step, done))
    need = live + born + problem.size[problem.buffers + step] - saving(problem, problem.usable(step, done))
    return _Move(step, live + born - dead, need)


def _moves(problem: Problem, done: int, live: int, within: int) -> list[_Move]:
    """The steps that can run next.

    A step that fits ``within`` and leaves no more behind than there was may as well run at once: in any order that
    runs it later, running it now makes no working set in between larger. It is then the only move.
    """
    moves = []
    for step in range(problem.steps):
        if done >> step & 1 or problem.before[step] & ~done:
            continue
        move = _run(problem, done, live, step)
        if move.peak <= within and move.live <= live:
            return [move]
        moves.append(move)
    return moves


def _best_first(problem: Problem, floor: int, max_sets: int, deadline: float) -> tuple[tuple[int, ...] | None, int]:
    """(an order with the smallest peak, or None if stopped before, a proved lower bound)."""
    everything = (1 << problem.steps) - 1
    live = {0: _live_inputs(problem)}
    key = {0: floor}
    came: dict[int, tuple[int, int]] = {}
    heap = [(floor, 0, 0)]
    closed: set[int] = set()
    while heap:
        cost, _, done = heapq.heappop(heap)
        if done in closed:
            continue
        if done == everything:
            return _path(came, done), cost
        if len(key) >= max_sets or (len(closed) % 256 == 0 and time.monotonic() > deadline):
            return None, cost
        closed.add(done)
        for move in _moves(problem, done, live[done], cost):
            then = done | 1 << move.step
            reach = max(cost, move.peak)
            if reach < key.get(then, reach + 1):
                key[then], live[then], came[then] = reach, move.live, (done, move.step)
                heapq.heappush(heap, (reach, -then.bit_count(), then))
    raise AssertionError("the steps depend on each other in a circle")


def _path(came: dict[int, tuple[int, int]], done: int) -> tuple[int, ...]:
    steps = []
    while done:
        done, step = came[done]
        steps.append(step)
    return tuple(reversed(steps))


def _greedy(problem: Problem) -> tuple[int, ...]:
    """Always the step that leaves the least behind; among equals the one that needs the least."""
    done, live = 0, _live_inputs(problem)
    order: list[int] = []
    while len(order) < problem.steps:
        move = min(_moves(problem, done, live, -1), key=lambda m: (m.live, m.peak, m.step))
        done, live = done | 1 << move.step, move.live
        order.append(move.step)
    return tuple(order)


def sampled(problem: Problem, below: int, chance: random.Random) -> tuple[int, ...] | None:
    """An order by chance, leaning to what leaves little behind; None if it runs into a peak that is not ``below``."""
    done, live = 0, _live_inputs(problem)
    order: list[int] = []
    while len(order) < problem.steps:
        moves = [move for move in _moves(problem, done, live, -1) if move.peak < below]
        if not moves:
            return None
        if chance.random() < 0.6:
            least = min(move.live for move in moves)
            moves = [move for move in moves if move.live == least]
        move = chance.choice(moves)
        done, live = done | 1 << move.step, move.live
        order.append(move.step)
    return tuple(order)
