"""Resizing of the last two axes, and sampling at coordinates."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from edgekit.convert.mil.call import Call


def upsample_bilinear(call: Call) -> Tensor:
    """By scale factors; the grid follows from the sizes, as with PyTorch's recompute_scale_factor."""
    x = call.tensor("x")
    aligned = call.boolean("align_corners", True)
    half_pixels = call.boolean("half_pixel_centers", not aligned)
    if aligned and half_pixels:
        raise call.wrong("has both align_corners and half_pixel_centers")
    mode = "ALIGN_CORNERS" if aligned else "UNALIGN_CORNERS" if half_pixels else "DEFAULT"
    return _bilinear(call, x, *_scaled_sizes(call, x), "STRICT_" + mode if aligned else mode)


def resize_bilinear(call: Call) -> Tensor:
    """To a size, on the grid that ``sampling_mode`` describes."""
    height, width = call.integer("target_size_height", 1), call.integer("target_size_width", 1)
    return _bilinear(call, call.tensor("x"), height, width, call.text("sampling_mode", "DEFAULT"))


def upsample_nearest_neighbor(call: Call) -> Tensor:
    """By scale factors: element floor(i * in / out), the ratio following from the sizes as for upsample_bilinear."""
    x = call.tensor("x")
    for axis, size in zip((-2, -1), _scaled_sizes(call, x), strict=True):
        x = x.index_select(axis, torch.div(torch.arange(size) * x.shape[axis], max(size, 1), rounding_mode="floor"))
    return x


def resize_nearest_neighbor(call: Call) -> Tensor:
    """To a size: the element whose centre is nearest, floor((i + 0.5) * in / out)."""
    x = call.tensor("x")
    sizes = call.integer("target_size_height"), call.integer("target_size_width")
    call.reserve([*x.shape[:-2], *sizes])
    for axis, size in zip((-2, -1), sizes, strict=True):
        x = x.index_select(axis, _nearest_centres(x.shape[axis], size))
    return x


def resize(call: Call) -> Tensor:
    """The last ``resized_dims`` axes to the last sizes of ``shape``, where 0 keeps a size (iOS 17)."""
    x, shape, count = call.tensor("x"), call.integers("shape"), call.integer("resized_dims")
    if not 1 <= count <= min(len(shape), x.dim()) or count > 2:
        raise call.lacking(f"of {count} dimensions")
    sizes = [wanted or have for wanted, have in zip(shape[-count:], x.shape[-count:], strict=True)]
    mode = call.text("sampling_mode", "DEFAULT")
    call.reserve([*x.shape[:-count], *sizes])
    linear = call.text("interpolation_mode", "LINEAR") == "LINEAR"
    for axis, size in zip(range(-count, 0), sizes, strict=True):
        points = _grid(call, x.shape[axis], size, mode)
        if linear:
            x = _interpolate(x, axis, points)
            continue
        nearest = torch.floor(points + 0.5).long().clamp_max(x.shape[axis] - 1)
        # The documentation leaves ties open, and the centres of elements off the grid.
        if not torch.equal(nearest, _nearest_centres(x.shape[axis], size)):
            raise call.lacking("with NEAREST_NEIGHBOR where its rounding is not documented")
        x = x.index_select(axis, nearest)
    return x


def resample(call: Call) -> Tensor:
    """x (B, C, H, W) at the coordinates (B, H2, W2, [x, y]), as PyTorch's grid_sample."""
    x, grid = call.tensor("x"), call.tensor("coordinates").float()
    sampling, padding = call.text("sampling_mode"), call.text("padding_mode")
    aligned = call.boolean("align_corners")
    constant = padding == "constant" and call.number("padding_value", 0.0) == 0.0
    reflected = padding == ("reflection" if aligned else "symmetric")
    if call.text("coordinates_mode") != "normalized_minus_one_to_one" or sampling not in ("bilinear", "nearest"):
        raise call.lacking(f"with {call.text('coordinates_mode')} and {sampling}")
    if not (constant or reflected or padding == "border"):
        raise call.lacking(f"with padding_mode {padding}")
    kind = "zeros" if constant else "reflection" if reflected else "border"
    call.reserve([*x.shape[:2], *grid.shape[1:3]])
    return functional.grid_sample(x, grid, mode=sampling, padding_mode=kind, align_corners=aligned)


def _scaled_sizes(call: Call, x: Tensor) -> tuple[int, int]:
    """floor(size * factor) for the last two axes, checked against the limits."""
    sizes = [math.floor(_factor(call, n) * s) for n, s in zip(("height", "width"), x.shape[-2:], strict=True)]
    call.reserve([*x.shape[:-2], *sizes])
    return sizes[0], sizes[1]


def _factor(call: Call, axis: str) -> float:
    factor = call.number(f"scale_factor_{axis}", 1.0)
    if not 0 < factor < math.inf:
        raise call.wrong(f"has the scale factor {factor}")
    return factor


def _bilinear(call: Call, x: Tensor, height: int, width: int, mode: str) -> Tensor:
    call.reserve([*x.shape[:-2], height, width])
    call.reserve([*x.shape[:-1], width])
    for axis, size in ((-1, width), (-2, height)):
        x = _interpolate(x, axis, _grid(call, x.shape[axis], size, mode))
    return x


def _grid(call: Call, size: int, out: int, mode: str) -> Tensor:
    """Where each output element lies on the input's axis, by the formulas of the documentation."""
    if size < 1 or out < 1:
        raise call.wrong(f"resizes {size} elements to {out}")
    steps = torch.arange(out, dtype=torch.float64)
    gaps = max(out - 1, 1)
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        points = steps * ((size - 1) / gaps)
        if out == 1 and mode == "ALIGN_CORNERS":
            points = points + (size - 1) / 2
    elif mode == "DEFAULT":
        points = steps * (size / out)  # (size - size / out) / (out - 1), the same without a case for out = 1
    elif mode == "OFFSET_CORNERS":
        points = (steps + 0.5) * (max(1, size - 1) / out)
    elif mode == "UNALIGN_CORNERS":
        points = (steps + 0.5) * (size / out) - 0.5
    else:
        raise call.lacking(f"with sampling_mode {mode}")
    return points.clamp(0, size - 1)


def _interpolate(x: Tensor, axis: int, points: Tensor) -> Tensor:
    low = torch.floor(points).long()
    high = (low + 1).clamp_max(x.shape[axis] - 1)
    share = (points - low).to(torch.float32).reshape([-1] + [1] * (-axis - 1))
    return torch.lerp(x.index_select(axis, low).float(), x.index_select(axis, high).float(), share)


def _nearest_centres(size: int, out: int) -> Tensor:
    steps = torch.arange(out, dtype=torch.float64)
    return torch.floor((steps + 0.5) * size / max(out, 1)).long().clamp_max(max(size - 1, 0))
