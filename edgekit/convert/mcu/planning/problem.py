"""The planner's view of a program: sizes in units, who must run before whom, and what may share memory when.

A unit is the greatest common divisor of all alignments (4 bytes as a rule). Offsets are multiples of it, so sizes and
distances can be rounded up to it without losing a plan. Sets of steps are bit masks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.convert.mcu.steps import Program

SCRATCH_ALIGN = 8


@dataclass(frozen=True)
class Share:
    """An :class:`Overlap` with its distance in units."""

    read: int
    write: int
    distance: int | None


@dataclass(frozen=True)
class Problem:
    """``size`` and ``align`` are per item: the buffers, then one item per step for its scratch. All in units.

    ``touches`` has the buffers of each step; ``users`` (readers and writers) and ``writers`` the steps of each buffer;
    ``before`` and ``after`` all steps that must run before and after each step. Inputs are there from the start,
    outputs to the end.
    """

    unit: int
    buffers: int
    steps: int
    size: tuple[int, ...]
    align: tuple[int, ...]
    touches: tuple[tuple[int, ...], ...]
    users: tuple[int, ...]
    writers: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    inputs: frozenset[int]
    outputs: frozenset[int]
    shares: tuple[tuple[Share, ...], ...]

    @property
    def one_order(self) -> bool:
        """Whether the steps can run in one order only."""
        return all((self.before[s] | self.after[s]).bit_count() == self.steps - 1 for s in range(self.steps))

    def dies(self, buffer: int, step: int, done: int) -> bool:
        """Whether nothing needs ``buffer`` after ``step`` when the steps in ``done`` ran before it."""
        return buffer not in self.outputs and not self.users[buffer] & ~(done | 1 << step)

    def begins(self, buffer: int, done: int) -> bool:
        """Whether nothing has written ``buffer`` yet when the steps in ``done`` ran."""
        return buffer not in self.inputs and not self.writers[buffer] & done

    def usable(self, step: int, done: int) -> list[Share]:
        """The shares that hold at ``step`` when exactly the steps in ``done`` ran before it."""
        return [s for s in self.shares[step] if self.dies(s.read, step, done) and self.begins(s.write, done)]


def problem_of(program: Program) -> Problem:
    """The planner's view of ``program``."""
    steps = program.steps
    scratch_align = [SCRATCH_ALIGN] if any(step.scratch_bytes for step in steps) else []
    unit = math.gcd(*(b.align for b in program.buffers), *scratch_align) or 1
    users, writers = [0] * len(program.buffers), [0] * len(program.buffers)
    for number, step in enumerate(steps):
        for buffer in (*step.reads, *step.writes):
            users[buffer] |= 1 << number
        for buffer in step.writes:
            writers[buffer] |= 1 << number
    before, after = _dependences(program, users, writers)
    bytes_of = [*(b.bytes for b in program.buffers), *(s.scratch_bytes for s in steps)]
    return Problem(
        unit=unit,
        buffers=len(program.buffers),
        steps=len(steps),
        size=tuple(-(-size // unit) for size in bytes_of),
        align=(*(b.align // unit for b in program.buffers), *([max(SCRATCH_ALIGN // unit, 1)] * len(steps))),
        touches=tuple(tuple(sorted({*step.reads, *step.writes})) for step in steps),
        users=tuple(users),
        writers=tuple(writers),
        before=before,
        after=after,
        inputs=frozenset(e.buffer for e in program.inputs),
        outputs=frozenset(e.buffer for e in program.outputs),
        shares=tuple(
            tuple(Share(o.read, o.write, None if o.distance is None else -(-o.distance // unit)) for o in step.overlaps)
            for step in steps
        ),
    )


def _dependences(
    program: Program, users: Sequence[int], writers: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """All predecessors and successors of each step: a writer stays in place among the users of its buffer."""
    count = len(program.steps)
    before, after = [0] * count, [0] * count
    for number, step in enumerate(program.steps):
        earlier = (1 << number) - 1
        direct = 0
        for buffer in step.reads:
            direct |= writers[buffer] & earlier
        for buffer in step.writes:
            direct |= users[buffer] & earlier
        before[number] = direct
        for other in bits(direct):
            before[number] |= before[other]
        for other in bits(before[number]):
            after[other] |= 1 << number
    return tuple(before), tuple(after)


def bits(mask: int) -> list[int]:
    """The numbers of the bits that are set, ascending."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


def saving(problem: Problem, shares: Sequence[Share]) -> int:
    """The most units that ``shares`` of one step can save, against all its buffers lying apart.

    Buffers that are written never share with each other, nor do those read, so that a byte counts at most twice.
    """
    if not shares:
        return 0
    by_write = sum(_of_one(problem, [s for s in shares if s.write == w], w) for w in {s.write for s in shares})
    by_read = sum(_of_one(problem, [s for s in shares if s.read == r], r) for r in {s.read for s in shares})
    return min(by_write, by_read)


def _of_one(problem: Problem, shares: list[Share], buffer: int) -> int:
    """The most units of ``buffer`` that its partners in ``shares`` can lie on."""
    most: dict[int, int] = {}
    equal = 0
    for share in shares:
        partner = share.read if buffer == share.write else share.write
        if share.distance is None:
            equal = max(equal, min(problem.size[share.read], problem.size[share.write]))
        else:
            room = max(problem.size[share.write] - share.distance, 0)
            most[partner] = max(most.get(partner, 0), min(problem.size[share.read], room))
    written = buffer == shares[0].write
    lost = min(share.distance or 0 for share in shares) if written else 0
    return min(sum(most.values()) + equal, max(problem.size[buffer] - lost, 0))
