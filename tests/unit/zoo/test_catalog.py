from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.errors import ModelError
from edgekit.model import zoo
from edgekit.model.zoo import catalog
from edgekit.model.zoo.entry import LICENCES
from edgekit.model.zoo.families import FAMILIES

# The systems whose model families the zoo is asked to have -> the families that answer for them.
SYSTEMS = {
    "EfficientFormer: Vision Transformers at MobileNet Speed": ("efficientformer",),
    "MobileViG: Graph-Based Sparse Attention for Mobile Vision": ("mobilevig",),
    "MCUFormer: Deploying Vision Transformers on Microcontrollers": ("mcuformer",),
    "MobileNetV4 -- Universal Models for the Mobile Ecosystem": ("mobilenetv4",),
    "MnasNet: Platform-Aware NAS for Mobile": ("mnasnet",),
    "Once-for-All": ("ofa",),
    "ProxylessNAS": ("proxylessnas",),
    "FBNet": ("fbnet",),
    "Single-Path NAS": ("singlepathnas",),
    "Searching for MobileNetV3": ("mobilenetv3", "lraspp"),
    "MobileNetV2": ("mobilenetv2",),
    "MCUNetV2": ("mcunetv2", "mcunet"),
    "HardCoRe-NAS": ("hardcorenas",),
    "ElasticViT": ("elasticvit",),
    "Next-ViT": ("nextvit",),
    "FMViT": ("fmvit",),
    "GhostNetV2": ("ghostnetv2",),
    "Model Rubik's Cube: TinyNets": ("tinynet",),
    "EMOv2": ("emov2", "emo"),
    "Efficient Modulation": ("efficientmod",),
    "Rewrite the Stars (StarNet)": ("starnet",),
    "TinyViT": ("tinyvit",),
    "GreedyViG": ("greedyvig",),
    "MobileMamba": ("mobilemamba",),
    "VCMamba": ("vcmamba",),
    "RepVGG": ("repvgg",),
    "SLAB (PRepBN + simplified linear attention)": ("slab",),
    "SINet portrait segmentation": ("sinet",),
    "XLSR quantization-robust SR": ("xlsr",),
    "ESPCN (sub-pixel CNN)": ("espcn",),
    "LeYOLO": ("leyolo",),
    "SSD: Single Shot MultiBox Detector": ("ssdlite",),
    "Simple & Efficient Architectures for Semantic Segmentation (FFNet)": ("ffnet",),
    "HarDNet": ("hardnet",),
    "EfficientNet": ("efficientnet", "efficientnet_lite"),
    "MaxViT": ("maxvit",),
    "InceptionNeXt": ("inceptionnext",),
    "VanillaNet": ("vanillanet",),
    "TResNet": ("tresnet",),
    "Designing Network Design Spaces (RegNet)": ("regnet",),
    "VoVNet": ("vovnet",),
    "Bias Loss for Mobile NNs (SkipNet)": ("skipnet",),
    "FBNetV3": ("fbnetv3",),
    "TurboViT": ("turbovit",),
}
# Families that can't be built; each has an entry that says why.
WITHOUT_A_MODEL = {"elasticvit", "emov2", "fmvit", "greedyvig", "leyolo", "mcunetv2", "skipnet", "slab", "turbovit",
                   "vcmamba"}  # fmt: skip


def test_there_are_enough_models_and_families() -> None:
    names = [entry.name for entry in zoo.entries()]
    assert len(set(names)) == len(names)
    assert len(zoo.available()) >= 90
    assert len({entry.family for entry in zoo.available()}) >= 45


def test_every_family_is_described_and_used() -> None:
    assert {entry.family for entry in zoo.entries()} == set(FAMILIES)
    assert {entry.licence for entry in zoo.entries()} <= set(LICENCES)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_is_accounted_for(system: str) -> None:
    for family in SYSTEMS[system]:
        entries = [entry for entry in zoo.entries() if entry.family == family]
        assert entries, f"{system} has no entry"
        built = [entry for entry in entries if entry.unavailable is None]
        assert bool(built) != (family in WITHOUT_A_MODEL)


def test_an_entry_is_either_complete_or_has_a_reason() -> None:
    for entry in zoo.entries():
        if entry.unavailable is not None:
            assert len(entry.unavailable) > 10
            assert (entry.input_size, entry.params, entry.macs, entry.preprocess) == (None, None, None, None)
            continue
        assert entry.builder and entry.input_size and entry.preprocess
        assert entry.params and entry.macs and entry.params > 1000 and entry.macs > 100_000
        assert entry.input_size[1:] == (entry.preprocess.height, entry.preprocess.width)
        assert len(entry.preprocess.mean) == len(entry.preprocess.std) == entry.input_size[0]
        assert 0.7 <= entry.preprocess.crop_fraction <= 1


def test_accuracies_have_a_source_and_belong_to_a_model() -> None:
    known = {entry.name: entry for entry in zoo.entries()}
    with (Path(catalog.__file__).parent / "data/top1.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["name"] for row in rows}) == len(rows)
    for row in rows:
        entry = known[row["name"]]
        assert entry.top1 == float(row["top1"]) and entry.top1_source == row["source"] and len(row["source"]) > 8
        assert 30 < entry.top1 < 90
    assert all((entry.top1 is None) == (entry.top1_source is None) for entry in known.values())


def test_listing_does_not_import_torch() -> None:
    code = (
        "import sys, edgekit.cli.zoo as z; z.zoo.entries(); sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[3]).returncode == 0


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("mobilvig_ti", "mobilevig_ti"), ("mobilenetv2-100", "mobilenetv2_100"), ("EMO_1M", "emo_1m"),
     ("efficientformer", "efficientformer_l1")],
)  # fmt: skip
def test_a_misspelt_name_offers_the_nearest(wrong: str, meant: str) -> None:
    with pytest.raises(ModelError, match="no model zoo:") as caught:
        zoo.find(wrong)
    assert caught.value.code == 10
    assert meant in caught.value.facts["nearest"] and meant in caught.value.next_step


def test_a_name_like_nothing_else() -> None:
    with pytest.raises(ModelError) as caught:
        zoo.find("q" * 5000)
    assert "edgekit zoo" in caught.value.next_step
    assert len(caught.value.message) < 200
