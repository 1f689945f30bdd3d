"""The build: what it takes from the wheels, what it refuses, and when it has nothing to do."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from native import build

from edgekit.device.native import host_abi
from edgekit.device.runner_files import ABIS, Bundle

from .conftest import ROOT, RUNNER

MODULES = ("common", "wheels", "compile", "build")


@pytest.fixture
def parts() -> Iterator[dict[str, Any]]:
    """The build's own modules; their short names are taken back afterwards."""
    before = {name: sys.modules.pop(name, None) for name in MODULES}
    sys.path.insert(0, str(RUNNER))
    found: dict[str, ModuleType] = {name: importlib.import_module(name) for name in MODULES}
    yield dict(found)
    sys.path.remove(str(RUNNER))
    for name in MODULES:
        sys.modules.pop(name, None)
        if before[name] is not None:
            sys.modules[name] = before[name]


def checkout(folder: Path) -> Path:
    """A copy of what the build reads."""
    shutil.copytree(RUNNER, folder / "android_harness/runner", ignore=shutil.ignore_patterns("build", "__pycache__"))
    (folder / "edgekit").mkdir()
    shutil.copyfile(ROOT / "edgekit/version.py", folder / "edgekit/version.py")
    return folder / "android_harness/runner"


def run(script: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script / "build.py"), "--abi", host_abi(), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, **environment})  # fmt: skip


def test_a_build_with_nothing_changed_does_nothing(bundle: Bundle) -> None:
    before = (bundle.folder / "manifest.json").stat().st_mtime_ns
    assert build(host_abi()) == bundle.folder
    assert (bundle.folder / "manifest.json").stat().st_mtime_ns == before


def test_every_source_decides_whether_a_build_is_done(parts: dict[str, Any], bundle: Bundle, tmp_path: Path) -> None:
    target = parts["common"].TARGETS[host_abi()]
    facts = parts["build"].source_digest(target), parts["compile"].compiler_version(target)
    assert parts["build"].is_built(bundle.folder, *facts)
    assert not parts["build"].is_built(bundle.folder, "0" * 64, facts[1])
    assert not parts["build"].is_built(bundle.folder, facts[0], "another compiler")
    shutil.copytree(bundle.folder, tmp_path / "copy")
    (tmp_path / "copy/runner").write_bytes(b"")
    assert not parts["build"].is_built(tmp_path / "copy", *facts)
    assert not parts["build"].is_built(tmp_path / "none", *facts)


@pytest.mark.parametrize("changed", ["src/loop.h", "pins/{abi}.txt", "compile.py", "../../edgekit/version.py"])
def test_a_changed_file_is_another_build(changed: str, parts: dict[str, Any], tmp_path: Path) -> None:
    script = checkout(tmp_path)
    ask = "import build, common, sys; print(build.source_digest(common.TARGETS[sys.argv[1]]))"
    command = [sys.executable, "-c", ask, host_abi()]
    digests = []
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=script)
        digests.append(done.stdout)
        with (script / changed.format(abi=host_abi())).open("a") as stream:
            stream.write("\n")
    assert digests[0] != digests[1]


def test_another_wheel_than_the_pinned_one_is_refused(parts: dict[str, Any], tmp_path: Path) -> None:
    script = checkout(tmp_path / "checkout")
    cache = tmp_path / "cache"
    (cache / "runner-wheels").mkdir(parents=True)
    for pin in parts["wheels"].pins_of(parts["common"].TARGETS[host_abi()]):
        (cache / "runner-wheels" / f"{pin.sha256}.whl").write_bytes(b"another one")
    done = run(script, EDGEKIT_CACHE=str(cache))
    assert done.returncode == 1 and "was not the pinned one" in done.stderr
    assert not list((script / "build").glob(f"{host_abi()}/*"))


@pytest.mark.parametrize("line", ["executorch>=1", "executorch==1.5.1", "", "executorch==1.5.1 --hash=sha256:xyz"])
def test_a_requirement_without_a_pin_is_refused(line: str, tmp_path: Path) -> None:
    script = checkout(tmp_path)
    (script / f"pins/{host_abi()}.txt").write_text(line + "\n")
    done = run(script, EDGEKIT_CACHE=str(tmp_path))
    assert done.returncode == 1 and "not a pinned requirement" in done.stderr


def test_a_build_without_a_compiler_says_what_to_install(tmp_path: Path) -> None:
    done = run(checkout(tmp_path), PATH=str(tmp_path))
    assert done.returncode == 1 and "apt-get install g++" in done.stderr and "Traceback" not in done.stderr


def test_only_headers_libraries_and_licences_are_unpacked(parts: dict[str, Any], tmp_path: Path) -> None:
    wanted = ["executorch/include/a/b.h", "executorch/lib/libexecutorch.so", "ai_edge_litert/libLiteRt.so",
              "executorch-1.dist-info/licenses/LICENSE"]  # fmt: skip
    others = ["executorch/setup.py", "../escape.h", "/etc/passwd", "executorch/lib/libexecutorch_backend_qnn.so",
              "executorch/include/x.py", "ai_edge_litert/interpreter.py"]  # fmt: skip
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        for name in (*wanted, *others):
            archive.writestr(name, name)
    parts["wheels"].unpack(tmp_path / "a.whl", tmp_path / "out")
    found = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert found == sorted(wanted)
    assert not (tmp_path / "escape.h").exists()


def test_a_name_that_leads_out_of_the_folder_is_refused(parts: dict[str, Any], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("executorch/include/../../../escape.h", "x")
    with pytest.raises(parts["common"].BuildError, match="can't be unpacked"):
        parts["wheels"].unpack(tmp_path / "a.whl", tmp_path / "deep/out")
    assert not list(tmp_path.rglob("escape.h"))
    (tmp_path / "b.whl").write_bytes(b"PK\x03\x04 no wheel")
    with pytest.raises(parts["common"].BuildError, match="can't be unpacked"):
        parts["wheels"].unpack(tmp_path / "b.whl", tmp_path / "out")


def test_both_targets_pin_the_same_versions(parts: dict[str, Any]) -> None:
    targets = parts["common"].TARGETS
    assert tuple(targets) == ABIS
    versions = {abi: {p.name: p.version for p in parts["wheels"].pins_of(target)} for abi, target in targets.items()}
    assert versions["x86_64"] == versions["arm64-v8a"]
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    assert {f"{name}=={version}" for name, version in versions["x86_64"].items()} <= set(constraints)
