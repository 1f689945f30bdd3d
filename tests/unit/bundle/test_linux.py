"""What a bundle for Linux holds, without running any of it."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.bundle import c_text
from edgekit.bundle.linux import GENERATOR, third_party
from edgekit.bundle.recipe import Content, Recipe
from edgekit.bundle.records import Tensor
from edgekit.bundle.seal import write
from edgekit.device.runner_files import ABIS, find_bundle
from edgekit.errors import BundleError, UsageError
from edgekit.records import Parity, Preprocess
from tests.adbd import require
from tests.native import build
from tests.unit.bundle import made

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module", autouse=True)
def runner() -> None:
    require("g++")
    build("x86_64")


def config_of(content: Content) -> dict:
    found = content.files["config.json"]
    assert isinstance(found, bytes)
    return json.loads(found)


def text_of(content: Content, path: str) -> str:
    found = content.files[path]
    assert isinstance(found, bytes)
    return found.decode()


def written(recipe: Recipe, folder: Path) -> Path:
    """The bundle's own files, as an unpacked bundle has them."""
    content = GENERATOR.content(recipe)
    for path, source in content.files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source if isinstance(source, bytes) else source.read_bytes())
    return folder


def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (GENERATOR.content(made.two_variants(tmp_path)) for _ in range(2))
    assert list(first.files) == sorted(first.files)
    assert first == second
    write._check_paths(first)


def test_only_what_the_engines_need_is_inside(tmp_path: Path) -> None:
    litert = GENERATOR.content(made.simple(tmp_path))
    assert "runner/runtime/libLiteRt.so" in litert.files
    assert not [path for path in litert.files if "executorch" in path]
    assert "ENGINES := litert\n" in text_of(litert, "c/Makefile")
    pte = GENERATOR.content(made.simple(tmp_path, "executorch"))
    assert "runner/runtime/libexecutorch.so" in pte.files
    assert not [path for path in pte.files if "litert" in path.lower()]
    assert pte.executables == {path for path in pte.files if path.startswith("runner/")}


def test_the_runtimes_lie_apart_from_the_c_library(tmp_path: Path) -> None:
    # A program that finds the runtimes by an rpath must not find another C library than it was started with.
    files = GENERATOR.content(made.simple(tmp_path, "executorch")).files
    beside = {path for path in files if path.startswith("runner/runtime/")}
    assert beside and all(path.startswith("runner/runtime/libexecutorch") for path in beside)
    assert {"runner/libc.so.6", "runner/runner", "runner/with-libraries"} <= set(files)


def test_onnx_runs_from_python_only_and_says_so(tmp_path: Path) -> None:
    content = GENERATOR.content(made.simple(tmp_path, "onnx"))
    assert not [path for path in content.files if path.startswith(("runner/", "c/"))]
    assert config_of(content)["runner"] is None
    assert "Python only" in content.warnings[0]
    readme = text_of(content, "README.md")
    assert "none in this bundle" in readme and "| `runner/` |" not in readme and "`c/`" not in readme
    assert text_of(content, "python/requirements.txt").splitlines() == [
        "numpy>=1.26",
        "pillow>=10",
        "onnxruntime==1.31.1",
    ]
    assert not any(runtime.inside for runtime in content.runtimes)


def test_the_readmes_commands_take_files_that_are_there_and_the_licence_is_said(tmp_path: Path) -> None:
    bare = msgspec.structs.replace(made.IMAGE, preprocess=None)
    content = GENERATOR.content(made.simple(tmp_path, contract=bare))
    readme = text_of(content, "README.md")
    given = {path for line in readme.splitlines() if "--tensors" in line
             for path in line.partition("--tensors ")[2].partition(" #")[0].split()}  # fmt: skip
    assert given and given <= set(content.files)
    assert "picture" not in readme.partition("## Python")[2].partition("`python/edgekit_model.py`")[0]
    assert "\n- net: " in readme.partition("## Passing it on")[2]


