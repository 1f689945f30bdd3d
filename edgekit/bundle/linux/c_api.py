"""The typed C API of each model and the example that uses it; LiteRT and ExecuTorch variants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.bundle import preprocessing
from edgekit.bundle.c_text import float32, preprocess_steps, string
from edgekit.bundle.linux.places import model_file
from edgekit.bundle.preprocessing import Steps
from edgekit.bundle.recipe import Member, Part, Recipe
from edgekit.bundle.records import Contract, DeviceRow, Tensor
from edgekit.bundle.template import asset
from edgekit.bundle.text import shape
from edgekit.errors import BundleError
from edgekit.job import ENGINE_OF_FORMAT, NATIVE_ENGINES
from edgekit.paths import mcu_dir

MAX_RANK, MAX_TENSORS = 8, 16  # EK_MAX_RANK, EK_MAX_TENSORS
TYPES = {
    "float32": "float", "float64": "double", "float16": "uint16_t", "bool": "uint8_t", "int8": "int8_t",
    "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t", "uint32": "uint32_t",
    "int64": "int64_t", "uint64": "uint64_t",
}  # fmt: skip
# Macros of C's own headers and of compilers, which no struct can be called.
_MACROS = frozenset({"assert", "errno", "linux", "main", "stderr", "stdin", "stdout", "unix"})
_CORES = ("ek_model.h", "ek_model.c", "ek_engine.h", "ek_sha256.h", "ek_sha256.c", "ek_npy.h", "ek_npy.c")
_ENGINE_SOURCES = {"litert": "ek_litert.c", "executorch": "ek_executorch.cpp"}


@dataclass(frozen=True)
class Api:
    """One prefix of C functions: variants of one model that take and give the same tensors."""

    name: str
    part: Part
    members: tuple[Member, ...]

    @property
    def contract(self) -> Contract:
        return self.members[0].variant.contract

    @property
    def steps(self) -> Steps | None:
        return preprocessing.steps_for(self.contract)


def apis(part: Part) -> tuple[Api, ...]:
    """The APIs of one model, none if no variant's engine has one.

    Variants with other tensors than the first have an API of their own, named after the model and their first. What
    the tensors are called does not count: converters name them as they like.
    """
    groups: dict[object, list[Member]] = {}
    for member in part.members:
        if ENGINE_OF_FORMAT[member.variant.format] in NATIVE_ENGINES:
            contract = member.variant.contract
            steps = preprocessing.steps_for(contract)
            key = (_kinds(contract.inputs), _kinds(contract.outputs), contract.labels, steps)
            groups.setdefault(key, []).append(member)
    first = part.model.identifier
    found: list[Api] = []
    for members in groups.values():
        # No identifier has two underscores in a row, so no other model can have this name.
        name = first if not found else f"{first}__{members[0].variant.id}"
        found.append(Api(f"{name}_model" if name in _MACROS else name, part, tuple(members)))
    return tuple(found)


def _kinds(tensors: Sequence[Tensor]) -> tuple[object, ...]:
    return tuple((tensor.shape, tensor.dtype, tensor.quantisation) for tensor in tensors)


def check_tensors(part: Part) -> None:
    """Raises BundleError for tensors that C can't have."""
    for member in part.members:
        contract = member.variant.contract
        for tensor in (*contract.inputs, *contract.outputs):
            if tensor.dtype not in TYPES or len(tensor.shape) > MAX_RANK or 0 in tensor.shape:
                message = (
                    f"{tensor.name} of {part.model.name} is {tensor.dtype} {tensor.shape}, which can't be bundled."
                )
                next_step = f"Give the model tensors with 1 to {MAX_RANK} axes and a plain type."
                raise BundleError(message, where=part.model.name, next_step=next_step)
        if max(len(contract.inputs), len(contract.outputs)) > MAX_TENSORS:
            message = f"{part.model.name} has more than {MAX_TENSORS} inputs or outputs."
            raise BundleError(message, where=part.model.name, next_step="Bundle a model with fewer.")


