"""The registry: every model of the zoo as an entry, made from the literal tables beside this file.

``catalog_timm.py`` holds the models of timm and torchvision, ``catalog_own.py`` edgekit's own, ``unavailable.py`` those
that can't be built, ``families.py`` the families and ``data/top1.csv`` the published accuracies with their sources.
Nothing here imports torch.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from edgekit.model.zoo.catalog_own import OWN, Own
from edgekit.model.zoo.catalog_timm import TIMM, TORCHVISION, Row
from edgekit.model.zoo.entry import Entry, Source, Task, preprocess_of
from edgekit.model.zoo.families import FAMILIES
from edgekit.model.zoo.unavailable import UNAVAILABLE

# timm publishes these two with another licence than the rest of their family.
_LICENCES = {"regnety_004": "BSD-3-Clause", "regnetx_008": "BSD-3-Clause"}
_PREPROCESS_SOURCES: dict[Source, str] = {
    "timm": "timm's config",
    "torchvision": "torchvision's weights metadata",
    "edgekit": "edgekit's zoo",
}
_TASKS: dict[str, Task] = {"lraspp": "segmentation", "ssdlite": "detection"}


@cache
def entries() -> tuple[Entry, ...]:
    """All entries, those that can't be built at the end; names are unique."""
    accuracy = _accuracies()
    return tuple(_entries(accuracy))


def _entries(accuracy: dict[str, tuple[float, str]]) -> Iterator[Entry]:
    for family, models in OWN.items():
        for model in models:
            yield _own(family, model, accuracy.get(model.name))
    libraries: tuple[tuple[Source, dict[str, tuple[Row, ...]]], ...] = (("timm", TIMM), ("torchvision", TORCHVISION))
    for source, table in libraries:
        for family, rows in table.items():
            for row in rows:
                yield _library(source, family, row, accuracy.get(row[0]))
    for name, (family, licence, reason) in UNAVAILABLE.items():
        yield Entry(
            name=name,
            family=family,
            source="edgekit",
            licence=licence or FAMILIES[family].licence,
            unavailable=reason,
        )


def _library(source: Source, family: str, row: Row, top1: tuple[float, str] | None) -> Entry:
    name, side, params, macs, preprocess = row[:5]
    note = None
    if len(row) == 7:
        note = f"re-parameterised; {row[5] / 1e6:.3f} M parameters and {row[6] / 1e9:.3f} G MACs in training form"
    return Entry(
        name=name,
        family=family,
        source=source,
        builder=name.removeprefix("tv_"),
        task=_TASKS.get(family, "classification"),
        input_size=(3, side, side),
        preprocess=preprocess_of(preprocess, side, side, _PREPROCESS_SOURCES[source]),
        licence="BSD-3-Clause" if source == "torchvision" else _LICENCES.get(name, FAMILIES[family].licence),
        params=params,
        macs=macs,
        counts_note=note,
        top1=top1[0] if top1 else None,
        top1_source=top1[1] if top1 else None,
        options=("num_classes",),
    )


def _own(family: str, model: Own, top1: tuple[float, str] | None) -> Entry:
    _, height, width = model.input_size
    return Entry(
        name=model.name,
        family=family,
        source="edgekit",
        builder=f"edgekit.model.zoo.{model.builder}",
        arguments=model.arguments,
        task=model.task,
        input_size=model.input_size,
        preprocess=preprocess_of(model.preprocess, height, width, _PREPROCESS_SOURCES["edgekit"]),
        licence=FAMILIES[family].licence,
        params=model.params,
        macs=model.macs,
        counts_note=model.note,
        top1=top1[0] if top1 else None,
        top1_source=top1[1] if top1 else None,
        options=model.options,
    )


def _accuracies() -> dict[str, tuple[float, str]]:
    with (Path(__file__).parent / "data/top1.csv").open(newline="", encoding="utf-8") as file:
        return {row["name"]: (float(row["top1"]), row["source"]) for row in csv.DictReader(file)}