def test_an_unknown_abi(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no ABI riscv64"):
        GENERATOR.check(made.simple(tmp_path, abi="riscv64"))


@pytest.mark.parametrize("abi", ABIS)
def test_no_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abi: str) -> None:
    monkeypatch.setenv("EDGEKIT_RUNNER", str(tmp_path / "empty"))
    with pytest.raises(BundleError) as raised:
        GENERATOR.check(made.simple(tmp_path, abi=abi))
    assert "not built" in raised.value.message and abi in raised.value.message
    assert "make runner" in raised.value.next_step and "EDGEKIT_RUNNER" in raised.value.next_step
    GENERATOR.check(made.simple(tmp_path, "onnx", abi=abi))


def test_formats_that_do_not_run_here(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not run on Linux boards"):
        GENERATOR.check(made.simple(tmp_path, "coreml"))


def test_preprocessing_that_has_no_equal(tmp_path: Path) -> None:
    contract = msgspec.structs.replace(made.IMAGE, preprocess=Preprocess(height=8, width=8, interpolation="lanczos"))
    with pytest.raises(BundleError, match="lanczos"):
        GENERATOR.check(made.simple(tmp_path, contract=contract))


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor(name="x", identifier="x", shape=(1,) * 9),
        Tensor(name="x", identifier="x", shape=(1, 2), dtype="complex64"),
        Tensor(name="x", identifier="x", shape=(0, 2)),
    ],
)
def test_tensors_that_c_can_not_have(tmp_path: Path, tensor: Tensor) -> None:
    one = made.member(tmp_path)
    contract = msgspec.structs.replace(made.IMAGE, outputs=(tensor,), labels=None)
    wrong = replace(one, variant=msgspec.structs.replace(one.variant, contract=contract))
    with pytest.raises(BundleError, match="can't be bundled"):
        GENERATOR.check(made.recipe(made.part("net", [wrong])))


def test_the_configuration(tmp_path: Path) -> None:
    recipe = made.two_variants(tmp_path)
    content = GENERATOR.content(recipe)
    (model,) = config_of(content)["models"]
    assert [row["id"] for row in model["variants"]] == ["litert_fp32", "litert_fp16"]
    assert [(row["device_name"], row["variant"], row["threads"]) for row in model["devices"]] == [
        ("Pixel 7", "litert_fp16", 4), ("Galaxy S23", "litert_fp16", 2),
    ]  # fmt: skip
    for row, member in zip(model["variants"], recipe.parts[0].members, strict=True):
        assert content.files[row["file"]] == member.path
        assert row["golden"]["tolerance"]["max_abs"] == member.variant.parity.tolerance.max_abs
        for side, stacks in (("inputs", member.golden_inputs), ("outputs", member.golden_outputs)):
            for path, stack in zip(row["golden"][side], stacks, strict=True):
                (tmp_path / "golden.npy").write_bytes(content.files[path])
                assert np.array_equal(np.load(tmp_path / "golden.npy"), stack)


def test_a_file_made_elsewhere_is_held_to_its_own_outputs(tmp_path: Path) -> None:
    foreign = made.member(tmp_path, parity=Parity(passed=None, reason="made elsewhere"))
    unknown = replace(foreign, variant=msgspec.structs.replace(foreign.variant, id="other", precision="unknown"))
    content = GENERATOR.content(made.recipe(made.part("net", [foreign, unknown])))
    golden = [row["golden"] for row in config_of(content)["models"][0]["variants"]]
    assert [row["outputs_from"] for row in golden] == ["file", "file"]
    assert [row["tolerance"]["max_abs"] for row in golden] == [2e-4, 2e-2]


def test_every_documented_field_is_there_and_no_other(tmp_path: Path) -> None:
    content = GENERATOR.content(made.two_variants(tmp_path))
    documented = set(re.findall(r"`([a-z_0-9]+)`", text_of(content, "CONFIG.md")))

    def fields(value: object) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(fields, value)) if value else set()
        return set(value).union(*map(fields, value.values())) if isinstance(value, dict) else set()

    found = fields({key: value for key, value in config_of(content).items() if key != "runner"})
    assert found - documented == set()


