from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch
import zoo

from edgekit.export.archive import load_program, save_program
from edgekit.export.provenance import NodeOrigin


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    module, example = zoo.tiny()
    program = torch.export.export(module, example, strict=False)
    origins = {"conv2d": NodeOrigin(name="conv2d", op="aten.conv2d.default", module="stem.0 (Conv2d)", source="a.py:1")}
    save_program(tmp_path, program, origins)
    loaded, read = load_program(tmp_path)
    assert read == origins
    assert [n.name for n in loaded.graph.nodes] == [n.name for n in program.graph.nodes]
    x = torch.randn(example[0].shape)
    assert torch.equal(loaded.module()(x), program.module()(x))


def test_a_full_disk_is_an_error_of_the_operating_system(tmp_path: Path) -> None:
    (tmp_path / "program.pt2").symlink_to("/dev/full")
    module, example = zoo.tiny()
    with pytest.raises(OSError, match="No space left") as caught:
        save_program(tmp_path, torch.export.export(module, example, strict=False), {})
    assert caught.value.errno == errno.ENOSPC
