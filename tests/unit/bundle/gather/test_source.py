from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tflite_maker import Maker

from edgekit.bundle.gather import choice_file
from edgekit.bundle.gather.source import Located, locate
from edgekit.bundle.request import source_text, source_texts
from edgekit.convert.mcu.compile import compile_file
from edgekit.errors import BundleError, EdgekitError, UsageError
from edgekit.harness.content import sha256_of
from edgekit.records import Artifact, Parity
from tests.unit.bundle.kept import Kept, choice, write_choice
from tests.unit.bundle.made import digest


def find(kept: Kept, argument: object, target: Any = "linux") -> Located:
    return locate(source_text(str(argument)), target, kept.store, kept.cache)


def refused(kept: Kept, argument: object, kind: type[EdgekitError], text: str, target: Any = "linux") -> EdgekitError:
    with pytest.raises(kind, match=text) as caught:
        find(kept, argument, target)
    assert caught.value.where and caught.value.next_step
    return caught.value


def gone(artifact: Artifact) -> None:
    """Lose the cache's entry of a file."""
    shutil.rmtree(Path(artifact.path).parent)


# -- by its file -------------------------------------------------------------------------------------------------------


def test_a_copy_of_a_converted_file_is_known_by_its_content(kept: Kept) -> None:
    exported = kept.export()
    artifact = kept.convert(exported)
    copy = shutil.copyfile(artifact.path, kept.folder / "renamed.tflite")
    found = find(kept, copy)
    assert (found.artifact.sha256, found.path, found.run, found.name) == (artifact.sha256, copy, copy, "net")
    assert found.exported is not None and found.exported.golden.sha256 == exported.golden.sha256
    assert found.artifact.parity.passed is True
    assert find(kept, f"mine={copy}").name == "mine"


def test_a_file_that_nothing_knows_was_made_elsewhere(kept: Kept) -> None:
    path = kept.folder / "strange.onnx"
    path.write_bytes(b"x")
    found = find(kept, path)
    assert found.exported is None and found.name == "strange" and found.artifact.precision == "unknown"
    assert found.artifact.parity == Parity(passed=None, reason="the file was made elsewhere")


def test_the_store_says_how_a_file_was_judged(kept: Kept) -> None:
    exported = kept.export()
    artifact = kept.convert(exported, judged=False)
    parity = Parity(passed=True, max_abs=0.5, golden_sha256=exported.golden.sha256)
    kept.store.add_artifact(msgspec.structs.replace(artifact, parity=parity))
    assert find(kept, artifact.path).artifact.parity.max_abs == 0.5


def test_the_cache_knows_more_than_a_store_that_has_the_file_from_its_path(kept: Kept) -> None:
    artifact = kept.convert(kept.export())
    kept.store.add_artifact(msgspec.structs.replace(artifact, exported_sha256=None, model="renamed", parity=Parity(
        passed=None, reason="the file was made elsewhere")))  # fmt: skip
    found = find(kept, artifact.path)
    assert found.exported is not None and found.name == "net" and found.artifact.parity.passed is True


def test_a_file_that_was_not_judged_gets_the_bounds_to_be_judged_by(kept: Kept) -> None:
    exported = kept.export()
    artifact = kept.convert(exported, judged=False)
    kept.judge(artifact, exported, passed=None, tolerance=None, reason="it has an operator that is not known")
    parity = find(kept, artifact.path).artifact.parity
    assert parity.passed is None and parity.tolerance is not None and parity.tolerance.precision == "fp32"


def test_of_several_exports_it_is_the_one_that_the_file_was_judged_on(kept: Kept) -> None:
    kept.export("net", count=2, sha256=digest("same"))
    judged = kept.export("net", count=3, sha256=digest("same"))
    kept.export("other", count=4, sha256=digest("same"))
    artifact = kept.convert(judged, stored=True)
    found = find(kept, artifact.path).exported
    assert found is not None and (found.name, found.golden.sha256) == ("net", judged.golden.sha256)


