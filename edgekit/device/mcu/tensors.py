"""Between a job's .npy stacks and the bytes that a board takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.convert.mcu.unpack import Packed
from edgekit.errors import UsageError
from edgekit.harness.int8_tensors import outside_shape, to_outside, to_stored
from edgekit.job import Job

Array = npt.NDArray[Any]


def stacks_of(job: Job, packed: Packed) -> list[Array]:
    """The inputs' stacks, samples first, checked against the model; not read into memory.

    Raises:
        UsageError: their number, a shape or a dtype is another.
    """
    if len(job.inputs) != len(packed.inputs):
        raise UsageError(
            f"{packed.name} has {len(packed.inputs)} inputs, but {len(job.inputs)} files were given.",
            where=job.artifact, next_step="Give one file per model input, in the model's order.",
        )  # fmt: skip
    stacks = [np.load(path, mmap_mode="r", allow_pickle=False) for path in job.inputs]
    for number, (stack, e) in enumerate(zip(stacks, packed.inputs, strict=True)):
        dtype = "float32" if e.float_outside else "int8"
        if stack.shape[1:] != outside_shape(e) or stack.dtype.name != dtype or not len(stack):
            raise UsageError(
                f"Input {number} expects {dtype} {outside_shape(e)} per sample, not {stack.dtype.name} "
                f"{stack.shape[1:]}.",
                where=job.inputs[number], next_step="Make the inputs with the shape and dtype of the model.",
            )  # fmt: skip
    return stacks


def stored(packed: Packed, stacks: Sequence[Array], sample: int) -> bytes:
    """One sample's inputs one after another, as the board takes them."""
    values = [to_stored(np.asarray(stack[sample]), e) for stack, e in zip(stacks, packed.inputs, strict=True)]
    return b"".join(value.tobytes() for value in values)


def outside(packed: Packed, outputs: bytes) -> list[Array]:
    """The board's outputs, which it gives one after another, as the source model gives them."""
    found, at = [], 0
    for e in packed.outputs:
        size = int(np.prod(e.shape, dtype=np.int64))
        values = np.frombuffer(outputs, np.int8, size, at).reshape(e.shape)
        found.append(to_outside(values, e))
        at += size
    return found
