"""What to load: the model spec, its options and their parsers. Nothing here imports torch."""

from __future__ import annotations

import ast
import difflib
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl

from edgekit.errors import ModelError, UsageError
from edgekit.records import Record, TensorSpec

Kind = Literal["exported_program", "torch_file", "safetensors", "factory", "timm", "zoo", "artifact"]

MODEL_SUFFIXES: dict[str, Kind] = {
    ".pt2": "exported_program",
    ".pt": "torch_file",
    ".pth": "torch_file",
    ".bin": "torch_file",
    ".safetensors": "safetensors",
}
ARTIFACT_FORMATS = {".pte": "executorch", ".tflite": "litert", ".mlpackage": "coreml", ".onnx": "onnx", ".ekm": "mcu"}
TIMM_OPTIONS = ("num_classes", "in_chans")
DTYPES = ("float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")

MAX_RANK = 8
MAX_INPUTS = 16
MAX_DIM = 1 << 20
MAX_ELEMENTS = 1 << 28
MAX_TEXT = 4096

_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_ATTRIBUTE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_SHAPE_HELP = 'Write a shape as "1,3,224,224" or "1x3x224x224", several inputs separated by ";".'
_SPEC_HELP = "Write the inputs as \"{'x': (1,3,224,224)}\" or \"{'x': ((1,3,224,224),'float32')}\"."
_FORMS = (
    "A model is a file (.pt2, .pt, .pth, .bin, .safetensors), zoo:NAME (edgekit zoo lists them), timm:NAME, "
    "pkg.module:factory or path/file.py:factory."
)


class LoadRequest(Record, frozen=True):
    """One model to load.

    ``arch`` is the model spec of the architecture that a state dict belongs to. ``input_shape`` holds one shape per
    input, batch included; ``input_spec`` also gives names and dtypes and wins over it. ``trust_pickle`` allows
    unpickling the file, which can run any code in it. ``seed`` makes random weights repeatable. For a model that is
    named (``zoo:``, ``timm:``, a factory), ``weights`` is the file of its weights; ``pretrained`` takes the published
    ones of a zoo or timm model from the network.
    """

    spec: str
    arch: str | None = None
    trust_pickle: bool = False
    input_shape: tuple[tuple[int, ...], ...] | None = None
    input_spec: tuple[TensorSpec, ...] | None = None
    seed: int = 0
    weights: str | None = None
    pretrained: bool = False


class ModelSpec(Record, frozen=True):
    """A model spec taken apart; the fields that a kind does not have are null."""

    kind: Kind
    text: str
    path: str | None = None
    module: str | None = None
    attribute: str | None = None
    name: str | None = None
    options: tuple[tuple[str, int], ...] = ()
    format: str | None = None


def parse_input_shape(text: str) -> tuple[tuple[int, ...], ...]:
    """Shapes, batch included, from ``"1,3,224,224"`` or ``"1x3x224x224"``; ``;`` separates several inputs.

    Raises:
        UsageError: the text is not such a list, or a shape is out of bounds.
    """
    if len(text) > MAX_TEXT:
        raise UsageError("The --input-shape value is too long.", where="--input-shape", next_step=_SHAPE_HELP)
    shapes = []
    for part in text.split(";"):
        fields = re.split(r"[,x]", part.strip().strip("()[]").rstrip(","))
        if not all(re.fullmatch(r"\s*\d{1,9}\s*", field, re.ASCII) for field in fields):
            raise UsageError(f"{part.strip()!r} is not a shape.", where="--input-shape", next_step=_SHAPE_HELP)
        shapes.append(_checked_shape([int(field) for field in fields], "--input-shape", _SHAPE_HELP))
    _check_count(len(shapes), "--input-shape", _SHAPE_HELP)
    return tuple(shapes)


