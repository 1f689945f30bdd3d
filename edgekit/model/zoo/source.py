"""Builds the zoo's models, with random weights: nothing is downloaded."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import torch
from torch import nn

from edgekit.errors import ModelError
from edgekit.model import zoo
from edgekit.model.extras import need
from edgekit.model.request import ModelSpec
from edgekit.model.source import Loaded, first_line
from edgekit.model.torchvision_ops import make_importable
from edgekit.model.zoo.entry import Entry
from edgekit.records import TensorSpec

MAX_CLASSES = 100_000
MAX_OPTIONS = 16
INPUTS_SOURCE = "the zoo's entry"


def load(spec: ModelSpec, seed: int, asked: tuple[TensorSpec, ...] | None) -> Loaded:
    """A model of the zoo with random weights under which every block matters, its input size and preprocessing.

    ``asked`` are the inputs that the model will be used with, if not the entry's own: the weights are made for them.

    Raises:
        ModelError: there is no such model, it can't be built or its options are wrong, or it does not run on ``asked``.
        MissingExtraError: timm or torchvision is not installed.
    """
    from edgekit.model.random_weights import randomise
    from edgekit.model.running import check_forward

    loaded = described(spec, seed)
    module, used = loaded.module, asked or loaded.inputs
    assert module is not None
    if used is not None and len(used) == 1 and len(used[0].shape) == 4 and used[0].dtype == "float32":
        check_forward(module, used, spec.text, "" if asked else INPUTS_SOURCE)
        randomise(module, used[0], loaded.preprocess, seed)
    return loaded


def described(spec: ModelSpec, seed: int) -> Loaded:
    """The model as its constructor initialises it, for weights that are put in afterwards; see :func:`load`."""
    assert spec.name is not None
    entry, options = parse(spec.name)
    module = build(entry, options, seed)
    return Loaded(
        weights=f"random, seed {seed}",
        module=module,
        inputs=_inputs(entry, module),
        inputs_source=INPUTS_SOURCE,
        preprocess=entry.preprocess,
        warnings=licence_warnings(entry),
        described=True,
    )


def licence_warnings(entry: Entry) -> tuple[str, ...]:
    """What has to be said before a product with this model is passed on: a licence that forbids it."""
    if entry.redistributable is not False:
        return ()
    return (f"zoo:{entry.name} may not be passed on in a product: its licence is {entry.licence}.",)


def parse(text: str) -> tuple[Entry, dict[str, str]]:
    """``NAME?key=value&…`` → the entry and its options.

    Raises:
        ModelError: there is no such model, it can't be built, or it does not have the option.
    """
    name, _, query = text.partition("?")
    entry = zoo.find(name)
    where = f"zoo:{name}"
    if entry.unavailable is not None:
        step = "edgekit zoo lists the models that can be built."
        raise ModelError(f"{where} can't be built: {entry.unavailable}.", where=where, next_step=step)
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_OPTIONS))
    except ValueError as error:
        step = "Write zoo:NAME?key=value&key=value."
        raise ModelError(f"The options of {where} can't be read: {error}.", where=where, next_step=step) from error
    for key in options:
        if key not in entry.options:
            known = ", ".join(entry.options)
            step = f"Its options are: {known}." if known else "Leave the '?' and what follows out."
            raise ModelError(f"{where} has no option {key!r}.", where=where, next_step=step)
    return entry, options


def build(entry: Entry, options: dict[str, str], seed: int = 0) -> nn.Module:
    """The module of an entry, in eval mode, on torch's current default device.

    Raises:
        ModelError: an option's value is wrong.
        MissingExtraError: timm or torchvision is not installed.
    """
    where = f"zoo:{entry.name}"
    torch.manual_seed(seed)
    arguments: dict[str, Any] = dict(options)
    if "num_classes" in options:
        arguments["num_classes"] = _count(options["num_classes"], where)
    if entry.source == "timm":
        return _timm(entry, arguments, seed)
    if entry.source == "torchvision":
        return _torchvision(entry, arguments)
    file, _, function = entry.builder.partition(":")
    make: Callable[..., nn.Module] = getattr(importlib.import_module(file), function)
    try:
        return make(*entry.arguments, **arguments).eval()
    except ValueError as error:
        step = f"See edgekit zoo {entry.name}."
        raise ModelError(f"{where} can't be built: {first_line(error)}", where=where, next_step=step) from error


def _count(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MAX_CLASSES):
        step = f"Give a whole number from 1 to {MAX_CLASSES}."
        raise ModelError(f"num_classes={text[:20]} is not a number of classes.", where=where, next_step=step)
    return int(text)


def _inputs(entry: Entry, module: nn.Module) -> tuple[TensorSpec, ...] | None:
    """The entry's input; a model whose options change its size says so in ``input_size``."""
    size = getattr(module, "input_size", None)
    if isinstance(size, tuple) and len(size) == 3 and "r" in entry.options:
        return (TensorSpec(name="x", shape=(1, *size)),)
    return entry.inputs()


def _timm(entry: Entry, options: dict[str, Any], seed: int) -> nn.Module:
    from edgekit.model import timm_source

    # Without it TinyViT gets the 21,841-way head of its pretraining.
    classes = int(options.get("num_classes", 1000))
    spec = ModelSpec(kind="timm", text=f"zoo:{entry.name}", name=entry.builder, options=(("num_classes", classes),))
    return timm_source.build(spec, seed)


def _torchvision(entry: Entry, options: dict[str, Any]) -> nn.Module:
    make_importable()
    need("torchvision", "zoo", f"zoo:{entry.name}")
    from torchvision.models import get_model

    if entry.task != "classification":
        # Their own forward answers a dict or ends in a non-maximum suppression; only backbone and head are taken.
        from edgekit.model.zoo import lraspp, ssdlite

        whole = get_model(entry.builder, weights=None, weights_backbone=None, **options)
        return (lraspp.flat(whole) if entry.task == "segmentation" else ssdlite.flat(whole)).eval()
    module: nn.Module = get_model(entry.builder, weights=None, **options)
    return module.eval()
