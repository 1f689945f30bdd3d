"""From a PyTorch model to bundles for every target, by the public verbs and by the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import ZOO, Done
from command import edgekit as run

import edgekit
from edgekit import paths
from edgekit.bundle.make import GENERATORS
from edgekit.bundle.records import Target
from edgekit.cli.main import main

MODEL = f"{ZOO}:tiny"
PLAN = edgekit.Plan(warmup_min_runs=1, warmup_min_seconds=0.0, min_runs=10, min_seconds=0.0, repeats=2)
Command = Callable[..., Done]
FORMAT = {"android": "litert", "ios": "coreml", "mcu": "mcu", "linux": "litert"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store that only this file writes."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'results.sqlite'}"


@pytest.fixture(scope="module")
def files(url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, edgekit.Artifact]:
    """One model in the format of each target; the LiteRT one is measured on this machine."""
    out = tmp_path_factory.mktemp("out")
    made = edgekit.convert(MODEL, ["litert", "coreml", "mcu"], output=out, calibration="synthetic")
    edgekit.deploy(MODEL, formats=["litert"], plan=PLAN, store=url)
    return {one.format: one for one in made}


@pytest.fixture
def command(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``edgekit bundle`` in this process: starting one takes longer than most of what is done here."""
    monkeypatch.setenv("EDGEKIT_STORE", url)

    def call(*arguments: str | Path) -> Done:
        capsys.readouterr()
        code = main(["bundle", *map(str, arguments)])
        return Done(code, *capsys.readouterr())

    return call


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Path -> content and mode of every file."""
    found = (path for path in folder.rglob("*") if not path.is_dir())
    return {str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mode) for p in found}


@pytest.fixture(scope="module")
def elsewhere(files: dict[str, edgekit.Artifact], url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundles of all targets, made by another process in other surroundings, from a copy of the cache."""
    folder = tmp_path_factory.mktemp("elsewhere é")
    shutil.copytree(paths.cache_dir(), folder / "cache")
    program = "import os, edgekit\nos.umask(0o077)\n" + "".join(
        f"edgekit.bundle({files[FORMAT[target]].path!r}, {target!r}, {target!r}, store={url!r})\n"
        for target in GENERATORS
    )
    env = {**os.environ, "PYTHONHASHSEED": "77", "TZ": "Asia/Kolkata", "LC_ALL": "POSIX",
           "EDGEKIT_CACHE": str(folder / "cache")}  # fmt: skip
    subprocess.run([sys.executable, "-c", program], cwd=folder, env=env, check=True, timeout=300)
    return folder


@pytest.mark.parametrize("target", GENERATORS)
def test_bundles_of_one_model_are_equal_wherever_they_are_made(
    target: Target, files: dict[str, edgekit.Artifact], url: str, tmp_path: Path, command: Command, elsewhere: Path
) -> None:
    source = files[FORMAT[target]]
    made = edgekit.bundle(source.path, target, tmp_path / "a", store=url)
    assert tree(tmp_path / "a") == tree(elsewhere / target) != {}
    assert made.manifest.target == target
    (model,) = made.manifest.models
    (variant,) = model.variants
    assert (model.name, variant.artifact_sha256, variant.parity.passed) == ("zoo_tiny", source.sha256, True)
    assert variant.golden_samples == 4 and {r.inside for r in made.manifest.runtimes} <= {True, False}
    assert bool(variant.evidence) == (source.format == "litert")
    # This machine is a Linux machine, and no Android device.
    assert any("no measurement of" in text for text in model.warnings) == (target != "linux")
    assert any("which is no Android device" in text for text in model.warnings) == (target == "android")
    if target == "mcu":
        assert [t.shape for t in variant.contract.inputs] == [(1, 32, 32, 3)]
        assert variant.contract.inputs[0].dtype == "int8" and variant.parity.bit_equal is True
    assert command("verify", tmp_path / "a", "--json").json()["verified"]["files"] == len(made.manifest.files)


def test_from_a_choice_to_a_signed_bundle(files: dict[str, edgekit.Artifact], url: str, tmp_path: Path) -> None:
    choice, labels = tmp_path / "choice.json", tmp_path / "labels.txt"
    chosen = run("choose", "-d", "host", "--minimize", "size", "--json", env={"EDGEKIT_STORE": url})
    choice.write_text(chosen.out)
    labels.write_text("".join(f"class {number}\n" for number in range(10)))
    keys = {"EDGEKIT_STORE": url, "EDGEKIT_KEYS": str(tmp_path / "keys")}
    assert run("keys", "new", env=keys).code == 0
    given = ("bundle", f"digits={choice}", "--for", "android", "-o", str(tmp_path / "out"), "--key", "default")
    done = run(
        *given, "--labels", str(labels), "--licence", "MIT", "--package", "com.example.digits", "--json", env=keys
    )
    assert done.code == 0, done.err
    bundle = done.json()["bundle"]
    (model,) = bundle["models"]
    (variant,) = model["variants"]
    assert (bundle["name"], bundle["options"]["package"]) == ("digits", "com.example.digits")
    assert variant["artifact_sha256"] == json.loads(chosen.out)["choice"]["candidate"]["artifact_sha256"]
    assert variant["contract"]["labels"][9] == "class 9" and model["licence"]["source"] == "command line"
    (measured,) = edgekit.results(store=url)
    assert [one["measurement_id"] for one in variant["evidence"]] == [measured.id]
    assert model["devices"] == []  # this machine is no Android device
    listed = json.loads((tmp_path / "out/manifest.json").read_text())
    assert bundle["files"] == len(listed["files"]) and bundle["bytes"] == sum(one["bytes"] for one in listed["files"])
    for warning in bundle["warnings"]:
        assert " ".join(f"warning: {warning}".split()) in " ".join(done.err.split())
    verified = run("bundle", "verify", str(tmp_path / "out"), "--require-signature", env=keys)
    assert verified.code == 0 and bundle["key_id"] in verified.out


