"""Generated Android modules: all their Kotlin is compiled here, and run on the Java virtual machine.

Android, JUnit and the three runtimes are the stubs of ``tests/android_stubs``: a model is known by its sha256, and
answers the very bytes of its golden inputs with those of its golden outputs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.bundle import preprocessing
from edgekit.bundle.android import GENERATOR
from edgekit.bundle.recipe import Content, Member, Recipe
from edgekit.bundle.records import DeviceRow, FileEntry, Licence, Manifest, Quantisation, Tensor
from edgekit.bundle.seal import key, manifest, signature
from tests import adbd
from tests.unit.bundle import made

STUBS = Path(__file__).parents[1] / "android_stubs"
PACKAGES = ("full", "pack")
TEXT = " ".join(made.HOSTILE)
INT8_IMAGE = msgspec.structs.replace(
    made.IMAGE,
    inputs=(Tensor(name=TEXT, identifier="image", shape=(1, 3, 8, 8), dtype="int8",
                   quantisation=Quantisation(scale=0.03125, zero_point=-14)),),
    outputs=(Tensor(name=TEXT, identifier="logits", shape=(1, 12), dtype="int8",
                    quantisation=Quantisation(scale=0.1, zero_point=5)),),
    labels=made.HOSTILE,
)  # fmt: skip
FLOAT_IMAGE = msgspec.structs.replace(
    made.IMAGE, inputs=(Tensor(name=TEXT, identifier="image", shape=(1, 3, 8, 8)),),
    outputs=(Tensor(name=TEXT, identifier="logits", shape=(1, 12)),), labels=made.HOSTILE,
)  # fmt: skip
PAIR = msgspec.structs.replace(
    made.IMAGE,
    inputs=(Tensor(name="image", identifier="image", shape=(1, 3, 4, 4)),
            Tensor(name="extra", identifier="variant", shape=(1, 5), dtype="int64")),
    outputs=(Tensor(name="map", identifier="output_map", shape=(1, 2, 4, 4)),
             Tensor(name="score", identifier="score", shape=(1,), dtype="int32")),
    preprocess=None, labels=None,
)  # fmt: skip
MANY = msgspec.structs.replace(
    made.IMAGE, inputs=(*made.IMAGE.inputs, Tensor(name="k", identifier="k", shape=(1, 2))),
    outputs=(Tensor(name="logits", identifier="logits", shape=(1, 1200)),),
    labels=tuple(f"label {index}" for index in range(1200)),
)  # fmt: skip
# The scores of the golden picture: the best are 4, then 2.
SCORES = np.array([[0, 1, 6, 2, 7, 0, 0, 0, 0, 0, 0, 0]], np.float32)

CHECKS = (
    *(f"full NetModelGoldenTest.{name}"
      for name in ("variant_litert_fp32", "variant_executorch_fp16", "variant_onnx_fp32", "variant_litert_int8",
                   "preprocessing", "quantisedPreprocessing")),
    "full PairModelGoldenTest.variant_onnx_fp32",
    "full ManyModelGoldenTest.variant_litert_fp32", "full ManyModelGoldenTest.preprocessing",
    "pack NetModelGoldenTest.variant_litert_fp32", "pack NetModelGoldenTest.variant_litert_fp16",
    "pack NetModelGoldenTest.preprocessing",
    "golden test notices other outputs", "selection", "changed model is refused", "truncated model is refused",
    "compressed asset is named", "missing asset is named", "executorch copy", "threads are applied",
    "fake engine, float", "fake engine, quantised", "several tensors", "classify a bitmap", "hardware bitmap", "labels",
    "wrong number of values", "closed", "another model's tensors", "ed25519", "seal", "asset pack",
)  # fmt: skip


def _full(folder: Path) -> Recipe:
    """Every runtime, variants of two types, hostile labels and names of tensors, devices, and three models."""
    net = [
        made.member(folder, "net", "litert", FLOAT_IMAGE, seed=6, golden_source=TEXT, converter=TEXT, weights=TEXT),
        made.member(folder, "net", "executorch", FLOAT_IMAGE, seed=1, precision="fp16"),
        made.member(folder, "net", "onnx", FLOAT_IMAGE, seed=2, threads=4),
        made.member(folder, "net", "litert", INT8_IMAGE, seed=3, precision="int8"),
    ]
    rows = [("Twin", "other", "onnx_fp32", 1), ("Google Pixel 7", "GS201", "executorch_fp16", 2),
            ("Galaxy S23", "SM8550", "litert_int8", 3), ("Twin", "SM8550", "litert_int8", 3),
            (TEXT, made.HOSTILE[3], "onnx_fp32", 1)]  # fmt: skip
    devices = tuple(DeviceRow(device_name=name, soc=soc, variant=one, threads=threads, p50_ms=1.5, measurement_id="m")
                    for name, soc, one, threads in rows)  # fmt: skip
    return made.recipe(
        made.part(
            TEXT, net, identifier="net", devices=devices, licence=Licence(name=TEXT, source=TEXT), warnings=(TEXT,)
        ),
        made.part("pair", [made.member(folder, "pair", "onnx", PAIR, seed=4)]),
        made.part("many", [made.member(folder, "many", "litert", MANY, seed=5)]),
        package="com.example.full",
    )


def _recipes(folder: Path) -> dict[str, Recipe]:
    for name in PACKAGES:
        (folder / name).mkdir()
    return {
        "full": _full(folder / "full"),
        "pack": made.two_variants(folder / "pack", package="com.example.pack", delivery="asset-pack"),
    }


def _write(folder: Path, content: Content) -> None:
    for name, data in content.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.read_bytes())


def _replay(folder: Path, member: Member, *, off: float = 0.0, outputs: int | None = None) -> None:
    """The golden samples of a model for the stubs, and one of the golden picture."""
    contract = member.variant.contract
    place = folder / hashlib.sha256(member.path.read_bytes()).hexdigest()
    place.mkdir(parents=True)
    samples = [[array[index] for array in (*member.golden_inputs, *member.golden_outputs)]
               for index in range(len(member.golden_inputs[0]))]  # fmt: skip
    if contract.preprocess is not None and contract.outputs[0].shape == (1, 12):
        steps = preprocessing.steps_of(contract.preprocess, contract.inputs[0])
        scale = contract.outputs[0].quantisation
        scores = SCORES if scale is None else (SCORES / scale.scale + scale.zero_point).astype(np.int8)
        samples.append([preprocessing.vector(steps)[1], scores])
    count = len(contract.inputs)
    for index, arrays in enumerate(samples):
        for i, array in enumerate(arrays[:count]):
            (place / f"{index}_in{i}.bin").write_bytes(array.tobytes())
        for i, array in enumerate(arrays[count:]):
            changed = array + np.asarray(off, array.dtype)
            (place / f"{index}_out{i}.bin").write_bytes(changed.ravel()[:outputs].tobytes())


def _seal(root: Path, content: Content, left_out: str) -> None:
    """What the module's build copies beside the assets, with the keys; one file is listed with another content."""

    def digest(name: str) -> str:
        data = content.files[name]
        return hashlib.sha256(
            b"" if left_out in name else data if isinstance(data, bytes) else data.read_bytes()
        ).hexdigest()

    files = tuple(FileEntry(path=name, bytes=1, sha256=digest(name)) for name in sorted(content.files))
    data = manifest.encode(Manifest(target="android", name=made.HOSTILE[0], edgekit_version="1", options={}, models=(),
                                    runtimes=content.runtimes, warnings=(), files=files))  # fmt: skip
    pair, other = key.generate("mine"), key.generate("other")
    (root / "key.pub").write_bytes(key.public_pem(pair.public))
    (root / "other.pub").write_bytes(key.public_pem(other.public))
    for folder, first in (("generated", data), ("changed_seal", data.replace(b"1", b"2", 1))):
        place = root / folder / "edgekit_seal/com.example.full"
        place.mkdir(parents=True)
        (place / "manifest.json").write_bytes(first)
        (place / "manifest.json.sig").write_bytes(signature.sign(data, pair))


