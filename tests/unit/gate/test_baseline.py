from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import IncomparableError
from edgekit.gate import baseline
from edgekit.harness.content import bytes_of, sha256_of
from edgekit.records import Artifact, DeviceInfo, Parity, TensorSpec


def artifact(path: Path) -> Artifact:
    return Artifact(sha256=sha256_of(path), bytes=bytes_of(path), format="litert", precision="fp32", path=str(path),
                    model=path.stem, exported_sha256=None, parity=Parity(passed=True))  # fmt: skip


def made(*artifacts: Artifact) -> baseline.Baseline:
    device = DeviceInfo(spec="host", name="cpu", profile=None, transport="local", state="")
    entries = tuple(
        baseline.Entry(name=one.model, file=baseline.place_of(one), sha256=one.sha256, bytes=one.bytes,
                       artifact=one, inputs=(TensorSpec(name="x", shape=(1, 3)),), parity=one.parity)
        for one in artifacts
    )  # fmt: skip
    return baseline.Baseline(created="2026-01-01T00:00:00", device=device, clocks="free", threads=1, models=entries)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(b"first")
    home = tmp_path / "base"
    baseline.write(home, made(artifact(path)), [artifact(path)])
    return home


def test_what_was_written_is_read_wherever_the_folder_is_moved(folder: Path, tmp_path: Path) -> None:
    moved = folder.rename(tmp_path / "elsewhere")
    (entry,) = baseline.read(moved).models
    found = baseline.file_of(moved, entry)
    assert Path(found.path).read_bytes() == b"first" and Path(found.path).is_relative_to(moved)
    assert sorted(path.name for path in moved.iterdir()) == ["baseline.json", "files"]


def test_a_new_baseline_takes_the_place_of_the_old_one_and_leaves_other_files_alone(folder: Path) -> None:
    (folder / "README").write_text("ours")
    (folder / "files" / "notes").mkdir()
    newer = folder.parent / "net.tflite"
    newer.write_bytes(b"second")
    baseline.write(folder, made(artifact(newer)), [artifact(newer)])
    (entry,) = baseline.read(folder).models
    assert Path(baseline.file_of(folder, entry).path).read_bytes() == b"second"
    assert {path.name for path in (folder / "files").iterdir()} == {artifact(newer).sha256, "notes"}
    assert (folder / "README").exists()


