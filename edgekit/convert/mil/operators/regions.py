"""Regions of interest: parts of images by box, each resized to one size."""

from __future__ import annotations

import torch
from torch import Tensor

from edgekit.convert.mil.call import Call

# box_coordinate_mode -> (are they centre and size?, is the height first?)
_MODES = {
    "CORNERS_HEIGHT_FIRST": (False, True),
    "CORNERS_WIDTH_FIRST": (False, False),
    "CENTER_SIZE_HEIGHT_FIRST": (True, True),
    "CENTER_SIZE_WIDTH_FIRST": (True, False),
}


def crop_resize(call: Call) -> Tensor:
    """Boxes of x (B, C, H, W), sampled bilinearly at target_height x target_width points from corner to corner.

    Up to iOS 16 ``roi`` is (N, 1, 4 or 5, 1, 1), five with the image's index in front, and the result (N, B or 1, C,
    h, w). From iOS 17 on ``boxes`` is (N, 4) with ``box_indices``, and the result (N, C, h, w). What lies outside the
    image is ``pad_value``.
    """
    x = call.tensor("x")
    target = call.integer("target_height", 1), call.integer("target_width", 1)
    images, boxes = _boxes(call, x.shape[0])
    call.reserve([*images.shape, x.shape[1], *target])
    rows, columns = _points(call, boxes, x.shape[-2:], target)
    crops = [
        torch.stack([_sample(x[int(image)], rows[n], columns[n], call.number("pad_value", 0.0)) for image in chosen])
        for n, chosen in enumerate(images)
    ]
    result = torch.stack(crops)
    return result if call.has("roi") else result.squeeze(1)


def _boxes(call: Call, batch: int) -> tuple[Tensor, Tensor]:
    """The images (N, how many each) that each box is cut from, and the boxes (N, 4)."""
    if not call.has("roi"):
        boxes = call.tensor("boxes").float()
        images = call.tensor("box_indices").long() if call.has("box_indices") else torch.arange(len(boxes))
        images = images.reshape(-1, 1)
    else:
        roi = call.tensor("roi").flatten(1)
        boxes = roi[:, -4:]
        images = roi[:, :1].long() if roi.shape[1] == 5 else torch.arange(batch).expand(len(roi), batch)
    if boxes.shape[1] != 4 or len(images) != len(boxes) or images.numel() == 0:
        raise call.wrong(f"has boxes of {list(boxes.shape)}")
    if int(images.min()) < 0 or int(images.max()) >= batch:
        raise call.wrong(f"cuts boxes from image {int(images.max())} of {batch}")
    return images, boxes


def _points(
    call: Call, boxes: Tensor, sizes: tuple[int, ...], target: tuple[int, int]
) -> tuple[list[Tensor], list[Tensor]]:
    """For each box the rows and the columns to sample, in units of pixels."""
    mode, sampling = call.text("box_coordinate_mode", "CORNERS_HEIGHT_FIRST"), call.text("sampling_mode", "DEFAULT")
    if mode not in _MODES:
        raise call.wrong(f"has the unknown box_coordinate_mode {mode!r}")
    if sampling not in ("ALIGN_CORNERS", "STRICT_ALIGN_CORNERS"):
        raise call.lacking(f"with sampling_mode {sampling}")
    centred, height_first = _MODES[mode]
    first, second = (boxes[:, :2], boxes[:, 2:])
    if centred:
        first, second = first - second / 2, first + second / 2
    if not height_first:
        first, second = first.flip(1), second.flip(1)
    scale = torch.full((2,), call.number("spatial_scale", 1.0))
    if call.boolean("normalized_coordinates", False):
        scale = scale * (torch.tensor(sizes) - 1)
    first, second = first * scale, second * scale
    points = []
    for axis, count in enumerate(target):
        steps = torch.arange(count) / max(count - 1, 1)
        if count == 1 and sampling == "ALIGN_CORNERS":
            steps = steps + 0.5
        start, end = first[:, axis : axis + 1], second[:, axis : axis + 1]
        points.append(list(start + steps * (end - start)))
    return points[0], points[1]


def _sample(image: Tensor, rows: Tensor, columns: Tensor, outside: float) -> Tensor:
    """image (C, H, W) at the grid of rows and columns."""
    inside = torch.ones(len(rows), len(columns), dtype=torch.bool)
    for axis, points in ((1, rows), (2, columns)):
        size = image.shape[axis]
        kept = points.clamp(0, size - 1)
        low = torch.floor(kept).long()
        share = (kept - low).reshape([-1, 1] if axis == 1 else [-1])
        high = (low + 1).clamp_max(size - 1)
        image = torch.lerp(image.index_select(axis, low), image.index_select(axis, high), share)
        outer = (points < 0) | (points > size - 1)
        inside &= ~(outer.reshape(-1, 1) if axis == 1 else outer)
    return torch.where(inside, image, torch.full_like(image, outside))
