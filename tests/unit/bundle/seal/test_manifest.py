from __future__ import annotations

import json
import string
import subprocess
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.bundle.records import FileEntry, Manifest
from edgekit.bundle.seal import canonical, manifest
from edgekit.errors import BundleError
from tests.adbd import require
from tests.unit.bundle import made
from tests.unit.bundle.seal import sealed


def entry(path: str, **changes: Any) -> FileEntry:
    return FileEntry(**{"path": path, "bytes": 3, "sha256": made.digest(ascii(path)), **changes})


def listing(*paths: str) -> tuple[FileEntry, ...]:
    return tuple(entry(path) for path in paths)


@pytest.fixture
def full(tmp_path: Path) -> Manifest:
    bare = sealed.unsealed(made.two_variants(tmp_path))
    return msgspec.structs.replace(bare, files=listing("README.md", "models/net.tflite", "src/a/b.kt"))


def with_files(base: Manifest, *files: FileEntry) -> Manifest:
    return msgspec.structs.replace(base, files=files)


def test_a_manifest_is_read_back_as_it_was(full: Manifest) -> None:
    data = manifest.encode(full)
    assert manifest.decode(data) == full
    assert data.endswith(b"}\n") and data.startswith(b'{\n "schema": 1,\n "target": "linux"')
    assert json.loads(data)["options"] == {"a": "1", "b": "2"}


def test_hostile_texts_are_read_back_as_they_were(tmp_path: Path) -> None:
    hostile = sealed.unsealed(made.hostile(tmp_path))
    assert manifest.decode(manifest.encode(hostile)) == hostile


def test_the_order_in_which_options_were_given_does_not_matter(full: Manifest) -> None:
    other = msgspec.structs.replace(full, options={"a": "1", "b": "2"})
    assert list(full.options) != list(other.options) and manifest.encode(full) == manifest.encode(other)


def test_the_checksum_file_is_what_sha256sum_reads(full: Manifest, tmp_path: Path) -> None:
    data = manifest.encode(full)
    (tmp_path / manifest.MANIFEST).write_bytes(data)
    (tmp_path / manifest.CHECKSUM).write_bytes(manifest.checksum(data))
    require("sha256sum")
    command = ["sha256sum", "--strict", "-c", manifest.CHECKSUM]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0
    (tmp_path / manifest.MANIFEST).write_bytes(data + b" ")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 1


def reordered(data: bytes) -> bytes:
    fields = json.loads(data)
    return json.dumps(dict(reversed(fields.items())), indent=1).encode() + b"\n"


OTHER_SPELLINGS = {
    "re-ordered": reordered,
    "one line": lambda data: json.dumps(json.loads(data)).encode(),
    "no newline": lambda data: data[:-1],
    "a space more": lambda data: data + b" ",
    "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "DOS lines": lambda data: data.replace(b"\n", b"\r\n"),
    "an escape": lambda data: data.replace(b'"linux"', b'"linu\\u0078"'),
    "a float as an integer": lambda data: data.replace(b'"cosine": 1.0', b'"cosine": 1'),
    "an exponent": lambda data: data.replace(b'"cosine": 1.0', b'"cosine": 10e-1'),
    "a field twice": lambda data: data.replace(
        b'"schema": 1,\n "target"', b'"schema": 1,\n "schema": 1,\n "target"', 1
    ),
    "a default left out": lambda data: data.replace(b'"schema": 1,\n ', b"", 1),
    "options in another order": lambda data: data.replace(b'"a": "1",\n  "b": "2"', b'"b": "2",\n  "a": "1"'),
}


@pytest.mark.parametrize("change", OTHER_SPELLINGS.values(), ids=list(OTHER_SPELLINGS))
def test_the_same_content_in_another_spelling_is_refused(full: Manifest, change: Any) -> None:
    data = manifest.encode(full)
    other = change(data)
    assert other != data
    with pytest.raises(BundleError) as refused:
        manifest.decode(other)
    assert refused.value.where == "manifest.json" and refused.value.next_step