def test_what_is_printed_for_people(
    files: dict[str, edgekit.Artifact], tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    measured, other = files["litert"].path, shutil.copyfile(files["litert"].path, tmp_path / "other.tflite")
    Path(other).write_bytes(Path(other).read_bytes() + bytes(16))
    done = command(f"net={measured}", f"net={other}", "--for", "android", "-o", "out")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith("out: net for android, ") and lines[0].endswith("not signed")
    assert "net (none stated)" in lines and "  litert_fp32, 6.0 KB, parity ok, fall-back" in lines
    assert any("parity not checked" in line for line in lines) and any("ms (1 thread) on" in line for line in lines)
    assert "warning: Nothing states the licence of net" in done.err
    assert [line for line in (done.out + done.err).splitlines() if len(line) > 80] == []
    again = command(f"net={measured}", "--for", "android", "-o", "out", "--force", "-q")
    assert (again.code, again.out) == (0, "")


def test_verify_finds_a_flipped_bit(
    files: dict[str, edgekit.Artifact], url: str, tmp_path: Path, command: Command
) -> None:
    edgekit.bundle(files["litert"].path, "android", tmp_path / "out", store=url)
    whole = tree(tmp_path / "out")
    for name in (next(one for one in whole if one.endswith(".tflite")), "README.md", "manifest.json"):
        path = tmp_path / "out" / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        assert Path(name).name in str(command("verify", tmp_path / "out", "--json").failed(17, "bundle"))
        path.write_bytes(whole[name][0])
    assert command("verify", tmp_path / "out").code == 0
    error = command("verify", tmp_path / "out", "--require-signature", "--json").failed(17, "bundle")
    assert "sign" in error["message"]


def test_wrong_arguments(files: dict[str, edgekit.Artifact], tmp_path: Path, command: Command) -> None:
    source, out = files["litert"].path, ("-o", tmp_path / "out")
    usage: dict[str, tuple[str | Path, ...]] = {
        "Missing option '--for'": (source, *out),
        "Missing option '--output'": (source, "--for", "android"),
        "Missing argument 'SOURCE...'": ("--for", "android", *out),
        "'windows' is not one of": (source, "--for", "windows", *out),
        "There is no file none.tflite": ("none.tflite", "--for", "android", *out),
        "--board does not go with --for android": (source, "--for", "android", "--board", "rp2040", *out),
        "There is no model nett in this bundle": (source, "--for", "android", "--licence", "nett=MIT", *out),
        "'net=' lacks a part": ("net=", "--for", "android", *out),
    }
    for text, arguments in usage.items():
        assert text in command(*arguments, "--json").failed(2, "usage")["message"], text
    assert not (tmp_path / "out").exists()


def test_what_can_not_be_bundled(files: dict[str, edgekit.Artifact], tmp_path: Path, command: Command) -> None:
    source, out = files["litert"].path, ("-o", tmp_path / "out", "--json")
    labels = tmp_path / "labels.txt"
    labels.write_text("one\ntwo\n")
    bad: dict[str, tuple[str | Path, ...]] = {
        "does not let it be passed on": (source, "--for", "android", "--licence", "CC-BY-NC-4.0"),
        "A bundle for ios takes coreml files": (source, "--for", "ios"),
        "has 10 classes": (source, "--for", "android", "--labels", labels),
        "Two models are called zoo_tiny": (source, files["litert"].path, "--for", "android"),
        "is no choice of edgekit choose": (labels, "--for", "android"),
    }
    for text, arguments in bad.items():
        assert text in command(*arguments, *out).failed(17, "bundle")["message"], text
    assert not (tmp_path / "out").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").touch()
    command(source, "--for", "android", "--force", "-o", tmp_path / "full", "--json").failed(2, "usage")
    assert (tmp_path / "full/mine.txt").is_file()


def test_a_file_called_verify_is_given_with_its_folder(command: Command) -> None:
    assert "Usage: edgekit bundle verify [OPTIONS] DIR" in command("--help").out
    assert "Missing argument 'DIR'" in command("verify", "--json").failed(2, "usage")["message"]
    assert "There is no file ./verify" in str(command("./verify", "--for", "mcu", "-o", "x", "--json").json())
