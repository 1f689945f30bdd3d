"""The families of the zoo: title, where the architecture is described, and the licence of the published code."""

from __future__ import annotations

from typing import NamedTuple


class Family(NamedTuple):
    """One family; ``licence`` holds for all its models unless the catalogue says otherwise."""

    title: str
    described_in: str
    licence: str


_APACHE, _MIT, _BSD = "Apache-2.0", "MIT", "BSD-3-Clause"

FAMILIES: dict[str, Family] = {
    "mobilenetv1": Family("MobileNetV1", "arXiv 1704.04861", _APACHE),
    "mobilenetv2": Family("MobileNetV2", "arXiv 1801.04381", _APACHE),
    "mobilenetv3": Family("MobileNetV3", "arXiv 1905.02244", _APACHE),
    "mobilenetv4": Family("MobileNetV4", "arXiv 2404.10518", _APACHE),
    "mobilenet_edgetpu": Family("MobileNet-EdgeTPU", "github:tensorflow/models research/slim/nets/mobilenet", _APACHE),
    "mnasnet": Family("MnasNet", "arXiv 1807.11626", _APACHE),
    "fbnet": Family("FBNet", "arXiv 1812.03443", _APACHE),
    "fbnetv3": Family("FBNetV3", "arXiv 2006.02049", _APACHE),
    "singlepathnas": Family("Single-Path NAS", "arXiv 1904.02877", _APACHE),
    "efficientnet": Family("EfficientNet", "arXiv 1905.11946", _APACHE),
    "efficientnet_lite": Family(
        "EfficientNet-Lite", "github:tensorflow/tpu models/official/efficientnet/lite", _APACHE
    ),
    "efficientnet_edge": Family(
        "EfficientNet-EdgeTPU", "github:tensorflow/tpu models/official/efficientnet/edgetpu", _APACHE
    ),
    "tinynet": Family("TinyNet (Model Rubik's Cube)", "arXiv 2010.14819", _APACHE),
    "ghostnet": Family("GhostNet", "arXiv 1911.11907", _APACHE),
    "ghostnetv2": Family("GhostNetV2", "arXiv 2211.12905", _APACHE),
    "ghostnetv3": Family("GhostNetV3", "arXiv 2404.11202", _APACHE),
    "hardcorenas": Family("HardCoRe-NAS", "arXiv 2102.11646", _APACHE),
    "efficientformer": Family("EfficientFormer", "arXiv 2206.01191", _APACHE),
    "efficientformerv2": Family("EfficientFormerV2", "arXiv 2212.08059", _APACHE),
    "mobileone": Family("MobileOne", "arXiv 2206.04040", "LicenseRef-apple-mobileone"),
    "fastvit": Family("FastViT", "arXiv 2303.14189", "LicenseRef-apple-fastvit"),
    "repvgg": Family("RepVGG", "arXiv 2101.03697", _MIT),
    "starnet": Family("StarNet (Rewrite the Stars)", "arXiv 2403.19967", _APACHE),
    "nextvit": Family("Next-ViT", "arXiv 2207.05501", _APACHE),
    "tinyvit": Family("TinyViT", "arXiv 2207.10666", _APACHE),
    "maxvit": Family("MaxViT", "arXiv 2204.01697", _APACHE),
    "inceptionnext": Family("InceptionNeXt", "arXiv 2303.16900", _APACHE),
    "tresnet": Family("TResNet", "arXiv 2003.13630", _APACHE),
    "mobilevit": Family("MobileViT", "arXiv 2110.02178", "LicenseRef-apple-cvnets"),
    "mobilevitv2": Family("MobileViTv2", "arXiv 2206.02680", "LicenseRef-apple-cvnets"),
    "repvit": Family("RepViT", "arXiv 2307.09283", _APACHE),
    "lcnet": Family("PP-LCNet", "arXiv 2109.15099", _APACHE),
    "edgenext": Family("EdgeNeXt", "arXiv 2206.10589", _MIT),
    "levit": Family("LeViT", "arXiv 2104.01136", _APACHE),
    "efficientvit_mit": Family("EfficientViT (MIT)", "arXiv 2205.14756", _APACHE),
    "efficientvit_msra": Family("EfficientViT (MSRA)", "arXiv 2305.07027", _MIT),
    "swiftformer": Family("SwiftFormer", "arXiv 2303.15446", _APACHE),
    "shvit": Family("SHViT", "arXiv 2401.16456", _MIT),
    "regnet": Family("RegNet (Designing Network Design Spaces)", "arXiv 2003.13678", _MIT),
    "vovnet": Family("VoVNet", "arXiv 1904.09730", _APACHE),
    "poolformer": Family("PoolFormer", "arXiv 2111.11418", _APACHE),
    "rexnet": Family("ReXNet", "arXiv 2007.00992", _MIT),
    "mixnet": Family("MixNet", "arXiv 1907.09595", _APACHE),
    "fasternet": Family("FasterNet", "arXiv 2303.03667", _APACHE),
    "resnet": Family("ResNet", "arXiv 1512.03385", _APACHE),
    "repghostnet": Family("RepGhostNet", "arXiv 2211.06088", _MIT),
    "mambaout": Family("MambaOut", "arXiv 2405.07992", _APACHE),
    "rdnet": Family("RDNet", "arXiv 2403.19588", _APACHE),
    "hgnetv2": Family("PP-HGNetV2", "github:PaddlePaddle/PaddleClas", _APACHE),
    "iformer": Family("iFormer", "arXiv 2501.15369", _MIT),
    "convnext": Family("ConvNeXt", "arXiv 2201.03545", _APACHE),
    "deit": Family("DeiT", "arXiv 2012.12877", _APACHE),
    "shufflenetv2": Family("ShuffleNetV2", "arXiv 1807.11164", _BSD),
    "squeezenet": Family("SqueezeNet", "arXiv 1602.07360", _BSD),
    "lraspp": Family("LR-ASPP on MobileNetV3", "arXiv 1905.02244", _BSD),
    "ssdlite": Family("SSDLite (SSD) on MobileNetV3", "arXiv 1512.02325, 1801.04381, 1905.02244", _BSD),
    "mobilevig": Family("MobileViG", "arXiv 2307.00395", _APACHE),
    "mobilevigv2": Family("MobileViGv2", "arXiv 2406.05850", _APACHE),
    "mcuformer": Family("MCUFormer", "arXiv 2310.16898", "none stated"),
    "proxylessnas": Family("ProxylessNAS", "arXiv 1812.00332", _MIT),
    "ofa": Family("Once-for-All (MobileNetV3 space)", "arXiv 1908.09791", _MIT),
    "mcunet": Family("MCUNet", "arXiv 2007.10319", _MIT),
    "mcunetv2": Family("MCUNetV2", "arXiv 2110.15352", _MIT),
    "emo": Family("EMO", "arXiv 2301.01146", "none stated"),
    "emov2": Family("EMOv2", "arXiv 2412.06674", "none stated"),
    "espcn": Family("ESPCN", "arXiv 1609.05158", "none stated"),
    "xlsr": Family("XLSR", "arXiv 2105.10288", "none stated"),
    "vanillanet": Family("VanillaNet", "arXiv 2305.12972", _MIT),
    "hardnet": Family("HarDNet", "arXiv 1909.00948", _MIT),
    "efficientmod": Family("Efficient Modulation", "arXiv 2403.19963", _APACHE),
    "sinet": Family("SINet (portrait segmentation)", "arXiv 1911.09099", _MIT),
    "ffnet": Family("FFNet (simple and efficient segmentation)", "arXiv 2206.08236", _BSD),
    "mobilemamba": Family("MobileMamba", "arXiv 2411.15941", _MIT),
    "vcmamba": Family("VCMamba", "github:Wertyuui345/VCMamba", "none stated"),
    "greedyvig": Family("GreedyViG", "arXiv 2405.06849", _APACHE),
    "slab": Family("SLAB", "arXiv 2405.11582", "none stated"),
    "elasticvit": Family("ElasticViT", "arXiv 2303.09730", _MIT),
    "fmvit": Family("FMViT", "arXiv 2311.05707", "none stated"),
    "leyolo": Family("LeYOLO", "arXiv 2406.14239", "AGPL-3.0"),
    "skipnet": Family("SkipNet (Bias Loss)", "arXiv 2107.11170", "none stated"),
    "turbovit": Family("TurboViT", "arXiv 2308.11421", "none stated"),
}