def test_variants_with_other_tensors_have_an_api_of_their_own(tmp_path: Path) -> None:
    flat = msgspec.structs.replace(
        made.IMAGE, outputs=(Tensor(name="logits", identifier="logits", shape=(1, 3, 1, 1)),)
    )
    plain_one, other = made.member(tmp_path), made.member(tmp_path, contract=flat, precision="fp16")
    renamed = msgspec.structs.replace(
        made.IMAGE, inputs=(Tensor(name="args_0", identifier="args_0", shape=(1, 3, 8, 8)),)
    )
    alike = made.member(tmp_path, format_name="executorch", contract=renamed)
    content = GENERATOR.content(made.recipe(made.part("errno", [plain_one, other, alike])))
    names = [row["c_api"] for row in config_of(content)["models"][0]["variants"]]
    assert names == ["errno_model", "errno__litert_fp16", "errno_model"]
    assert {"c/model_errno_model.h", "c/model_errno__litert_fp16.h"} <= set(content.files)


@pytest.mark.parametrize("abi", ABIS)
def test_every_file_of_the_runner_has_a_licence_with_its_text(tmp_path: Path, abi: str) -> None:
    if abi != "x86_64":
        require("aarch64-linux-gnu-g++")
        build(abi)
    both = made.part("net", [made.member(tmp_path, "net", name) for name in ("litert", "executorch")])
    content = GENERATOR.content(made.recipe(both, abi=abi))
    notice = text_of(content, "THIRD_PARTY.md")
    for file in find_bundle(abi).files:
        assert f"/{file.name}`" in notice
        third_party.owner_of(file.name)
    for text in re.findall(r"`(licences/[^`]+)`", notice):
        assert text in content.files
    assert content.warnings == ()
    versions = {runtime.name: runtime.version for runtime in content.runtimes}
    assert versions["LiteRT"] == find_bundle(abi).engines["litert"]
    assert re.fullmatch(r"\d+\.\d+", versions["GNU C Library"])
    with pytest.raises(BundleError, match="unknown licence"):
        third_party.owner_of("libmystery.so")


def test_what_the_runtimes_need_is_what_readelf_says(tmp_path: Path) -> None:
    require("readelf")
    files = [file.path for file in find_bundle("x86_64").files if file.name == "libLiteRt.so"]
    listed = subprocess.run(["readelf", "-VW", *files], capture_output=True, text=True, check=True).stdout
    newest = max(re.findall(r"Name: GLIBC_([\d.]+)", listed), key=lambda text: [int(n) for n in text.split(".")])
    assert f"GLIBC {newest} " in text_of(GENERATOR.content(made.simple(tmp_path)), "README.md")


def test_the_pinned_packages_are_those_that_edgekit_is_tested_with() -> None:
    tested = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    for rows in third_party.PYTHON.values():
        for name, version, _ in rows:
            assert tested[name] == version


@given(st.text())
def test_c_strings(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    literal = c_text.string(text)
    assert ast.literal_eval(f"b{literal}") == text.encode()
    assert "??" not in literal and "\n" not in literal and literal.isascii()


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_c_numbers(value: float) -> None:
    text = c_text.float32(value)
    assert text.endswith("f") and set(text) & set(".e")
    assert np.float32(text[:-1]) == np.float32(value)


def test_hostile_texts_stay_where_they_are(tmp_path: Path) -> None:
    recipe = made.hostile(tmp_path)
    content = GENERATOR.content(recipe)
    (model,) = config_of(content)["models"]
    assert model["name"] == recipe.parts[0].model.name
    assert model["variants"][0]["labels"] == list(made.HOSTILE)
    readme = text_of(content, "README.md")
    assert "\u2028" not in readme and "\x01" not in readme
    rows = [line for line in readme.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3, 6, 8}


@pytest.mark.parametrize("make", [made.hostile, made.several_tensors, made.two_models, made.two_variants])
def test_the_generated_c_compiles(tmp_path: Path, make: Callable[[Path], Recipe]) -> None:
    require("gcc")
    folder = written(make(tmp_path), tmp_path / "bundle")
    sources = sorted(str(path) for path in (folder / "c").glob("*.c"))
    flags = ["-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-DEK_WITH_LITERT", "-fsyntax-only"]
    done = subprocess.run(["gcc", *flags, *sources], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_quantised_inputs_get_a_table(tmp_path: Path) -> None:
    require("gcc")
    content = made.recipe(made.part("net", [made.member(tmp_path, contract=made.INT8_IMAGE)]))
    folder = written(content, tmp_path / "bundle")
    source = (folder / "c/model_net.c").read_text()
    assert "static const int8_t table[][256]" in source and ".table = table" in source
    subprocess.run(
        ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", folder / "c/model_net.c"], check=True
    )
