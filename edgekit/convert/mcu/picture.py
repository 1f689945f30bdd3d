"""The arena over time as a picture: steps from left to right, addresses upwards, one box per buffer.

Plain SVG without script, font or file from outside; the HTML page adds a table of what is in the arena at the peak. The
boxes are told apart by their names and outlines, the colours (Okabe and Ito's, lightened) only help.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape

from edgekit.convert.mcu.pack import step_name
from edgekit.convert.mcu.planning.report import WorkingSet, lifetimes, makers, working_set
from edgekit.convert.mcu.steps import Plan, Program

COLOURS = ("#a6d1f0", "#f7cf86", "#97d8c0", "#e6bcd5", "#f4eea3", "#f2b79b", "#c9cdf2")
SCRATCH, BUDGET, INK, FAINT = "#d9d9d9", "#b3400a", "#1b1b1b", "#6a6a6a"
PLOT_HEIGHT, LEFT, RIGHT, TOP, NAME_CHARS = 340, 58, 18, 62, 24
HALO = 'paint-order="stroke" stroke="#ffffff" stroke-opacity="0.75" stroke-width="3"'
CHAR = 6.1  # width of a character of the 11 px labels, on average


@dataclass(frozen=True)
class _Box:
    """A piece of the arena from column ``first`` to ``last`` (0 is before the first step)."""

    name: str
    label: str
    first: int
    last: int
    offset: int
    bytes: int
    scratch: bool


@dataclass(frozen=True)
class _Scale:
    """From columns and bytes to the picture's coordinates."""

    columns: int
    column: float
    bytes: int

    def x(self, column: float) -> float:
        return LEFT + column * self.column

    def y(self, offset: float) -> float:
        return TOP + PLOT_HEIGHT * (1 - offset / self.bytes)

    @property
    def width(self) -> float:
        return self.x(self.columns) + RIGHT


def svg(program: Program, made: Plan, *, budget_bytes: int | None = None) -> str:
    """The picture as one SVG document; ``budget_bytes`` (arena) draws a line."""
    boxes = _boxes(program, made)
    columns = len(made.order) + 2
    column = min(max(22.0, (640 - LEFT - RIGHT) / columns), 96.0)
    near = budget_bytes is not None and budget_bytes <= 1.6 * made.arena_bytes
    top = max(made.arena_bytes, budget_bytes or 0) if near else made.arena_bytes
    scale = _Scale(columns, column, max(round(top * 1.06), 1))
    shared = list(_shared(boxes))
    labels = ["input", *(short(step_name(program.steps[step].name).lower()) for step in made.order), "output"]
    height = TOP + PLOT_HEIGHT + 28 + 6.8 * max(len(label) for label in labels)
    width = max(scale.width, 420)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="system-ui, \'DejaVu Sans\', sans-serif" font-size="11" '
        f'fill="{INK}" role="img">',
        f"<title>{_text(program.name)}: arena over time</title>",
        '<defs><pattern id="shared" width="6" height="6" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate(45)"><rect width="2" height="6" fill="{INK}" fill-opacity="0.55"/></pattern></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        *_heading(program, made, budget_bytes, scale.bytes),
        *_grid(scale),
        *_peak(made, scale),
        *_drawn(boxes, scale),
        *_hatched(shared, scale),
        *(_label(box, _free(box, shared, scale), scale) for box in boxes),
        *_lines(made, scale, budget_bytes),
        *_step_names(made, scale, labels),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def html(program: Program, made: Plan, *, budget_bytes: int | None = None) -> str:
    """A page with the picture and the peak's working set; on a narrow screen the picture scrolls, the text wraps."""
    peak = working_set(program, made, made.peak_step) if made.order else None
    title = f"{_text(program.name)}: memory plan"
    style = (
        "body{font:16px/1.45 system-ui,sans-serif;color:#1b1b1b;background:#fff;margin:1rem;max-width:70rem;"
        "overflow-wrap:anywhere}"
        "h1{font-size:1.25rem}h2{font-size:1.1rem}.picture{overflow-x:auto;border:1px solid #ccc}"
        ".picture svg{display:block}"
        "table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left}"
        "td+td,th+th{text-align:right;white-space:nowrap}td{vertical-align:top}small{color:#6a6a6a}"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{style}</style></head>\n'
        f"<body><h1>{title}</h1>\n<p>{_summary(made, budget_bytes)}</p>\n"
        f'<div class="picture" tabindex="0">\n{svg(program, made, budget_bytes=budget_bytes)}</div>\n'
        f"{_table(peak) if peak else ''}</body></html>\n"
    )


