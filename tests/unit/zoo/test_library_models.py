"""Random weights prove something for the libraries' models too: a disturbed block of any depth fails parity."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from edgekit.convert import parity
from edgekit.export.inputs import golden_inputs
from edgekit.model import zoo
from edgekit.model.load import load
from edgekit.model.random_weights import LAYER_SCALE
from edgekit.model.request import LoadRequest

LAYERS = (nn.modules.conv._ConvNd, nn.Linear)
# One small model for each way in which a block can be muted: layer scales (EfficientFormer, FastViT, PoolFormer,
# ConvNeXt), dozens of norms in a row (RepViT, MobileOne), gates (EfficientNet, MobileNetV3), attention, plain chains.
SIDES = {
    "mobilenetv2_035": 64, "mobilenetv3_small_050": 64, "mobilenetv4_conv_small_035": 64, "efficientnet_b0": 64,
    "efficientnet_lite0": 64, "tinynet_e": 64, "efficientformerv2_s0": 224, "fastvit_t8": 64, "repvgg_a0": 64,
    "starnet_s050": 64, "mobilevit_xxs": 64, "mobilevitv2_050": 64, "repvit_m0_9": 64, "edgenext_xx_small": 64,
    "levit_128s": 224, "poolformer_s12": 64, "convnext_atto": 64, "lcnet_050": 64, "swiftformer_xs": 64,
    "tv_squeezenet1_1": 64,
}  # fmt: skip
# Blocks at the end of a network, of which every layer is disturbed.
LATE = 2


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Inputs this small are not worth a second thread: waiting for it takes longer than the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def block_of(name: str) -> str:
    """``stages.2.blocks.1.mlp.fc1`` -> ``stages.2.blocks.1``."""
    numbered = re.match(r"(.*\.\d+)(\.|$)", name)
    return numbered[1] if numbered else name.partition(".")[0]


def first_output(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return torch.utils._pytree.tree_leaves(module(x))[0]


@pytest.mark.parametrize("name", SIDES)
def test_disturbing_any_block_fails_parity(name: str) -> None:
    model = load(LoadRequest(spec=f"zoo:{name}", input_shape=((1, 3, SIDES[name], SIDES[name]),)))
    assert model.module is not None
    (stack,), _ = golden_inputs(model.inputs, directory=None, preprocess=model.preprocess, count=2, seed=0)
    x = torch.from_numpy(stack[:, 0])
    blocks: dict[str, list[tuple[str, nn.Module]]] = {}
    for path, layer in model.module.named_modules():
        if isinstance(layer, LAYERS):
            blocks.setdefault(block_of(path), []).append((path, layer))
    assert len(blocks) >= 6
    late = list(blocks)[-LATE:]
    generator = torch.Generator().manual_seed(1)
    unseen = []
    with torch.no_grad():
        reference = first_output(model.module, x)[:, None].numpy()
        assert parity.compare([reference.copy()], [reference], "fp32").passed is True
        for block, layers in blocks.items():
            for path, layer in layers if block in late else layers[:1]:
                weight = layer.get_parameter("weight")
                kept = weight.clone()
                weight.mul_(1 + 0.1 * torch.sign(torch.randn(weight.shape, generator=generator)))
                actual = first_output(model.module, x)[:, None].numpy()
                weight.copy_(kept)
                if parity.compare([actual], [reference], "fp32").passed is not False:
                    unseen.append(path)
    assert unseen == []


def test_the_families_differ() -> None:
    assert len({zoo.find(name).family for name in SIDES}) == len(SIDES)


def test_a_layer_scale_of_any_name_is_opened() -> None:
    module = load(LoadRequest(spec="zoo:poolformer_s12", input_shape=((1, 3, 64, 64),))).module
    assert module is not None
    scales = [p for name, p in module.named_parameters() if "layer_scale" in name]
    assert scales and min(float(scale.min()) for scale in scales) > LAYER_SCALE
