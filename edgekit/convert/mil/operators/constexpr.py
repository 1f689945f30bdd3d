"""Compressed weights, which Core ML expands when it loads a model, and quantised tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from edgekit.convert.mil.call import Call
from edgekit.convert.mil.dtypes import NAMED_DTYPES

_PALETTE_BITS = {2: 1, 4: 2, 16: 4, 64: 6, 256: 8}


def constexpr_cast(call: Call) -> Tensor:
    """Stored as float16, used as float32."""
    return call.tensor("source_val")


def constexpr_affine_dequantize(call: Call) -> Tensor:
    """scale * (data - zero_point), both one number or one per index of the axis."""
    data = call.tensor("quantized_data")
    axis = call.integer("axis")
    zero, scale = (_along(call, call.tensor(name), data, axis) for name in ("zero_point", "scale"))
    return scale * (data.float() - zero)


def constexpr_blockwise_shift_scale(call: Call) -> Tensor:
    """scale * (data - offset), one of each per block; the blocks divide every axis evenly (iOS 18)."""
    data, scale, offset = call.tensor("data").float(), call.tensor("scale"), call.optional("offset")
    if scale.dim() != data.dim() or any(d % s for d, s in zip(data.shape, scale.shape, strict=True)):
        raise call.wrong(f"has scales of {list(scale.shape)} for data of {list(data.shape)}")
    shifted = data if offset is None else data - _blocks(offset.float(), data)
    return _blocks(scale, data) * shifted


def constexpr_lut_to_dense(call: Call) -> Tensor:
    """Entries of look-up tables by index: packed bits and one table (iOS 16), or typed indices and tables per block."""
    if call.has("shape"):
        lut, shape = call.tensor("lut"), call.integers("shape")
        call.reserve(shape)
        bits = _PALETTE_BITS.get(lut.numel())
        if bits is None:
            raise call.wrong(f"has a table of {lut.numel()} entries")
        return lut.reshape(-1)[_packed(call, "indices", bits, shape)].reshape(shape)
    return _block_lut(call)


def constexpr_sparse_to_dense(call: Call) -> Tensor:
    """Values where the mask's bits are set, zeros elsewhere; the mask is packed bits (iOS 16) or a tensor (iOS 18)."""
    values = call.tensor("nonzero_data").reshape(-1)
    if call.has("shape"):
        shape = call.integers("shape")
        call.reserve(shape)
        mask = _packed(call, "mask", 1, shape).bool()
    else:
        shape, mask = list(call.tensor("mask").shape), call.tensor("mask").reshape(-1).bool()
    if int(mask.sum()) != values.numel():
        raise call.wrong(f"has {values.numel()} values for {int(mask.sum())} places")
    dense = torch.zeros(mask.numel(), dtype=values.dtype)
    dense[mask] = values
    return dense.reshape(shape)


def quantize(call: Call) -> Tensor:
    """clip(round(input / scale) + zero_point) to the output's range (iOS 17)."""
    x, axis = call.tensor("input"), call.integer("axis", 0)
    dtype = NAMED_DTYPES.get(call.text("output_dtype"))
    if dtype not in (torch.int8, torch.uint8):
        raise call.lacking(f"to {call.text('output_dtype')}")
    steps = torch.round(x / _along(call, call.tensor("scale"), x, axis))
    zero = call.optional("zero_point")
    shifted = steps if zero is None else steps + _along(call, zero, x, axis)
    limits = torch.iinfo(dtype)
    return shifted.clamp(limits.min, limits.max).to(dtype)


def dequantize(call: Call) -> Tensor:
    """scale * (input - zero_point) (iOS 17)."""
    x, axis = call.tensor("input"), call.integer("axis", 0)
    zero, values = call.optional("zero_point"), x.float()
    shifted = values if zero is None else values - _along(call, zero, x, axis)
    return _along(call, call.tensor("scale"), x, axis) * shifted


def _along(call: Call, parameter: Tensor, data: Tensor, axis: int) -> Tensor:
    """One number, or a vector along an axis, ready to broadcast."""
    if parameter.numel() == 1:
        return parameter.reshape(()).float()
    axis %= max(data.dim(), 1)
    if parameter.dim() != 1 or axis >= data.dim() or parameter.numel() != data.shape[axis]:
        raise call.wrong(f"has parameters of {list(parameter.shape)} for axis {axis} of {list(data.shape)}")
    return parameter.float().reshape([-1 if i == axis else 1 for i in range(data.dim())])


def _blocks(parameter: Tensor, data: Tensor) -> Tensor:
    for axis, (size, count) in enumerate(zip(data.shape, parameter.shape, strict=True)):
        if count not in (1, size):
            parameter = parameter.repeat_interleave(size // count, dim=axis)
    return parameter


def _packed(call: Call, name: str, bits: int, shape: list[int]) -> Tensor:
    """Unsigned numbers of so many bits, packed from the lowest bit on."""
    count = int(np.prod(shape, dtype=np.int64))
    data = call.tensor(name).to(torch.uint8).numpy().reshape(-1)
    if len(data) != (count * bits + 7) // 8:
        raise call.wrong(f"has {len(data)} bytes of {name!r} for {count} elements of {bits} bits")
    unpacked = np.unpackbits(data, bitorder="little", count=count * bits).reshape(count, bits)
    return torch.from_numpy((unpacked * (1 << np.arange(bits))).sum(axis=1))


def _block_lut(call: Call) -> Tensor:
    """Tables (..., entries, vector): the leading axes divide the indices into blocks of one table each."""
    indices, lut = call.tensor("indices").long(), call.tensor("lut")
    rank = indices.dim()
    if lut.dim() != rank + 2 or any(d % t for d, t in zip(indices.shape, lut.shape[:rank], strict=True)):
        raise call.wrong(f"has tables of {list(lut.shape)} for indices of {list(indices.shape)}")
    call.reserve([*indices.shape, lut.shape[-1]])
    block = [
        torch.div(torch.arange(d), d // t, rounding_mode="floor").reshape([-1 if i == axis else 1 for i in range(rank)])
        for axis, (d, t) in enumerate(zip(indices.shape, lut.shape[:rank], strict=True))
    ]
    dense = lut[(*block, indices)]
    if lut.shape[-1] == 1:
        return dense.squeeze(-1)
    axis = call.integer("vector_axis") % rank
    shape = [size * lut.shape[-1] if i == axis else size for i, size in enumerate(indices.shape)]
    return dense.movedim(-1, axis + 1).reshape(shape)