def short(name: str) -> str:
    """A name that fits a label: the last part of a path, without control characters, at most 24 characters."""
    plain = re.sub(r"[^\x20-\x7e\xa1-\ud7ff\ue000-\ufffd]", "?", name)
    last = next((part for part in reversed(re.split(r"[/;]", plain)) if part.strip()), plain).strip()
    return last if len(last) <= NAME_CHARS else last[: NAME_CHARS - 9] + "…" + last[-8:]


def _text(name: str) -> str:
    return escape(re.sub(r"[^\x20-\x7e\xa1-\ud7ff\ue000-\ufffd]", "?", name))


def _boxes(program: Program, made: Plan) -> list[_Box]:
    maker = makers(program, made)
    boxes = [
        _Box(buffer.name, maker[number].lower(), life[0] + 1, life[1] + 1, made.offsets[number], buffer.bytes, False)
        for number, (buffer, life) in enumerate(zip(program.buffers, lifetimes(program, made), strict=True))
        if life
    ]
    for position, number in enumerate(made.order):
        step = program.steps[number]
        if step.scratch_bytes:
            name = f"scratch of {step.name}"
            boxes.append(
                _Box(name, "scratch", position + 1, position + 1, made.scratch[number], step.scratch_bytes, True)
            )
    return boxes


def _summary(made: Plan, budget_bytes: int | None) -> str:
    gap = made.arena_bytes - made.lower_bound_bytes
    proof = "proved the smallest" if made.optimal else f"at most {gap:,} bytes above the smallest"
    told = f"arena {made.arena_bytes:,} bytes, {proof}"
    if budget_bytes is None:
        return told
    left = budget_bytes - made.arena_bytes
    return f"{told}; budget {budget_bytes:,}: {f'{left:,} left' if left >= 0 else f'{-left:,} TOO MUCH'}"


def _heading(program: Program, made: Plan, budget_bytes: int | None, top_bytes: int) -> Iterator[str]:
    yield f'<text x="8" y="20" font-size="14" font-weight="600">{_text(short(program.name))}</text>'
    yield f'<text x="8" y="37">{_summary(made, budget_bytes)}</text>'
    yield f'<rect x="8" y="44" width="12" height="10" fill="{SCRATCH}" stroke="{FAINT}" stroke-dasharray="2 2"/>'
    yield '<text x="24" y="53">scratch</text>'
    yield f'<rect x="76" y="44" width="12" height="10" fill="url(#shared)" stroke="{INK}"/>'
    yield '<text x="92" y="53">output written over the input</text>'
    if budget_bytes is not None:
        off_scale = " (above)" if budget_bytes > top_bytes else ""
        yield f'<line x1="270" x2="292" y1="49" y2="49" stroke="{BUDGET}" stroke-width="2" stroke-dasharray="7 4"/>'
        yield f'<text x="297" y="53" fill="{BUDGET}" font-weight="600">budget {_size(budget_bytes)}{off_scale}</text>'


def _grid(scale: _Scale) -> Iterator[str]:
    """Address lines every round number of bytes."""
    step = next(s for s in _round_numbers() if scale.bytes / s <= 7)
    for offset in range(0, scale.bytes, step):
        y = scale.y(offset)
        yield f'<line x1="{LEFT}" x2="{scale.x(scale.columns):.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e4e4e4"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="{FAINT}">{_kilobytes(offset)}</text>'