def contents(recipe: Recipe, executorch: str) -> dict[str, bytes]:
    """The files of ``c/``; ``executorch`` is the version whose headers are needed. Nothing if no model has an API."""
    made = [api for part in recipe.parts for api in apis(part)]
    if not made:
        return {}
    engines = sorted({ENGINE_OF_FORMAT[member.variant.format] for api in made for member in api.members})
    files = {f"c/{name}": asset(f"linux/c/{name}") for name in (*_CORES, *(_ENGINE_SOURCES[e] for e in engines))}
    files["c/sha256_block.h"] = (mcu_dir() / "agent/sha256_block.h").read_bytes()
    files |= {f"c/{name}": asset(f"preprocess/{name}") for name in ("ek_preprocess.h", "ek_preprocess.c")}
    names = {"APIS": " ".join(api.name for api in made), "ENGINES": " ".join(engines)}
    has_executorch = "executorch" in engines
    note = asset("linux/c/Makefile_executorch", VERSION=executorch).decode() if has_executorch else ""
    version = f" {executorch}" if has_executorch else ""
    files["c/Makefile"] = asset("linux/c/Makefile", **names, EXECUTORCH=note)
    files["c/CMakeLists.txt"] = asset("linux/c/CMakeLists.txt", **names, EXECUTORCH=version)
    for api in made:
        files[f"c/model_{api.name}.h"] = _header(api)
        files[f"c/model_{api.name}.c"] = _source(api)
        files[f"c/example_{api.name}.c"] = _example(api)
    return files


def _header(api: Api) -> bytes:
    name, contract = api.name, api.contract
    preprocess = "" if api.steps is None else asset(
        "linux/c/api_preprocess.h", API=name, TYPE=TYPES[contract.inputs[0].dtype],
        PARAMETER=_parameter("input", contract.inputs[0]),
    ).decode()  # fmt: skip
    counts = [
        f"#define {name.upper()}_{_parameter(side, tensor).upper()}_COUNT ((size_t){math.prod(tensor.shape)})"
        f" /* {tensor.dtype} {shape(tensor.shape)} */"
        for side, tensor in _sides(contract)
    ]
    labels = contract.labels
    declared = "" if labels is None else (
        f"\n/* Of the last axis of the first output. */\n#define {name.upper()}_LABEL_COUNT ((size_t){len(labels)})\n"
        f"extern const char *const {name}_labels[{name.upper()}_LABEL_COUNT];\n"
    )  # fmt: skip
    return asset(
        "linux/c/api.h", API=name, UPPER=name.upper(), NAME=api.part.model.identifier, COUNTS="\n".join(counts),
        VARIANTS=", ".join(member.variant.id for member in api.members), LABELS_DECLARED=declared,
        PREPROCESS_INCLUDE="" if api.steps is None else '#include "ek_preprocess.h"\n',
        PARAMETERS=_parameters(contract), PREPROCESS_DECLARED=preprocess,
    )  # fmt: skip


def _source(api: Api) -> bytes:
    contract, steps = api.contract, api.steps
    devices = _devices(api)
    labels = contract.labels
    rows = [f"    {{{string(row.device_name)}, {_or_null(row.soc)}, {at}, {row.threads}}}," for at, row in devices]
    table = "" if not rows else "\nstatic const struct ek_device devices[] = {\n" + "\n".join(rows) + "\n};\n"
    named = "" if labels is None else (
        f"\nconst char *const {api.name}_labels[{api.name.upper()}_LABEL_COUNT] = {{\n"
        + "".join(f"    {string(label)},\n" for label in labels) + "};\n"
    )  # fmt: skip
    sides = _sides(contract)
    return asset(
        "linux/c/api.c", API=api.name, NAME=api.part.model.identifier, NAME_STRING=string(api.part.model.name),
        INCLUDES="" if steps is None else '#include <stdlib.h>\n\n#include "ek_engine.h"\n',
        INPUTS=_tensors(contract.inputs), OUTPUTS=_tensors(contract.outputs),
        VARIANTS="\n".join(_variant(api, member) for member in api.members), VARIANT_COUNT=str(len(api.members)),
        DEVICES=table, DEVICE_TABLE="devices" if rows else "NULL", DEVICE_COUNT=str(len(rows)),
        INPUT_COUNT=str(len(contract.inputs)), OUTPUT_COUNT=str(len(contract.outputs)), LABELS=named,
        PARAMETERS=_parameters(contract), PREPROCESS="" if steps is None else _preprocess(api, steps),
        FROM=", ".join(_parameter(side, tensor) for side, tensor in sides if side == "input"),
        TO=", ".join(_parameter(side, tensor) for side, tensor in sides if side == "output"),
    )  # fmt: skip


