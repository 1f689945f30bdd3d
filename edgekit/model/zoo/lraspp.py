"""torchvision's LR-ASPP with a tensor as its output."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional


class LRASPP(nn.Module):
    """torchvision's backbone and head, under torchvision's own parameter names.

    Input (1, 3, H, W) float32, output (1, classes, H, W) logits. torchvision answers a dict, which converters turn into
    outputs with invented names. Source: Howard et al., "Searching for MobileNetV3", section 6.4.
    """

    def __init__(self, backbone: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.classifier(self.backbone(x))
        return functional.interpolate(logits, size=x.shape[-2:], mode="bilinear", align_corners=False)


def flat(model: Any) -> nn.Module:
    """The same network, without the dict around its output."""
    return LRASPP(cast(nn.Module, model.backbone), cast(nn.Module, model.classifier))
