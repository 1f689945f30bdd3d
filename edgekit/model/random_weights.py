"""Random weights under which every block of a network moves its output.

A freshly initialised network proves nothing about a conversion: layer scales of 1e-5 mute whole blocks, batch norms
that were never run let the signal vanish layer by layer, and the output of a deep network ends near 1e-16, where a
wrong converter can't be told from a right one. So convolutions and linear layers are drawn with the variance-keeping
scale of He et al. ("Delving deep into rectifiers", 2015), affines and layer scales around one, and the batch-norm
statistics are set from what really flows through the network on seeded natural pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from edgekit.errors import ModelError
from edgekit.model.natural import natural_images
from edgekit.records import Preprocess, TensorSpec

# Pictures that flow through once; batch norm needs several, and the variation over inputs is measured on them.
PICTURES = 4

# What varies less than this share of its mean is not stretched to unit variation.
MIN_VARIATION = 0.3
# A channel's variance counts as at least this share of its layer's: deep layers see few independent samples on a
# handful of pictures, and a variance that was estimated far too low turns each block into an amplifier (LeViT's
# float32 rounding grew to a third of its output).
MIN_CHANNEL = 1.0
# A change of the first layer's weights by a tenth has to show this much in the output. The bound on channels makes each
# batch norm shrink its signal a little, so that a network with dozens of them in a row (RepViT) forgets its input. Then
# this much of the variance is kept, as an exponent: no more than needed, because it also keeps rounding errors alive.
MIN_EFFECT = 1e-3
KEPT_VARIANCE = (0.0, 0.5, 0.75, 1.0)
# A constant below this that is not zero is a layer scale, whatever it is called.
LAYER_SCALE = 1e-2

_LAYERS = (nn.modules.conv._ConvNd, nn.Linear)


def randomise(module: nn.Module, spec: TensorSpec, preprocess: Preprocess | None, seed: int) -> None:
    """Draw all weights anew, in place; ``module`` takes one image input of ``spec`` (NCHW, float32).

    Afterwards the output varies over inputs with a standard deviation of about one.

    Raises:
        ModelError: the network's output is not finite even so.
    """
    generator = torch.Generator().manual_seed(seed)
    pictures = _pictures(spec, preprocess, seed)
    with torch.no_grad():
        for owner in module.modules():
            for name, parameter in owner.named_parameters(recurse=False):
                _draw(owner, name, parameter, generator)
        for kept in KEPT_VARIANCE:
            _calibrate(module, pictures, kept)
            outputs = _scale_last_layer(module, pictures, generator)
            if _effect_of_first_layer(module, pictures, outputs, seed) >= MIN_EFFECT:
                break
    if not all(bool(torch.isfinite(output).all()) for output in outputs):
        raise ModelError("The model's output is not finite with random weights.", where=spec.name)


def _pictures(spec: TensorSpec, preprocess: Preprocess | None, seed: int) -> torch.Tensor:
    _, channels, height, width = spec.shape
    images = natural_images(np.random.default_rng([seed, 77]), PICTURES, channels, height, width)
    if preprocess is not None:
        mean, std = (np.asarray(v, np.float32)[:, None, None] for v in (preprocess.mean, preprocess.std))
        images = (images - mean) / std
    return torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))


def _draw(owner: nn.Module, name: str, parameter: nn.Parameter, generator: torch.Generator) -> None:
    kind = type(owner).__name__
    if isinstance(owner, _LAYERS) and name == "weight":
        fan_in = max(parameter[0].numel(), 1)
        parameter.normal_(0.0, math.sqrt(2.0 / fan_in), generator=generator)
    elif isinstance(owner, _LAYERS) and name == "bias":
        parameter.normal_(0.0, 0.1, generator=generator)
    elif "LayerScale" in kind or "layer_scale" in name or (name.startswith("gamma") and "Norm" not in kind):
        parameter.uniform_(0.3, 1.0, generator=generator)
    elif "Norm" in kind and name == "weight":
        parameter.uniform_(0.7, 1.3, generator=generator)
    elif "Norm" in kind and name == "bias":
        parameter.normal_(0.0, 0.2, generator=generator)
    elif parameter.numel() > 0 and bool((parameter == parameter.flatten()[0]).all()):
        # Constants such as zero attention biases and unit gains; a tensor that is already random is left alone.
        if 0 < float(parameter.flatten()[0]) < LAYER_SCALE:
            parameter.uniform_(0.3, 1.0, generator=generator)
            return
        jitter = torch.empty_like(parameter).uniform_(0.7, 1.3, generator=generator)
        noise = torch.empty_like(parameter).normal_(0.0, 0.2, generator=generator)
        parameter.copy_(torch.where(parameter == 0, noise, parameter * jitter))


def _calibrate(module: nn.Module, pictures: torch.Tensor, kept: float) -> None:
    """Set each batch norm's statistics to those of its own input on the pictures.

    ``kept`` is how much of what the bound on channels takes from a norm's variance is given back to it: 0 nothing, 1
    all, so that its output has unit variance over its channels.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    before = [norm.momentum for norm in norms]
    module.eval()
    try:
        for norm in norms:
            # Not norm.train(): that would reach the dropout that timm keeps inside some of its norms.
            norm.training, norm.momentum = True, 1.0
        module(pictures)
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.training, norm.momentum = False, momentum
    for norm in norms:
        if norm.running_var is not None:
            found = norm.running_var.clone()
            norm.running_var.clamp_(min=MIN_CHANNEL * max(float(found.mean()), 1e-6))
            norm.running_var.mul_(max(float((found / norm.running_var).mean()), 1e-2) ** kept)
            if norm.running_mean is not None:
                torch.maximum(norm.running_var, (MIN_VARIATION * norm.running_mean) ** 2, out=norm.running_var)


