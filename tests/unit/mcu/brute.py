"""The smallest arena of a tiny program by trying every order and every offset: what the planner is held against.

Written from the rules in steps.py alone; shares no code with the planner.
"""

from __future__ import annotations

import itertools
import math


def orders(program):
    """Every order in which each step sees the writes that it sees in the program's own order."""

    def history(order):
        seen, written = {}, {}
        for number in order:
            s = program.steps[number]
            for b in {*s.reads, *s.writes}:
                seen[number, b] = tuple(written.get(b, ()))
            for b in s.writes:
                written.setdefault(b, []).append(number)
        return seen

    own = history(range(len(program.steps)))
    return [o for o in itertools.permutations(range(len(program.steps))) if history(o) == own]


def smallest(program):
    """Bytes, rounded up to the alignment that all pieces have in common."""
    scratch = [8] if any(s.scratch_bytes for s in program.steps) else []
    unit = math.gcd(*(b.align for b in program.buffers), *scratch)
    return min(_smallest_of(program, order, unit) for order in orders(program)) * unit


def _smallest_of(program, order, unit):
    uses = {}
    for p, number in enumerate(order):
        for b in (*program.steps[number].reads, *program.steps[number].writes):
            uses.setdefault(b, []).append(p)
    for e in program.inputs:
        uses.setdefault(e.buffer, []).append(-1)
    for e in program.outputs:
        uses.setdefault(e.buffer, []).append(len(order))
    items = [(b, min(u), max(u), program.buffers[b].bytes, program.buffers[b].align) for b, u in uses.items()]
    items += [
        (f"scratch{n}", p, p, program.steps[n].scratch_bytes, 8)
        for p, n in enumerate(order) if program.steps[n].scratch_bytes
    ]  # fmt: skip
    allowed = {}
    for p, number in enumerate(order):
        for o in program.steps[number].overlaps:
            if max(uses[o.read]) == p and min(uses[o.write]) == p:
                allowed.setdefault((o.read, o.write), []).append(o.distance)

    def fine(a, at, b, bt):
        if a[1] > b[2] or b[1] > a[2] or at + a[3] <= bt or bt + b[3] <= at:
            return True
        for (r, w), distances in allowed.items():
            if (r, w) in ((a[0], b[0]), (b[0], a[0])):
                ro, wo = (at, bt) if a[0] == r else (bt, at)
                if any(wo == ro if d is None else wo + d <= ro for d in distances):
                    return True
        return False

    items.sort(key=lambda item: -item[3])
    best = sum(-(-i[3] // 8) * 8 for i in items)

    def put(index, placed, end):
        nonlocal best
        if end >= best:
            return
        if index == len(items):
            best = end
            return
        item = items[index]
        for offset in range(0, best - item[3] + 1, item[4]):
            top = -(-max(end, offset + item[3]) // unit) * unit
            if top < best and all(fine(item, offset, other, at) for other, at in placed):
                put(index + 1, [*placed, (item, offset)], top)

    put(0, [], 0)
    return best // unit