DAMAGE = {
    "nothing": b"", "no JSON": b"{", "another type": b"[]\n", "another document": b'{"schema": 1}\n',
    "null": b"null\n", "not UTF-8": b'{"schema": 1, "name": "\xff"}', "deep": b"[" * 200_000,
    "deep in a field": b'{"schema":1,"options":' + b'{"a":' * 200_000,
    "a huge number": b'{"schema": 1' + b"0" * 5000 + b"}",
}  # fmt: skip


@pytest.mark.parametrize("data", DAMAGE.values(), ids=list(DAMAGE))
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match="manifest.json is"):
        manifest.decode(data)


def test_unknown_fields_are_refused(full: Manifest) -> None:
    data = manifest.encode(full).replace(b'"schema": 1,', b'"schema": 1,\n "extra": 2,', 1)
    with pytest.raises(BundleError, match="extra"):
        manifest.decode(data)


def test_an_error_quotes_the_file_harmlessly(full: Manifest) -> None:
    data = manifest.encode(full).replace(b'"schema": 1,', b'"schema": 1,\n "\\u001b[31m' + b"x" * 5000 + b'": 2,', 1)
    with pytest.raises(BundleError, match="unknown field") as refused:
        manifest.decode(data)
    assert refused.value.message.isprintable() and len(refused.value.message) < 300


def test_another_schema_is_refused_with_the_way_out(full: Manifest) -> None:
    with pytest.raises(BundleError, match="schema 2") as refused:
        manifest.decode(canonical.encode(msgspec.structs.replace(full, schema=2)))
    assert "newer" in refused.value.next_step


def test_a_manifest_beyond_the_bound_is_refused_before_it_is_read() -> None:
    with pytest.raises(BundleError, match="16 MiB"):
        manifest.decode(b" " * ((16 << 20) + 1))


