"""The models of a bundle: sources of one name are variants of one model, each with its contract and its evidence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgekit.bundle.gather import choice_file, contract, evidence, given, licences
from edgekit.bundle.gather.contract import Fed
from edgekit.bundle.gather.kinds import Kind
from edgekit.bundle.gather.source import Located
from edgekit.bundle.names import identifier
from edgekit.bundle.preprocessing import steps_of
from edgekit.bundle.recipe import Member, Part
from edgekit.bundle.records import Contract, Model, Tensor, Variant
from edgekit.bundle.request import BundleRequest, ForModel, checked_name
from edgekit.convert import entries
from edgekit.convert.cache import Cache
from edgekit.convert.mcu.tflite import read_tflite
from edgekit.errors import BundleError, UsageError
from edgekit.export.inputs import golden_inputs, image_layout
from edgekit.harness.int8_tensors import outside_shape
from edgekit.harness.mcu_model import HostModel
from edgekit.records import Exported, Measurement, Preprocess, TensorSpec

# The folders of a path that begins at a root, at home or here; not those of an address such as https://host/name.
_FOLDERS = re.compile(r"(?<![\w:/.])(?:~|\.{1,2})?/(?:[^\s,;:/]+/)*(?=[^\s/])")
_NOT_CHECKED = "was not compared with the PyTorch model"


@dataclass(frozen=True)
class Given:
    """What the user says of one model; null where nothing is said."""

    labels: tuple[str, ...] | None
    licence: str | None
    preprocess: Preprocess | None


def grouped(located: Sequence[Located]) -> dict[str, list[Located]]:
    """Name -> variants of one model. The order of both is that of the sources; a file that is given twice counts once.

    Raises:
        BundleError: two sources without a name, or two names, would be the same in generated code.
        UsageError: an artifact's own name can't be a model's.
    """
    groups: dict[str, list[Located]] = {}
    unnamed: set[str] = set()
    for one in located:
        name = checked_name(one.name, one.given.text)
        if name in groups and (one.given.name is None or name in unnamed):
            raise _clash(name, name)
        group = groups.setdefault(name, [])
        if one.given.name is None:
            unnamed.add(name)
        _add(group, one)
    plain: dict[str, str] = {}
    for name in groups:
        # Without underscores: they go in CamelCase, and some file systems don't tell upper from lower case.
        other = plain.setdefault(identifier(name, "model").replace("_", ""), name)
        if other != name:
            raise _clash(other, name)
    return groups


def _add(group: list[Located], new: Located) -> None:
    """Another variant; a file that is there already only gets the new choice of it."""
    for number, one in enumerate(group):
        if one.artifact.sha256 == new.artifact.sha256:
            group[number] = replace(one, choices=one.choices + new.choices)
            return
    group.append(new)


def _clash(first: str, second: str) -> BundleError:
    what = f"Two models are called {first}" if first == second else f"The models {first} and {second} have one name"
    return BundleError(
        f"{what} in generated code.", where=first if first == second else f"{first}, {second}",
        next_step="Name them apart with NAME=SOURCE; sources that are given the same NAME= are variants of one model.",
        names=[first, second],
    )  # fmt: skip


def said_of(request: BundleRequest, models: Sequence[str]) -> dict[str, Given]:
    """What the options say of each model.

    Raises:
        UsageError: an option is for a model that is not there, or says two things of one; a file can't be read.
        BundleError: a file's content can't be used.
    """
    labels = _by_model(request.labels, models, "--labels")
    licence = _by_model(request.licences, models, "--licence")
    preprocess = _by_model(request.preprocess, models, "--preprocess")
    return {
        model: Given(
            given.load_labels(Path(labels[model])) if model in labels else None,
            licence.get(model),
            given.load_preprocess(Path(preprocess[model])) if model in preprocess else None,
        )
        for model in models
    }


def _by_model(values: Sequence[ForModel], models: Sequence[str], flag: str) -> dict[str, str]:
    """Model -> value; one that names its model goes before one for all."""
    for one in values:
        if one.model is not None and one.model not in models:
            raise UsageError(f"There is no model {one.model} in this bundle.", where=flag,
                             next_step=f"Its models are {', '.join(models)}.")  # fmt: skip
        if sum(other.model == one.model for other in values) > 1:
            whose = f"for {one.model}" if one.model else "for all models"
            raise UsageError(f"{flag} is given twice {whose}.", where=flag,
                             next_step=f"Give one, or one for each model: {flag} MODEL=VALUE.")  # fmt: skip
    named = {one.model: one.value for one in values}
    found = {model: named.get(model, named.get(None)) for model in models}
    return {model: value for model, value in found.items() if value is not None}


def part_of(
    name: str, variants: Sequence[Located], said: Given, request: BundleRequest,
    kind: Kind, measured: Mapping[str, Sequence[Measurement]], cache: Cache,
) -> Part:  # fmt: skip
    """One model with its variants.

    Raises:
        BundleError: a variant can't be run where nothing else says what it answers, the variants differ in what they
            take or give, the labels are too many or too few, or the licence forbids it.
        EdgekitError: a file can't be run.
    """
    fed = [_fed(one, cache) for one in variants]
    ids = contract.identifiers([_label(one) for one in variants], "variant")
    for number in range(1, len(fed)):
        _check_alike(name, ids, fed, number)
        fed[number] = contract.named_alike(
            fed[number], [t.identifier for t in fed[0].inputs], [t.identifier for t in fed[0].outputs]
        )
    made = _contracts(name, variants, fed, said)
    licence, about_licence = licences.settled(
        licences.licence_of(_exported(variants), said.licence), name, request.accept_licence
    )
    warnings = [*made.warnings, *about_licence]
    members, candidates = [], []
    for one, own, ours, its in zip(variants, ids, fed, made.contracts, strict=True):
        found = tuple(measured[one.artifact.sha256])
        variant = _variant(one, own, ours, its, found, request)
        members.append(Member(variant, one.path, ours.golden_inputs, ours.golden_outputs))
        candidates.append(evidence.Candidate(own, found, one.choices))
        warnings += [*_doubts(one, f"{name} ({own})"), *evidence.doubts(f"{name} ({own})", found, kind)]
    rows, about_rows = evidence.device_rows(name, candidates, kind)
    model = Model(
        name=name, identifier=identifier(name, "model"), licence=licence, devices=rows,
        variants=tuple(one.variant for one in members), warnings=tuple(dict.fromkeys((*warnings, *about_rows))),
    )  # fmt: skip
    return Part(model, tuple(members))


@dataclass(frozen=True)
class _Contracts:
    """One contract for each variant, and what is to be said of them."""

    contracts: tuple[Contract, ...]
    warnings: tuple[str, ...]


def _contracts(name: str, variants: Sequence[Located], fed: Sequence[Fed], said: Given) -> _Contracts:
    if said.labels is not None:
        given.check_labels(said.labels, fed[0].outputs[0].shape, name)
    preprocess, warnings = _preprocess(name, variants, fed[0].inputs[0], said)
    made = (Contract(inputs=one.inputs, outputs=one.outputs, preprocess=preprocess, labels=said.labels) for one in fed)
    return _Contracts(tuple(made), warnings)


def _fed(one: Located, cache: Cache) -> Fed:
    artifact = one.artifact
    if artifact.format == "mcu":
        return _fed_packed(one)
    if one.exported is None:
        return contract.of_file(artifact.format, one.run, artifact.sha256)
    known = entries.parity_outputs(cache, artifact, one.exported)
    return contract.of_exported(one.exported, artifact.format, one.run, artifact.sha256, known)


def _fed_packed(one: Located) -> Fed:
    """A packed model on the inputs of its PyTorch model, on those it was checked with, or on generated ones."""
    ekm = one.run.read_bytes()
    if one.exported is not None:
        inputs, _ = contract.first_samples(one.exported)
        names = [spec.name for spec in one.exported.inputs], [spec.name for spec in one.exported.outputs]
        return contract.of_packed(ekm, inputs, names, contract.source_of(one.exported, len(inputs[0])))
    graph = read_tflite(one.path)
    names = [graph.tensors[n].name for n in graph.inputs], [graph.tensors[n].name for n in graph.outputs]
    if one.inputs:
        stacks = [np.load(path, allow_pickle=False) for path in one.inputs]
        return contract.of_packed(ekm, stacks, names, f"{len(stacks[0])} generated samples, seed 0")
    specs = [TensorSpec(name=n, shape=outside_shape(e)) for n, e in zip(names[0], HostModel(ekm).inputs, strict=True)]
    stacks, source = golden_inputs(specs, directory=None, preprocess=None, count=contract.MAX_SAMPLES)
    return contract.of_packed(ekm, stacks, names, source)


def _check_alike(name: str, ids: Sequence[str], fed: Sequence[Fed], number: int) -> None:
    for kind in ("inputs", "outputs"):
        first, own = ([(t.shape, t.dtype) for t in getattr(one, kind)] for one in (fed[0], fed[number]))
        if first != own:
            texts = [", ".join(f"{dtype} {list(shape)}" for shape, dtype in one) for one in (first, own)]
            raise BundleError(
                f"Two variants of {name} have different {kind}: {ids[0]} has {texts[0]}, {ids[number]} has {texts[1]}.",
                where=name, next_step="Give them different names, which makes them models of their own.",
            )  # fmt: skip


def _preprocess(
    name: str, variants: Sequence[Located], tensor: Tensor, said: Given
) -> tuple[Preprocess | None, tuple[str, ...]]:
    """The user's, else the PyTorch model's; null with a warning where it can't be the same in every language."""
    if said.preprocess is not None:
        given.check_preprocess(said.preprocess, tensor, name)
        return said.preprocess, ()
    stated = [one.exported.preprocess for one in variants if one.exported and one.exported.preprocess]
    if any(one != stated[0] for one in stated):
        raise BundleError(f"The variants of {name} are preprocessed in different ways.", where=name,
                          next_step="Give them different names, which makes them models of their own.")  # fmt: skip
    if not stated or image_layout(tensor.shape) is None:
        return None, ()
    try:
        steps_of(stated[0], tensor)
    except BundleError as error:
        return None, (f"{name} comes without preprocessing: {error.message}",)
    return stated[0], ()


