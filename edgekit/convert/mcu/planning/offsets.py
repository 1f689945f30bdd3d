"""Offsets for a fixed order: which items meet in the arena, and good placements by greedy rules.

Greedy: items in some sequence, each at the lowest offset that its neighbours placed so far leave free. Sequences tried:
largest first, longest first, the fullest step first, and then the best one with items that stick out moved forward.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.convert.mcu.planning.problem import Problem, Share

SEED = 5


@dataclass(frozen=True)
class Life:
    """An item is needed from position ``first`` to ``last``; -1 is before the first step, ``steps`` after the last."""

    first: int
    last: int


@dataclass(frozen=True)
class Meeting:
    """The items of a program in a fixed order.

    ``lives`` is None for what is never needed (no bytes, no user); ``neighbours`` has, per item, those that live at
    the same time, with the shares that let the two touch.
    """

    order: tuple[int, ...]
    lives: tuple[Life | None, ...]
    neighbours: tuple[dict[int, tuple[Share, ...]], ...]


def meet(problem: Problem, order: Sequence[int]) -> Meeting:
    """Who meets whom when the steps run in ``order``."""
    lives = _lives(problem, order)
    shares: dict[tuple[int, int], list[Share]] = {}
    done = 0
    for step in order:
        for share in problem.usable(step, done):
            shares.setdefault((share.read, share.write), []).append(share)
        done |= 1 << step
    neighbours: list[dict[int, tuple[Share, ...]]] = [{} for _ in lives]
    for a, life in enumerate(lives):
        for b in range(a):
            other = lives[b]
            if life and other and max(life.first, other.first) <= min(life.last, other.last):
                both = (*shares.get((a, b), ()), *shares.get((b, a), ()))
                neighbours[a][b] = neighbours[b][a] = both
    return Meeting(tuple(order), lives, tuple(neighbours))


def _lives(problem: Problem, order: Sequence[int]) -> tuple[Life | None, ...]:
    first: dict[int, int] = dict.fromkeys(problem.inputs, -1)
    last = dict.fromkeys(problem.inputs, -1)
    for position, step in enumerate(order):
        for item in (*problem.touches[step], problem.buffers + step):
            first.setdefault(item, position)
            last[item] = position
    last.update(dict.fromkeys(problem.outputs, problem.steps))
    return tuple(Life(first[i], last[i]) if size and i in first else None for i, size in enumerate(problem.size))


@dataclass(frozen=True)
class Placement:
    """Offsets per item (0 for what is never needed) and the end of the highest, in units."""

    offsets: tuple[int, ...]
    end: int


def place(problem: Problem, meeting: Meeting, sequence: Sequence[int]) -> Placement:
    """Every item of ``sequence`` at the lowest offset that is free when its turn comes."""
    offsets: dict[int, int] = {}
    end = 0
    for item in sequence:
        taken = [
            _forbidden(problem, item, other, offsets[other], shares)
            for other, shares in meeting.neighbours[item].items()
            if other in offsets
        ]
        offset = _lowest(taken, problem.align[item])
        offsets[item] = offset
        end = max(end, offset + problem.size[item])
    return Placement(tuple(offsets.get(i, 0) for i in range(len(problem.size))), end)


def _forbidden(problem: Problem, item: int, other: int, at: int, shares: tuple[Share, ...]) -> tuple[int, int, int]:
    """The open interval of offsets at which ``item`` clashes with ``other``; third: one offset inside that is free."""
    low, high, but = at - problem.size[item], at + problem.size[other], -1
    if not shares:
        return low, high, but
    for share in shares:
        if share.distance is None:
            but = at
        elif share.write == item:
            low = max(low, at - share.distance)
        else:
            high = min(high, at + share.distance)
    return low, high, but


def _lowest(taken: list[tuple[int, int, int]], align: int) -> int:
    """The lowest aligned offset outside all intervals."""
    offset = 0
    for low, high, _ in sorted(taken):
        if offset <= low:
            break  # so are all that follow
        if offset < high:
            offset = -(-high // align) * align
    equal = [but for _, _, but in taken if 0 <= but < offset and but % align == 0]
    free = [o for o in equal if all(not low < o < high or o == but for low, high, but in taken)]
    return min(free, default=offset)


def improve(problem: Problem, meeting: Meeting, target: int, *, rounds: int, deadline: float) -> Placement:
    """The best greedy placement found; stops at ``target`` units. The same for the same arguments."""
    best: tuple[Placement, list[int]] | None = None
    for sequence in _sequences(problem, meeting):
        placement = place(problem, meeting, sequence)
        if best is None or placement.end < best[0].end:
            best = placement, sequence
        if placement.end <= target:
            return placement
    assert best is not None
    chance = random.Random(SEED)  # noqa: S311  no secret
    for _ in range(rounds):
        if best[0].end <= target or time.monotonic() > deadline:
            break
        sequence = _moved(problem, *best, chance)
        placement = place(problem, meeting, sequence)
        if placement.end <= best[0].end:
            best = placement, sequence
    return best[0]


def _moved(problem: Problem, placement: Placement, sequence: list[int], chance: random.Random) -> list[int]:
    """``sequence`` with one item moved forward: as a rule one that ends highest."""
    highest = [i for i in sequence if placement.offsets[i] + problem.size[i] == placement.end]
    item = chance.choice(highest if chance.random() < 0.5 else sequence)
    place_now = sequence.index(item)
    moved = sequence[:place_now] + sequence[place_now + 1 :]
    moved.insert(chance.randrange(place_now + 1), item)
    return moved


def _sequences(problem: Problem, meeting: Meeting) -> list[list[int]]:
    """The sequences to start with."""
    items = [(i, life) for i, life in enumerate(meeting.lives) if life]
    size = problem.size
    full = [0] * (problem.steps + 2)
    for i, life in items:
        for position in range(life.first, life.last + 1):
            full[position + 1] += size[i]
    fullest = {i: max(full[life.first + 1 : life.last + 2]) for i, life in items}
    keys = (
        lambda i, life: (-size[i], life.first),
        lambda i, life: (-fullest[i], -size[i], life.first),
        lambda i, life: (-(life.last - life.first + 1) * size[i], life.first),
        lambda i, life: (life.first - life.last, -size[i], life.first),
        lambda i, life: (life.first, -size[i]),
        lambda i, life: (-life.last, -size[i]),
    )
    return [[i for i, _ in sorted(items, key=lambda pair: (key(*pair), pair[0]))] for key in keys]
