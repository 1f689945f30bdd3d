"""The Swift package as text; tests/e2e/test_bundle_ios.py compiles it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.bundle import preprocessing
from edgekit.bundle.ios import GENERATOR, swift
from edgekit.bundle.recipe import Content, Part, Recipe
from edgekit.bundle.records import Contract
from edgekit.errors import BundleError
from tests import ios_packages

SOURCES, TESTS = "Sources/VisionBundle", "Tests/VisionBundleTests"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Content:
    return GENERATOR.content(ios_packages.recipe(tmp_path_factory.mktemp("ios")))


def text(content: Content, path: str) -> str:
    data = content.files[path]
    assert isinstance(data, bytes)
    return data.decode()


def alone(part: Part) -> Recipe:
    return Recipe(name="one", identifier="one", parts=(part,))


def changed(part: Part, change: Callable[[Contract], Contract], members: slice = slice(None)) -> Recipe:
    """The part with other contracts in some of its variants."""
    made = list(part.members)
    made[members] = [
        replace(m, variant=msgspec.structs.replace(m.variant, contract=change(m.variant.contract)))
        for m in made[members]
    ]
    return alone(replace(part, members=tuple(made)))


def refusal(recipe: Recipe) -> str:
    """Both ways of asking refuse alike."""
    with pytest.raises(BundleError) as by_check:
        GENERATOR.check(recipe)
    with pytest.raises(BundleError) as by_content:
        GENERATOR.content(recipe)
    assert by_check.value.message == by_content.value.message
    assert by_check.value.where and by_check.value.next_step
    return by_check.value.message


def test_the_same_recipe_from_another_place_gives_the_same_bytes(content: Content, tmp_path: Path) -> None:
    def read(one: Content) -> dict[str, bytes]:
        return {name: data if isinstance(data, bytes) else data.read_bytes() for name, data in one.files.items()}

    again = GENERATOR.content(ios_packages.recipe(tmp_path))
    assert read(again) == read(content)
    assert list(again.files) == sorted(again.files)
    assert not any(str(tmp_path).encode() in data for data in read(again).values())


def test_text_from_elsewhere_stays_inside_its_literal_or_comment(content: Content) -> None:
    for path in content.files:
        if not path.endswith((".swift", ".md")):
            continue
        for number, line in enumerate(text(content, path).splitlines(), start=1):
            assert line.isprintable(), f"{path}:{number}"
            code = re.sub(r'"(?:[^"\\]|\\.)*"', '""', line)
            assert path.endswith(".md") or "import Evil" not in code.split("//")[0], f"{path}:{number}"
    assert r"x\")" in text(content, f"{SOURCES}/StringModel.swift")


@pytest.mark.parametrize(
    ("given", "literal"),
    [
        ('a"b', r'"a\"b"'), (r"\(x)", r'"\\(x)"'), ("\n\r\0", r'"\u{A}\u{D}\u{0}"'), ("\u202e", r'"\u{202E}"'),
        ("\u0301", r'"\u{301}"'), ("\ud800", r'"\u{FFFD}"'), ("été 手", '"été 手"'), ("\u2028", r'"\u{2028}"'),
    ],
)  # fmt: skip
def test_a_literal_escapes_what_swift_or_a_reader_would_take_otherwise(given: str, literal: str) -> None:
    assert swift.string(given) == literal


def test_names_are_swifts_and_differ_by_more_than_case() -> None:
    assert swift.types(["string", "mobile_net1", "mobile_net_1", "ab_c", "abc"]) == [
        "StringModel", "MobileNet1Model", "MobileNet1Model2", "AbCModel", "AbcModel2",
    ]  # fmt: skip
    assert swift.members(["await", "input_image", "await_value", "top"], taken=("top",)) == [
        "awaitValue", "inputImage", "awaitValue2", "topValue",
    ]  # fmt: skip
    assert swift.module("core_ml") == "CoreMlBundle"


def test_no_folder_of_resources_is_called_as_ios_refuses_to_sign(content: Content) -> None:
    assert "Resources" not in {part for path in content.files for part in path.split("/")}
    copied = re.findall(r'\.copy\("(\w+)"\)', text(content, "Package.swift"))
    assert copied == ["Models", "Golden"]
    for folder, below in zip(copied, (SOURCES, TESTS), strict=True):
        assert any(path.startswith(f"{below}/{folder}/") for path in content.files)


@pytest.mark.parametrize(
    ("versions", "ios", "macos"),
    [((6,), "16.0", "13.0"), ((7,), "16.0", "13.0"), ((8, 7), "17.0", "14.0"), ((9, 10), "26.0", "26.0")],
)
def test_the_newest_model_decides_what_the_package_needs(
    tmp_path: Path, versions: tuple[int, ...], ios: str, macos: str
) -> None:
    part = ios_packages.pictures(tmp_path)
    for member, version in zip(part.members, versions, strict=False):
        (member.path / "Data/com.apple.CoreML/model.mlmodel").write_bytes(bytes([8, version, 0x12, 0]))
    made = GENERATOR.content(alone(part))
    assert f'[.iOS("{ios}"), .macCatalyst("{ios}"), .macOS("{macos}")]' in text(made, "Package.swift")
    assert (made.runtimes[0].source, made.runtimes[0].inside) == ("iOS SDK", False)
    assert ios in made.runtimes[0].version


@pytest.mark.parametrize(
    ("head", "reason"),
    [(b"\x08\x0b", "specification version"), (b"", "specification version"), (None, "can't be read")],
)
def test_a_package_that_core_ml_would_not_load_is_refused(tmp_path: Path, head: bytes | None, reason: str) -> None:
    part = ios_packages.pictures(tmp_path)
    program = part.members[1].path / "Data/com.apple.CoreML/model.mlmodel"
    program.unlink() if head is None else program.write_bytes(head)
    assert reason in refusal(alone(part))


def test_a_link_in_a_package_is_refused(tmp_path: Path) -> None:
    part = ios_packages.pictures(tmp_path)
    (part.members[0].path / "more").symlink_to("/etc")
    assert "symbolic link" in refusal(alone(part))


def test_tensors_of_types_that_have_no_place_in_the_interface_are_refused(tmp_path: Path) -> None:
    part = ios_packages.pictures(tmp_path)

    def inputs(dtype: str) -> Callable[[Contract], Contract]:
        def change(contract: Contract) -> Contract:
            first = msgspec.structs.replace(contract.inputs[0], dtype=dtype)
            return msgspec.structs.replace(contract, inputs=(first, *contract.inputs[1:]), preprocess=None)

        return change

    assert "image is float64" in refusal(changed(part, inputs("float64")))
    assert "image is float16; float32 and int32" in refusal(changed(part, inputs("float16")))


def test_variants_that_are_fed_or_read_differently_are_refused(tmp_path: Path) -> None:
    part = ios_packages.pictures(tmp_path)

    def fewer_labels(contract: Contract) -> Contract:
        return msgspec.structs.replace(contract, labels=contract.labels[1:] if contract.labels else None)

    def other_shape(contract: Contract) -> Contract:
        second = msgspec.structs.replace(contract.inputs[1], shape=(1, 6))
        return msgspec.structs.replace(contract, inputs=(contract.inputs[0], second))

    for change in (fewer_labels, other_shape):
        assert "variant fp16 is not fed and read" in refusal(changed(part, change, slice(1, 2)))
    assert "7 labels are not those" in refusal(changed(part, fewer_labels))


def test_a_picture_can_not_fill_a_batch(tmp_path: Path) -> None:
    def batch(contract: Contract) -> Contract:
        first = msgspec.structs.replace(contract.inputs[0], shape=(2, 3, 24, 40))
        return msgspec.structs.replace(contract, inputs=(first, *contract.inputs[1:]))

    assert "batch of pictures" in refusal(changed(ios_packages.pictures(tmp_path), batch))


def test_compute_units_that_nobody_chose_are_warned_of(content: Content) -> None:
    assert [warning.split(": no compute units")[0] for warning in content.warnings] == ["digits", ios_packages.HOSTILE]
    assert "fp16" in content.warnings[0]
    source = text(content, f"{SOURCES}/DigitsModel.swift")
    assert "computeUnits: .cpuAndGPU, chosen: true" in source
    assert "computeUnits: .all, chosen: false" in source
    assert "all (not chosen)" in text(content, "README.md")


def test_golden_values_are_stored_as_swift_reads_them(content: Content, tmp_path: Path) -> None:
    part = ios_packages.pictures(tmp_path)
    for member in part.members:
        for kind, arrays, tensors in (
            ("input", member.golden_inputs, member.variant.contract.inputs),
            ("output", member.golden_outputs, member.variant.contract.outputs),
        ):
            for array, tensor in zip(arrays, tensors, strict=True):
                stored = content.files[f"{TESTS}/Golden/digits/{member.variant.id}/{kind}_{tensor.identifier}.bin"]
                assert isinstance(stored, bytes)
                dtype = "<i4" if tensor.dtype == "int32" else "<f4"
                np.testing.assert_array_equal(np.frombuffer(stored, dtype).reshape(array.shape), array)
    large = replace(part.members[0], golden_outputs=(part.members[0].golden_outputs[0], np.array([[2**40], [1]])))
    assert "do not fit into 32 bits" in refusal(alone(replace(part, members=(large, part.members[1]))))


def test_the_golden_picture_is_the_definitions(content: Content, tmp_path: Path) -> None:
    contract = ios_packages.pictures(tmp_path).members[0].variant.contract
    assert contract.preprocess is not None
    rgb, made = preprocessing.vector(preprocessing.steps_of(contract.preprocess, contract.inputs[0]))
    rgba, stored = (content.files[f"{TESTS}/Golden/digits/picture_{name}.bin"] for name in ("rgba", "input"))
    assert isinstance(rgba, bytes) and isinstance(stored, bytes)
    pixels = np.frombuffer(rgba, np.uint8).reshape(*rgb.shape[:2], 4)
    np.testing.assert_array_equal(pixels[..., :3], rgb)
    assert stored == made.tobytes()


def test_every_file_of_a_model_is_in_the_package_with_its_hash(content: Content) -> None:
    source = text(content, f"{SOURCES}/DigitsModel.swift")
    below = [path for path in content.files if path.startswith(f"{SOURCES}/Models/digits/")]
    assert len(below) == 6
    for path in below:
        file = content.files[path]
        assert isinstance(file, Path)
        place = source.index(f'path: "{path.removeprefix(SOURCES + "/")}"')
        assert f"bytes: {file.stat().st_size}," in source[place : place + 200]
        assert re.search(r'sha256: "[0-9a-f]{64}"', source[place : place + 250])


def test_listing_the_targets_does_not_import_torch() -> None:
    code = "import sys; import edgekit.bundle.ios; sys.exit('torch' in sys.modules or 'coremltools' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
