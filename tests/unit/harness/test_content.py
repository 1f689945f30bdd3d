from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from edgekit.errors import UsageError
from edgekit.harness.content import bytes_of, sha256_of


@pytest.fixture
def package(tmp_path: Path) -> Path:
    root = tmp_path / "model.mlpackage"
    (root / "Data/weights").mkdir(parents=True)
    (root / "Manifest.json").write_text("{}")
    (root / "Data/weights/weight.bin").write_bytes(b"\1" * 3_000_000)
    return root


def test_a_file_has_the_sha256_of_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "m.pte"
    file.write_bytes(b"abc" * 1_000_000)
    assert sha256_of(file) == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
    assert bytes_of(file) == 3_000_000


def test_a_copied_directory_has_the_digest_of_its_original(package: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "other.mlpackage"
    shutil.copytree(package, copy)
    os.utime(copy / "Manifest.json", (1, 1))
    (copy / "empty").mkdir()
    assert sha256_of(copy) == sha256_of(package)
    assert bytes_of(copy) == 3_000_002


def test_content_and_names_in_a_directory_count(package: Path) -> None:
    seen = {sha256_of(package)}
    weights = package / "Data/weights/weight.bin"
    weights.write_bytes(b"\1" * 2_999_999 + b"\2")
    seen.add(sha256_of(package))
    weights.rename(package / "Data/weights/other.bin")
    seen.add(sha256_of(package))
    (package / "Data/weights/other.bin").rename(package / "Data/other.bin")
    seen.add(sha256_of(package))
    assert len(seen) == 4


def test_a_link_in_a_directory_is_refused(package: Path) -> None:
    (package / "link").symlink_to("/etc/hostname")
    with pytest.raises(UsageError, match="neither a file nor a directory"):
        sha256_of(package)


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        sha256_of(tmp_path / "none.pte")
