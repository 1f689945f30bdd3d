from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn

from edgekit.model import zoo
from edgekit.model.zoo.counting import count_macs, count_params
from edgekit.model.zoo.source import build

OWN = [entry.name for entry in zoo.available() if entry.source == "edgekit"]
LIBRARY = ["mobilenetv2_100", "mobilenetv4_conv_small", "efficientformer_l1", "tiny_vit_5m_224", "mobilevit_xxs",
           "tv_mobilenet_v3_small", "tv_lraspp_mobilenet_v3_large", "tv_ssdlite320_mobilenet_v3_large"]  # fmt: skip

# Published parameters and multiply-accumulates, with the digits that were published; null where none was found.
PUBLISHED: dict[str, tuple[str | None, str | None]] = {
    "mobilevig_ti": ("5.271e6", "0.662e9"),
    "mobilevig_s": ("7.277e6", "0.984e9"),
    "mobilevig_m": ("14.076e6", "1.493e9"),
    "mobilevig_b": ("26.869e6", "2.793e9"),
    "proxylessnas_cpu": ("4.361648e6", None),
    "proxylessnas_gpu": ("7.119848e6", None),
    "proxylessnas_mobile": ("4.080512e6", "0.320e9"),
    "proxylessnas_mobile_14": ("6.857568e6", None),
    "mcunet_in0": ("0.75e6", "6.4e6"),
    "mcunet_in1": ("0.64e6", "12.8e6"),
    "mcunet_in2": ("0.73e6", "67.3e6"),
    "mcunet_in3": ("0.74e6", "81.8e6"),
    "mcunet_in4": ("1.73e6", "125.9e6"),
    "vanillanet_5": ("15.5e6", "5.2e9"),
    "vanillanet_6": ("32.5e6", "6.0e9"),
    "vanillanet_9": ("41.4e6", "8.6e9"),
    "hardnet39ds": ("3.5e6", None),
    "hardnet68ds": ("4.2e6", None),
    "efficientmod_xxs": ("4.7e6", "0.6e9"),
    "efficientmod_xs": ("6.6e6", None),
    "efficientmod_s": ("12.9e6", "1.4e9"),
    "sinet": ("86.9e3", "64e6"),
    "xlsr_x3": ("22e3", None),
    "xlsr_x4": ("28.0e3", None),
    "ffnet_40s": ("13.9e6", None),
    "ffnet_54s": ("18.0e6", None),
    "ffnet_78s": ("27.5e6", None),
    "mobilemamba_t2": ("8.8e6", None),
    "mobilemamba_s6": ("15.0e6", None),
    "tv_ssdlite320_mobilenet_v3_large": ("3.44e6", "0.583e9"),
    "tv_lraspp_mobilenet_v3_large": ("3.222e6", "2.086e9"),
    "mobilenetv2_100": ("3.505e6", "0.301e9"),
    "mobilenetv4_conv_small": ("3.774e6", "0.186e9"),
    "efficientformer_l1": ("12.290e6", "1.291e9"),
    "tv_mobilenet_v3_small": ("2.543e6", "0.057e9"),
}
# Published figures that count norms as operations too.
WITH_NORMS = {"emo_1m": 261e6, "emo_2m": 439e6, "emo_5m": 903e6, "emo_6m": 961e6, "mobilemamba_t2": 0.255e9,
              "mobilemamba_t4": 0.413e9, "mobilemamba_s6": 0.652e9, "hardnet39ds": 0.44e9}  # fmt: skip


@cache
def weightless(name: str) -> nn.Module:
    with torch.device("meta"):
        return build(zoo.find(name), {})


@cache
def counted(name: str) -> tuple[int, int]:
    entry = zoo.find(name)
    assert entry.input_size is not None
    return count_params(weightless(name)), count_macs(weightless(name), (1, *entry.input_size))


@pytest.mark.parametrize("name", OWN + LIBRARY)
def test_the_catalogue_says_what_the_module_has(name: str) -> None:
    entry = zoo.find(name)
    assert counted(name) == (entry.params, entry.macs)


def agrees(value: int, published: str) -> bool:
    """Within 0.5%, or within half a unit of the last published digit where that is coarser."""
    mantissa, _, exponent = published.partition("e")
    digit = 10.0 ** (int(exponent) - len(mantissa.partition(".")[2]))
    return abs(value - float(published)) <= max(0.005 * float(published), digit / 2)


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_are_the_published_ones(name: str) -> None:
    for value, published in zip(counted(name), PUBLISHED[name], strict=True):
        assert published is None or agrees(value, published), f"{value} is not {published}"


@pytest.mark.parametrize(("name", "low"), [("emo_1m", 1.3), ("emo_2m", 2.3), ("emo_5m", 5.1), ("emo_6m", 6.1)])
def test_emo_parameters_are_published_without_rounding(name: str, low: float) -> None:
    assert low <= counted(name)[0] / 1e6 < low + 0.1


def test_mobilemamba_t4_is_within_half_a_percent() -> None:
    assert counted("mobilemamba_t4")[0] == pytest.approx(14.2e6, rel=0.005)


@pytest.mark.parametrize("name", WITH_NORMS)
def test_macs_with_norms_are_the_published_ones(name: str) -> None:
    added = [counted(name)[1]]
    hooks = [
        module.register_forward_hook(lambda _m, _i, out, per=per: added.append(per * out.numel()))
        for module in weightless(name).modules()
        for kind, per in ((nn.BatchNorm2d, 2), (nn.LayerNorm, 5))
        if isinstance(module, kind)
    ]
    entry = zoo.find(name)
    assert entry.input_size is not None
    count_macs(weightless(name), (1, *entry.input_size))
    for hook in hooks:
        hook.remove()
    assert sum(added) == pytest.approx(WITH_NORMS[name], rel=0.006)


def test_a_re_parameterised_family_shows_both_forms() -> None:
    from timm.utils.model import reparameterize_model

    entry = zoo.find("mobileone_s0")
    module = build(entry, {})
    assert entry.counts_note is not None and f"{count_params(module) / 1e6:.3f} M" in entry.counts_note
    fused = reparameterize_model(module)
    assert (count_params(fused), count_macs(fused.to("meta"), (1, 3, 224, 224))) == (entry.params, entry.macs)


def test_the_counter_on_known_operators() -> None:
    class Known(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 8, 3, 2, 1, groups=2)
            self.up = nn.ConvTranspose2d(8, 4, 2, 2)
            self.linear = nn.Linear(4, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.up(self.conv(x)).flatten(2).transpose(1, 2)
            return self.linear(y) @ torch.ones(5, 7, device=x.device) @ torch.ones(1, 7, 2, device=x.device)

    expected = 4 * 4 * 8 * 2 * 9 + 4 * 4 * 8 * 4 * 4 + 64 * 4 * 5 + 64 * 5 * 7 + 64 * 7 * 2
    assert count_macs(Known(), (1, 4, 8, 8)) == expected
    assert count_macs(Known().to("meta"), (1, 4, 8, 8)) == expected


def test_counting_leaves_the_mode_alone_and_counts_fused_attention() -> None:
    class Attend(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.scaled_dot_product_attention(x, x, x)

    module = Attend().train()
    assert count_macs(module, (1, 2, 16, 8)) == 2 * 2 * 16 * 16 * 8
    assert module.training
