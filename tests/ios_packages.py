"""A recipe for a Swift package: two models, one with pictures, labels and two variants, one with hostile names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from edgekit.bundle.names import identifier
from edgekit.bundle.recipe import Member, Part, Recipe
from edgekit.bundle.records import Contract, DeviceRow, Licence, Model, Tensor, Variant
from edgekit.harness.content import sha256_of
from edgekit.records import Parity, Preprocess, Tolerance

HOSTILE = 'x"); import Evil /* \\(evil) `$` \u202e*/ // \n#else\r{{@MODULE@}} été 手 \U0001f600'
LABELS = ("plain", HOSTILE, '"', "\\", "e\u0301", "\u0301", "\u0000\u2028", "a|b")
PARITY = Parity(
    passed=True, samples=2,
    tolerance=Tolerance(precision="fp32", max_abs=2e-4, cosine=0.99999, psnr_db=80.0, top1_agreement=1.0),
)  # fmt: skip


def package(path: Path, version: int = 7, weights: bytes = b"weights") -> Path:
    """An .mlpackage of the given specification version: whole as a directory, without a program in it."""
    data = path / "Data/com.apple.CoreML"
    (data / "weights").mkdir(parents=True)
    (data / "model.mlmodel").write_bytes(bytes([0x08, version]) + b"\x12\x00")
    (data / "weights/weight.bin").write_bytes(weights)
    entry = {"author": "com.apple.CoreML", "name": "model.mlmodel", "path": "com.apple.CoreML/model.mlmodel"}
    (path / "Manifest.json").write_text(
        json.dumps({"fileFormatVersion": "1.0.0", "itemInfoEntries": {"A": entry}, "rootModelIdentifier": "A"})
    )
    return path


def member(path: Path, name: str, contract: Contract, **changes: object) -> Member:
    """A variant with two golden samples of random values."""
    random = np.random.default_rng(len(name))

    def stack(tensor: Tensor) -> np.ndarray:
        return (random.standard_normal((2, *tensor.shape)) * 3).astype(tensor.dtype)

    facts: dict[str, object] = {"format": "coreml", "precision": name, "parity": PARITY, "golden_samples": 2}
    variant = Variant(
        id=name, artifact_sha256=sha256_of(path), bytes=1, converter="coremltools 9", contract=contract,
        golden_source="random", **{**facts, **changes},
    )  # fmt: skip
    inputs, outputs = (tuple(map(stack, tensors)) for tensors in (contract.inputs, contract.outputs))
    return Member(variant, path, inputs, outputs)


def tensor(name: str, *shape: int, dtype: str = "float32") -> Tensor:
    return Tensor(name=name, identifier=identifier(name, "tensor"), shape=shape, dtype=dtype)


def pictures(folder: Path) -> Part:
    """A classifier of pictures that are wider than high, with a second input, in two precisions."""

    def contract(dtype: str) -> Contract:
        return Contract(
            inputs=(tensor("image", 1, 3, 24, 40), tensor("await", 1, 5)),
            outputs=(tensor("var_12", 1, 8, dtype=dtype), tensor("class", 1, dtype="int32")),
            preprocess=Preprocess(height=24, width=40, crop_fraction=0.875, interpolation="bicubic"), labels=LABELS,
        )  # fmt: skip

    members = (
        member(package(folder / "a.mlpackage"), "fp32", contract("float32"), compute_units="cpu_and_gpu"),
        member(package(folder / "b.mlpackage", weights=b"half"), "fp16", contract("float16")),
    )
    device = DeviceRow(device_name="iPhone15,2", soc=None, variant="fp16", threads=1, p50_ms=1.5, measurement_id="m")
    model = Model(
        name="digits", identifier="digits", licence=Licence(name="MIT", source="test"),
        variants=tuple(m.variant for m in members), devices=(device,),
    )  # fmt: skip
    return Part(model, members)


def hostile(folder: Path) -> Part:
    """Whatever a model file can be called, and a type of Swift's own."""
    contract = Contract(
        inputs=(tensor(HOSTILE, 2, 3), tensor("self", 1, dtype="int32"), tensor("picture", 1)),
        outputs=(tensor("top", 1, 2), tensor("2nd \\(x)"), tensor("@TYPE@", 1, 1, 1, 3, dtype="int32")),
    )
    made = member(package(folder / "c.mlpackage"), "fp32", contract, parity=Parity(passed=None, reason=HOSTILE))
    model = Model(
        name=HOSTILE, identifier="string", licence=Licence(name=HOSTILE, source=HOSTILE), variants=(made.variant,),
        devices=(DeviceRow(device_name=HOSTILE, soc=None, variant="fp32", threads=1, p50_ms=None, measurement_id="m"),),
    )  # fmt: skip
    return Part(model, (made,))


def recipe(folder: Path) -> Recipe:
    """Both, in a bundle that is called as a framework of Apple's."""
    return Recipe(name=f"Vision {HOSTILE}", identifier="vision", parts=(pictures(folder), hostile(folder)))