def test_a_file_that_failed_parity_is_refused(kept: Kept) -> None:
    exported = kept.export()
    artifact = kept.convert(exported, judged=False)
    kept.judge(artifact, exported, passed=False, reason="it is off by 3")
    refused(kept, artifact.path, BundleError, "does not compute what its model computes: it is off by 3")


def test_what_is_neither_a_file_nor_a_sha256_is_refused(kept: Kept) -> None:
    for argument in ("none.tflite", "none", "abc", "ABCDEF0123456789", "x" * 5000):
        refused(kept, argument, UsageError, "There is no file")
    refused(kept, kept.folder, UsageError, "There is no file")


def test_what_disappeared_of_the_cache_is_no_export(kept: Kept) -> None:
    exported = kept.export()
    artifact = kept.convert(exported, stored=True)
    shutil.rmtree(Path(exported.golden.inputs[0]).parent)
    found = find(kept, artifact.path)
    assert found.exported is None and found.artifact.exported_sha256 == exported.sha256


# -- by its sha256 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digits", [8, 20, 64])
def test_the_beginning_of_a_sha256_is_enough(kept: Kept, digits: int) -> None:
    artifact = kept.convert(kept.export())
    found = find(kept, artifact.sha256[:digits])
    assert found.artifact.sha256 == artifact.sha256 and found.path == Path(artifact.path)


def test_a_measured_file_is_found_where_the_store_has_it_from(kept: Kept) -> None:
    artifact = kept.convert(kept.export())
    copy = shutil.copyfile(artifact.path, kept.folder / "copy.tflite")
    kept.measure(msgspec.structs.replace(artifact, path=str(copy)))
    gone(artifact)
    assert find(kept, artifact.sha256[:8]).path == copy
    copy.write_bytes(b"something else")
    error = refused(kept, artifact.sha256[:8], BundleError, "no longer where it was, nor in the cache")
    assert error.where == str(copy)


def test_a_damaged_file_of_the_cache_is_not_found(kept: Kept) -> None:
    artifact = kept.convert(kept.export())
    with Path(artifact.path).open("r+b") as file:
        file.write(b"?")
    refused(kept, artifact.sha256, UsageError, "No converted file")


def test_an_unknown_sha256_is_refused(kept: Kept) -> None:
    kept.convert(kept.export())
    for text in ("0" * 64, "0" * 8):
        refused(kept, text, UsageError, "No converted file in the store or the cache has a sha256 that begins with 0")


def test_two_that_begin_alike_are_refused(kept: Kept) -> None:
    exported = kept.export()
    for number in range(2):
        record = kept.convert(exported, content=f"{number}".encode())
        kept.measure(msgspec.structs.replace(record, sha256=f"01234567{number}".ljust(64, "a")))
    error = refused(kept, "01234567", UsageError, "More than one converted file")
    assert "012345670" in error.message and error.next_step == "Give more of it."


# -- by a choice -------------------------------------------------------------------------------------------------------


def test_a_choice_names_its_file_by_the_sha256(kept: Kept) -> None:
    artifact = kept.convert(kept.export(), stored=True)
    made = choice(artifact, kept.measure(artifact), threads=4)
    found = find(kept, write_choice(kept.folder / "choice.json", made))
    assert found.path == Path(artifact.path) and found.choices == (made,)


def test_programs_may_give_the_choice_itself(kept: Kept) -> None:
    artifact = kept.convert(kept.export(), stored=True)
    made = choice(artifact)
    (given,) = source_texts(made)
    assert locate(given, "linux", kept.store, kept.cache).choices == (made,)
    (nothing,) = source_texts([choice(artifact, status="none", choice=None)])
    with pytest.raises(BundleError, match="the choice is a choice of nothing"):
        locate(nothing, "linux", kept.store, kept.cache)


def test_a_choice_of_an_unknown_file_is_refused(kept: Kept) -> None:
    artifact = kept.convert(kept.export())
    path = write_choice(kept.folder / "choice.json", choice(artifact))
    gone(artifact)
    error = refused(kept, path, BundleError, "choice.json names .* is neither in the store nor in the cache")
    assert error.facts["sha256"] == artifact.sha256 and "EDGEKIT_CACHE" in error.next_step