def _example(api: Api) -> bytes:
    contract = api.contract
    reason = no_picture(api)
    picture = (asset("linux/c/example_picture.c", API=api.name) if reason is None
               else asset("linux/c/example_no_picture.c", REASON=reason))  # fmt: skip
    runs = [f"in(tensors, {k}, i)" for k in range(len(contract.inputs))]
    runs += [f"out(tensors, {k}, i)" for k in range(len(contract.outputs))]
    labelled = contract.labels is not None
    return asset(
        "linux/c/example.c", API=api.name, NAME=api.part.model.identifier, PICTURE=picture.decode(),
        RUN_ARGUMENTS=", ".join(runs), LABEL_FORMAT="%s" if labelled else "class %zu",
        LABEL=f"{api.name}_labels[best]" if labelled else "best",
    )  # fmt: skip


def no_picture(api: Api) -> str | None:
    """Why the example can't take a picture, if it can't."""
    if len(api.contract.inputs) > 1:
        return "the model has several inputs"
    if api.steps is None:
        return "nothing says how a picture becomes the input"
    return None if api.contract.inputs[0].shape[0] == 1 else "the model takes several pictures at a time"


def _preprocess(api: Api, steps: Steps) -> str:
    if steps.quantisation is None:
        statistics = [f"    .{key} = (const float[]){{{', '.join(map(float32, values))}}},"
                      for key, values in (("mean", steps.mean), ("std", steps.std))]  # fmt: skip
        table = ""
    else:
        statistics = ["    .table = table,"]
        rows = ["    {" + ", ".join(map(str, row)) + "}," for row in preprocessing.normalised(steps).tolist()]
        table = "\nstatic const int8_t table[][256] = {\n" + "\n".join(rows) + "\n};\n"
    first = api.contract.inputs[0]
    return table + asset(
        "linux/c/api_preprocess.c", API=api.name, TYPE=TYPES[first.dtype], PARAMETER=_parameter("input", first),
        STEPS=preprocess_steps(steps, "\n".join(statistics)),
    ).decode()  # fmt: skip


def _devices(api: Api) -> list[tuple[int, DeviceRow]]:
    """The measured devices whose variant this API has, with the variant's place in it."""
    places = {member.variant.id: at for at, member in enumerate(api.members)}
    return [(places[row.variant], row) for row in api.part.model.devices if row.variant in places]


def _or_null(text: str | None) -> str:
    return "NULL" if text is None else string(text)


def _variant(api: Api, member: Member) -> str:
    variant = member.variant
    path = model_file(api.part.model, variant)
    return (f"    {{{string(variant.id)}, {string(ENGINE_OF_FORMAT[variant.format])}, {string(path)},\n"
            f"     {string(variant.artifact_sha256)}, {variant.threads}}},")  # fmt: skip


def _tensors(tensors: Sequence[Tensor]) -> str:
    rows = []
    for tensor in tensors:
        count, width = math.prod(tensor.shape), np.dtype(tensor.dtype).itemsize
        sizes = ", ".join(map(str, tensor.shape)) or "0"
        rows.append(f"    {{{string(tensor.name)}, {string(tensor.dtype)}, {len(tensor.shape)}, {{{sizes}}}, "
                    f"{count * width}}},")  # fmt: skip
    return "\n".join(rows)


def _sides(contract: Contract) -> list[tuple[str, Tensor]]:
    return [("input", tensor) for tensor in contract.inputs] + [("output", tensor) for tensor in contract.outputs]


def _parameter(side: str, tensor: Tensor) -> str:
    return f"{side}_{tensor.identifier}"


def _parameters(contract: Contract) -> str:
    return ", ".join(
        f"{'const ' if side == 'input' else ''}{TYPES[tensor.dtype]} *{_parameter(side, tensor)}"
        for side, tensor in _sides(contract)
    )
