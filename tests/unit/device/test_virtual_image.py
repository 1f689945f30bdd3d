"""The virtual phone's image: whole or none, named by what makes it, and built by a script that may fail or be ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekit.device import virtual_image, virtual_phone
from edgekit.errors import DeviceError

from .phone_parts import stand_in, write_image


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data directory of the test's own."""
    monkeypatch.setenv("EDGEKIT_DATA", str(tmp_path / "data"))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image that is whole, but nothing that boots."""
    return write_image(tmp_path / "image", b"no kernel", b"no files")


def test_an_image_is_whole_or_none(image: Path, tmp_path: Path) -> None:
    assert virtual_image.Image.at(image) is not None
    assert virtual_image.Image.at(tmp_path / "none") is None
    (image / "initramfs").write_bytes(b"no fileS")
    assert virtual_image.Image.at(image) is None
    with pytest.raises(DeviceError, match="damaged"):
        virtual_phone.start(image=image)


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"files": 1}', '{"files": {"kernel": {}}}', "[" * 100_000])
def test_a_hostile_manifest_is_no_image(image: Path, manifest: str) -> None:
    (image / "manifest.json").write_text(manifest)
    assert virtual_image.Image.at(image) is None


def test_the_key_follows_every_file_of_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert virtual_image.image_key() == virtual_image.image_key()
    own = tmp_path / "harness"
    (own / "guest").mkdir(parents=True)
    (own / "build.py").write_text("a")
    (own / "guest/init").write_text("b")
    monkeypatch.setattr(virtual_image, "HARNESS", own)
    before = virtual_image.image_key()
    (own / "guest/init").write_text("c")
    assert virtual_image.image_key() != before


def test_an_installed_edgekit_says_where_the_build_script_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, "exit 1")
    monkeypatch.setattr(virtual_image, "HARNESS", tmp_path / "site-packages")
    with pytest.raises(DeviceError, match="only in the source tree") as caught:
        virtual_phone.start()
    assert "--image DIR" in caught.value.next_step


def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A build script that does something else, in a checkout of its own."""
    own = tmp_path / "checkout/android_harness/virtual_phone"
    (own / "guest").mkdir(parents=True)
    (own / "build.py").write_text(script)
    monkeypatch.setattr(virtual_image, "HARNESS", own)
    stand_in(tmp_path, monkeypatch, "exit 1")


def test_the_error_of_the_build_is_the_error_of_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = {"error": DeviceError("No archive.", where="there", next_step="do this", missing=["x"]).to_dict()}
    harness(
        tmp_path,
        monkeypatch,
        f"import sys\nsys.stderr.write('virtual phone: step\\n')\nprint({json.dumps(error)!r})\nsys.exit(13)",
    )
    said: list[str] = []
    with pytest.raises(DeviceError, match="No archive") as caught:
        virtual_phone.start(say=said.append)
    assert (caught.value.next_step, caught.value.facts) == ("do this", {"missing": ["x"]})
    assert said == ["build the image (once)", "step"]


def test_a_build_that_crashes_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    harness(tmp_path, monkeypatch, "raise RuntimeError('broken here')")
    with pytest.raises(DeviceError, match="broken here"):
        virtual_phone.start()


def test_an_interrupted_build_is_asked_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = tmp_path / "cleaned"
    harness(tmp_path, monkeypatch, "\n".join([
        "import pathlib, signal, sys, time",
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(done)!r}).touch(), sys.exit(1)))",
        "print('virtual phone: ready', file=sys.stderr, flush=True)",
        "time.sleep(600)",
    ]))  # fmt: skip

    def interrupt(text: str) -> None:
        if text == "ready":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        virtual_phone.start(say=interrupt)
    assert done.exists()
