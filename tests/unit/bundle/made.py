"""Small recipes for the tests of bundles. The model files are stand-ins: nothing here runs them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgekit.bundle.names import identifier
from edgekit.bundle.recipe import Member, Part, Recipe
from edgekit.bundle.records import (
    Contract,
    DeviceRow,
    Evidence,
    Licence,
    Model,
    Quantisation,
    Tensor,
    Variant,
)
from edgekit.convert.parity import TOLERANCES
from edgekit.records import Parity, Preprocess

SUFFIXES = {"litert": ".tflite", "executorch": ".pte", "onnx": ".onnx", "coreml": ".mlpackage", "mcu": ".tflite"}
PREPROCESS = Preprocess(height=8, width=8, crop_fraction=0.875, interpolation="bilinear", source="the tests")
LABELS = ("cat", "dog", "bird")
IMAGE = Contract(
    inputs=(Tensor(name="image", identifier="image", shape=(1, 3, 8, 8)),),
    outputs=(Tensor(name="logits", identifier="logits", shape=(1, 3)),),
    preprocess=PREPROCESS, labels=LABELS,
)  # fmt: skip
# The same model as a microcontroller takes it: stored integers, channels last.
INT8_IMAGE = Contract(
    inputs=(Tensor(name="image", identifier="image", shape=(1, 8, 8, 3), dtype="int8",
                   quantisation=Quantisation(scale=0.018658, zero_point=-14)),),
    outputs=(Tensor(name="logits", identifier="logits", shape=(1, 3), dtype="int8",
                    quantisation=Quantisation(scale=0.1, zero_point=5)),),
    preprocess=PREPROCESS, labels=LABELS,
)  # fmt: skip
# What ends a string, a comment, a line or a template's place in one of the languages that bundles are written in.
HOSTILE = (
    'quote " and \' and `', "dollar $x ${x} $(x)", "back \\ slash \\n \\(x) \\u0041 ??/",
    'end */ /* // # --> ]]> """',
    "place @NAME@ %s %n {x} {{x}}", "tab\tand \u2028 and \x85 and \x01", "snow ☃ 日本 é 💥", "<b>&amp;</b>", "class",
    " leading and trailing ", "C:\\path\\", "line\nbreak\r\n",
)  # fmt: skip
ACCEPTED = Licence(name="Apache-2.0", source="the tests", redistributable=True)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def samples(tensors: Sequence[Tensor], count: int, seed: int) -> tuple[np.ndarray, ...]:
    """One stack per tensor, with the values that a network has: some negative, few large."""
    chance = np.random.default_rng(seed)
    stacks = [chance.normal(0, 1, (count, *tensor.shape)) for tensor in tensors]
    return tuple(
        np.clip(np.round(stack * 40), -128, 127).astype(np.int8) if t.dtype == "int8" else stack.astype(t.dtype)
        for stack, t in zip(stacks, tensors, strict=True)
    )


def write_model(path: Path, content: bytes) -> None:
    """A file, or an .mlpackage as a folder."""
    if path.suffix != ".mlpackage":
        path.write_bytes(content)
        return
    inside = path / "Data/com.apple.CoreML"
    (inside / "weights").mkdir(parents=True)
    (path / "Manifest.json").write_text('{"fileFormatVersion": "1.0.0"}\n')
    (inside / "model.mlmodel").write_bytes(content)
    (inside / "weights/weight.bin").write_bytes(content[::-1])


def evidence(device: str = "pixel7", p50: float = 10.0, **changes: Any) -> Evidence:
    fields: dict[str, Any] = {
        "measurement_id": digest(f"{device}{p50}")[:32], "created": "2026-03-01T10:00:00+00:00", "device": device,
        "device_name": "Pixel 7", "soc": "GS201", "os_build": "14", "engine": "litert", "runtime_version": "2.3",
        "verdict": "ok", "p50_ms": p50, "p90_ms": p50 * 1.1, "ci95_ms": (p50 - 0.1, p50 + 0.1), "threads": 4,
        "model_rss_bytes": 30_000_000,
    }  # fmt: skip
    return Evidence(**{**fields, **changes})


def member(folder: Path, name: str = "net", format_name: str = "litert", contract: Contract = IMAGE, *, seed: int = 0,
           golden: int = 2, **changes: Any) -> Member:  # fmt: skip
    """One variant with a file of a few bytes in ``folder``; ``changes`` are those of the Variant."""
    precision = changes.get("precision", "int8" if contract is INT8_IMAGE else "fp32")
    path = folder / f"{name}_{format_name}_{precision}{SUFFIXES[format_name]}"
    content = f"{name} {format_name} {precision} {seed}".encode() * 9
    write_model(path, content)
    exact = format_name == "mcu"
    parity = Parity(
        passed=True, max_abs=1e-5, cosine=1.0, psnr_db=120.0, top1_agreement=1.0, samples=8,
        golden_sha256=digest("golden"), tolerance=TOLERANCES[precision], bit_equal=True if exact else None,
    )  # fmt: skip
    fields: dict[str, Any] = {
        "id": f"{format_name}_{precision}", "artifact_sha256": hashlib.sha256(content).hexdigest(),
        "format": format_name, "precision": precision, "bytes": len(content), "converter": "converter 1.2.3",
        "weights": "a checkpoint", "exported_sha256": digest(name), "parity": parity, "contract": contract,
        "golden_samples": golden, "golden_source": "seeded natural-statistics images, seed 0",
    }  # fmt: skip
    variant = Variant(**{**fields, **changes})
    return Member(variant, path, samples(contract.inputs, golden, seed), samples(contract.outputs, golden, seed + 1))