def parse_input_spec(text: str) -> tuple[TensorSpec, ...]:
    """Inputs from AI Hub's notation: ``{'x': (1,3,224,224)}`` or ``{'x': ((1,3,224,224), 'float32')}``.

    Only Python literals are accepted; nothing is evaluated.

    Raises:
        UsageError: the text is not such a dict, or a shape or dtype is not supported.
    """
    where = "--input-spec"
    if len(text) > MAX_TEXT:
        raise UsageError("The --input-spec value is too long.", where=where, next_step=_SPEC_HELP)
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise UsageError(f"{text!r} is not a Python dict of shapes.", where=where, next_step=_SPEC_HELP) from None
    if not isinstance(value, dict):
        raise UsageError(f"{text!r} is not a dict of inputs.", where=where, next_step=_SPEC_HELP)
    _check_count(len(value), where, _SPEC_HELP)
    return tuple(_input_of(name, entry) for name, entry in value.items())


def _input_of(name: object, entry: object) -> TensorSpec:
    where = "--input-spec"
    if not isinstance(name, str) or not name.isidentifier():
        raise UsageError(f"{name!r} is not an input name.", where=where, next_step=_SPEC_HELP)
    dtype: object = "float32"
    if isinstance(entry, (tuple, list)) and len(entry) == 2 and isinstance(entry[0], (tuple, list)):
        entry, dtype = entry
    if not isinstance(entry, (tuple, list)):
        raise UsageError(f"The shape of input {name!r} is not a tuple of numbers.", where=where, next_step=_SPEC_HELP)
    if dtype not in DTYPES:
        known = ", ".join(DTYPES)
        raise UsageError(f"Input {name!r} has the dtype {dtype!r}.", where=where, next_step=f"Use one of: {known}.")
    return TensorSpec(name=name, shape=_checked_shape(entry, where, _SPEC_HELP), dtype=str(dtype))


def _checked_shape(dims: Iterable[object], where: str, help_text: str) -> tuple[int, ...]:
    shape = []
    for dim in dims:
        if type(dim) is not int or not 1 <= dim <= MAX_DIM:
            message = f"A shape has the dimension {dim!r}; dimensions are whole numbers from 1 to {MAX_DIM}."
            raise UsageError(message, where=where, next_step=help_text)
        shape.append(dim)
    if not 1 <= len(shape) <= MAX_RANK:
        message = f"A shape has {len(shape)} dimensions; 1 to {MAX_RANK} are supported."
        raise UsageError(message, where=where, next_step=help_text)
    if math.prod(shape) > MAX_ELEMENTS:
        message = f"The shape {tuple(shape)} has more than {MAX_ELEMENTS} elements."
        raise UsageError(message, where=where, next_step="Give a smaller shape.")
    return tuple(shape)


def _check_count(count: int, where: str, help_text: str) -> None:
    if not 1 <= count <= MAX_INPUTS:
        message = f"{count} inputs were given; 1 to {MAX_INPUTS} are supported."
        raise UsageError(message, where=where, next_step=help_text)


def parse_spec(spec: str) -> ModelSpec:
    """Take a model spec apart and check that its file exists. The file is not opened.

    Raises:
        ModelError: the file does not exist or its suffix is not a model's, or the spec has none of the known forms.
    """
    if not spec.strip() or len(spec) > MAX_TEXT or "\0" in spec:
        raise ModelError("The model spec is empty or not a name.", where="model", next_step=_FORMS)
    prefix, _, rest = spec.partition(":")
    if prefix == "timm":
        return _timm_spec(spec, rest)
    if prefix == "zoo":
        if not rest:
            raise ModelError("The model spec names no model.", where=spec, next_step="Write zoo:NAME.")
        return ModelSpec(kind="zoo", text=spec, name=rest)
    file, _, attribute = spec.rpartition(":")
    if file.endswith(".py") and _ATTRIBUTE.fullmatch(attribute):
        return ModelSpec(kind="factory", text=spec, path=_existing(file, spec), attribute=attribute)
    if _FACTORY.fullmatch(spec) and not Path(spec).exists():
        return ModelSpec(kind="factory", text=spec, module=prefix, attribute=rest)
    return _file_spec(spec)


def _timm_spec(spec: str, rest: str) -> ModelSpec:
    name, _, query = rest.partition("?")
    if not name:
        raise ModelError("The model spec names no timm model.", where=spec, next_step="Write timm:NAME.")
    options = []
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in TIMM_OPTIONS or not re.fullmatch(r"\d{1,6}", value, re.ASCII):
            raise ModelError(
                f"{key}={value} is not an option of a timm model.",
                where=spec,
                next_step=f"The options are whole numbers: {', '.join(TIMM_OPTIONS)}.",
            )
        options.append((key, int(value)))
    return ModelSpec(kind="timm", text=spec, name=name, options=tuple(options))