def test_a_choice_of_nothing_is_refused(kept: Kept) -> None:
    artifact = kept.convert(kept.export())
    nothing = choice(artifact, status="none", choice=None)
    refused(kept, write_choice(kept.folder / "c.json", nothing), BundleError, "is a choice of nothing")


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b"\xff\xfe", b'{"schema": 1, "error": {"code": 2}}', b'{"schema": 1, "status": "chosen"}',
     b'{"status": "chosen", "choice": null, "more": 1}', b"[" * 100_000],
    ids=["empty", "nothing", "list", "binary", "failure", "cut", "unknown field", "nested"],
)  # fmt: skip
def test_what_is_no_choice_is_refused(kept: Kept, content: bytes) -> None:
    path = kept.folder / "choice.json"
    path.write_bytes(content)
    error = refused(kept, path, BundleError, "choice.json is no choice of edgekit choose")
    assert "edgekit choose --json" in error.next_step


def test_a_choice_of_another_schema_or_with_another_name_for_its_file_is_refused(kept: Kept) -> None:
    artifact = kept.convert(kept.export())
    path = write_choice(kept.folder / "c.json", choice(artifact))
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2', 1))
    refused(kept, path, BundleError, "has the schema 2; this edgekit reads 1")
    forged = msgspec.structs.replace(artifact, sha256="../../etc/passwd")
    refused(kept, write_choice(path, choice(forged)), BundleError, "by something that is no sha256")


def test_a_choice_as_other_shells_write_it(kept: Kept) -> None:
    artifact = kept.convert(kept.export(), stored=True)
    path = write_choice(kept.folder / "choice.json", choice(artifact, kept.measure(artifact), threads=4))
    text = path.read_text()
    path.write_text(text, encoding="utf-8-sig")
    assert find(kept, path).path == Path(artifact.path)
    path.write_text(text, encoding="utf-16")
    refused(kept, path, BundleError, "it is UTF-16, as some shells write what they redirect; it has to be UTF-8")


def test_a_huge_choice_is_not_read(kept: Kept) -> None:
    path = kept.folder / "choice.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    refused(kept, path, BundleError, "larger than 16 MiB")


def test_a_choice_in_doubt_says_so(kept: Kept) -> None:
    exported = kept.export()
    artifact, other = kept.convert(exported), kept.convert(exported, "onnx")
    standing = choice(other).choice
    assert standing is not None
    assert choice_file.doubts(choice(artifact)) == ()
    (tie,) = choice_file.doubts(choice(artifact, status="tie", ties=(standing,) * 2))
    assert tie == "The choice is a tie: the data can't tell net litert fp32, 1 thread from net onnx fp32, 1 thread."
    (undecided,) = choice_file.doubts(choice(artifact, status="undecided", undecided=(standing,)))
    assert undecided.endswith("whether the limits are met by net onnx fp32, 1 thread, which would be better.")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"threads": 0}, "a number of threads that can't be, 0"), ({"threads": -1}, "that can't be, -1"),
        ({"threads": 10**6}, "that can't be, 1000000"), ({"model": "a\x1b[31m"}, "text that can't be printed"),
        ({"format": "onnx"}, r"names a file as onnx fp32 that is litert fp32 \("),
        ({"precision": "int8"}, "names a file as litert int8 that is litert fp32"),
    ],
)  # fmt: skip
def test_a_choice_that_was_edited_is_refused(kept: Kept, change: dict[str, Any], text: str) -> None:
    made = choice(kept.convert(kept.export(), stored=True))
    assert made.choice is not None
    candidate = msgspec.structs.replace(made.choice.candidate, **change)
    edited = msgspec.structs.replace(made, choice=msgspec.structs.replace(made.choice, candidate=candidate))
    refused(kept, write_choice(kept.folder / "c.json", edited), BundleError, text)


def test_a_choice_that_names_a_device_or_measurement_by_control_characters_is_refused(kept: Kept) -> None:
    artifact = kept.convert(kept.export(), stored=True)
    for changes in ({"device": "x\n"}, {"id": "\0"}):
        one = msgspec.structs.replace(kept.measure(artifact), **changes)
        path = write_choice(kept.folder / "c.json", choice(artifact, one))
        refused(kept, path, BundleError, "names something by text that can't be printed")


