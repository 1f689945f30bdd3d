"""The models of edgekit's own implementations, as literal tables; each family's file says how its counts were checked.

``params`` and ``macs`` are counted by :mod:`edgekit.model.zoo.counting` at the given size; ``note`` names a published
figure that differs.
"""

from __future__ import annotations

from typing import NamedTuple

from edgekit.model.zoo.entry import Task

CLASSES = ("num_classes",)


class Own(NamedTuple):
    """One row; ``builder`` is ``file:function`` below ``edgekit.model.zoo``, called with ``arguments``."""

    name: str
    builder: str
    arguments: tuple[str, ...]
    input_size: tuple[int, int, int]
    params: int
    macs: int
    preprocess: str = "bicubic 0.875 imagenet"
    task: Task = "classification"
    options: tuple[str, ...] = CLASSES
    note: str | None = None


_IMAGE = (3, 224, 224)
_CROP90 = "bicubic 0.9 imagenet"
_RAW = "bicubic 1 unit"
_MCUFORMER = ("embed", "depth", "heads", "mlp", "rank", "patch", "num_classes")
_NO_COUNTS = "counted; the paper publishes no parameter or MAC count"
_CORNER = "a corner of the search space; counted"
_LUMA, _SMALL = (1, 128, 128), (3, 128, 128)
# The counter that these authors used adds 2 operations per element of a batch norm and 5 per element of a layer norm.
_NORMS = "the published {} counts norms too; with them ours agrees"

