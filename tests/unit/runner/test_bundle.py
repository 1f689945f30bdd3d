"""Finding a built runner, and refusing one that is not what was built."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.device import runner_files
from edgekit.device.native import host_abi, run_native
from edgekit.device.runner_files import PLACE, Bundle, find_bundle, load_bundle
from edgekit.errors import DeviceError
from edgekit.harness.content import sha256_of
from edgekit.job import Job
from edgekit.version import __version__

from .conftest import ROOT, RUNNER


@pytest.fixture
def copy(bundle: Bundle, tmp_path: Path) -> Path:
    """A place with a copy of the bundle."""
    shutil.copytree(bundle.folder, tmp_path / "place" / bundle.abi)
    return tmp_path / "place"


@pytest.fixture
def manifest(copy: Path, bundle: Bundle) -> Callable[..., None]:
    """Writes the copy's manifest with some fields changed."""
    path = copy / bundle.abi / "manifest.json"

    def change(**fields: Any) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    return change


def test_the_manifest_names_every_file_that_is_needed(bundle: Bundle) -> None:
    there = {path.name for path in bundle.folder.iterdir() if path.is_file()}
    assert there == {file.name for file in bundle.files} | {"manifest.json"}
    assert {file.engine for file in bundle.files} == {None, "executorch", "litert"}
    assert all((file.sha256, file.bytes) == (sha256_of(file.path), file.path.stat().st_size) for file in bundle.files)
    assert bundle.command[0] in there and PLACE in bundle.command[-1]
    assert bundle.start()[0] == str(bundle.folder / bundle.command[0])
    assert not any(PLACE in part for part in bundle.start())
    assert {path.stem.split("-")[0] for path in (bundle.folder / "licences").iterdir()} >= {
        "executorch", "ai_edge_litert",
    }  # fmt: skip


def test_a_chosen_place_is_the_only_one(
    bundle: Bundle, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_RUNNER", str(copy))
    assert find_bundle(bundle.abi).folder == copy / bundle.abi
    assert find_bundle(bundle.abi).sha256 == bundle.sha256
    monkeypatch.setenv("EDGEKIT_RUNNER", str(tmp_path / "empty"))
    with pytest.raises(DeviceError, match="not built") as caught:
        find_bundle(bundle.abi)
    assert caught.value.where == str(tmp_path / "empty" / bundle.abi)
    assert caught.value.next_step.endswith(f"python android_harness/runner/build.py --abi {bundle.abi}")


def test_without_a_chosen_place_the_package_comes_before_the_checkout(
    bundle: Bundle, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEKIT_RUNNER", raising=False)
    assert find_bundle(bundle.abi).folder == bundle.folder
    package = tmp_path / "site/edgekit"
    monkeypatch.setattr(runner_files, "_PACKAGE", package)
    copy.rename(tmp_path / "elsewhere")
    (package / "runner").parent.mkdir(parents=True)
    (tmp_path / "elsewhere").rename(package / "runner")
    assert find_bundle(bundle.abi).folder == package / "runner" / bundle.abi


def test_a_build_of_older_sources_is_refused(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEKIT_RUNNER", raising=False)
    shutil.copytree(RUNNER, tmp_path / "android_harness/runner", ignore=shutil.ignore_patterns(".*", "__pycache__"))
    (tmp_path / "edgekit").mkdir()
    shutil.copyfile(ROOT / "edgekit/version.py", tmp_path / "edgekit/version.py")
    monkeypatch.setattr(runner_files, "_PACKAGE", tmp_path / "edgekit")
    assert find_bundle(bundle.abi).sha256 == bundle.sha256
    with (tmp_path / "android_harness/runner/src/loop.cpp").open("a") as stream:
        stream.write("// changed\n")
    with pytest.raises(DeviceError, match="built from other sources") as caught:
        find_bundle(bundle.abi)
    assert "build.py --abi" in caught.value.next_step


def test_an_abi_without_a_runner_is_an_error() -> None:
    with pytest.raises(DeviceError, match="no native runner for the ABI armeabi-v7a"):
        find_bundle("armeabi-v7a")


@pytest.mark.parametrize("damage", ["changed", "cut", "gone", "link to nothing"])
def test_a_file_that_was_changed_is_never_started(
    damage: str, bundle: Bundle, copy: Path, monkeypatch: pytest.MonkeyPatch, job: Callable[..., Job]
) -> None:
    path = copy / bundle.abi / "runner"
    content = bytearray(path.read_bytes())
    path.unlink()
    if damage == "changed":
        content[len(content) // 2] ^= 1
    if damage in ("changed", "cut"):
        path.write_bytes(bytes(content[:-1] if damage == "cut" else content))
    if damage == "link to nothing":
        path.symlink_to("/nowhere")
    monkeypatch.setenv("EDGEKIT_RUNNER", str(copy))
    with pytest.raises(DeviceError, match="runner of the native runner is not what its manifest says"):
        run_native(job("describe", "litert"))


def test_another_version_or_abi_is_refused(bundle: Bundle, copy: Path, manifest: Callable[..., None]) -> None:
    manifest(harness_version="0.0.9")
    with pytest.raises(DeviceError, match=rf"harness 0\.0\.9.*edgekit {__version__}") as caught:
        load_bundle(copy / bundle.abi, bundle.abi)
    assert "build.py --abi" in caught.value.next_step
    manifest(harness_version=__version__, abi="arm64-v8a" if bundle.abi == "x86_64" else "x86_64")
    with pytest.raises(DeviceError, match=f"{bundle.abi} is needed"):
        load_bundle(copy / bundle.abi, bundle.abi)


ENTRY = {"name": "runner", "bytes": 1, "sha256": "0" * 64, "engine": None}


@pytest.mark.parametrize("name", ["../runner", "/bin/sh", "..", ".", "", "a/b", "a\0b", ".hidden", "x" * 200, "a b"])
def test_a_name_that_leads_out_of_the_bundle_is_refused(
    name: str, bundle: Bundle, copy: Path, manifest: Callable[..., None]
) -> None:
    manifest(files=[ENTRY, {**ENTRY, "name": name}], command=["runner"])
    with pytest.raises(DeviceError, match="manifest is wrong about"):
        load_bundle(copy / bundle.abi, bundle.abi)


@pytest.mark.parametrize("fields", [{"files": []}, {"command": []}, {"schema": 2}, {"files": [ENTRY] * 300}, {"x": 1},
                                    {"engines": {"other": "1"}}, {"files": [{**ENTRY, "bytes": -1}]},
                                    {"files": [{**ENTRY, "sha256": "0"}]}, {"source": 7}], ids=str)  # fmt: skip
def test_a_manifest_that_is_none_is_refused(
    fields: dict[str, Any], bundle: Bundle, copy: Path, manifest: Callable[..., None]
) -> None:
    manifest(**fields)
    with pytest.raises(DeviceError, match="manifest can't be read"):
        load_bundle(copy / bundle.abi, bundle.abi)


def test_a_command_that_is_no_file_of_the_bundle_is_refused(
    bundle: Bundle, copy: Path, manifest: Callable[..., None]
) -> None:
    manifest(command=["/bin/sh"])
    with pytest.raises(DeviceError, match="wrong about '/bin/sh'"):
        load_bundle(copy / bundle.abi, bundle.abi)
    (copy / bundle.abi / "manifest.json").write_bytes(b"[" * (2 << 20))
    with pytest.raises(DeviceError, match="can't be read"):
        load_bundle(copy / bundle.abi, bundle.abi)


def test_a_system_without_a_runner_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(DeviceError, match="riscv64"):
        host_abi()