def _damaged(root: Path, name: str, content: Content, damage: object) -> None:
    """The models of a module with a change in each."""
    assert callable(damage)
    for path, data in content.files.items():
        if isinstance(data, Path):
            place = root / name / path.removeprefix("src/main/assets/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(damage(data.read_bytes()))


def _run(*command: str | Path, cwd: Path) -> str:
    environment = {**os.environ, "JAVA_OPTS": "-Xmx1G -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def _compile(root: Path) -> list[str]:
    """Everything; Kotlin's warnings are errors. The class path."""
    library = Path(str(shutil.which("kotlinc"))).resolve().parents[1] / "lib/kotlin-stdlib.jar"
    stubs, classes = root / "stubs", root / "classes"
    _run("javac", "-d", stubs, *sorted(path for path in STUBS.rglob("*.java") if path.name != "Driver.java"), cwd=root)
    sources = sorted(path for name in PACKAGES for path in (root / name).rglob("*.kt"))
    _run(
        "kotlinc",
        "-Werror",
        "-jvm-target",
        "1.8",
        "-no-reflect",
        "-classpath",
        stubs,
        "-d",
        classes,
        *sources,
        cwd=root,
    )
    path = f"{stubs}:{classes}:{library}"
    _run("javac", "-cp", path, "-d", classes, STUBS / "driver/Driver.java", cwd=root)
    return ["-cp", path]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the driver found, by check: ok, or why not."""
    adbd.require("kotlinc", "javac", "java")
    root = tmp_path_factory.mktemp("android")
    recipes = _recipes(root)
    contents = {name: GENERATOR.content(recipe) for name, recipe in recipes.items()}
    for name, content in contents.items():
        _write(root / name, content)
    for part in (*recipes["full"].parts, *recipes["pack"].parts):
        for member in part.members:
            _replay(root / "replay", member)
    for member in recipes["full"].parts[0].members:
        _replay(root / "replay_off", member, off=1.0)
        _replay(root / "replay_shapes", member, outputs=0 if member.variant.format == "onnx" else 11)
    for path in (root / "replay_shapes").rglob("*_out0.bin"):
        if path.stat().st_size == 0:
            path.unlink()
    shutil.copytree(root / "pack/demo_pack/src/main/assets", root / "demo_pack_assets")
    _seal(root, contents["full"], left_out="many")
    _damaged(root, "changed", contents["full"], lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    _damaged(root, "truncated", contents["full"], lambda data: data[:-1])
    (root / "labels.txt").write_text("\0".join(made.HOSTILE), encoding="utf-8", newline="")
    tests = [f"com.example.{name}.{kind}GoldenTest" for name, kind in
             (("full", "NetModel"), ("full", "PairModel"), ("full", "ManyModel"), ("pack", "NetModel"))]  # fmt: skip
    out = _run("java", "-Dfile.encoding=UTF-8", *_compile(root), "driver.Driver", root, ",".join(tests), cwd=root)
    lines = [line.split(" ", 1) for line in out.splitlines()]
    return {rest.split(": ", 1)[0]: verdict if verdict == "ok" else rest for verdict, rest in lines}


@pytest.mark.parametrize("check", CHECKS)
def test_generated_code_does_what_it_says(results: dict[str, str], check: str) -> None:
    assert results[check] == "ok"


def test_every_check_is_listed_here(results: dict[str, str]) -> None:
    assert set(results) == set(CHECKS)
