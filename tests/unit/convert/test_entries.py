from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.convert import entries, parity
from edgekit.convert import request as keys
from edgekit.convert.backend import BackendInfo
from edgekit.convert.cache import Cache
from edgekit.convert.request import ConvertRequest
from edgekit.harness.engines import table
from edgekit.model.dependencies import recording
from edgekit.model.request import LoadRequest
from edgekit.records import Artifact, Exported, Golden, Parity

INFO = BackendInfo(name="onnx", label="onnx", suffix=".onnx", module="", extra="", packages=(), imports=())


def request(cache: Cache) -> ConvertRequest:
    return ConvertRequest(load=LoadRequest(spec="net.py:make"), formats=("onnx",), cache=str(cache.root))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def exported(cache: Cache, weights: Path) -> Exported:
    """A model that was exported, with its golden data, as an earlier call left it."""
    folder = cache.ensure("golden", "g", lambda d: np.save(d / "input_0.npy", np.ones(3)))
    golden = Golden(sha256="g", count=1, source="s", inputs=(str(folder / "input_0.npy"),), outputs=())
    record = Exported(
        sha256="e", name="net", spec="s", weights="w", inputs=(), outputs=(), parameters=1,
        program=str(cache.path("programs", "e")), golden=golden,
    )  # fmt: skip
    with recording() as recorder:
        weights.read_bytes()
    source = entries.Source(exported=record, dependencies=recorder.dependencies())
    cache.ensure("sources", keys.source_key(request(cache)), lambda d: entries.write(d / "source.json", source))
    return record


def with_artifact(cache: Cache, exported: Exported) -> Artifact:
    artifact = Artifact(
        sha256="a", bytes=4, format="onnx", precision="fp32", path="net_onnx_fp32.onnx", model="net",
        exported_sha256="e", parity=parity.not_checked("not yet"),
    )  # fmt: skip

    def fill(directory: Path) -> None:
        (directory / artifact.path).write_bytes(b"file")
        entries.write(directory / "artifact.json", artifact)

    cache.ensure("artifacts", keys.artifact_key(exported.sha256, INFO, "fp32"), fill)
    return artifact


def test_an_export_is_found_while_everything_it_came_from_is_there(cache: Cache, exported: Exported) -> None:
    assert entries.find_exported(cache, request(cache)) == exported
    shutil.rmtree(cache.path("golden", "g"))
    assert entries.find_exported(cache, request(cache)) is None


def test_an_export_is_not_found_once_a_file_it_came_from_has_changed(
    cache: Cache, exported: Exported, weights: Path
) -> None:
    weights.write_bytes(b"Weights")
    assert entries.find_exported(cache, request(cache)) is None


def test_an_export_of_another_version_reads_as_absent(cache: Cache, exported: Exported) -> None:
    key = keys.source_key(request(cache))
    shutil.rmtree(cache.path("sources", key))
    cache.ensure("sources", key, lambda d: (d / "source.json").write_text('{"schema": 99, "new": true}'))
    assert entries.find_exported(cache, request(cache)) is None


def test_a_cache_may_be_moved(cache: Cache, exported: Exported, tmp_path: Path) -> None:
    with_artifact(cache, exported)
    shutil.move(cache.root, tmp_path / "moved")
    moved = Cache(tmp_path / "moved")
    found = entries.find_exported(moved, request(moved))
    assert found is not None
    assert all(Path(path).is_file() for path in found.golden.inputs)
    assert Path(found.program).is_relative_to(moved.root)
    artifact = entries.find_artifact(moved, found, INFO, "fp32")
    assert artifact is not None and Path(artifact.path).read_bytes() == b"file"


def test_an_artifact_is_found_for_its_program_only(cache: Cache, exported: Exported) -> None:
    assert entries.find_artifact(cache, exported, INFO, "fp32") is None
    with_artifact(cache, exported)
    found = entries.find_artifact(cache, exported, INFO, "fp32")
    assert found is not None and found.cached is True
    assert Path(found.path).read_bytes() == b"file"
    assert entries.find_artifact(cache, exported, INFO, "fp16") is None
    other = msgspec.structs.replace(exported, sha256="f")
    assert entries.find_artifact(cache, other, INFO, "fp32") is None
    renamed = msgspec.structs.replace(exported, name="another")
    again = entries.find_artifact(cache, renamed, INFO, "fp32")
    assert again is not None and again.model == "another"


def test_a_changed_artifact_is_not_found(cache: Cache, exported: Exported) -> None:
    with_artifact(cache, exported)
    found = entries.find_artifact(cache, exported, INFO, "fp32")
    assert found is not None
    Path(found.path).write_bytes(b"fIle")
    assert entries.find_artifact(cache, exported, INFO, "fp32") is None


def test_parity_that_can_not_be_run_is_settled_with_its_reason(
    cache: Cache, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = with_artifact(cache, exported)

    def settled(given: Artifact, check: bool = True) -> Parity | None:
        return entries.settled_parity(cache, given, exported, check)

    off = settled(artifact, check=False)
    assert off is not None and off.passed is None and off.reason == "turned off with --no-parity"
    other = settled(msgspec.structs.replace(artifact, format="stone_tablet"))
    assert other is not None and other.passed is None
    assert other.reason == "no runtime for stone_tablet files on this system"
    assert settled(artifact) is None  # it has to be run
    monkeypatch.setattr(table, "is_installed", lambda engine: False)
    missing = settled(artifact)
    assert (
        missing is not None and missing.passed is None and missing.reason == "the runtime onnxruntime is not installed"
    )


def test_parity_is_kept_per_file_and_golden_data(cache: Cache, exported: Exported) -> None:
    artifact = with_artifact(cache, exported)
    judged = Parity(passed=True, samples=8)
    version = table.runtime_version("onnxruntime")
    key = keys.parity_key("a", "g", version, parity.TOLERANCES["fp32"])

    def fill(directory: Path) -> None:
        entries.write(directory / "parity.json", judged)

    assert entries.parity_outputs(cache, artifact, exported) == ()
    cache.ensure("parity", key, fill)
    assert entries.find_parity(cache, artifact, exported) == judged
    assert entries.settled_parity(cache, artifact, exported, True) == judged
    assert entries.find_parity(cache, msgspec.structs.replace(artifact, sha256="b"), exported) is None
    golden = msgspec.structs.replace(exported.golden, sha256="h")
    assert entries.find_parity(cache, artifact, msgspec.structs.replace(exported, golden=golden)) is None
