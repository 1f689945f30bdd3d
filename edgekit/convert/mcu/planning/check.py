"""An independent check of a plan: plays the steps in order and looks at every pair of pieces alive together.

Shares no code with the planner on purpose; slow and plain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgekit.convert.mcu.steps import Plan, Program

_Spans = dict[int, tuple[int, int]]


@dataclass(frozen=True)
class _Piece:
    label: str
    start: int
    bytes: int
    align: int
    buffer: int | None


def faults(program: Program, plan: Plan) -> Iterator[str]:
    """Everything that is wrong with ``plan``, in words; nothing for a right one."""
    if sorted(plan.order) != list(range(len(program.steps))):
        yield "the order is not a permutation of the steps"
        return
    if len(plan.offsets) != len(program.buffers) or len(plan.scratch) != len(program.steps):
        yield "not one offset per buffer and per step"
        return
    yield from _dependence_faults(program, plan)
    spans = _spans(program, plan)
    for position in range(-1, len(program.steps) + 1):
        yield from _faults_at(program, plan, spans, position)
    if plan.lower_bound_bytes > plan.arena_bytes:
        yield f"lower bound {plan.lower_bound_bytes} above the arena's {plan.arena_bytes} bytes"


def _dependence_faults(program: Program, plan: Plan) -> Iterator[str]:
    """Every use of a buffer must come after the same writes as in the program's own order."""
    for buffer, piece in enumerate(program.buffers):
        own = _history(program, range(len(program.steps)), buffer)
        planned = _history(program, plan.order, buffer)
        for step, written in own.items():
            if planned[step] != written:
                yield f"step {step} uses {piece.name!r} after the writes of {planned[step]} instead of {written}"


def _history(program: Program, order: tuple[int, ...] | range, buffer: int) -> dict[int, list[int]]:
    """Per step that uses ``buffer``: the steps that wrote it before, in order."""
    written: list[int] = []
    seen = {}
    for number in order:
        step = program.steps[number]
        if buffer in step.reads or buffer in step.writes:
            seen[number] = list(written)
        if buffer in step.writes:
            written.append(number)
    return seen


def _spans(program: Program, plan: Plan) -> _Spans:
    """Per buffer the first and last position at which it is used; inputs from -1 on, outputs up to the last + 1."""
    uses: dict[int, list[int]] = {}
    for end in program.inputs:
        uses.setdefault(end.buffer, []).append(-1)
    for end in program.outputs:
        uses.setdefault(end.buffer, []).append(len(plan.order))
    for position, number in enumerate(plan.order):
        for buffer in (*program.steps[number].reads, *program.steps[number].writes):
            uses.setdefault(buffer, []).append(position)
    return {buffer: (min(positions), max(positions)) for buffer, positions in uses.items()}


def _faults_at(program: Program, plan: Plan, spans: _Spans, position: int) -> Iterator[str]:
    pieces = [
        _Piece(program.buffers[b].name, plan.offsets[b], program.buffers[b].bytes, program.buffers[b].align, b)
        for b, (first, last) in sorted(spans.items())
        if first <= position <= last
    ]
    if 0 <= position < len(plan.order):
        number = plan.order[position]
        step = program.steps[number]
        pieces.append(_Piece(f"scratch of {step.name}", plan.scratch[number], step.scratch_bytes, 8, None))
    for index, piece in enumerate(pieces):
        if piece.start < 0 or piece.start % piece.align or piece.start + piece.bytes > plan.arena_bytes:
            yield f"{piece.label!r} at {piece.start}+{piece.bytes} is misaligned or outside the arena"
        for other in pieces[:index]:
            apart = piece.start + piece.bytes <= other.start or other.start + other.bytes <= piece.start
            if (
                not apart
                and piece.bytes
                and other.bytes
                and not _permitted(program, plan, spans, position, piece, other)
            ):
                yield f"{piece.label!r} and {other.label!r} overlap at position {position}"


def _permitted(program: Program, plan: Plan, spans: _Spans, position: int, one: _Piece, other: _Piece) -> bool:
    """Whether the step at ``position`` lets the two share memory, and all conditions for it hold."""
    if not 0 <= position < len(plan.order):
        return False
    for overlap in program.steps[plan.order[position]].overlaps:
        for read, write in ((one, other), (other, one)):
            if (overlap.read, overlap.write) != (read.buffer, write.buffer):
                continue
            needed_later = spans[overlap.read][1] > position
            there_before = spans[overlap.write][0] < position
            if overlap.distance is None:
                placed = write.start == read.start
            else:
                placed = write.start + overlap.distance <= read.start
            if placed and not needed_later and not there_before:
                return True
    return False
