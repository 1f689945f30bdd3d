"""The C interface of one model: ``NAME.h`` and ``NAME.c``."""

from __future__ import annotations

import math
from collections.abc import Iterator

from edgekit.bundle import preprocessing
from edgekit.bundle.c_text import array, comment, dims, float32, preprocess_steps, string
from edgekit.bundle.mcu.library import CModel, Library
from edgekit.bundle.preprocessing import Steps
from edgekit.bundle.records import Tensor
from edgekit.bundle.template import asset
from edgekit.version import __version__


def tensors(model: CModel) -> Iterator[tuple[str, Tensor, int]]:
    """(``input_image``, the tensor, its place in the arena): the parameters, inputs first."""
    program, offsets = model.compiled.program, model.compiled.plan.offsets
    for kind, ours, ends in (("input", model.contract.inputs, program.inputs),
                             ("output", model.contract.outputs, program.outputs)):  # fmt: skip
        for tensor, end in zip(ours, ends, strict=True):
            yield f"{kind}_{tensor.identifier}", tensor, offsets[end.buffer]


def arguments(model: CModel) -> str:
    """``input_image, output_logits``."""
    return ", ".join(name for name, _, _ in tensors(model))


def parameters(model: CModel) -> str:
    """``const int8_t *input_image, int8_t *output_logits``."""
    return ", ".join(f"{'const ' if name.startswith('input_') else ''}int8_t *{name}" for name, _, _ in tensors(model))


def header(library: Library, model: CModel) -> bytes:
    """``src/NAME.h``."""
    big = model.name.upper()
    blocks = [_macros(model.name, name, tensor, offset) for name, tensor, offset in tensors(model)]
    extras = []
    if model.contract.labels is not None:
        count = len(model.contract.labels)
        extras.append(f"/* Of the last axis of the first output, UTF-8. */\n#define {big}_LABELS {count}\n"
                      f"extern const char *const {model.name}_labels[{big}_LABELS];\n")  # fmt: skip
    if model.steps is not None:
        extras.append(_preprocess_header(model, model.steps))
    return asset(
        "mcu/model.h", NAME=model.name, BIG=big, TITLE=comment(model.part.model.name), VERSION=__version__,
        CORES=library.cores, ARENA_BYTES=str(model.compiled.plan.arena_bytes),
        CONSTANTS_BYTES=str(model.compiled.data_bytes), SHA256=model.compiled.program.source_sha256,
        TENSORS="\n".join(blocks), PARAMETERS=parameters(model), ARGUMENTS=arguments(model),
        EXTRAS="".join(f"{extra}\n" for extra in extras),
    )  # fmt: skip


def code(model: CModel) -> bytes:
    """``src/NAME.c``."""
    extras = ""
    if model.contract.labels is not None:
        big = model.name.upper()
        rows = "".join(f"    {string(label)},\n" for label in model.contract.labels)
        extras += f"\nconst char *const {model.name}_labels[{big}_LABELS] = {{\n{rows}}};\n"
    if model.steps is not None:
        extras += _preprocess_code(model, model.steps).decode()
    includes = '#include "edgekit_runtime/ek_preprocess.h"\n' if model.steps is not None else ""
    return asset(
        "mcu/model.c", NAME=model.name, BIG=model.name.upper(), PARAMETERS=parameters(model),
        ARGUMENTS=arguments(model), INCLUDES=includes, EXTRAS=extras,
    )  # fmt: skip


def _macros(model: str, name: str, tensor: Tensor, offset: int) -> str:
    big, quantisation = f"{model}_{name}".upper(), tensor.quantisation
    assert quantisation is not None  # check() has refused it
    scaled = f"{big}_SCALE, {big}_ZERO_POINT"
    return "\n".join([
        f"/* {comment(tensor.name)}: real = SCALE * (stored - ZERO_POINT) */",
        f"#define {big}_BYTES {math.prod(tensor.shape)}",
        f"#define {big}_DIMS {dims(tensor.shape)}",
        f"#define {big}_OFFSET {offset} /* in the arena */",
        f"#define {big}_SCALE {float32(quantisation.scale)}",
        f"#define {big}_ZERO_POINT ({quantisation.zero_point})",
        *(_quantising(model, name, scaled) if name.startswith("input_") else _dequantising(model, name, scaled)),
        "",
    ])  # fmt: skip


def _quantising(model: str, name: str, scaled: str) -> list[str]:
    return [
        f"static inline int8_t {model}_quantise_{name}(float value)",
        "{",
        f"    return edgekit_quantise(value, {scaled});",
        "}",
    ]


def _dequantising(model: str, name: str, scaled: str) -> list[str]:
    return [
        f"static inline float {model}_dequantise_{name}(int8_t stored)",
        "{",
        f"    return edgekit_dequantise(stored, {scaled});",
        "}",
    ]


def _first_input(model: CModel) -> str:
    return next(name for name, _, _ in tensors(model))


def _preprocess_header(model: CModel, steps: Steps) -> str:
    return asset(
        "mcu/preprocess.h", NAME=model.name, INPUT=_first_input(model), INTERPOLATION=steps.interpolation,
        BASE_WIDTH=str(steps.base_width), BASE_HEIGHT=str(steps.base_height), WIDTH=str(steps.width),
        HEIGHT=str(steps.height),
    ).decode()  # fmt: skip


def _preprocess_code(model: CModel, steps: Steps) -> bytes:
    rows = [f"    {{\n{array(row, 8)}\n    }}," for row in preprocessing.normalised(steps)]
    return asset(
        "mcu/preprocess.c", NAME=model.name, BIG=model.name.upper(), INPUT=_first_input(model),
        CHANNELS=str(steps.channels), TABLE="\n".join(rows), STEPS=preprocess_steps(steps, "    .table = table,"),
    )  # fmt: skip