def _variant(
    one: Located, own: str, fed: Fed, made: Contract, found: Sequence[Measurement], request: BundleRequest
) -> Variant:
    artifact = one.artifact
    threads = choice_file.chosen(one.choices[0]).threads if one.choices else 1
    return Variant(
        id=own, artifact_sha256=artifact.sha256, format=artifact.format, precision=artifact.precision,
        bytes=artifact.bytes, converter=artifact.converter, rewrites=artifact.rewrites,
        weights=without_folders(artifact.weights or (one.exported.weights if one.exported else "")),
        exported_sha256=artifact.exported_sha256, parity=artifact.parity, contract=made,
        golden_samples=len(fed.golden_inputs[0]), golden_source=without_folders(fed.source), threads=threads,
        compute_units=request.compute_units, evidence=tuple(evidence.evidence_of(m) for m in found),
    )  # fmt: skip


def _doubts(one: Located, what: str) -> list[str]:
    said = [text for choice in one.choices for text in choice_file.doubts(choice)]
    parity = one.artifact.parity
    if parity.passed is None:
        reason = f": {parity.reason}" if parity.reason else ""
        said.append(f"{what} {_NOT_CHECKED}{reason}.")
    if one.exported is None and one.artifact.exported_sha256 is not None:
        said.append(f"The PyTorch model of {what} is no longer in the cache: the expected outputs are the file's own.")
    return said + [f"{what}: {without_folders(text).rstrip('.')}." for text in one.artifact.warnings]


def without_folders(text: str) -> str:
    """``8 images in /home/me/photos`` -> ``8 images in photos``: a bundle does not tell of its maker's disk."""
    return _FOLDERS.sub("", text)


def _label(one: Located) -> str:
    artifact = one.artifact
    return artifact.format if artifact.precision == "unknown" else f"{artifact.format}_{artifact.precision}"


def _exported(variants: Sequence[Located]) -> Exported | None:
    return next((one.exported for one in variants if one.exported is not None), None)
