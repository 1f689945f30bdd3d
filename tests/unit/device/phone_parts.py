"""What the tests of the virtual phone put in the place of an image and of QEMU."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path

import pytest

from edgekit.device import virtual_qemu


def write_image(folder: Path, kernel: bytes, initramfs: bytes) -> Path:
    """An image that is whole, whatever it holds."""
    folder.mkdir()
    contents = {"kernel": kernel, "initramfs": initramfs}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    files = {name: {"bytes": len(content), "sha256": sha256(content).hexdigest()} for name, content in contents.items()}
    (folder / "manifest.json").write_text(json.dumps({"schema": 1, "files": files}))
    return folder


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A script in QEMU's place."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / virtual_qemu.QEMU
    program.write_text(f"#!/bin/bash\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
