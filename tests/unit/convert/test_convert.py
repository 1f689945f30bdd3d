from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgekit.convert import convert
from edgekit.convert.request import ConvertRequest
from edgekit.errors import ConvertError, UsageError
from edgekit.model.request import LoadRequest
from edgekit.records import Artifact, Parity


def artifact(path: Path, format_name: str = "onnx", model: str = "net") -> Artifact:
    return Artifact(
        sha256="a", bytes=4, format=format_name, precision="fp32", path=str(path), model=model, exported_sha256="e",
        parity=Parity(passed=True),
    )  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "cache/net_onnx_fp32.onnx"
    path.parent.mkdir()
    path.write_bytes(b"content" * 1000)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_a_file_is_delivered_whole_and_replaces_an_older_one(source: Path, out: Path) -> None:
    (out / source.name).write_text("older")
    delivered = convert.deliver(artifact(source), out)
    assert Path(delivered.path) == out / source.name
    assert Path(delivered.path).read_bytes() == source.read_bytes()
    assert [p.name for p in out.iterdir()] == [source.name]


def test_a_directory_is_delivered_whole_and_replaces_an_older_one(tmp_path: Path, out: Path) -> None:
    package = tmp_path / "net_coreml_fp32.mlpackage"
    (package / "Data/weights").mkdir(parents=True)
    (package / "Data/weights/weight.bin").write_bytes(b"w")
    for _ in range(2):
        delivered = Path(convert.deliver(artifact(package, "coreml"), out).path)
        assert (delivered / "Data/weights/weight.bin").read_bytes() == b"w"
        (delivered / "old").touch()
    assert [p.name for p in out.iterdir()] == [package.name]


def test_a_file_is_named_after_the_model_that_was_asked_for(source: Path, out: Path) -> None:
    delivered = convert.deliver(artifact(source, model="copy_of_net"), out)
    assert Path(delivered.path).name == "copy_of_net_onnx_fp32.onnx"


def test_a_full_disk_leaves_neither_a_part_nor_a_changed_file(source: Path, out: Path) -> None:
    (out / source.name).write_text("older")
    # What is written through this name goes to a device that is always full.
    (out / f".{source.name}.{os.getpid()}.partial").symlink_to("/dev/full")
    with pytest.raises(ConvertError, match="There is no room for the file") as caught:
        convert.deliver(artifact(source), out)
    assert caught.value.code == 11 and str(out) in caught.value.where
    assert [p.name for p in out.iterdir()] == [source.name]
    assert (out / source.name).read_text() == "older"


def test_a_name_that_is_taken_by_a_directory_is_reported(source: Path, out: Path) -> None:
    (out / source.name / "inside").mkdir(parents=True)
    with pytest.raises(UsageError, match="Can't write here"):
        convert.deliver(artifact(source), out)
    assert [p.name for p in out.iterdir()] == [source.name]


def test_the_output_directory_is_proved_before_anything_else(tmp_path: Path) -> None:
    convert.check_output(tmp_path / "a/b/c")
    assert list((tmp_path / "a/b/c").iterdir()) == []
    (tmp_path / "file").touch()
    for bad in (tmp_path / "file", tmp_path / "file/below", Path("/proc/edgekit-out")):
        with pytest.raises(UsageError, match="Can't write here") as caught:
            convert.check_output(bad)
        assert str(bad) in caught.value.where and "--output" in caught.value.next_step


def test_formats_are_checked_before_a_process_is_started(tmp_path: Path) -> None:
    def asked(*formats: str, precision: str = "fp32") -> ConvertRequest:
        load = LoadRequest(spec="/no/such/model.pt2")
        return ConvertRequest(load=load, formats=formats, precision=precision, cache=str(tmp_path))

    def silent(event: object) -> None:
        raise AssertionError("nothing should have been started")

    with pytest.raises(UsageError, match="no format 'trt'"):
        convert.convert(asked("onnx", "trt"), silent)
    with pytest.raises(UsageError, match="no precision 'int3'"):
        convert.convert(asked("onnx", precision="int3"), silent)