def part(name: str, members: Sequence[Member], **changes: Any) -> Part:
    """One model of these variants; ``changes`` are those of the Model."""
    fields: dict[str, Any] = {"name": name, "identifier": identifier(name, "model"), "licence": ACCEPTED}
    variants = tuple(one.variant for one in members)
    return Part(Model(**{**fields, "variants": variants, **changes}), tuple(members))


def recipe(*parts: Part, name: str = "demo", **options: str) -> Recipe:
    """``options`` are all that the target has: nothing adds its defaults here."""
    return Recipe(name=name, identifier=identifier(name, "bundle"), parts=parts, options=options)


def simple(folder: Path, format_name: str = "litert", contract: Contract = IMAGE, **options: str) -> Recipe:
    """One model of one variant: an image in, three logits out."""
    return recipe(part("net", [member(folder, "net", format_name, contract)]), **options)


def two_variants(folder: Path, format_name: str = "litert", **options: str) -> Recipe:
    """One model of two variants: fp32 is the fall-back, and two devices run fp16, with other numbers of threads."""
    plain = member(folder, "net", format_name)
    measured = evidence("pixel7", 4.0), evidence("galaxy_s23", 3.0, device_name="Galaxy S23", soc="SM8550", threads=2)
    half = member(folder, "net", format_name, seed=3, precision="fp16", threads=2, evidence=measured)
    rows = (
        DeviceRow(device_name="Pixel 7", soc="GS201", variant=half.variant.id, threads=4, p50_ms=4.0,
                  measurement_id=half.variant.evidence[0].measurement_id),
        DeviceRow(device_name="Galaxy S23", soc="SM8550", variant=half.variant.id, threads=2, p50_ms=3.0,
                  measurement_id=half.variant.evidence[1].measurement_id),
    )  # fmt: skip
    return recipe(part("net", [plain, half], devices=rows), **options)


def two_models(folder: Path, format_name: str = "litert", contract: Contract = IMAGE, **options: str) -> Recipe:
    """Two models; the second has neither preprocessing nor labels, and no known licence."""
    bare = msgspec.structs.replace(contract, preprocess=None, labels=None)
    unknown = Licence(name="none stated", source="nothing states one")
    first = part("net", [member(folder, "net", format_name, contract)])
    second = part("other net", [member(folder, "other", format_name, bare, seed=5)], licence=unknown,
                  warnings=("nothing states the licence of other net",))  # fmt: skip
    return recipe(first, second, **options)


def several_tensors(folder: Path, format_name: str = "litert", **options: str) -> Recipe:
    """Two inputs and two outputs of several ranks, and no preprocessing."""
    contract = Contract(
        inputs=(Tensor(name="image", identifier="image", shape=(1, 3, 4, 4)),
                Tensor(name="extra", identifier="extra", shape=(1, 5))),
        outputs=(Tensor(name="map", identifier="output_map", shape=(1, 2, 4, 4)),
                 Tensor(name="score", identifier="score", shape=(1,))),
    )  # fmt: skip
    return recipe(part("pair", [member(folder, "pair", format_name, contract)]), **options)


def hostile(folder: Path, format_name: str = "litert", contract: Contract = IMAGE, **options: str) -> Recipe:
    """Every text that a model file or a user gives is one that breaks out of a string or a comment somewhere."""
    (given,), (made,) = contract.inputs, contract.outputs
    wide = msgspec.structs.replace(made, name=HOSTILE[1], shape=(1, len(HOSTILE)))
    named = msgspec.structs.replace(
        contract, inputs=(msgspec.structs.replace(given, name=HOSTILE[0]),), outputs=(wide,), labels=HOSTILE
    )
    text = " ".join(HOSTILE)
    measured = evidence(HOSTILE[2], device_name=text, soc=HOSTILE[3], os_build=HOSTILE[4], verdict_reasons=(text,))
    one = member(folder, "net", format_name, named, converter=text, weights=text, golden_source=text,
                 rewrites=HOSTILE, evidence=(measured,))  # fmt: skip
    row = DeviceRow(device_name=text, soc=HOSTILE[3], variant=one.variant.id, threads=1, p50_ms=1.0,
                    measurement_id=measured.measurement_id)  # fmt: skip
    model = part(text, [one], devices=(row,), licence=Licence(name=text, source=text), warnings=(text,))
    return recipe(model, name=text, **options)
