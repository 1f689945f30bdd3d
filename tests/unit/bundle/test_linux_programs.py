"""The Python programs of a bundle for Linux, as far as they need no runtime."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.bundle import preprocessing
from edgekit.bundle.records import Quantisation, Tensor
from edgekit.bundle.template import ASSETS
from edgekit.convert.parity import TOLERANCES, compare
from edgekit.harness.state import parse_cpu_model
from edgekit.records import Preprocess

FOLDERS = [str(ASSETS / "linux"), str(ASSETS / "linux/python")]
MODULES = ("check", "edgekit_runner", "edgekit_model")
DEVICES = [
    {"device_name": "Board A", "soc": "SOC9", "variant": "small", "threads": 3},
    {"device_name": "Board B", "soc": None, "variant": "large", "threads": 2},
]
MODEL = {
    "name": "net", "identifier": "net", "devices": DEVICES,
    "variants": [{"id": "large", "threads": 4}, {"id": "small", "threads": 1}],
}  # fmt: skip


@pytest.fixture(scope="module")
def programs() -> Iterator[dict[str, ModuleType]]:
    before = list(sys.path), sys.dont_write_bytecode
    sys.path[:0] = FOLDERS
    yield {name: __import__(name) for name in MODULES}
    sys.path[:], sys.dont_write_bytecode = before
    for name in MODULES:
        del sys.modules[name]


@pytest.mark.parametrize("precision", sorted(TOLERANCES))
@pytest.mark.parametrize("noise", [0.0, 1e-5, 1e-3, 1e-2, 0.1, 0.4, 2.0])
@pytest.mark.parametrize("shape", [(4, 1, 10), (2, 1, 3, 4, 4), (3,)])
def test_the_verdict_is_edgekits_own(
    programs: dict[str, ModuleType], precision: str, noise: float, shape: tuple[int, ...]
) -> None:
    chance = np.random.default_rng(len(shape))
    wanted = chance.standard_normal(shape).astype("float32")
    found = (wanted + noise * chance.standard_normal(shape)).astype("float32")
    bounds = TOLERANCES[precision]
    reasons = programs["check"].differences(
        (shape, found.ravel().tolist()), (shape, wanted.ravel().tolist()),
        {"max_abs": bounds.max_abs, "cosine": bounds.cosine, "psnr_db": bounds.psnr_db,
         "top1_agreement": bounds.top1_agreement},
    )  # fmt: skip
    judged = compare([found], [wanted], precision)
    assert (not reasons) == judged.passed, (reasons, judged.reason)
    assert "; ".join(f"output 0: {reason}" for reason in reasons) == (judged.reason or "")


def test_what_is_not_finite_never_passes(programs: dict[str, ModuleType]) -> None:
    loose = {"max_abs": 1e9, "cosine": -2.0, "psnr_db": -1e9, "top1_agreement": 0.0}
    for value in (float("nan"), float("inf")):
        assert programs["check"].differences(((2,), [1.0, value]), ((2,), [1.0, 1.0]), loose)
    assert programs["check"].differences(((2,), [1.0, 1.0]), ((1, 2), [1.0, 1.0]), loose)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "uint8", "bool", "int16", "int32", "int64"])
def test_npy_files_are_read_without_numpy(programs: dict[str, ModuleType], tmp_path: Path, dtype: str) -> None:
    stack = (np.random.default_rng(0).standard_normal((2, 1, 3)) * 50).astype(dtype)
    np.save(tmp_path / "a.npy", stack)
    shape, values = programs["check"].read_npy(tmp_path / "a.npy")
    assert shape == stack.shape and list(values) == stack.ravel().tolist()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff{", b"PK\x03\x04" * 9])
def test_damaged_npy_files(programs: dict[str, ModuleType], tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(programs["edgekit_runner"].BundleProblem, match="damaged"):
        programs["check"].read_npy(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("variant", "device", "chosen", "threads"),
    [
        (None, "Board A", "small", 3), (None, "SOC9", "small", 3), (None, "Board B", "large", 2),
        ("large", "Board A", "large", 4), ("small", "Board A", "small", 3), ("small", None, "small", 1),
        (None, None, "large", 4),
    ],
)  # fmt: skip
def test_the_variant_for_a_device(
    programs: dict[str, ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    variant: Any,
    device: Any,
    chosen: str,
    threads: int,
) -> None:
    monkeypatch.setattr(programs["edgekit_runner"], "device_name", lambda: "an unknown board")
    found, count = programs["edgekit_runner"].choose_variant(MODEL, variant, device)
    assert (found["id"], count) == (chosen, threads)


def test_this_device_is_asked_for(programs: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs["edgekit_runner"], "device_name", lambda: "Board A")
    assert programs["edgekit_runner"].choose_variant(MODEL)[1] == 3
    with pytest.raises(programs["edgekit_runner"].BundleProblem, match="not measured on a device Board C"):
        programs["edgekit_runner"].choose_variant(MODEL, None, "Board C")
    with pytest.raises(programs["edgekit_runner"].BundleProblem, match="no variant medium; it has: large, small"):
        programs["edgekit_runner"].choose_variant(MODEL, "medium")


@pytest.mark.parametrize(
    "cpuinfo",
    [
        "processor\t: 0\nmodel name\t: Some  CPU @ 2.40GHz \n", "processor : 0\nHardware\t: BCM2835\n", "",
        "Processor\t: ARMv7 rev 4 (v7l)\nHardware : Board\n", "model name :\nHardware: x", "processor\t: 0\n",
    ],
)  # fmt: skip
def test_the_device_has_the_name_that_it_was_measured_under(
    programs: dict[str, ModuleType], tmp_path: Path, cpuinfo: str
) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert programs["edgekit_runner"].device_name(tmp_path / "cpuinfo") == parse_cpu_model(cpuinfo)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "box", "bicubic"])
@pytest.mark.parametrize(
    "tensor",
    [
        Tensor(name="x", identifier="x", shape=(1, 3, 20, 24)), Tensor(name="x", identifier="x", shape=(1, 17, 18, 1)),
        Tensor(name="x", identifier="x", shape=(1, 20, 24, 3), dtype="int8",
               quantisation=Quantisation(scale=0.018658, zero_point=-14)),
    ],
)  # fmt: skip
def test_pictures_become_the_same_bits(programs: dict[str, ModuleType], interpolation: str, tensor: Tensor) -> None:
    steps = preprocessing.steps_of(Preprocess(height=9, width=9, interpolation=interpolation), tensor)
    model = object.__new__(programs["edgekit_model"].Model)
    quantisation = steps.quantisation
    model.facts, model.variant = MODEL, {"preprocessing": {
        **{name: getattr(steps, name) for name in steps.__struct_fields__},
        "quantisation": None if quantisation is None else {
            "scale": quantisation.scale, "zero_point": quantisation.zero_point},
    }}  # fmt: skip
    for seed, (width, height) in enumerate([(37, 29), (8, 40), (100, 60), (24, 20)]):
        rgb = preprocessing.picture(width, height, seed)
        found, wanted = model.preprocess(Image.fromarray(rgb)), preprocessing.apply(steps, rgb)
        assert found.dtype == wanted.dtype and np.array_equal(found, wanted)
