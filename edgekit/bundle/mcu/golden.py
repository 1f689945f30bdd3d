"""The test of one model on its core: ``test/NAME_golden.h`` and ``test/NAME_golden.c``, and ``test/main.c``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.bundle import preprocessing
from edgekit.bundle.c_text import array, comment, string
from edgekit.bundle.mcu.interface import tensors
from edgekit.bundle.mcu.library import CModel, Library
from edgekit.bundle.preprocessing import Steps
from edgekit.bundle.template import asset


def header(model: CModel) -> bytes:
    """Declares the test."""
    preprocessed = "" if model.steps is None else ", and tries the preprocessing with a picture"
    return asset(
        "mcu/golden.h", NAME=model.name, BIG=model.name.upper(), SAMPLES=str(_samples(model)),
        PREPROCESSED=preprocessed,
    )  # fmt: skip


def code(model: CModel) -> bytes:
    """Inputs and outputs as arrays, and the function that compares."""
    names = [name for name, _, _ in tensors(model)]
    outputs = [name.removeprefix("output_") for name in names if name.startswith("output_")]
    first, preprocess = f"{model.name}_init()", ""
    if model.steps is not None:
        first, preprocess = "test_before()", _preprocess(model, model.steps)
    return asset(
        "mcu/golden.c", NAME=model.name, BIG=model.name.upper(),
        SOURCE=comment(model.member.variant.golden_source), ARRAYS="\n".join(_arrays(model)), FIRST=first,
        PREPROCESS=preprocess,
        SPOIL="\n".join(f"        spoil(given_{name}, expected_{name}[i], sizeof given_{name});" for name in outputs),
        ARGUMENTS=", ".join(f"{n}[i]" if n.startswith("input_") else f"given_{n.removeprefix('output_')}"
                            for n in names),
        DIFFERS=" || ".join(f"differs(given_{n}, expected_{n}[i], sizeof given_{n})" for n in outputs),
    )  # fmt: skip


def main(library: Library) -> bytes:
    """The program of ``make host-test``, which says which model differs; a board's firmware has its own."""
    includes = "\n".join(f'#include "{model.name}_golden.h"' for model in library.models)
    rows = "\n".join(f"    {{{string(model.name)}, (int){model.name}_self_test()}}," for model in library.models)
    return asset("mcu/main.c", INCLUDES=includes, ROWS=rows.replace("    {", "        {"))


def _samples(model: CModel) -> int:
    return len(model.member.golden_inputs[0])


def _arrays(model: CModel) -> Iterator[str]:
    stacks = (*model.member.golden_inputs, *model.member.golden_outputs)
    for (name, _, _), stack in zip(tensors(model), stacks, strict=True):
        size = f"{model.name}_{name}_BYTES".upper()
        own = name if name.startswith("input_") else f"expected_{name.removeprefix('output_')}"
        yield f"static const int8_t {own}[SAMPLES][{size}] = {{\n{_rows(stack)}\n}};"
    for name, _, _ in tensors(model):
        if name.startswith("output_"):
            yield f"static int8_t given_{name.removeprefix('output_')}[{f'{model.name}_{name}_BYTES'.upper()}];"
    yield ""


def _rows(stack: npt.NDArray[Any]) -> str:
    return "\n".join(f"    {{\n{array(sample, 8)}\n    }}," for sample in stack)


def _preprocess(model: CModel, steps: Steps) -> str:
    picture, expected = preprocessing.vector(steps)
    height, width = picture.shape[:2]
    return asset(
        "mcu/golden_preprocess.c", NAME=model.name, BIG=model.name.upper(),
        INPUT_BIG=next(name for name, _, _ in tensors(model)).upper(), PICTURE_HEIGHT=str(height),
        PICTURE_WIDTH=str(width), PICTURE=array(picture, 4), EXPECTED=array(expected, 4),
        SCRATCH_BYTES=str(_scratch_bytes(steps, height, width)),
    ).decode()  # fmt: skip


def _scratch_bytes(steps: Steps, height: int, width: int) -> int:
    """At most what ``ek_preprocess_scratch_bytes()`` says: no sum has more terms than the picture pixels."""
    line = max(width, steps.width) * steps.channels
    words = line + width * steps.width + 2 * steps.width + height
    return int(np.dtype(np.int32).itemsize) * (words + 1) + steps.width * steps.channels + line * height
