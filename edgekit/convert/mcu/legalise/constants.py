"""QUANTIZE, TRANSPOSE and operators that move no byte, done now where they act on a constant."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.convert.mcu.graph import Graph, Operator, Tensor
from edgekit.convert.mcu.legalise.rewrite import VIEWS

Array = npt.NDArray[Any]


def fold_constants(graph: Graph) -> Graph:
    """The graph with results of constants as constants. A constant output of the model stays as it is."""
    tensors = list(graph.tensors)
    kept = []
    for operator in graph.operators:
        values = _folded(operator, tensors) if not set(operator.outputs) & set(graph.outputs) else None
        if values is None:
            kept.append(operator)
        else:
            tensors[operator.outputs[0]] = replace(tensors[operator.outputs[0]], data=values)
    return replace(graph, tensors=tensors, operators=kept)


def _folded(operator: Operator, tensors: list[Tensor]) -> Array | None:
    if not operator.inputs or operator.inputs[0] < 0 or len(operator.outputs) != 1:
        return None
    source, made = tensors[operator.inputs[0]].data, tensors[operator.outputs[0]]
    if source is None or math.prod(made.shape) != source.size:
        return None
    if operator.kind in VIEWS and made.dtype == source.dtype.name:
        return source.reshape(made.shape)
    if operator.kind == "TRANSPOSE" and made.dtype == source.dtype.name:
        order = permutation(operator, tensors)
        moved = None if order is None else source.transpose(order)
        return moved if moved is not None and moved.shape == made.shape else None
    if operator.kind == "QUANTIZE" and source.dtype == np.float32:
        return _quantized(source, made)
    return None


def permutation(operator: Operator, tensors: list[Tensor]) -> tuple[int, ...] | None:
    """The axes of a TRANSPOSE, if they are known and an order of its input's."""
    number = operator.inputs[1] if len(operator.inputs) == 2 else -1
    axes = tensors[number].data if number >= 0 else None
    rank = len(tensors[operator.inputs[0]].shape)
    if axes is None or axes.shape != (rank,) or axes.dtype.kind != "i":
        return None
    order = tuple(int(axis) % rank if rank else 0 for axis in axes)
    return order if sorted(order) == list(range(rank)) else None


def reduced_axes(operator: Operator, tensors: list[Tensor]) -> set[int] | None:
    """The axes that a reduction sums over, if they are known and its input's."""
    number = operator.inputs[1] if len(operator.inputs) == 2 else -1
    axes = tensors[number].data if number >= 0 else None
    rank = len(tensors[operator.inputs[0]].shape)
    if axes is None or axes.dtype != np.int32 or not all(-rank <= axis < rank for axis in axes.reshape(-1)):
        return None
    return {int(axis) % rank for axis in axes.reshape(-1)}


def _quantized(source: Array, made: Tensor) -> Array | None:
    """LiteRT's AffineQuantize: round(value / scale), halves away from zero, plus the zero point, clamped."""
    quantisation = made.quantisation
    if made.dtype != "int8" or quantisation is None or len(quantisation.scales) != 1:
        return None
    with np.errstate(over="ignore"):
        quotient = source / np.float32(quantisation.scale)
    if not np.all(np.abs(quotient) < 2**30):  # LiteRT's int32 would overflow, and with NaN anything may happen
        return None
    wide = quotient.astype(np.float64)
    rounded = np.copysign(np.floor(np.abs(wide) + 0.5), wide).astype(np.int64) + quantisation.zero_point
    return np.clip(rounded, -128, 127).astype(np.int8).reshape(made.shape)