def _round_numbers() -> Iterator[int]:
    for power in itertools.count():
        yield from (digit * 10**power for digit in (1, 2, 5))


def _kilobytes(count: int) -> str:
    return f"{count / 1000:g} KB" if count >= 1000 or not count else f"{count} B"


def _peak(made: Plan, scale: _Scale) -> Iterator[str]:
    if made.order:
        column = made.order.index(made.peak_step) + 1
        yield (
            f'<rect x="{scale.x(column):.1f}" y="{TOP}" width="{scale.column:.1f}" height="{PLOT_HEIGHT + 14}" '
            f'fill="#ffe9b8"/><text x="{scale.x(column + 0.5):.1f}" y="{TOP + PLOT_HEIGHT + 11}" '
            'text-anchor="middle" font-weight="700" font-size="9">PEAK</text>'
        )


def _drawn(boxes: Sequence[_Box], scale: _Scale) -> Iterator[str]:
    """Largest first, so that small ones stay visible; neighbours get different colours."""
    colours: dict[int, str] = {}
    for index, box in sorted(enumerate(boxes), key=lambda pair: -pair[1].bytes):
        near = {colours[i] for i, other in enumerate(boxes) if i in colours and _near(box, other)}
        free = [c for c in COLOURS if c not in near] or list(COLOURS)
        colours[index] = SCRATCH if box.scratch else free[index % len(free)]
        yield _drawn_box(box, colours[index], scale)


def _near(one: _Box, other: _Box) -> bool:
    return one.first <= other.last + 1 and other.first <= one.last + 1


def _drawn_box(box: _Box, colour: str, scale: _Scale) -> str:
    x, width = scale.x(box.first), scale.column * (box.last - box.first + 1)
    y = scale.y(box.offset + box.bytes)
    height = max(scale.y(box.offset) - y, 0.8)
    dashes = ' stroke-dasharray="2 2"' if box.scratch else ""
    return (
        f'<rect x="{x + 0.5:.1f}" y="{y:.1f}" width="{width - 1:.1f}" height="{height:.1f}" fill="{colour}" '
        f'stroke="{INK}" stroke-width="0.8"{dashes}>'
        f"<title>{_text(box.name)}: {box.bytes:,} bytes at {box.offset:,}</title></rect>"
    )


@dataclass(frozen=True)
class _Shared:
    """Bytes ``low`` to ``high`` on which two boxes lie from column ``first`` to ``last``."""

    one: _Box
    other: _Box
    first: int
    last: int
    low: int
    high: int


def _shared(boxes: Sequence[_Box]) -> Iterator[_Shared]:
    for one, other in itertools.combinations(boxes, 2):
        low, high = max(one.offset, other.offset), min(one.offset + one.bytes, other.offset + other.bytes)
        first, last = max(one.first, other.first), min(one.last, other.last)
        if low < high and first <= last:
            yield _Shared(one, other, first, last, low, high)


def _hatched(shared: Sequence[_Shared], scale: _Scale) -> Iterator[str]:
    for part in shared:
        x, y = scale.x(part.first), scale.y(part.high)
        yield (
            f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{scale.column * (part.last - part.first + 1) - 2:.1f}" '
            f'height="{max(scale.y(part.low) - y, 0.8):.1f}" fill="url(#shared)" stroke="{INK}" stroke-width="0.5">'
            f"<title>{part.high - part.low:,} bytes shared by {_text(part.one.name)} and {_text(part.other.name)}"
            "</title></rect>"
        )


