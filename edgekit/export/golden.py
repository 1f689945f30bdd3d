"""Golden outputs: the original model, eager, float32, on every golden input."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils import _pytree as pytree

from edgekit.errors import ExportError, ParityError
from edgekit.records import Golden

Array = npt.NDArray[Any]

# Outputs that vary less than this between inputs, relative to their size, prove nothing about the conversion.
MIN_RELATIVE_VARIATION = 1e-5


def golden_outputs(eager: Any, inputs: Sequence[Array]) -> list[Array]:
    """Run ``eager`` on each sample of the stacked ``inputs``; returns one stack per output."""
    rows: list[list[Array]] = []
    with torch.no_grad():
        for index in range(len(inputs[0])):
            sample = tuple(torch.from_numpy(np.array(stack[index])) for stack in inputs)
            flat = pytree.tree_leaves(eager(*sample))
            if not flat or not all(isinstance(t, torch.Tensor) for t in flat):
                raise ExportError("The model returns something that is not a tensor.", next_step="Return tensors only.")
            rows.append([t.detach().contiguous().numpy().copy() for t in flat])
    return [np.stack([row[k] for row in rows]) for k in range(len(rows[0]))]


def check_meaningful(outputs: Sequence[Array], model: str) -> None:
    """Refuse outputs that any wrong conversion would reproduce as well.

    Raises:
        ParityError: an output holds NaN or infinity, or no output depends on the input.
    """
    for index, stack in enumerate(outputs):
        bad = ~np.isfinite(stack) if np.issubdtype(stack.dtype, np.floating) else np.zeros(1, bool)
        if bad.any():
            raise ParityError(
                f"Output {index} of {model} is NaN or infinite on the golden inputs, so parity would mean nothing.",
                where=f"output {index}, {int(bad.sum())} of {bad.size} values",
                next_step="Check the weights and the preprocessing (--inputs DIR gives your own inputs), or convert "
                "unchecked with --no-parity.",
                reason="nan",
            )
    if len(outputs[0]) > 1 and all(_variation(stack) < MIN_RELATIVE_VARIATION for stack in outputs):
        raise ParityError(
            f"The output of {model} is the same for all {len(outputs[0])} golden inputs, so parity would mean nothing.",
            where="all outputs",
            next_step="Load trained weights, give inputs that matter with --inputs DIR, or convert unchecked with "
            "--no-parity.",
            reason="constant",
        )


def _variation(stack: Array) -> float:
    """Largest change between samples, relative to the largest absolute value."""
    values = stack.astype(np.float64)
    scale = float(np.abs(values).max()) if values.size else 0.0
    return float((values.max(axis=0) - values.min(axis=0)).max()) / scale if scale > 0 else 0.0


def digest(inputs: Sequence[Array], outputs: Sequence[Array]) -> str:
    """sha256 (hex) over every stack's dtype, shape and values."""
    hashed = hashlib.sha256()
    for role, stacks in (("input", inputs), ("output", outputs)):
        for index, stack in enumerate(stacks):
            hashed.update(f"{role} {index} {stack.dtype} {stack.shape}\n".encode())
            hashed.update(np.ascontiguousarray(stack).tobytes())
    return hashed.hexdigest()


def write_golden(directory: Path, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
    """Write the stacks as ``input_K.npy`` and ``output_K.npy`` into ``directory``."""
    for role, stacks in (("input", inputs), ("output", outputs)):
        for index, stack in enumerate(stacks):
            np.save(directory / f"{role}_{index}.npy", stack, allow_pickle=False)


def describe(directory: Path, sha256: str, inputs: Sequence[Array], outputs: Sequence[Array], source: str) -> Golden:
    """The record of golden data that lies in ``directory``."""
    return Golden(
        sha256=sha256,
        count=len(inputs[0]),
        source=source,
        inputs=tuple(str(directory / f"input_{k}.npy") for k in range(len(inputs))),
        outputs=tuple(str(directory / f"output_{k}.npy") for k in range(len(outputs))),
    )
