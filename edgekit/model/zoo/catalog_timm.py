"""The models that timm and torchvision build, as literal tables.

One row is: name, input side in pixels, parameters, multiply-accumulates, preprocessing, and for families that are
re-parameterised also the parameters and multiply-accumulates in training form. Counted with timm 1.0.31 and
torchvision 0.28.0 by :mod:`edgekit.model.zoo.counting` on a 1000-class head (21 classes for LR-ASPP). The preprocessing
is "INTERPOLATION CROP_FRACTION NORMALISATION" as the library's own configuration of that model has it.
"""

from __future__ import annotations

Row = tuple[str, int, int, int, str] | tuple[str, int, int, int, str, int, int]

# Family -> rows; the name is timm's own.
TIMM: dict[str, tuple[Row, ...]] = {
    "mobilenetv1": (
        ("mobilenetv1_100", 224, 4_231_976, 568_740_352, "bicubic 0.875 half"),
        ("mobilenetv1_100h", 224, 5_282_600, 620_120_576, "bicubic 0.875 half"),
        ("mobilenetv1_125", 224, 6_270_840, 879_516_800, "bicubic 0.9 half"),
    ),
    "mobilenetv2": (
        ("mobilenetv2_035", 224, 1_677_128, 59_285_808, "bicubic 0.875 imagenet"),
        ("mobilenetv2_050", 224, 1_968_680, 97_131_840, "bicubic 0.875 imagenet"),
        ("mobilenetv2_075", 224, 2_636_424, 209_069_792, "bicubic 0.875 imagenet"),
        ("mobilenetv2_100", 224, 3_504_872, 300_774_272, "bicubic 0.875 imagenet"),
        ("mobilenetv2_110d", 224, 4_516_520, 430_516_080, "bicubic 0.875 imagenet"),
        ("mobilenetv2_120d", 224, 5_831_144, 668_857_568, "bicubic 0.875 imagenet"),
        ("mobilenetv2_140", 224, 6_108_776, 582_195_824, "bicubic 0.875 imagenet"),
    ),
    "mobilenetv3": (
        ("mobilenetv3_large_075", 224, 3_993_528, 154_560_624, "bilinear 0.875 imagenet"),
        ("mobilenetv3_large_100", 224, 5_483_032, 216_589_760, "bicubic 0.875 imagenet"),
        ("mobilenetv3_small_050", 224, 1_593_224, 24_188_688, "bicubic 0.875 imagenet"),
        ("mobilenetv3_small_075", 224, 2_041_872, 43_399_344, "bicubic 0.875 imagenet"),
        ("mobilenetv3_small_100", 224, 2_542_856, 56_510_400, "bicubic 0.875 imagenet"),
        ("tf_mobilenetv3_large_minimal_100", 224, 3_924_288, 209_136_704, "bilinear 0.875 half"),
        ("tf_mobilenetv3_small_minimal_100", 224, 2_044_736, 52_288_448, "bilinear 0.875 half"),
    ),
    "mobilenetv4": (
        ("mobilenetv4_conv_small_035", 224, 1_905_384, 47_723_040, "bicubic 0.875 half"),
        ("mobilenetv4_conv_small_050", 224, 2_238_952, 64_741_408, "bicubic 0.875 half"),
        ("mobilenetv4_conv_small", 224, 3_774_024, 186_005_568, "bicubic 0.875 imagenet"),
        ("mobilenetv4_conv_medium", 256, 9_715_512, 1_080_244_224, "bicubic 0.95 imagenet"),
        ("mobilenetv4_conv_large", 384, 32_590_864, 6_376_220_672, "bicubic 0.95 imagenet"),
        ("mobilenetv4_conv_aa_medium", 256, 9_715_512, 1_561_798_656, "bicubic 0.95 imagenet"),
        ("mobilenetv4_conv_blur_medium", 224, 9_715_512, 1_202_577_600, "bicubic 0.95 imagenet"),
        ("mobilenetv4_hybrid_medium_075", 224, 7_313_528, 649_844_400, "bicubic 0.95 imagenet"),
        ("mobilenetv4_hybrid_medium", 256, 11_074_648, 1_271_183_360, "bicubic 0.95 imagenet"),
        ("mobilenetv4_hybrid_large_075", 256, 22_754_984, 2_036_234_240, "bicubic 0.95 imagenet"),
        ("mobilenetv4_hybrid_large", 384, 37_764_624, 7_711_877_120, "bicubic 0.95 imagenet"),
    ),
    "mobilenet_edgetpu": (
        ("mobilenet_edgetpu_100", 224, 4_091_432, 990_669_184, "bicubic 0.9 imagenet"),
        ("mobilenet_edgetpu_v2_xs", 224, 4_459_880, 688_214_528, "bicubic 0.9 imagenet"),
        ("mobilenet_edgetpu_v2_s", 224, 5_986_456, 1_198_002_688, "bicubic 0.9 imagenet"),
        ("mobilenet_edgetpu_v2_m", 224, 8_462_888, 1_835_637_440, "bicubic 0.9 half"),
        ("mobilenet_edgetpu_v2_l", 224, 10_921_640, 2_530_786_432, "bicubic 0.9 imagenet"),
    ),
    "mnasnet": (
        ("mnasnet_050", 224, 2_218_512, 104_455_968, "bicubic 0.875 imagenet"),
        ("mnasnet_075", 224, 3_170_208, 215_493_104, "bicubic 0.875 imagenet"),
        ("mnasnet_100", 224, 4_383_312, 314_415_872, "bicubic 0.875 imagenet"),
        ("mnasnet_140", 224, 7_115_728, 588_799_408, "bicubic 0.875 imagenet"),
        ("mnasnet_small", 224, 2_030_264, 68_339_184, "bicubic 0.875 imagenet"),
        ("semnasnet_075", 224, 2_912_278, 223_448_480, "bicubic 0.875 imagenet"),
        ("semnasnet_100", 224, 3_887_038, 311_579_072, "bicubic 0.875 imagenet"),
        ("semnasnet_140", 224, 6_105_992, 586_317_952, "bicubic 0.875 imagenet"),
    ),
    "fbnet": (("fbnetc_100", 224, 5_572_200, 384_960_160, "bilinear 0.875 imagenet"),),
    "fbnetv3": (
        ("fbnetv3_b", 224, 8_598_464, 407_508_576, "bilinear 0.95 imagenet"),
        ("fbnetv3_d", 224, 10_306_272, 501_971_056, "bilinear 0.95 imagenet"),
        ("fbnetv3_g", 240, 16_623_888, 1_253_584_000, "bilinear 0.95 imagenet"),
    ),
    "singlepathnas": (("spnasnet_100", 224, 4_421_616, 333_467_072, "bilinear 0.875 imagenet"),),
    "efficientnet": (
        ("efficientnet_b0", 224, 5_288_548, 385_814_752, "bicubic 0.875 imagenet"),
        ("efficientnet_b1", 240, 7_794_184, 686_802_832, "bicubic 0.9 half"),
    ),
    "efficientnet_lite": (
        ("efficientnet_lite0", 224, 4_652_008, 385_187_552, "bicubic 0.875 imagenet"),
        ("efficientnet_lite1", 240, 5_416_680, 600_185_232, "bicubic 0.882 imagenet"),
        ("efficientnet_lite2", 260, 6_092_072, 859_736_272, "bicubic 0.89 imagenet"),
        ("efficientnet_lite3", 300, 8_197_096, 1_607_554_544, "bicubic 0.904 imagenet"),
        ("efficientnet_lite4", 380, 13_006_568, 3_943_564_112, "bicubic 0.922 imagenet"),
        ("tf_efficientnet_lite0", 224, 4_652_008, 385_187_552, "bicubic 0.875 half"),
    ),
    "efficientnet_edge": (
        ("efficientnet_es", 224, 5_438_392, 1_788_731_008, "bicubic 0.875 imagenet"),
        ("efficientnet_em", 240, 6_899_496, 3_013_321_088, "bicubic 0.882 imagenet"),
        ("efficientnet_el", 300, 10_589_712, 7_936_082_848, "bicubic 0.904 imagenet"),
    ),
    "tinynet": (
        ("tinynet_a", 192, 6_187_972, 336_867_712, "bicubic 0.875 imagenet"),
        ("tinynet_b", 188, 3_730_562, 200_709_360, "bicubic 0.875 imagenet"),
        ("tinynet_c", 184, 2_457_234, 99_536_432, "bicubic 0.875 imagenet"),
        ("tinynet_d", 152, 2_338_446, 51_580_656, "bicubic 0.875 imagenet"),
        ("tinynet_e", 106, 2_042_972, 24_356_848, "bicubic 0.875 imagenet"),
    ),
    "ghostnet": (("ghostnet_100", 224, 5_182_508, 141_150_512, "bicubic 0.875 imagenet"),),
    "ghostnetv2": (
        ("ghostnetv2_100", 224, 6_156_908, 167_048_288, "bicubic 0.875 imagenet"),
        ("ghostnetv2_130", 224, 8_960_404, 269_322_976, "bicubic 0.875 imagenet"),
        ("ghostnetv2_160", 224, 12_392_698, 398_607_224, "bicubic 0.875 imagenet"),
    ),
    "ghostnetv3": (("ghostnetv3_100", 224, 8_129_028, 404_128_320, "bicubic 0.875 imagenet"),),
    "hardcorenas": (
        ("hardcorenas_a", 224, 5_260_232, 224_227_936, "bilinear 0.875 imagenet"),
        ("hardcorenas_b", 224, 5_176_544, 251_832_064, "bilinear 0.875 imagenet"),
        ("hardcorenas_c", 224, 5_521_224, 270_058_400, "bilinear 0.875 imagenet"),
        ("hardcorenas_d", 224, 7_500_208, 287_787_616, "bilinear 0.875 imagenet"),
        ("hardcorenas_e", 224, 8_070_992, 338_689_760, "bilinear 0.875 imagenet"),
        ("hardcorenas_f", 224, 8_199_688, 341_905_696, "bilinear 0.875 imagenet"),
    ),
    "efficientformer": (
        ("efficientformer_l1", 224, 12_289_928, 1_291_284_736, "bicubic 0.95 imagenet"),
        ("efficientformer_l3", 224, 31_406_000, 3_906_573_312, "bicubic 0.95 imagenet"),
        ("efficientformer_l7", 224, 82_229_328, 10_119_325_696, "bicubic 0.95 imagenet"),
    ),
    "efficientformerv2": (
        ("efficientformerv2_s0", 224, 3_600_256, 395_892_544, "bicubic 0.95 imagenet"),
        ("efficientformerv2_s1", 224, 6_185_560, 651_969_640, "bicubic 0.95 imagenet"),
        ("efficientformerv2_s2", 224, 12_710_112, 1_246_863_952, "bicubic 0.95 imagenet"),
        ("efficientformerv2_l", 224, 26_322_288, 2_552_546_880, "bicubic 0.95 imagenet"),
    ),
    "mobileone": (
        ("mobileone_s0", 224, 2_078_504, 275_110_400, "bilinear 0.875 imagenet", 5_293_272, 1_051_935_232),
        ("mobileone_s1", 224, 4_764_840, 825_057_024, "bilinear 0.9 imagenet", 4_825_192, 830_062_080),
        ("mobileone_s2", 224, 7_808_168, 1_298_426_496, "bilinear 0.9 imagenet", 7_884_648, 1_304_027_392),
        ("mobileone_s3", 224, 10_078_312, 1_895_790_592, "bilinear 0.9 imagenet", 10_170_600, 1_902_112_768),
        ("mobileone_s4", 224, 14_838_352, 2_979_269_760, "bilinear 0.9 imagenet", 14_951_248, 2_986_802_432),
    ),
    "fastvit": (
        ("fastvit_t8", 256, 3_996_040, 685_160_448, "bicubic 0.9 imagenet", 4_026_232, 690_149_376),
        ("fastvit_t12", 256, 7_508_840, 1_390_944_256, "bicubic 0.9 imagenet", 7_553_704, 1_397_727_232),
        ("fastvit_s12", 256, 9_428_712, 1_793_597_440, "bicubic 0.9 imagenet", 9_473_576, 1_800_380_416),
        ("fastvit_sa12", 256, 11_545_320, 1_937_219_584, "bicubic 0.9 imagenet", 11_580_968, 1_943_937_024),
        ("fastvit_sa24", 256, 21_501_288, 3_762_069_504, "bicubic 0.9 imagenet", 21_554_216, 3_769_966_592),
        ("fastvit_sa36", 256, 31_457_256, 5_586_919_424, "bicubic 0.9 imagenet", 31_527_464, 5_595_996_160),
        ("fastvit_ma36", 256, 43_984_632, 7_814_930_432, "bicubic 0.95 imagenet", 44_068_004, 7_825_709_056),
    ),
    "repvgg": (
        ("repvgg_a0", 224, 8_309_384, 1_361_451_008, "bilinear 0.875 imagenet", 9_108_968, 1_512_581_120),
        ("repvgg_a1", 224, 12_789_864, 2_363_967_488, "bilinear 0.875 imagenet", 14_092_264, 2_626_488_320),
        ("repvgg_a2", 224, 25_499_944, 5_116_951_552, "bilinear 0.875 imagenet", 28_210_600, 5_685_345_280),
        ("repvgg_b0", 224, 14_339_048, 3_057_600_512, "bilinear 0.875 imagenet", 15_817_960, 3_397_191_680),
    ),
    "starnet": (
        ("starnet_s050", 224, 542_728, 91_285_248, "bicubic 0.875 imagenet"),
        ("starnet_s100", 224, 1_043_280, 185_626_176, "bicubic 0.875 imagenet"),
        ("starnet_s150", 224, 1_560_616, 227_376_384, "bicubic 0.875 imagenet"),
        ("starnet_s1", 224, 2_869_168, 421_877_376, "bicubic 0.875 imagenet"),
        ("starnet_s2", 224, 3_682_024, 544_113_664, "bicubic 0.875 imagenet"),
        ("starnet_s3", 224, 5_750_792, 753_999_872, "bicubic 0.875 imagenet"),
        ("starnet_s4", 224, 7_482_728, 1_049_561_600, "bicubic 0.875 imagenet"),
    ),
    "nextvit": (
        ("nextvit_small", 224, 31_763_368, 5_794_420_224, "bicubic 0.95 imagenet"),
        ("nextvit_base", 224, 44_818_856, 8_273_817_088, "bicubic 0.95 imagenet"),
        ("nextvit_large", 224, 57_874_344, 10_753_213_952, "bicubic 0.95 imagenet"),
    ),
    "tinyvit": (
        ("tiny_vit_5m_224", 224, 5_392_764, 1_255_174_720, "bicubic 0.95 imagenet"),
        ("tiny_vit_11m_224", 224, 10_996_972, 2_016_046_144, "bicubic 0.95 imagenet"),
        ("tiny_vit_21m_224", 224, 21_198_568, 4_250_329_536, "bicubic 0.95 imagenet"),
    ),
    "maxvit": (
        ("maxvit_pico_rw_256", 256, 7_457_996, 1_802_452_992, "bicubic 0.95 half"),
        ("maxvit_nano_rw_256", 256, 15_451_148, 4_416_999_424, "bicubic 0.95 half"),
        ("maxvit_tiny_tf_224", 224, 30_916_528, 5_551_836_656, "bicubic 0.95 imagenet"),
    ),
    "inceptionnext": (
        ("inception_next_atto", 224, 4_156_520, 503_035_040, "bicubic 0.875 imagenet"),
        ("inception_next_tiny", 224, 28_055_680, 4_188_634_272, "bicubic 0.875 imagenet"),
        ("inception_next_small", 224, 49_374_016, 8_355_682_080, "bicubic 0.875 imagenet"),
    ),
    "tresnet": (("tresnet_m", 224, 31_389_032, 5_736_545_792, "bilinear 0.875 unit"),),
    "mobilevit": (
        ("mobilevit_xxs", 256, 1_272_024, 407_364_096, "bicubic 0.9 unit"),
        ("mobilevit_xs", 256, 2_317_848, 1_025_911_808, "bicubic 0.9 unit"),
        ("mobilevit_s", 256, 5_578_632, 2_000_831_488, "bicubic 0.9 unit"),
    ),
    "mobilevitv2": (
        ("mobilevitv2_050", 256, 1_370_593, 464_594_944, "bicubic 0.888 unit"),
        ("mobilevitv2_075", 256, 2_866_009, 1_027_980_288, "bicubic 0.888 unit"),
        ("mobilevitv2_100", 256, 4_901_841, 1_812_090_880, "bicubic 0.888 unit"),
    ),
    "repvit": (
        ("repvit_m0_9", 224, 5_067_056, 815_617_344, "bicubic 0.95 imagenet", 5_489_328, 817_280_832),
        ("repvit_m1_0", 224, 6_810_312, 1_106_136_864, "bicubic 0.95 imagenet", 7_302_796, 1_108_077_600),
        ("repvit_m1_1", 224, 8_244_312, 1_337_124_608, "bicubic 0.95 imagenet", 8_802_912, 1_339_242_240),
        ("repvit_m1_5", 224, 14_049_992, 2_273_596_160, "bicubic 0.95 imagenet", 14_644_432, 2_276_968_192),
        ("repvit_m2_3", 224, 22_926_792, 4_515_958_720, "bicubic 0.95 imagenet", 23_688_792, 4_521_490_880),
    ),
    "lcnet": (
        ("lcnet_050", 224, 1_880_856, 44_731_008, "bicubic 0.875 imagenet"),
        ("lcnet_075", 224, 2_358_288, 94_786_496, "bicubic 0.875 imagenet"),
        ("lcnet_100", 224, 2_953_800, 155_700_480, "bicubic 0.875 imagenet"),
    ),
    "edgenext": (
        ("edgenext_xx_small", 256, 1_327_216, 257_905_088, "bicubic 0.9 imagenet"),
        ("edgenext_x_small", 256, 2_336_804, 533_192_192, "bicubic 0.9 imagenet"),
        ("edgenext_small", 256, 5_586_832, 1_253_234_816, "bicubic 0.95 imagenet"),
    ),
    "levit": (
        ("levit_128s", 224, 7_777_058, 304_660_832, "bicubic 0.9 imagenet"),
        ("levit_128", 224, 9_213_936, 405_321_728, "bicubic 0.9 imagenet"),
        ("levit_192", 224, 10_947_069, 657_022_080, "bicubic 0.9 imagenet"),
    ),
    "efficientvit_mit": (
        ("efficientvit_b0", 224, 3_410_008, 100_233_216, "bicubic 0.95 imagenet"),
        ("efficientvit_b1", 224, 9_102_024, 519_214_592, "bicubic 0.95 imagenet"),
        ("efficientvit_b2", 224, 24_330_712, 1_584_937_984, "bicubic 0.95 imagenet"),
    ),
    "efficientvit_msra": (
        ("efficientvit_m0", 224, 2_349_436, 79_193_600, "bicubic 0.875 imagenet"),
        ("efficientvit_m2", 224, 4_187_554, 201_035_712, "bicubic 0.875 imagenet"),
        ("efficientvit_m5", 224, 12_473_772, 521_583_104, "bicubic 0.875 imagenet"),
    ),
    "swiftformer": (
        ("swiftformer_xs", 224, 3_475_360, 602_434_988, "bicubic 0.95 imagenet"),
        ("swiftformer_s", 224, 6_092_128, 984_604_768, "bicubic 0.95 imagenet"),
        ("swiftformer_l1", 224, 12_057_920, 1_595_988_480, "bicubic 0.95 imagenet"),
        ("swiftformer_l3", 224, 28_494_736, 4_008_367_872, "bicubic 0.95 imagenet"),
    ),
    "shvit": (
        ("shvit_s1", 224, 6_330_808, 241_320_768, "bicubic 0.875 imagenet"),
        ("shvit_s2", 224, 11_483_072, 365_394_896, "bicubic 0.875 imagenet"),
        ("shvit_s3", 224, 14_245_273, 600_570_164, "bicubic 0.875 imagenet"),
        ("shvit_s4", 256, 16_588_484, 986_216_960, "bicubic 0.875 imagenet"),
    ),
    "regnet": (
        ("regnetx_002", 224, 2_684_792, 199_039_872, "bicubic 0.875 imagenet"),
        ("regnetx_004", 224, 5_157_512, 397_677_568, "bicubic 0.875 imagenet"),
        ("regnetx_008", 224, 7_259_656, 799_699_712, "bicubic 0.965 imagenet"),
        ("regnety_002", 224, 3_162_996, 199_514_080, "bicubic 0.875 imagenet"),
        ("regnety_004", 224, 4_344_144, 401_842_848, "bicubic 0.965 imagenet"),
        ("regnety_008", 224, 6_263_168, 797_176_832, "bicubic 0.875 imagenet"),
    ),
    "vovnet": (
        ("ese_vovnet19b_slim_dw", 224, 1_897_752, 398_071_376, "bicubic 0.875 imagenet"),
        ("ese_vovnet19b_dw", 224, 6_543_080, 1_333_489_824, "bicubic 0.875 imagenet"),
    ),
    "poolformer": (("poolformer_s12", 224, 11_915_176, 1_812_267_008, "bicubic 0.9 imagenet"),),
    "rexnet": (
        ("rexnet_100", 224, 4_796_873, 398_370_392, "bicubic 0.875 imagenet"),
        ("rexnet_130", 224, 7_557_091, 662_229_098, "bicubic 0.875 imagenet"),
    ),
    "mixnet": (
        ("mixnet_s", 224, 4_134_606, 239_173_360, "bicubic 0.875 imagenet"),
        ("mixnet_m", 224, 5_014_382, 339_172_672, "bicubic 0.875 imagenet"),
    ),
    "fasternet": (
        ("fasternet_t0", 224, 3_905_500, 335_422_720, "bicubic 1 imagenet"),
        ("fasternet_t1", 224, 7_595_368, 850_511_872, "bicubic 1 imagenet"),
    ),
    "resnet": (
        ("resnet18", 224, 11_689_512, 1_814_073_344, "bicubic 0.95 imagenet"),
        ("resnet34", 224, 21_797_672, 3_663_761_408, "bicubic 0.95 imagenet"),
        ("resnet50", 224, 25_557_032, 4_089_184_256, "bicubic 0.95 imagenet"),
    ),
    "repghostnet": (
        ("repghostnet_050", 224, 2_306_528, 43_314_720, "bicubic 0.875 imagenet", 2_313_968, 43_314_720),
        ("repghostnet_100", 224, 4_058_772, 142_394_128, "bicubic 0.875 imagenet", 4_073_604, 142_394_128),
    ),
    "mambaout": (
        ("mambaout_femto", 224, 7_304_536, 1_147_984_992, "bicubic 1 imagenet"),
        ("mambaout_kobe", 224, 9_141_208, 1_505_865_312, "bicubic 1 imagenet"),
    ),
    "rdnet": (("rdnet_tiny", 224, 23_863_008, 5_032_673_424, "bicubic 0.9 imagenet"),),
    "hgnetv2": (
        ("hgnetv2_b0", 224, 5_996_550, 321_326_464, "bicubic 0.965 imagenet"),
        ("hgnetv2_b1", 224, 6_343_158, 489_387_840, "bicubic 0.965 imagenet"),
    ),
    "iformer": (
        ("iformer_t", 224, 2_886_456, 530_472_064, "bicubic 0.875 imagenet"),
        ("iformer_s", 224, 6_563_368, 1_092_386_528, "bicubic 0.875 imagenet"),
        ("iformer_m", 224, 8_907_424, 1_639_944_384, "bicubic 0.875 imagenet"),
    ),
    "convnext": (
        ("convnext_atto", 224, 3_695_520, 547_332_480, "bicubic 0.875 imagenet"),
        ("convnext_femto", 224, 5_217_784, 779_629_824, "bicubic 0.875 imagenet"),
    ),
    "deit": (("deit_tiny_patch16_224", 224, 5_717_416, 1_253_683_200, "bicubic 0.9 imagenet"),),
}

