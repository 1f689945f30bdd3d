"""Whether a packed model computes what LiteRT's reference kernels compute on the int8 model it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from edgekit.harness.int8_tensors import in_outside_order, to_outside, to_stored
from edgekit.harness.mcu_model import HostModel
from edgekit.records import Parity

Array = npt.NDArray[Any]
INT8_SUFFIX = ".tflite"
"""The int8 model that an .ekm was compiled from lies beside it in the cache, under its name with this suffix."""


def judged(parity: Parity, ekm: Path, inputs: Sequence[Array], int8_model: Path | None = None) -> Parity:
    """The parity with PyTorch, and besides whether every output is that of LiteRT's reference kernels, bit by bit.

    Args:
        parity: of the dequantised outputs, by the int8 tolerance.
        ekm: the packed model, with the int8 model beside it; without it ``bit_equal`` stays null.
        inputs: one stack per input of the PyTorch model, samples first.
        int8_model: where the int8 model is if not beside it.
    """
    int8_model = int8_model or ekm.with_suffix(INT8_SUFFIX)
    if not int8_model.is_file():
        return parity
    different = differences(int8_model, ekm.read_bytes(), inputs)
    if not different:
        return msgspec.structs.replace(parity, bit_equal=True)
    reason = f"the packed model and LiteRT's reference kernels differ: {different}"
    return msgspec.structs.replace(
        parity, passed=False, bit_equal=False, reason="; ".join(part for part in (parity.reason, reason) if part)
    )


def differences(int8_model: Path, ekm: bytes, inputs: Sequence[Array]) -> str:
    """Where the two differ on these inputs, in words; empty if they are equal in every bit.

    Args:
        int8_model: the .tflite; its own inputs and outputs may be int8 or, behind QUANTIZE and DEQUANTIZE, float32.
        inputs: one stack per input as the packed model's source had it: float32 or int8, samples first.
    """
    from edgekit.harness.engines.litert_reference import create

    model, reference = HostModel(ekm), create()
    reference.load(int8_model, threads=1)
    dtypes = [spec.dtype for spec in reference.specs()]
    count = len(inputs[0])
    for sample in range(count):
        given = [np.asarray(stack[sample]) for stack in inputs]
        stored = [to_stored(value, e) for value, e in zip(given, model.inputs, strict=True)]
        bound = [
            value if dtype == value.dtype.name else in_outside_order(own, e)
            for value, own, e, dtype in zip(given, stored, model.inputs, dtypes, strict=True)
        ]
        reference.bind([np.ascontiguousarray(value) for value in bound])
        reference.run()
        for number, (own, e, theirs) in enumerate(
            zip(model.run(stored), model.outputs, reference.outputs(), strict=True)
        ):
            ours = in_outside_order(own, e) if theirs.dtype == np.int8 else to_outside(own, e)
            if not np.array_equal(ours, theirs):
                off = np.abs(ours.astype(np.float64) - theirs)
                where = f"sample {sample + 1} of {count}, output {number}"
                return f"{where}: {int((off > 0).sum())} of {off.size} values, by at most {off.max():g}"
    return ""