def _free(box: _Box, shared: Sequence[_Shared], scale: _Scale) -> _Box:
    """The piece of ``box`` with nothing over it that takes the longest name; all of it if none takes any."""
    over = [part for part in shared if box is part.one or box is part.other]
    edges = sorted({box.first, box.last + 1, *(p.first for p in over), *(p.last + 1 for p in over)})
    pieces = [box]
    for first, end in itertools.combinations(edges, 2):
        taken = sorted((p.low, p.high) for p in over if p.first < end and first <= p.last)
        low = box.offset
        for start, stop in [*taken, (box.offset + box.bytes, box.offset + box.bytes)]:
            if start > low:
                pieces.append(replace(box, first=first, last=end - 1, offset=low, bytes=start - low))
            low = max(low, stop)
    best = max(pieces[1:], key=lambda piece: _room(piece, scale), default=box)
    return best if _room(best, scale)[0] else box


def _sides(box: _Box, scale: _Scale) -> tuple[float, float]:
    """Width and height in the picture."""
    return scale.column * (box.last - box.first + 1), scale.y(box.offset) - scale.y(box.offset + box.bytes)


def _room(box: _Box, scale: _Scale) -> tuple[int, float]:
    """How many characters fit, and the area. Two at least, or none."""
    width, height = _sides(box, scale)
    count = int((max(width, height) - 4) / CHAR)
    return (count if min(width, height) >= 12 and count >= 2 else 0), width * height


def _label(box: _Box, free: _Box, scale: _Scale) -> str:
    """The name and size where they fit: across, upwards, or shortened; nothing in a sliver (the tooltip has it)."""
    width, height = _sides(free, scale)
    x, y = scale.x(free.first) + width / 2, scale.y(free.offset + free.bytes / 2)
    name, (room, _) = short(box.label), _room(free, scale)
    cut = "" if box.scratch or room < 4 else f"{name[: room - 1]}…"
    shown = next((way for way in _ways(name, box.bytes) if len(way) <= room), cut)
    if not room or not shown:
        return ""
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if height > width else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" dy="0.35em" text-anchor="middle"{turn} {HALO} '
        f'pointer-events="none">{escape(shown)}</text>'
    )


def _ways(name: str, count: int) -> tuple[str, ...]:
    """A label from the fullest to the shortest; the step's number alone leads to its name below the picture."""
    number = name.split(" ")[0]
    return (f"{name} {_size(count)}", f"{number} {_size(count)}", name, number)


def _size(count: int) -> str:
    return f"{count / 1000:.1f} KB" if count >= 1000 else f"{count} B"


def _lines(made: Plan, scale: _Scale, budget_bytes: int | None) -> Iterator[str]:
    right = scale.x(scale.columns)
    y = scale.y(made.arena_bytes)
    yield f'<line x1="{LEFT}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{INK}" stroke-width="1.4"/>'
    if budget_bytes is not None:
        y = scale.y(min(budget_bytes, scale.bytes))
        yield (
            f'<line x1="{LEFT}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{BUDGET}" stroke-width="2" '
            'stroke-dasharray="7 4"/>'
        )


def _step_names(made: Plan, scale: _Scale, labels: Sequence[str]) -> Iterator[str]:
    y = TOP + PLOT_HEIGHT + 20
    peak = made.order.index(made.peak_step) + 1 if made.order else -1
    for column, label in enumerate(labels):
        x = scale.x(column + 0.5) + 4
        weight = ' font-weight="700"' if column == peak else ""
        yield (
            f'<text x="{x:.1f}" y="{y}" text-anchor="end" transform="rotate(-90 {x:.1f} {y})"{weight}>'
            f"{escape(label)}</text>"
        )


def _table(peak: WorkingSet) -> str:
    rows = "\n".join(
        f"<tr><td>{_text(piece.maker.lower())}<br><small>{_text(piece.name)}</small></td>"
        f"<td>{piece.bytes:,}</td><td>{piece.offset:,}</td></tr>"
        for piece in peak.pieces
    )
    return (
        f"<h2>At the peak, {_text(peak.name)}: {peak.bytes:,} bytes in use</h2>\n"
        f"<table><tr><th>made by</th><th>bytes</th><th>at</th></tr>\n{rows}</table>\n"
    )
