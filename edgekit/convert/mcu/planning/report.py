"""What a plan says to people: lifetimes, what is in the arena during a step, and what to do when it does not fit."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.convert.mcu.lower.dsp import GROUP
from edgekit.convert.mcu.pack import step_name
from edgekit.convert.mcu.steps import Plan, Program, Step
from edgekit.errors import RegressedError

_PORTABLE_LAYOUT = 0  # EK_CONV_OHWI and EK_DEPTHWISE_HWC: weights as the portable kernels take them


def peak_step(program: Program, made: Plan) -> int:
    """The step during which most bytes of the arena are in use; the first of several."""
    return max(made.order, key=lambda step: (working_set(program, made, step).bytes, -made.order.index(step)))


@dataclass(frozen=True)
class Piece:
    """A buffer, or the scratch of a step, in the arena. ``maker`` is short: what :func:`makers` says, or "scratch"."""

    name: str
    maker: str
    offset: int
    bytes: int


@dataclass(frozen=True)
class WorkingSet:
    """What is in the arena during one step; ``bytes`` counts what is shared once."""

    step: int
    name: str
    bytes: int
    pieces: tuple[Piece, ...]


def lifetimes(program: Program, made: Plan) -> tuple[tuple[int, int] | None, ...]:
    """Per buffer the first and last position in the planned order; None for one that nothing uses.

    Position -1 is before the first step (inputs), ``len(steps)`` after the last (outputs).
    """
    spans: list[tuple[int, int] | None] = [None] * len(program.buffers)
    uses = [(e.buffer, -1) for e in program.inputs] + [(e.buffer, len(program.steps)) for e in program.outputs]
    for position, number in enumerate(made.order):
        uses += [(b, position) for b in (*program.steps[number].reads, *program.steps[number].writes)]
    for buffer, position in uses:
        first, last = spans[buffer] or (position, position)
        spans[buffer] = min(first, position), max(last, position)
    return tuple(spans)


def makers(program: Program, made: Plan) -> tuple[str, ...]:
    """Per buffer the step that first writes it, as it is called in the packed file; "input" for a model input.

    Tensor names of converted models are long and alike; this is what people find again.
    """
    found = dict.fromkeys((end.buffer for end in program.inputs), "input")
    for number in made.order:
        for buffer in program.steps[number].writes:
            found.setdefault(buffer, step_name(program.steps[number].name))
    return tuple(found.get(buffer, "unused") for buffer in range(len(program.buffers)))


def working_set(program: Program, made: Plan, step: int) -> WorkingSet:
    """Everything that is in the arena while ``step`` (the program's number) runs, largest first."""
    position = made.order.index(step)
    maker = makers(program, made)
    pieces = [
        Piece(buffer.name, maker[number], made.offsets[number], buffer.bytes)
        for number, (buffer, life) in enumerate(zip(program.buffers, lifetimes(program, made), strict=True))
        if life and life[0] <= position <= life[1]
    ]
    if program.steps[step].scratch_bytes:
        name = f"scratch of {program.steps[step].name}"
        pieces.append(Piece(name, "scratch", made.scratch[step], program.steps[step].scratch_bytes))
    used, top = 0, 0
    for piece in sorted(pieces, key=lambda p: p.offset):
        end = piece.offset + piece.bytes
        used += max(end - max(piece.offset, top), 0)
        top = max(top, end)
    ordered = tuple(sorted(pieces, key=lambda p: (-p.bytes, p.offset)))
    return WorkingSet(step, program.steps[step].name, used, ordered)


def _spoken(maker: str) -> str:
    return maker if maker in ("input", "scratch") else f"output of {maker}"


def over_budget(program: Program, made: Plan, budget_bytes: int, board: str) -> RegressedError | None:
    """The error for a plan that needs more than ``budget_bytes`` of arena on ``board``; None if it fits."""
    if made.arena_bytes <= budget_bytes:
        return None
    peak = working_set(program, made, made.peak_step)
    largest = ", ".join(f"{_spoken(p.maker)} {p.bytes:,}" for p in peak.pieces[:4])
    proved = "No order and placement needs less" if made.optimal else f"At least {made.lower_bound_bytes:,} are needed"
    return RegressedError(
        f"The model needs {made.arena_bytes:,} bytes of arena, {made.arena_bytes - budget_bytes:,} more than "
        f"{board} has ({budget_bytes:,}). {proved}.",
        where=f"step {made.order.index(peak.step) + 1} of {len(made.order)}, {peak.name}: {largest} bytes",
        next_step="Make the input smaller or that layer narrower, or choose a board with more SRAM.",
        arena_bytes=made.arena_bytes,
        lower_bound_bytes=made.lower_bound_bytes,
        budget_bytes=budget_bytes,
        peak_step=peak.name,
        peak_buffers=[{"name": p.name, "made_by": p.maker, "bytes": p.bytes, "offset": p.offset} for p in peak.pieces],
    )


@dataclass(frozen=True)
class PortableLayer:
    """A convolution that runs by the portable kernel although the program is for a core with the DSP extension."""

    name: str
    macs: int
    reason: str


def portable_layers(program: Program) -> tuple[PortableLayer, ...]:
    """The convolutions of a program for the DSP kernels that those can't do, most multiply-accumulates first."""
    if not program.dsp:
        return ()
    found = [
        PortableLayer(step.name, step.macs, _why_portable(step))
        for step in program.steps
        if step.kernel in ("conv", "depthwise") and step.fields["layout"] == _PORTABLE_LAYOUT
    ]
    return tuple(sorted(found, key=lambda layer: -layer.macs))


def _why_portable(step: Step) -> str:
    if step.fields.get("groups", 1) != 1:
        return f"a grouped convolution ({step.fields['groups']} groups)"
    if step.fields.get("depth_multiplier", 1) != 1:
        return f"a depth multiplier of {step.fields['depth_multiplier']}"
    if step.kernel == "depthwise" and step.fields["out_c"] % GROUP:
        return f"{step.fields['out_c']} channels, which {GROUP} does not divide"
    return "some input could take a sum out of the DSP kernel's range"
