"""Small programs for the planner's tests: chains, residuals, branches, and random ones."""

from __future__ import annotations

import random

from edgekit.convert.mcu.steps import Buffer, Endpoint, Overlap, Program, Step


def step(name, reads, writes, scratch=0, overlaps=()):
    """One kernel call without a record."""
    shares = tuple(Overlap(*o) for o in overlaps)
    return Step(name, "none", tuple(reads), tuple(writes), scratch, shares, {}, {}, {})


def endpoint(name, buffer):
    return Endpoint(name, buffer, (1,), 1.0, 0, False)


def program(sizes, steps, inputs, outputs, *, align=4, name="synthetic"):
    """A program over buffers b0, b1, … of ``sizes`` bytes."""
    buffers = tuple(
        Buffer(f"b{i}", size, align if isinstance(align, int) else align[i]) for i, size in enumerate(sizes)
    )
    ends = [
        tuple(endpoint(f"{kind}{i}", b) for i, b in enumerate(bs)) for kind, bs in (("in", inputs), ("out", outputs))
    ]
    return Program(name, "", buffers, tuple(steps), *ends, dsp=False)


def chain(sizes, *, scratch=0, distance=...):
    """b0 → b1 → …; with ``distance`` every step may share that far."""
    return program(
        sizes,
        [
            step(f"s{i}", [i], [i + 1], scratch, [] if distance is ... else [(i, i + 1, distance)])
            for i in range(len(sizes) - 1)
        ],
        [0],
        [len(sizes) - 1],
    )


def tiny(seed):
    """A random program of at most 5 steps and 6 buffers: written in parts, several outputs, dead ends, sharing."""
    chance = random.Random(seed)
    sizes = [4 * chance.randint(1, 5) - chance.choice((0, 0, 1, 3))]
    steps, known = [], [0]
    inputs = [0]
    if chance.random() < 0.3:
        sizes.append(4 * chance.randint(1, 4))
        inputs.append(1)
        known.append(1)
    count = chance.randint(1, 4)
    for number in range(count):
        reads = chance.sample(known, min(len(known), chance.choice((1, 1, 2))))
        writes = []
        for _ in range(chance.choice((1, 1, 1, 2)) if len(sizes) < 5 else 1):
            own = [b for b in known if b not in inputs and b not in reads]
            if own and chance.random() < 0.2:
                target = chance.choice(own)
                if target not in writes:
                    writes.append(target)
            elif len(sizes) < 6:
                sizes.append(4 * chance.randint(1, 5) - chance.choice((0, 0, 1, 3)))
                writes.append(len(sizes) - 1)
        if not writes:
            continue
        shares = [
            (r, w, chance.choice((None, 0, 0, 4, 7, 12)))
            for r in reads for w in writes if chance.random() < 0.6
        ]  # fmt: skip
        steps.append(step(f"s{number}", reads, writes, chance.choice((0, 0, 0, 8, 16)), shares))
        known += [w for w in writes if w not in known]
    read = {b for s in steps for b in s.reads}
    ends = [b for b in known if b not in inputs and (b not in read or chance.random() < 0.15)]
    outputs = [b for b in ends if chance.random() < 0.85] or ends[-1:] or [0]
    return program(sizes, steps, inputs, outputs, align=[chance.choice((4, 4, 4, 8)) for _ in sizes])
