"""The user's own accuracies: a CSV file with the columns ``model[,format][,precision]`` and one column per metric.

A line without a format (or precision), or with an empty one, is for all of them; a closer line goes before it. ``topK``
and ``accuracy`` are shares: with a percent sign, or a whole column of them up to 1 or up to 100. ``METRIC_low`` and
``METRIC_high`` give the 95% interval; for ``topK`` a column ``samples`` does, by Wilson's formula. Without either the
figure is taken as it is.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.choose.accuracy import Accuracy
from edgekit.choose.quantities import FIGURES, is_share
from edgekit.errors import UsageError
from edgekit.records import Artifact
from edgekit.selection import Quantity

MAX_BYTES = 16 << 20
MAX_LINES = 200_000
MAX_COLUMNS = 64
MAX_NAME = 256
_KEYS = ("model", "format", "precision")
_METRIC = re.compile(r"[A-Za-z][\w.@-]{0,63}", re.ASCII)
_LAYOUT = "The columns are model, format, precision (these two may be missing), then one per metric, such as top1."

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Table:
    """The read file: the figures of each line by (model, format, precision), an empty text standing for all."""

    path: str
    lines: dict[Key, dict[str, Quantity]]
    metrics: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def of(self, artifact: Artifact) -> Accuracy:
        """What the file says of this artifact."""
        model, kind, precision = _bare(artifact.model), artifact.format, artifact.precision
        found = Accuracy(otherwise=f"{self.path} has no figure for it")
        for key in ((model, "", ""), (model, "", precision), (model, kind, ""), (model, kind, precision)):
            found.quantities.update(self.lines.get(key, {}))
        return found

    def unknown(self, artifacts: Iterable[Artifact]) -> list[str]:
        """Models of the file that none of the artifacts is made from."""
        return sorted({key[0] for key in self.lines} - {_bare(artifact.model) for artifact in artifacts})


def read_table(path: Path) -> Table:
    """The file at ``path``.

    Raises:
        UsageError: it can't be read, is too large, has no such columns, or a figure in it is wrong or ambiguous.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        step = "Check the path; the other sources are called evaluations and published."
        raise _wrong(path, f"can't be read: {error.strerror or error}", step) from error
    if len(raw) > MAX_BYTES:
        raise _wrong(path, f"is larger than {MAX_BYTES >> 20} MiB", "Keep the lines of the models that you compare.")
    try:
        # strict: a quote that is not closed would swallow the rest of the file.
        reader = csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""), strict=True)
        lines = [(reader.line_num, [cell.strip() for cell in line]) for line in reader if any(line)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise _wrong(path, f"is no CSV file in UTF-8: {error}", _LAYOUT) from error
    if not lines:
        raise _wrong(path, "is empty", _LAYOUT)
    head = _head(path, [_column(cell) for cell in lines[0][1]])
    if len(lines) > MAX_LINES:
        raise _wrong(path, f"has more than {MAX_LINES:,} lines", "Keep the lines of the models that you compare.")
    return _filled(path, head, lines[1:])


def _column(cell: str) -> str:
    """A column's name: what edgekit knows in any case, a metric of the user's as it is written."""
    lower = cell.lower()
    return lower if lower in (*_KEYS, "samples") or is_share(_metric_of(lower)) else cell


def _metric_of(column: str) -> str:
    return column.removesuffix("_low").removesuffix("_high")


def _head(path: Path, head: list[str]) -> list[str]:
    """The column names, checked."""
    metrics = [name for name in head if name not in _KEYS]
    if "model" not in head or not metrics:
        raise _wrong(path, f"has the columns {', '.join(head)[:200]}", _LAYOUT)
    if len(head) > MAX_COLUMNS or len(set(head)) != len(head):
        raise _wrong(path, f"has a column twice, or more than {MAX_COLUMNS}", _LAYOUT)
    for name in metrics:
        if not _METRIC.fullmatch(name):
            raise _wrong(path, f"has a column {name[:64]!r}, which is no name of a metric", _LAYOUT)
        if name.lower() in FIGURES:
            raise _wrong(path, f"has a column {name}, which edgekit measures itself", "Leave that column out.")
    return head


def _filled(path: Path, head: list[str], lines: Sequence[tuple[int, list[str]]]) -> Table:
    keys: dict[Key, int] = {}
    for number, cells in lines:
        if len(cells) != len(head):
            raise _wrong(path, f"has {len(cells)} cells in line {number}, not {len(head)}", _LAYOUT)
        named = dict(zip(head, cells, strict=True))
        key = (_bare(named["model"]), named.get("format", ""), named.get("precision", ""))
        if not key[0] or not all(part.isprintable() and len(part) <= MAX_NAME for part in key):
            raise _wrong(path, f"names no model in line {number}", _LAYOUT)
        if key in keys:
            raise _wrong(path, f"has {' '.join(key).strip()} in line {keys[key]} and in line {number}", "Remove one.")
        keys[key] = number
    columns = {
        name: _numbers(path, name, [(number, cells[place]) for number, cells in lines])
        for place, name in enumerate(head) if name not in _KEYS
    }  # fmt: skip
    metrics = tuple(name for name in columns if not _helps(name, columns))
    made: dict[Key, dict[str, Quantity]] = {}
    for key, number in keys.items():
        made[key] = {}
        for metric in metrics:
            quantity = _quantity(path, metric, columns, number)
            if quantity is not None:
                made[key][metric] = quantity
    return Table(path.name, made, metrics, (f"The accuracies are those of {path.name}.",))


def _bare(model: str) -> str:
    """A zoo or timm model's name without the form of its spec, as measurements call it."""
    return model.removeprefix("zoo:").removeprefix("timm:")


def _helps(name: str, columns: dict[str, dict[int, float]]) -> bool:
    """Whether a column is not a metric but says how sure another one is."""
    base, _, end = name.rpartition("_")
    return name == "samples" or (end in ("low", "high") and base in columns)


def _numbers(path: Path, name: str, cells: Sequence[tuple[int, str]]) -> dict[int, float]:
    """The column's figures by line number; empty cells are left out."""
    metric = _metric_of(name)
    found: dict[int, float] = {}
    plain: dict[int, float] = {}
    for number, text in cells:
        if not text:
            continue
        try:
            value = float(text.removesuffix("%"))
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or "_" in text:
            raise _wrong(path, f"has {text[:40]!r} in line {number}, column {name}, which is no number", "Correct it.")
        if text.endswith("%"):
            found[number] = value / 100
        else:
            plain[number] = value
    if is_share(metric) and any(value > 1 for value in plain.values()):
        _refuse_mixed(path, name, plain)
        plain = {number: value / 100 for number, value in plain.items()}
    for number, value in {**found, **plain}.items():
        if is_share(metric) and not 0 <= value <= 1:
            raise _wrong(path, f"has a share outside 0 to 100% in line {number}, column {name}", "Correct it.")
    return {**found, **plain}


def _refuse_mixed(path: Path, name: str, plain: dict[int, float]) -> None:
    """Some figures are percent for certain; one of at most 1 beside them may be percent or a share."""
    small = next((number for number, value in plain.items() if 0 < value <= 1), None)
    large = next(number for number, value in plain.items() if value > 1)
    if small is not None:
        raise _wrong(
            path, f"has {plain[large]:g} in line {large} and {plain[small]:g} in line {small} of the column {name}: "
            "it can't be told whether they are percent or shares", "Write percents with a percent sign.",
        )  # fmt: skip


def _quantity(path: Path, metric: str, columns: dict[str, dict[int, float]], line: int) -> Quantity | None:
    value = columns[metric].get(line)
    if value is None:
        return None
    low, high = (columns.get(f"{metric}_{end}", {}).get(line) for end in ("low", "high"))
    samples = columns.get("samples", {}).get(line)
    note = f"{path.name}, line {line}"
    if low is not None and high is not None:
        if not low <= value <= high:
            raise _wrong(path, f"has {metric} outside its own interval in line {line}", "Correct it.")
    elif samples is not None and re.fullmatch(r"top\d+", metric):
        low, high = _wilson(path, value, samples, line)
    else:
        low = high = value
        note += "; no interval is given"
    return Quantity(value=value, low=low, high=high, source="csv", note=note, evidence=f"{note} {metric}")


def _wilson(path: Path, share: float, samples: float, line: int) -> tuple[float, float]:
    from edgekit.evaluate.metrics import wilson

    if samples < 1 or samples != int(samples):
        raise _wrong(path, f"has {samples:g} samples in line {line}", "Give a whole number from 1 on.")
    low, high = wilson(round(share * samples), int(samples))
    return min(low, share), max(high, share)


def _wrong(path: Path, what: str, next_step: str) -> UsageError:
    return UsageError(f"The accuracy file {path.name} {what}.", where=str(path), next_step=next_step)