def _effect_of_first_layer(module: nn.Module, pictures: torch.Tensor, before: list[torch.Tensor], seed: int) -> float:
    """The largest change of an output, relative to its largest value, when the first layer's weights change by 10%."""
    with _last_layer(module) as ran:
        module(pictures)
    if not ran:
        return math.inf
    weight = ran[0][0].weight
    kept = weight.clone()
    noise = torch.empty_like(weight).normal_(generator=torch.Generator().manual_seed(seed))
    weight.mul_(1 + 0.1 * noise.sign())
    after = _outputs(module, pictures)
    weight.copy_(kept)
    return max(float((b - a).abs().max() / a.abs().max().clamp_min(1e-30)) for a, b in zip(before, after, strict=True))


def _outputs(module: nn.Module, pictures: torch.Tensor) -> list[torch.Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(module(pictures)) if isinstance(leaf, torch.Tensor)]


@contextmanager
def _last_layer(module: nn.Module) -> Iterator[list[tuple[Any, torch.Tensor]]]:
    """Notes the linear or convolution layers that run inside the block, with their outputs, in order."""
    ran: list[tuple[Any, torch.Tensor]] = []
    hooks = [
        layer.register_forward_hook(lambda layer, _, output: ran.append((layer, output)))
        for layer in module.modules()
        if isinstance(layer, _LAYERS)
    ]
    try:
        yield ran
    finally:
        for hook in hooks:
            hook.remove()


def _scale_last_layer(module: nn.Module, pictures: torch.Tensor, generator: torch.Generator) -> list[torch.Tensor]:
    """Give the last layer's output unit variation over the pictures around a small random offset."""
    with _last_layer(module) as ran:
        module(pictures)
    layer, output = ran[-1] if ran else (None, None)
    if layer is not None and layer.bias is not None and output is not None and output.ndim in (2, 4):
        features = 1
        other = tuple(axis for axis in range(output.ndim) if axis != features)
        mean = output.mean(dim=other)
        spread = float((output - mean.view(1, -1, *[1] * (output.ndim - 2))).std())
        spread = max(spread, MIN_VARIATION * float(output.abs().mean()))
        if math.isfinite(spread) and spread > 0:
            layer.weight.div_(spread)
            offset = torch.empty_like(layer.bias).normal_(0.0, 0.5, generator=generator)
            layer.bias.copy_((layer.bias - mean) / spread + offset)
    return _outputs(module, pictures)