def _file_spec(spec: str) -> ModelSpec:
    suffix = Path(spec).suffix.lower()
    if suffix in ARTIFACT_FORMATS:
        path = _existing(spec, spec, directory=suffix == ".mlpackage")
        return ModelSpec(kind="artifact", text=spec, path=path, format=ARTIFACT_FORMATS[suffix])
    if suffix in MODEL_SUFFIXES:
        return ModelSpec(kind=MODEL_SUFFIXES[suffix], text=spec, path=_existing(spec, spec))
    if suffix == ".py":
        next_step = f"Name the function that builds the model: {spec}:FUNCTION."
        raise ModelError(f"{spec} is Python source, not a model.", where=spec, next_step=next_step)
    known = ", ".join([*MODEL_SUFFIXES, *ARTIFACT_FORMATS])
    what = f"the suffix {suffix}" if suffix else "no suffix"
    raise ModelError(
        f"{spec} has {what}: that is no kind of model edgekit knows.",
        where=spec,
        next_step=f"{_FORMS} Converted files are taken too. Known suffixes: {known}.",
    )


def _existing(path: str, spec: str, *, directory: bool = False) -> str:
    file = Path(path)
    if file.is_dir() and not directory:
        message = f"{path} is a directory, not a model file."
        raise ModelError(message, where=spec, next_step="Name the file inside it.")
    if file.exists():
        return path
    near = _near_files(file)
    offer = f"Did you mean {' or '.join(near)}?" if near else "Check the path."
    raise ModelError(f"There is no file {path}.", where=spec, next_step=offer, nearest=near)


def _near_files(file: Path) -> list[str]:
    """Up to three files beside the missing one whose name is alike or that differ from it in the suffix only."""
    try:
        names = sorted(entry.name for entry in file.parent.iterdir())[:10_000]
    except OSError:
        return []
    known = [name for name in names if Path(name).suffix.lower() in {*MODEL_SUFFIXES, *ARTIFACT_FORMATS, ".py"}]
    near = difflib.get_close_matches(file.name, known, n=3, cutoff=0.6)
    near += [name for name in known if Path(name).stem == file.stem and name not in near]
    return [str(file.parent / name) for name in near[:3]]


def check_weights(request: LoadRequest, spec: ModelSpec) -> None:
    """Refuse weights from two places, and weights for a model that brings its own.

    Raises:
        UsageError: both are asked for.
        ModelError: the weights' file does not exist, or the model is a file.
    """
    if request.weights is not None and request.pretrained:
        raise UsageError(
            "--weights and --pretrained both say where the weights come from.",
            where="--weights",
            next_step="Give one of them.",
        )
    if request.weights is None and not request.pretrained:
        return
    option = "--pretrained" if request.pretrained else "--weights"
    named = ("zoo", "timm") if request.pretrained else ("zoo", "timm", "factory")
    if spec.kind not in named:
        raise ModelError(
            f"{option} needs a model that is named, not {request.spec}.",
            where=request.spec,
            next_step="Name it as zoo:NAME or timm:NAME."
            if spec.kind == "factory"
            else "Weights in a file of their own go with the name of their model: zoo:NAME --weights FILE.",
        )
    if request.weights is not None:
        _existing(request.weights, request.weights)


def name_of(spec: str) -> str:
    """A short name for files made from a model: letters, digits, ``.``, ``_`` and ``-``, at most 64 characters.

    ``timm:mobilenetv2_100`` gives ``mobilenetv2_100``, ``runs/best.pt`` gives ``best`` and ``net.py:make`` gives
    ``net_make``. The file system is not looked at.
    """
    prefix, _, rest = spec.partition(":")
    if prefix in ("timm", "zoo") and rest:
        name = rest
    elif ".py:" in spec:
        file, _, attribute = spec.rpartition(":")
        name = f"{Path(file).stem}_{attribute}"
    elif _FACTORY.fullmatch(spec):
        name = f"{prefix.rpartition('.')[2]}_{rest}"
    else:
        name = Path(spec).stem
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[:64]
    return safe or "model"
