"""The bundle for phones and 64-bit Arm boards: built by the cross compiler, complete, and for nothing but arm64.

Running it takes such a machine: see the tests of the virtual phone.
"""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from native import build

from edgekit.device.runner_files import Bundle, load_bundle

needs_cross_compiler = pytest.mark.skipif(
    shutil.which("aarch64-linux-gnu-g++") is None, reason="needs the Debian package g++-aarch64-linux-gnu"
)
pytestmark = needs_cross_compiler


@pytest.fixture(scope="module")
def arm64() -> Bundle:
    return load_bundle(build("arm64-v8a"), "arm64-v8a")


def readelf(*arguments: str) -> str:
    return subprocess.run(["readelf", "--wide", *arguments], capture_output=True, text=True, check=True).stdout


def test_every_library_that_a_file_needs_is_there(arm64: Bundle) -> None:
    there = {file.name for file in arm64.files}
    owner = {file.name: file.engine for file in arm64.files}
    for file in arm64.files:
        needed = re.findall(r"\(NEEDED\).*\[(.+)\]", readelf("--dynamic", str(file.path)))
        assert set(needed) <= there, file.name
        # What only one engine needs is not needed by the other one, or by the runner.
        assert {owner[name] for name in needed} <= {None, file.engine}, file.name
    assert {"libLiteRt.so", "libedgekit_litert.so", "libedgekit_executorch.so", "runner"} <= there


def test_every_file_is_for_arm64(arm64: Bundle) -> None:
    for file in arm64.files:
        assert "Machine:                           AArch64" in readelf("--file-header", str(file.path)), file.name


def test_every_symbol_version_that_is_asked_for_is_in_the_bundle(arm64: Bundle) -> None:
    defined: set[str] = set()
    wanted: dict[str, set[str]] = {}
    for file in arm64.files:
        text = readelf("--version-info", str(file.path))
        definitions, _, needs = text.partition("Version needs section")
        defined |= set(re.findall(r"Name: ([A-Z]+_[0-9.]+[A-Za-z0-9_.]*)", definitions))
        wanted[file.name] = set(re.findall(r"Name: ([A-Z]+_[0-9.]+[A-Za-z0-9_.]*)", needs))
    assert "GLIBC_2.17" in defined
    assert {name: missing for name, versions in wanted.items() if (missing := versions - defined)} == {}


def test_every_file_can_be_mapped_by_kernels_with_pages_of_16_and_64_kib(arm64: Bundle) -> None:
    for file in arm64.files:
        aligned = [int(line.split()[-1], 16) for line in readelf("--segments", str(file.path)).splitlines()
                   if line.split()[:1] == ["LOAD"]]  # fmt: skip
        assert aligned and min(aligned) >= 65536, file.name


def test_nothing_of_the_machine_that_built_it_is_in_our_binaries(arm64: Bundle) -> None:
    ours = [file for file in arm64.files if file.name == "runner" or file.name.startswith("libedgekit_")]
    assert len(ours) == 3
    for file in ours:
        content = file.path.read_bytes()
        assert str(arm64.folder.parent).encode() not in content and b"/wheels/executorch/include" not in content
        assert re.findall(r"(?:RPATH|RUNPATH).*\[(.+)\]", readelf("--dynamic", str(file.path))) == ["$ORIGIN"]
        assert "debug_info" not in readelf("--sections", str(file.path))