def test_a_manifest_beyond_the_bound_is_not_written(full: Manifest) -> None:
    with pytest.raises(BundleError, match="can't be written.*16 MiB"):
        manifest.encode(msgspec.structs.replace(full, warnings=("x" * (16 << 20),)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_not_written(full: Manifest, value: float) -> None:
    (model,) = full.models
    first = model.variants[0]
    parity = msgspec.structs.replace(first.parity, max_abs=value)
    model = msgspec.structs.replace(model, variants=(msgspec.structs.replace(first, parity=parity),))
    with pytest.raises(BundleError, match="not finite"):
        manifest.encode(msgspec.structs.replace(full, models=(model,)))


def test_text_that_is_no_unicode_is_not_written(full: Manifest) -> None:
    with pytest.raises(BundleError, match="no Unicode"):
        manifest.encode(msgspec.structs.replace(full, name="a\udc80"))


BAD_PATHS = (
    "", "/etc/passwd", "../a", "a/../b", "a/..", "./a", "a/./b", "a//b", "a/", "/", "..", ".", "a\\b", "..\\a", "C:a",
    "C:\\a", "a\nb", "a\0b", "a\x7fb", "a\x1b[2Jb", "a/b.", "a /b", "a/ b", "a?", "a*", 'a"b', "a|b", "<a>", "aux.c",
    "NUL", "src/Con", "com1.txt", "Lpt9", "é", "ａ", "a\u202eb", "a\u200bb", "a\udc80b", "x" * 241, "/".join("x" * 33),
    "manifest.json", "MANIFEST.json", "manifest.json.sig", "Manifest.json.sha256",
)  # fmt: skip
GOOD_PATHS = (
    ".gitignore", "Package.swift", "Sources/Net/Net.swift", "a b/c d.txt", "consumer-rules.pro", "auxiliary.c",
    "models/net.mlpackage/Data/com.apple.CoreML/weights/weight.bin", "icon@2x.png", "console",
    "a+b=c,d;e!f#g$h%i&j'k(l)m[n]o{p}q~r^s`t",
    "models/manifest.json", "..a", "a..b", "x" * 240, "/".join("x" * 32),
)  # fmt: skip


@pytest.mark.parametrize("path", BAD_PATHS, ids=ascii)
def test_a_path_that_leaves_the_folder_or_some_system_can_t_have_is_refused(full: Manifest, path: str) -> None:
    assert manifest.path_problems([path])
    if "\udc80" not in path:  # JSON could not hold that
        with pytest.raises(BundleError, match="no bundle can have"):
            manifest.decode(canonical.encode(with_files(full, entry(path))))
    with pytest.raises(BundleError, match="can't be written"):
        manifest.encode(with_files(full, entry(path)))


@pytest.mark.parametrize("path", GOOD_PATHS)
def test_a_plain_path_is_taken(full: Manifest, path: str) -> None:
    assert manifest.path_problems([path]) == []
    one = with_files(full, entry(path))
    assert manifest.decode(manifest.encode(one)) == one


@given(st.text(max_size=20))
def test_a_path_that_is_taken_stays_below_the_folder_in_printable_ascii(path: str) -> None:
    if not manifest.path_problems([path]):
        assert set(path) <= set(string.printable) - set(string.whitespace) | {" "}
        place = (Path("/bundle") / path).resolve()
        assert place.is_relative_to("/bundle") and place.as_posix() == f"/bundle/{path}"


@pytest.mark.parametrize(
    ("paths", "problem"),
    [
        (("b", "a"), "not sorted"),
        (("a", "a"), "2 times"),
        (("README", "readme"), "case only"),
        (("Src/a", "src/b"), "case only"),
        (("a", "a/b"), "a file and a folder"),
    ],
)
def test_files_that_do_not_go_together_are_refused(full: Manifest, paths: tuple[str, ...], problem: str) -> None:
    with pytest.raises(BundleError, match=problem):
        manifest.decode(canonical.encode(with_files(full, *listing(*paths))))


@pytest.mark.parametrize(
    "wrong", [entry("a", bytes=-1), entry("a", bytes=1 << 60), entry("a", sha256="0" * 63), entry("a", sha256="G" * 64),
              entry("a", sha256="A" * 64), entry("a", sha256="0" * 64 + "\n")],
)  # fmt: skip
def test_sizes_and_digests_are_checked(full: Manifest, wrong: FileEntry) -> None:
    with pytest.raises(BundleError, match="no bundle can have"):
        manifest.decode(canonical.encode(with_files(full, wrong)))


def test_a_listing_made_to_take_long_does_not(full: Manifest) -> None:
    deep = "/".join("ab" for _ in range(32))
    long = with_files(full, *(entry(f"{i:05d}/{deep}"[:240]) for i in range(20_000)))
    most = with_files(full, *(entry(f"{i:05d}/{deep[3:]}") for i in range(10_000)))
    begun = time.perf_counter()
    with pytest.raises(BundleError, match="20000 of them"):
        manifest.decode(canonical.encode(long))
    manifest.decode(canonical.encode(most))
    assert time.perf_counter() - begun < 10


@given(st.data())
def test_any_bytes_are_a_manifest_or_a_bundle_error(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([_EXAMPLE, b'{"schema":1,"files":[]}']))
    start, end = sorted((data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, len(whole)))))
    changed = whole[:start] + data.draw(st.binary(max_size=8)) + whole[end:]
    try:
        found = manifest.decode(changed)
    except BundleError:
        return
    assert manifest.encode(found) == changed


_EXAMPLE = manifest.encode(
    Manifest(target="mcu", name="x", edgekit_version="1", options={"board": "m7"}, models=(),
             runtimes=(sealed.RUNTIME,), warnings=("w",), files=listing("a", "b/c"))
)  # fmt: skip