def test_a_choice_of_nothing_that_names_a_file_is_one_of_nothing(kept: Kept) -> None:
    made = choice(kept.convert(kept.export(), stored=True), status="none")
    refused(kept, write_choice(kept.folder / "c.json", made), BundleError, "is a choice of nothing")


# -- for microcontrollers ----------------------------------------------------------------------------------------------


def int8_model(scale: float = 0.05) -> bytes:
    """A ReLU."""
    maker = Maker()
    x = maker.input((1, 4), scale, 3)
    y = maker.tensor((1, 4), scale, 3)
    maker.operator("RELU", [x], [y])
    maker.output(y)
    return maker.build()


def packed(kept: Kept, folder: str = "work") -> tuple[Artifact, Path]:
    """A packed model in the cache with the int8 .tflite that it was made from beside it."""
    path = kept.folder / "net.tflite"
    path.write_bytes(int8_model())
    artifact = kept.convert(kept.export(), "mcu", "int8", content=compile_file(path, dsp=True, float_outside=True).ekm)
    return artifact, path


def test_somebody_elses_int8_model_is_packed_and_checked(kept: Kept) -> None:
    path = kept.folder / "relu.tflite"
    path.write_bytes(int8_model())
    found = find(kept, path, "mcu")
    assert found.path == path and found.run.suffix == ".ekm" and found.exported is None
    assert found.artifact.format == "mcu" and found.artifact.parity.bit_equal is True and len(found.inputs) == 1
    assert find(kept, path, "linux").artifact.format == "litert"


def test_an_int8_model_that_edgekit_quantised_is_known(kept: Kept) -> None:
    artifact, path = packed(kept)
    found = find(kept, path, "mcu")
    assert found.artifact.sha256 == artifact.sha256 and found.path == path and found.run == Path(artifact.path)
    assert found.exported is not None and found.exported.name == "net"


def test_a_packed_model_is_bundled_from_its_int8_model(kept: Kept) -> None:
    artifact, path = packed(kept)
    refused(kept, artifact.sha256, BundleError, "is packed for the agent's firmware.*is not in the cache", "mcu")
    beside = Path(artifact.path).with_suffix(".tflite")
    shutil.copyfile(path, beside)
    copy = shutil.copyfile(artifact.path, kept.folder / "copied.ekm")
    found = find(kept, copy, "mcu")
    assert found.path == beside and found.run == copy and found.exported is not None
    beside.write_bytes(int8_model(0.06))
    refused(kept, artifact.sha256, BundleError, "Give the int8 .tflite|not in the cache", "mcu")


def test_a_model_packed_for_cores_without_dsp_finds_the_int8_model_of_its_twin(kept: Kept) -> None:
    artifact, path = packed(kept)
    beside = Path(artifact.path).with_suffix(".tflite")
    shutil.copyfile(path, beside)
    portable = kept.folder / "portable.ekm"
    portable.write_bytes(compile_file(path, dsp=False, float_outside=True).ekm)
    record = msgspec.structs.replace(artifact, sha256=sha256_of(portable), path=str(portable))
    kept.measure(record)
    found = find(kept, record.sha256[:8], "mcu")
    assert (found.run, found.path) == (portable, beside) and found.exported is not None


def test_a_packed_model_made_elsewhere_needs_its_int8_model(kept: Kept) -> None:
    path = kept.folder / "net.tflite"
    path.write_bytes(int8_model())
    lone = kept.folder / "lone.ekm"
    lone.write_bytes(compile_file(path, dsp=True).ekm)
    error = refused(kept, lone, BundleError, "lone.ekm is packed for the agent's firmware", "mcu")
    assert error.next_step == "Give the int8 .tflite instead." and len(error.facts["source_sha256"]) == 64
    lone.write_bytes(b"junk")
    refused(kept, lone, EdgekitError, "damaged|no packed", "mcu")
