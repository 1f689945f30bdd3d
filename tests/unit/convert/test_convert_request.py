from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import msgspec
import pytest

from edgekit.convert import request as keys
from edgekit.convert.backend import BACKENDS
from edgekit.convert.parity import TOLERANCES
from edgekit.convert.request import ConvertRequest, GoldenRequest, artifact_key, parity_key, source_key
from edgekit.model.request import LoadRequest

REQUEST = ConvertRequest(load=LoadRequest(spec="net.pt"), formats=("onnx",), cache="/c")
EXECUTORCH = BACKENDS["executorch"]
FP32 = TOLERANCES["fp32"]


def test_the_source_key_depends_on_what_is_loaded_and_on_the_golden_data() -> None:
    load = REQUEST.load
    others = [
        msgspec.structs.replace(REQUEST, load=msgspec.structs.replace(load, spec="other.pt")),
        msgspec.structs.replace(REQUEST, load=msgspec.structs.replace(load, arch="timm:x")),
        msgspec.structs.replace(REQUEST, load=msgspec.structs.replace(load, trust_pickle=True)),
        msgspec.structs.replace(REQUEST, load=msgspec.structs.replace(load, input_shape=((1, 3, 8, 8),))),
        msgspec.structs.replace(REQUEST, load=msgspec.structs.replace(load, seed=1)),
        msgspec.structs.replace(REQUEST, golden=GoldenRequest(count=4)),
        msgspec.structs.replace(REQUEST, golden=GoldenRequest(seed=4)),
        msgspec.structs.replace(REQUEST, check_parity=False),
    ]
    assert len({source_key(each) for each in [REQUEST, *others]}) == len(others) + 1


def test_the_source_key_does_not_depend_on_how_the_work_is_done() -> None:
    same = msgspec.structs.replace(
        REQUEST, formats=("litert", "coreml"), precision="fp16", jobs=7, memory_limit_bytes=1, cache="/elsewhere"
    )
    assert source_key(same) == source_key(REQUEST)


def test_another_torch_gives_another_source_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = source_key(REQUEST)
    monkeypatch.setattr(keys, "_installed", lambda name: "9.9" if name == "torch" else None)
    assert source_key(REQUEST) != before


def test_a_package_that_is_not_installed_has_no_version() -> None:
    assert keys._installed("no-such-package-anywhere") is None
    assert (keys._installed("torch") or "").startswith("2.")


def test_the_source_key_follows_the_users_golden_inputs(tmp_path: Path) -> None:
    asked = msgspec.structs.replace(REQUEST, golden=GoldenRequest(directory=str(tmp_path)))
    seen = {source_key(asked)}
    (tmp_path / "a.npy").write_bytes(b"1")
    seen.add(source_key(asked))
    os.utime(tmp_path / "a.npy", ns=(1, 1))
    seen.add(source_key(asked))
    (tmp_path / "a.npy").rename(tmp_path / "b.npy")
    seen.add(source_key(asked))
    assert len(seen) == 4
    assert source_key(asked) in seen  # unchanged otherwise
    gone = msgspec.structs.replace(REQUEST, golden=GoldenRequest(directory=str(tmp_path / "gone")))
    assert source_key(gone) not in seen


def test_the_artifact_key_depends_on_program_recipe_precision_and_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    coreml = BACKENDS["coreml"]
    found = {
        artifact_key("a" * 64, EXECUTORCH, "fp32"),
        artifact_key("b" * 64, EXECUTORCH, "fp32"),
        artifact_key("a" * 64, dataclasses.replace(EXECUTORCH, recipe="2"), "fp32"),
        artifact_key("a" * 64, BACKENDS["litert"], "fp32"),
        artifact_key("a" * 64, coreml, "fp32"),
        artifact_key("a" * 64, coreml, "fp16"),
    }
    monkeypatch.setattr(keys, "versions", lambda info: dict.fromkeys(info.packages, "9.9"))
    found.add(artifact_key("a" * 64, EXECUTORCH, "fp32"))
    monkeypatch.setattr(keys.rewrites, "names", lambda backend: ("another",))
    found.add(artifact_key("a" * 64, EXECUTORCH, "fp32"))
    assert len(found) == 8


def test_the_artifact_key_is_stable() -> None:
    assert artifact_key("a" * 64, EXECUTORCH, "fp32") == artifact_key("a" * 64, EXECUTORCH, "fp32")
    # What orders the work and bounds it does not decide the file.
    assert artifact_key("a", dataclasses.replace(EXECUTORCH, cost=9.0, memory_bytes=1), "fp32") == artifact_key(
        "a", EXECUTORCH, "fp32"
    )


def test_every_version_of_edgekit_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {source_key(REQUEST), artifact_key("a", EXECUTORCH, "fp32"), parity_key("a", "b", "1", FP32)}
    monkeypatch.setattr(keys, "__version__", "0.0.0")
    after = {source_key(REQUEST), artifact_key("a", EXECUTORCH, "fp32"), parity_key("a", "b", "1", FP32)}
    assert not before & after


def test_the_parity_key_depends_on_file_data_runtime_and_bounds() -> None:
    each = [("a", "g", "1"), ("b", "g", "1"), ("a", "h", "1"), ("a", "g", "2"), ("a", "g", None)]
    keys_found = {parity_key(*key, tolerance) for key in each for tolerance in TOLERANCES.values()}
    assert len(keys_found) == len(each) * len(TOLERANCES)