def test_a_process_that_dies_before_the_document_leaves_the_old_baseline(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = folder.parent / "other.tflite"
    newer.write_bytes(b"second")
    replace = baseline.os.replace

    def die(source: Any, target: Any) -> None:
        if Path(target).name == baseline.DOCUMENT:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(baseline.os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        baseline.write(folder, made(artifact(newer)), [artifact(newer)])
    (entry,) = baseline.read(folder).models
    assert entry.name == "net" and Path(baseline.file_of(folder, entry).path).read_bytes() == b"first"
    assert not list(folder.glob(".*"))


def test_the_same_content_under_another_name_leaves_the_old_baseline_until_the_document_is_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed = (folder.parent / "net.tflite").rename(folder.parent / "renamed.tflite")
    replace = baseline.os.replace

    def die(source: Any, target: Any) -> None:
        if Path(target).name == baseline.DOCUMENT:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(baseline.os, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            baseline.write(folder, made(artifact(renamed)), [artifact(renamed)])
    assert Path(baseline.file_of(folder, baseline.read(folder).models[0]).path).name == "net.tflite"
    baseline.write(folder, made(artifact(renamed)), [artifact(renamed)])
    assert Path(baseline.file_of(folder, baseline.read(folder).models[0]).path).name == "renamed.tflite"
    assert not list((folder / "files").glob(".*"))


def test_a_damaged_file_is_mended_by_setting_it_again(folder: Path) -> None:
    source = folder.parent / "net.tflite"
    (entry,) = baseline.read(folder).models
    (folder / entry.file).write_bytes(b"FIRST")
    baseline.write(folder, made(artifact(source)), [artifact(source)])
    assert Path(baseline.file_of(folder, entry).path).read_bytes() == b"first"


def test_a_directory_is_kept_as_a_whole(tmp_path: Path) -> None:
    package = tmp_path / "net.mlpackage"
    (package / "Data").mkdir(parents=True)
    (package / "Data" / "weights.bin").write_bytes(b"1234")
    one = artifact(package)
    baseline.write(tmp_path / "base", made(one), [one])
    (entry,) = baseline.read(tmp_path / "base").models
    assert baseline.file_of(tmp_path / "base", entry).bytes == 4


def changed(folder: Path, **fields: Any) -> None:
    path = folder / baseline.DOCUMENT
    document = json.loads(path.read_text())
    document["models"][0].update(fields)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "place",
    ["../../net.tflite", "/etc/passwd", "files/../../net.tflite", "net.tflite", "", "files/" + "0" * 64 + "/..",
     "files/" + "0" * 64 + "/a/b"],
)  # fmt: skip
def test_no_path_leads_out_of_the_folder(folder: Path, place: str) -> None:
    changed(folder, file=place)
    with pytest.raises(IncomparableError, match="not one of the folder's"):
        baseline.file_of(folder, baseline.read(folder).models[0])


def test_no_link_leads_out_of_the_folder(folder: Path) -> None:
    (entry,) = baseline.read(folder).models
    (folder / entry.file).unlink()
    (folder / entry.file).symlink_to(folder.parent / "net.tflite")
    with pytest.raises(IncomparableError, match="not one of the folder's"):
        baseline.file_of(folder, entry)


@pytest.mark.parametrize(("content", "why"), [(b"other", "sha256"), (b"longer than it was", "bytes")])
def test_a_file_that_was_changed_is_no_baseline(folder: Path, content: bytes, why: str) -> None:
    (entry,) = baseline.read(folder).models
    (folder / entry.file).write_bytes(content)
    with pytest.raises(IncomparableError, match=why) as caught:
        baseline.file_of(folder, entry)
    assert caught.value.code == 2 and "--set-baseline" in caught.value.next_step


def test_a_missing_file_and_a_record_of_another_file_are_damage(folder: Path) -> None:
    (entry,) = baseline.read(folder).models
    changed(folder, artifact={**json.loads((folder / baseline.DOCUMENT).read_text())["models"][0]["artifact"],
                              "sha256": "0" * 64})  # fmt: skip
    with pytest.raises(IncomparableError, match="two sha256"):
        baseline.file_of(folder, baseline.read(folder).models[0])
    (folder / entry.file).unlink()
    with pytest.raises(IncomparableError, match="No such file"):
        baseline.file_of(folder, entry)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[" * 100_000, b"\xff", b"x" * (baseline.MAX_BYTES + 1)],
    ids=["empty", "no fields", "deep", "bytes", "large"],
)  # fmt: skip
def test_a_damaged_document_is_not_comparable(folder: Path, content: bytes) -> None:
    (folder / baseline.DOCUMENT).write_bytes(content)
    with pytest.raises(IncomparableError, match="can't be used") as caught:
        baseline.read(folder)
    assert caught.value.where.endswith(baseline.DOCUMENT)


def test_unknown_fields_are_refused(folder: Path) -> None:
    changed(folder, surprise=1)
    with pytest.raises(IncomparableError, match="surprise"):
        baseline.read(folder)


def test_a_missing_baseline_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(IncomparableError, match="no baseline") as caught:
        baseline.read(tmp_path)
    assert "--set-baseline" in caught.value.next_step


def test_a_model_that_the_baseline_lacks_is_named(folder: Path) -> None:
    with pytest.raises(IncomparableError, match="'nets'") as caught:
        baseline.read(folder).entry("nets")
    assert "net" in caught.value.next_step