# Family -> rows; the name is torchvision's with "tv_" in front.
TORCHVISION: dict[str, tuple[Row, ...]] = {
    "mobilenetv2": (("tv_mobilenet_v2", 224, 3_504_872, 300_774_272, "bilinear 0.875 imagenet"),),
    "mobilenetv3": (
        ("tv_mobilenet_v3_large", 224, 5_483_032, 216_589_760, "bilinear 0.875 imagenet"),
        ("tv_mobilenet_v3_small", 224, 2_542_856, 56_510_400, "bilinear 0.875 imagenet"),
    ),
    "mnasnet": (
        ("tv_mnasnet0_5", 224, 2_218_512, 104_455_968, "bilinear 0.875 imagenet"),
        ("tv_mnasnet0_75", 224, 3_170_208, 215_493_104, "bilinear 0.9655 imagenet"),
        ("tv_mnasnet1_0", 224, 4_383_312, 314_415_872, "bilinear 0.875 imagenet"),
        ("tv_mnasnet1_3", 224, 6_282_256, 526_362_432, "bilinear 0.9655 imagenet"),
    ),
    "shufflenetv2": (
        ("tv_shufflenet_v2_x0_5", 224, 1_366_792, 40_476_448, "bilinear 0.875 imagenet"),
        ("tv_shufflenet_v2_x1_0", 224, 2_278_604, 144_907_992, "bilinear 0.875 imagenet"),
        ("tv_shufflenet_v2_x1_5", 224, 3_503_624, 295_759_392, "bilinear 0.9655 imagenet"),
        ("tv_shufflenet_v2_x2_0", 224, 7_393_996, 583_253_464, "bilinear 0.9655 imagenet"),
    ),
    "squeezenet": (
        ("tv_squeezenet1_0", 224, 1_248_424, 818_924_576, "bilinear 0.875 imagenet"),
        ("tv_squeezenet1_1", 224, 1_235_496, 349_151_936, "bilinear 0.875 imagenet"),
    ),
    "efficientnet": (("tv_efficientnet_b0", 224, 5_288_548, 385_814_752, "bicubic 0.875 imagenet"),),
    "maxvit": (("tv_maxvit_t", 224, 30_919_624, 5_558_046_720, "bicubic 1 imagenet"),),
    "resnet": (("tv_resnet18", 224, 11_689_512, 1_814_073_344, "bilinear 0.875 imagenet"),),
    "lraspp": (("tv_lraspp_mobilenet_v3_large", 520, 3_221_538, 2_086_219_688, "bilinear 1 imagenet"),),
    "ssdlite": (("tv_ssdlite320_mobilenet_v3_large", 320, 3_440_060, 583_171_904, "bilinear 1 half"),),
}
