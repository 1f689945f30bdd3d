"""What tests of the microcontroller compiler share: a .tflite compiled and run by the C runtime on this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.convert.mcu.compile import program_of
from edgekit.convert.mcu.pack import pack
from edgekit.convert.mcu.plan import plan
from edgekit.convert.mcu.steps import Program
from edgekit.convert.mcu.tflite import parse_tflite
from edgekit.harness.mcu_model import HostModel

Array = npt.NDArray[Any]

# The reference models are not in the repository.
MODELS = Path(os.environ.get("EDGEKIT_MCU_MODELS", Path(__file__).parents[2] / "shared" / "models"))


def lowered(content: bytes, *, dsp: bool) -> Program:
    """The program of a .tflite's bytes."""
    return program_of(parse_tflite(content, "made"), dsp=dsp)


def host_outputs(content: bytes, inputs: Sequence[Array]) -> list[Array]:
    """What the C runtime on this machine answers; float inputs and outputs are (de)quantised here.

    Portable kernels: those for the DSP extension only run on a Cortex-M.
    """
    return run_program(lowered(content, dsp=False), inputs)


def run_program(program: Program, inputs: Sequence[Array]) -> list[Array]:
    """As :func:`host_outputs`, from a program."""
    model = HostModel(pack(program, plan(program)))
    stored = [_stored(values, end) for values, end in zip(inputs, model.inputs, strict=True)]
    answers = model.run(stored)
    return [_outside(values, end) for values, end in zip(answers, model.outputs, strict=True)]


def program_with(program: Program, **fields: int) -> Program:
    """The program with these fields in every step that has them."""
    steps = [
        replace(step, fields={**step.fields, **{name: n for name, n in fields.items() if name in step.fields}})
        for step in program.steps
    ]
    return replace(program, steps=tuple(steps))


def _stored(values: Array, end: Any) -> Array:
    if not end.float_outside:
        return values.reshape(end.shape)
    quotient = (values / np.float32(end.scale)).astype(np.float64)
    rounded = np.copysign(np.floor(np.abs(quotient) + 0.5), quotient) + end.zero_point
    return np.clip(rounded, -128, 127).astype(np.int8).reshape(end.shape)


def _outside(values: Array, end: Any) -> Array:
    if not end.float_outside:
        return values
    return (np.float32(end.scale) * (values.astype(np.int32) - end.zero_point).astype(np.float32)).astype(np.float32)
