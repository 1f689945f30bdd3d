"""SSDLite on MobileNetV3-Large: torchvision's network with decoded boxes and scores as outputs, without NMS.

Source: Liu et al., "SSD: Single Shot MultiBox Detector" (arXiv 1512.02325), with the depthwise head of Sandler et al.,
"MobileNetV2", on the backbone of Howard et al., "Searching for MobileNetV3". torchvision's own forward ends in a
non-maximum suppression, which has data-dependent shapes and no place in a mobile graph; runtimes do it afterwards.
Counts: 3.44 M parameters and 0.583 G multiply-accumulates in torchvision's weights metadata.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import nn

SIDE = 320
MIN_SCALE, MAX_SCALE = 0.2, 0.95
ASPECTS = (2.0, 3.0)
# How offsets are weighted in the regression: centres by 10, sizes by 5; sizes are bounded before exp.
CENTRE_WEIGHT, SIZE_WEIGHT = 10.0, 5.0
MAX_LOG_SIZE = math.log(1000.0 / 16)


def default_boxes(grids: list[int]) -> torch.Tensor:
    """Centre x, centre y, width and height, in 0..1, of each position's six default boxes on maps of these sides.

    Per map: a square of the map's scale, one of its geometric mean with the next, and two aspect ratios both ways.
    """
    count = len(grids)
    scales = [MIN_SCALE + (MAX_SCALE - MIN_SCALE) * k / (count - 1.0) for k in range(count)] + [1.0]
    boxes = []
    for level, grid in enumerate(grids):
        scale, between = scales[level], math.sqrt(scales[level] * scales[level + 1])
        sizes = [(scale, scale), (between, between)]
        for aspect in ASPECTS:
            root = math.sqrt(aspect)
            sizes += [(scale * root, scale / root), (scale / root, scale * root)]
        for row in range(grid):
            for column in range(grid):
                centre = ((column + 0.5) / grid, (row + 0.5) / grid)
                boxes += [(*centre, min(width, 1.0), min(height, 1.0)) for width, height in sizes]
    return torch.tensor(boxes)


class SSDLite(nn.Module):
    """torchvision's backbone and head, under torchvision's own parameter names.

    Input (N, 3, 320, 320) float32. Outputs: boxes (N, 3234, 4) as x1, y1, x2, y2 in units of the image's sides, and
    scores (N, 3234, classes), a softmax in which class 0 is the background.
    """

    anchors: torch.Tensor

    def __init__(self, backbone: nn.Module, head: Any) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.register_buffer("anchors", default_boxes(_grids()), persistent=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = list(self.backbone(x).values())
        offsets = _flat(self.head.regression_head, maps, 4)
        scores = _flat(self.head.classification_head, maps, self.head.classification_head.num_columns)
        return decode(offsets, self.anchors), torch.softmax(scores, -1)


def decode(offsets: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """Corners of the boxes that the regression's ``offsets`` (N, A, 4) move the ``anchors`` (A, 4) to."""
    centres = anchors[:, :2] + offsets[..., :2] / CENTRE_WEIGHT * anchors[:, 2:]
    sizes = anchors[:, 2:] * torch.exp(torch.clamp(offsets[..., 2:] / SIZE_WEIGHT, max=MAX_LOG_SIZE))
    return torch.cat([centres - sizes / 2, centres + sizes / 2], -1)


def _grids() -> list[int]:
    """Sides of the six maps: strides 16 and 32, then halved four times, rounded up."""
    grids = [SIDE // 16, SIDE // 32]
    while len(grids) < 6:
        grids.append((grids[-1] + 1) // 2)
    return grids


def _flat(head: Any, maps: list[torch.Tensor], columns: int) -> torch.Tensor:
    """(N, A, columns) over all positions of all maps, as the anchors are ordered; no tensor has more than four axes."""
    parts = []
    for predict, features in zip(head.module_list, maps, strict=True):
        y = predict(features).permute(0, 2, 3, 1)
        parts.append(y.reshape(y.shape[0], -1, columns))
    return torch.cat(parts, 1)


def flat(model: Any) -> nn.Module:
    """The same network, without its image transform and its non-maximum suppression."""
    return SSDLite(cast(nn.Module, model.backbone), model.head)
