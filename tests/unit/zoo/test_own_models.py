"""Every own model exports at a small resolution, and random weights make every block of it matter."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils import _pytree

from edgekit.model import zoo
from edgekit.model.load import load
from edgekit.model.natural import natural_images
from edgekit.model.request import LoadRequest
from edgekit.model.zoo.source import build

MODELS = [
    entry for entry in zoo.available() if entry.source == "edgekit" or entry.task in ("segmentation", "detection")
]
# Sides at which an architecture still makes sense; some are tied to their own.
SIDES = {"mcuformer": 240, "ssdlite": 320, "emo": 112, "mobilemamba": 96, "ofa": 64}
SMALLEST = {
    "mobilevig_ti": 64, "mobilevigv2_ti": 64, "mcuformer_min": 240, "proxylessnas_mobile": 96, "ofa_mbv3_min": 96,
    "mcunet_in0": 48, "emo_1m": 112, "espcn_x2": 32, "xlsr_x2": 32, "vanillanet_5": 96, "hardnet39ds": 96,
    "efficientmod_xxs": 96, "mobilemamba_t2": 96, "sinet": 64, "ffnet_40s": 128, "tv_lraspp_mobilenet_v3_large": 96,
    "tv_ssdlite320_mobilenet_v3_large": 320,
}  # fmt: skip


def expected_shapes(entry: zoo.Entry, side: int) -> list[tuple[int, ...]]:
    if entry.task == "classification":
        return [(1, 1000)]
    if entry.task == "super-resolution":
        channels, scale = (entry.input_size or (0,))[0], int(entry.name[-1])
        return [(1, channels, side * scale, side * scale)]
    if entry.task == "detection":
        return [(1, 3234, 4), (1, 3234, 91)]
    classes, stride = {"ffnet": (19, 8), "sinet": (2, 1), "lraspp": (21, 1)}[entry.family]
    return [(1, classes, side // stride, side // stride)]


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.name)
def test_it_exports_with_few_axes_and_the_stated_outputs(entry: zoo.Entry) -> None:
    side = SIDES.get(entry.family, 64)
    assert entry.input_size is not None
    with torch.device("meta"):
        module, x = build(entry, {}), torch.zeros(1, entry.input_size[0], side, side)
    program = torch.export.export(module, (x,), strict=False)
    values = [node.meta["val"] for node in program.graph.nodes if isinstance(node.meta.get("val"), torch.Tensor)]
    assert max(value.ndim for value in values) <= 4
    assert all(type(size) is int for value in values for size in value.shape)
    outputs = [tuple(node.meta["val"].shape) for node in program.graph.output_node().args[0]]
    assert outputs == expected_shapes(entry, side)


def parts(module: nn.Module, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """The stages of a module, taken apart into their blocks."""
    for name, child in module.named_children():
        if isinstance(child, (nn.Sequential, nn.ModuleList)) and depth < 2:
            yield from parts(child, f"{prefix}{name}.", depth + 1)
        elif any(True for _ in child.parameters()):
            yield prefix + name, child


@pytest.mark.parametrize("name", SMALLEST)
def test_every_block_moves_the_output(name: str) -> None:
    side, entry = SMALLEST[name], zoo.find(name)
    assert entry.input_size is not None and entry.preprocess is not None
    channels = entry.input_size[0]
    module = load(LoadRequest(spec=f"zoo:{name}", input_shape=((1, channels, side, side),))).module
    assert module is not None
    pictures = torch.from_numpy(natural_images(np.random.default_rng(3), 1, channels, side, side)).float()
    mean, std = (torch.tensor(values)[:, None, None] for values in (entry.preprocess.mean, entry.preprocess.std))
    x = (pictures - mean) / std
    before = _pytree.tree_leaves(module(x))
    assert all(torch.isfinite(output).all() for output in before)
    generator = torch.Generator().manual_seed(1)
    moved = {}
    for part, child in parts(module):
        weight = max(child.parameters(), key=lambda parameter: parameter.ndim)
        kept = weight.clone()
        weight.mul_(1 + 0.1 * torch.sign(torch.randn(weight.shape, generator=generator)))
        pairs = zip(_pytree.tree_leaves(module(x)), before, strict=True)
        moved[part] = max(float((after - was).abs().max() / was.abs().max()) for after, was in pairs)
        weight.copy_(kept)
    assert len(moved) >= 2
    assert min(moved.values()) > 1e-3, {part: value for part, value in moved.items() if value <= 1e-3}


def test_a_family_is_tested_at_its_smallest() -> None:
    assert {zoo.find(name).family for name in SMALLEST} == {entry.family for entry in MODELS}