OWN: dict[str, tuple[Own, ...]] = {
    "mobilevig": (
        Own("mobilevig_ti", "mobilevig:build", ("ti",), _IMAGE, 5_271_074, 662_142_336, _CROP90),
        Own("mobilevig_s", "mobilevig:build", ("s",), _IMAGE, 7_276_538, 983_688_960, _CROP90),
        Own("mobilevig_m", "mobilevig:build", ("m",), _IMAGE, 14_075_786, 1_493_425_152, _CROP90),
        Own("mobilevig_b", "mobilevig:build", ("b",), _IMAGE, 26_868_506, 2_792_944_896, _CROP90),
    ),
    "mobilevigv2": (
        Own(
            "mobilevigv2_ti",
            "mobilevigv2:build",
            ("ti",),
            _IMAGE,
            5_695_824,
            629_634_560,
            _CROP90,
            note="no published parameter or MAC count was found",
        ),
        Own(
            "mobilevigv2_s",
            "mobilevigv2:build",
            ("s",),
            _IMAGE,
            7_767_632,
            912_263_424,
            _CROP90,
            note="no published parameter or MAC count was found",
        ),
        Own(
            "mobilevigv2_m",
            "mobilevigv2:build",
            ("m",),
            _IMAGE,
            15_471_504,
            1_619_490_688,
            _CROP90,
            note="no published parameter or MAC count was found",
        ),
        Own(
            "mobilevigv2_b",
            "mobilevigv2:build",
            ("b",),
            _IMAGE,
            27_878_864,
            3_558_228_480,
            _CROP90,
            note="no published parameter or MAC count was found",
        ),
    ),
    "mcuformer": (
        Own(
            "mcuformer",
            "mcuformer:build",
            (),
            (3, 240, 240),
            6_727_072,
            1_119_314_040,
            options=_MCUFORMER,
            note=_NO_COUNTS,
        ),
        Own(
            "mcuformer_min",
            "mcuformer:build",
            ("168", "12", "3", "3.5", "0.4", "32"),
            (3, 240, 240),
            3_455_128,
            243_749_784,
            note=_NO_COUNTS,
        ),
        Own(
            "mcuformer_max",
            "mcuformer:build",
            ("216", "14", "4", "4", "0.95", "16"),
            (3, 240, 240),
            13_312_400,
            3_647_044_656,
            note=_NO_COUNTS,
        ),
    ),
    "proxylessnas": (
        Own("proxylessnas_mobile", "proxylessnas:build", ("mobile",), _IMAGE, 4_080_512, 320_427_584),
        Own("proxylessnas_mobile_14", "proxylessnas:build", ("mobile_14",), _IMAGE, 6_857_568, 580_883_408),
        Own("proxylessnas_cpu", "proxylessnas:build", ("cpu",), _IMAGE, 4_361_648, 439_243_864),
        Own("proxylessnas_gpu", "proxylessnas:build", ("gpu",), _IMAGE, 7_119_848, 465_260_160),
    ),
    "ofa": (
        Own(
            "ofa_mbv3",
            "ofa:build",
            (),
            _IMAGE,
            7_664_760,
            566_170_656,
            options=("ks", "e", "d", "w", "r", "num_classes"),
            note="counted for the default options, the largest network of width 1.0",
        ),
        Own("ofa_mbv3_min", "ofa:build", ("3", "3", "2", "1.0"), _IMAGE, 3_410_792, 121_278_672, note=_CORNER),
        Own("ofa_mbv3_w12_max", "ofa:build", ("7", "6", "4", "1.2"), _IMAGE, 10_701_632, 843_101_040, note=_CORNER),
        Own("ofa_mbv3_w12_min", "ofa:build", ("3", "3", "2", "1.2"), _IMAGE, 4_602_456, 193_078_200, note=_CORNER),
    ),
    "mcunet": (
        Own("mcunet_in0", "mcunet:build", ("in0",), (3, 48, 48), 749_840, 6_364_224),
        Own("mcunet_in1", "mcunet:build", ("in1",), (3, 96, 96), 636_232, 12_790_096),
        Own("mcunet_in2", "mcunet:build", ("in2",), (3, 160, 160), 729_392, 67_287_200),
        Own("mcunet_in3", "mcunet:build", ("in3",), (3, 176, 176), 737_408, 81_785_520),
        Own("mcunet_in4", "mcunet:build", ("in4",), (3, 160, 160), 1_732_640, 125_874_400),
    ),
    "emo": (
        Own("emo_1m", "emo:build", ("1m",), _IMAGE, 1_361_168, 255_237_672, note=_NORMS.format("0.261 G")),
        Own("emo_2m", "emo:build", ("2m",), _IMAGE, 2_377_472, 431_917_024, note=_NORMS.format("0.439 G")),
        Own("emo_5m", "emo:build", ("5m",), _IMAGE, 5_108_848, 892_224_000, note=_NORMS.format("0.903 G")),
        Own("emo_6m", "emo:build", ("6m",), _IMAGE, 6_168_496, 950_250_048, note=_NORMS.format("0.961 G")),
    ),
    "espcn": (
        Own(
            "espcn_x2",
            "super_resolution:espcn",
            ("2",),
            _LUMA,
            21_284,
            347_078_656,
            "bicubic 1 unit1",
            task="super-resolution",
            options=(),
        ),
        Own(
            "espcn_x3",
            "super_resolution:espcn",
            ("3",),
            _LUMA,
            22_729,
            370_671_616,
            "bicubic 1 unit1",
            task="super-resolution",
            options=(),
        ),
        Own(
            "espcn_x4",
            "super_resolution:espcn",
            ("4",),
            _LUMA,
            24_752,
            403_701_760,
            "bicubic 1 unit1",
            task="super-resolution",
            options=(),
        ),
    ),
    "xlsr": (
        Own(
            "xlsr_x2",
            "super_resolution:xlsr",
            ("2",),
            _SMALL,
            17_612,
            283_377_664,
            _RAW,
            task="super-resolution",
            options=(),
        ),
        Own(
            "xlsr_x3",
            "super_resolution:xlsr",
            ("3",),
            _SMALL,
            21_947,
            354_156_544,
            _RAW,
            task="super-resolution",
            options=(),
        ),
        Own(
            "xlsr_x4",
            "super_resolution:xlsr",
            ("4",),
            _SMALL,
            28_016,
            453_246_976,
            _RAW,
            task="super-resolution",
            options=(),
        ),
    ),
    "vanillanet": (
        Own("vanillanet_5", "vanillanet:build", ("5",), _IMAGE, 15_523_304, 5_161_185_280),
        Own("vanillanet_6", "vanillanet:build", ("6",), _IMAGE, 32_509_416, 5_993_103_360),
        Own("vanillanet_7", "vanillanet:build", ("7",), _IMAGE, 32_797_672, 6_893_862_912),
        Own("vanillanet_8", "vanillanet:build", ("8",), _IMAGE, 37_096_424, 7_735_615_488),
        Own("vanillanet_9", "vanillanet:build", ("9",), _IMAGE, 41_395_176, 8_577_368_064),
    ),
    "hardnet": (
        Own("hardnet39ds", "hardnet:build", ("39ds",), _IMAGE, 3_488_228, 429_471_474, note=_NORMS.format("0.44 G")),
        Own("hardnet68ds", "hardnet:build", ("68ds",), _IMAGE, 4_180_602, 775_281_526, note=_NORMS.format("0.8 G")),
        Own("hardnet68", "hardnet:build", ("68",), _IMAGE, 17_565_348, 4_246_114_304),
        Own("hardnet85", "hardnet:build", ("85",), _IMAGE, 36_670_212, 9_074_081_584),
    ),
    "efficientmod": (
        Own("efficientmod_xxs", "efficientmod:build", ("xxs",), _IMAGE, 4_736_264, 579_111_424, _CROP90),
        Own("efficientmod_xs", "efficientmod:build", ("xs",), _IMAGE, 6_627_544, 773_098_752, _CROP90),
        Own("efficientmod_s", "efficientmod:build", ("s",), _IMAGE, 12_897_184, 1_402_143_200, _CROP90),
    ),
    "mobilemamba": (
        Own(
            "mobilemamba_t2",
            "mobilemamba:build",
            ("t2",),
            (3, 192, 192),
            8_806_682,
            251_717_544,
            note=_NORMS.format("0.255 G"),
        ),
        Own(
            "mobilemamba_t4",
            "mobilemamba:build",
            ("t4",),
            (3, 192, 192),
            14_137_690,
            408_698_440,
            note=_NORMS.format("0.413 G"),
        ),
        Own(
            "mobilemamba_s6",
            "mobilemamba:build",
            ("s6",),
            _IMAGE,
            14_996_696,
            646_707_632,
            note=_NORMS.format("0.652 G"),
        ),
    ),
    "sinet": (Own("sinet", "sinet:build", (), _IMAGE, 86_910, 63_870_448, _RAW, task="segmentation"),),
    "ffnet": (
        Own(
            "ffnet_40s",
            "ffnet:build",
            ("40s",),
            (3, 1024, 2048),
            13_911_283,
            62_367_203_328,
            "bilinear 1 imagenet",
            task="segmentation",
        ),
        Own(
            "ffnet_54s",
            "ffnet:build",
            ("54s",),
            (3, 1024, 2048),
            18_044_659,
            75_692_507_136,
            "bilinear 1 imagenet",
            task="segmentation",
        ),
        Own(
            "ffnet_78s",
            "ffnet:build",
            ("78s",),
            (3, 1024, 2048),
            27_491_059,
            96_039_075_840,
            "bilinear 1 imagenet",
            task="segmentation",
        ),
    ),
}
