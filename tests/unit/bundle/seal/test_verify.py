from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.bundle.records import FileEntry
from edgekit.bundle.seal import canonical, manifest, plain_file, signature, verify
from edgekit.bundle.seal.key import PublicKey, generate, public_pem
from edgekit.errors import BundleError, EdgekitError, UsageError
from tests.adbd import require
from tests.unit.bundle import made
from tests.unit.bundle.seal import sealed
from tests.unit.bundle.seal.sealed import KEY

TRUSTED = (KEY.public,)


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    sealed.bundle(tmp_path / "bundle", tmp_path / "sources", KEY)
    return tmp_path / "bundle"


@pytest.fixture
def unsigned(tmp_path: Path) -> Path:
    sealed.bundle(tmp_path / "bundle", tmp_path / "sources")
    return tmp_path / "bundle"


@pytest.fixture(params=["signed", "unsigned"])
def bundle(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue(request.param)
    return folder


def refused(folder: Path, **options: Any) -> dict[str, str]:
    """Check that a bundle is not accepted; path -> problem."""
    options = {"trusted": TRUSTED, **options}
    with pytest.raises(BundleError) as caught:
        verify.check(folder, **options)
    error = caught.value
    assert error.code == 17 and error.where == str(folder) and error.next_step
    msgspec.json.encode(error.to_dict())  # the failure document
    problems = error.facts["problems"]
    shown = [line for line in error.message.splitlines()[1:] if "which --json lists" not in line]
    assert shown == [f"    {p['path']}: {p['problem']}" for p in problems[:8]]
    return {p["path"]: p["problem"] for p in problems}


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_signed_bundle_is_what_was_sealed(signed: Path) -> None:
    found = verify.check(signed, trusted=TRUSTED, require_signature=True)
    assert (found.signature, found.key_id, found.key_name) == ("trusted", KEY.public.key_id, "signer")
    assert found.warnings == () and found.files == len(files_of(signed)) - 3 == 5
    assert found.bytes == sum((signed / e.path).stat().st_size for e in found.manifest.files)
    assert f"{found.manifest_sha256}  manifest.json\n" == (signed / manifest.CHECKSUM).read_text()


def test_an_unsigned_bundle_is_taken_with_a_warning_unless_a_signature_is_required(unsigned: Path) -> None:
    found = verify.check(unsigned, trusted=TRUSTED)
    assert (found.signature, found.key_id) == ("none", None)
    assert "not signed" in found.warnings[0]
    assert refused(unsigned, require_signature=True) == {manifest.SIGNATURE: "is missing: the bundle is not signed"}


def test_an_unknown_key_is_taken_with_a_warning_unless_a_signature_is_required(signed: Path) -> None:
    others = (generate("other").public,)
    found = verify.check(signed, trusted=others)
    assert (found.signature, found.key_id, found.key_name) == ("unknown-key", KEY.public.key_id, None)
    assert "keys trust" in found.warnings[0]
    problem = refused(signed, trusted=others, require_signature=True)
    assert problem == {manifest.SIGNATURE: f"is by the key {KEY.public.key_id}, which is not trusted here"}


def test_whoever_strips_the_signature_is_caught_where_one_is_required(signed: Path) -> None:
    (signed / manifest.SIGNATURE).unlink()
    assert verify.check(signed, trusted=TRUSTED).signature == "none"
    refused(signed, require_signature=True)


def flips(folder: Path) -> Iterator[tuple[Path, int]]:
    """(file, bit) for every file of the bundle: a bit of each byte of the short ones, of some bytes of the others."""
    for name in files_of(folder):
        size = (folder / name).stat().st_size
        step = 1 if size < 500 else size // 50
        yield from ((folder / name, at * 8 + at % 8) for at in {*range(0, size, step), max(size - 1, 0)} if size)


def test_one_flipped_bit_is_caught_in_every_file(bundle: Path) -> None:
    hit = set()
    for path, bit in flips(bundle):
        before = path.read_bytes()
        changed = bytearray(before)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        name = path.relative_to(bundle).as_posix()
        problems = refused(bundle)
        assert (manifest.CHECKSUM if name == manifest.MANIFEST else name) in problems, (name, bit)
        path.write_bytes(before)
        hit.add(name)
    verify.check(bundle, trusted=TRUSTED)
    assert hit == set(files_of(bundle)) - {"src/main/empty.txt"}  # which has no bit


def test_every_flipped_bit_of_a_signature_is_caught() -> None:
    whole = signature.sign(b"manifest", KEY)
    assert signature.verified(whole, b"manifest").key == KEY.public
    for bit in range(len(whole) * 8):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BundleError, match=manifest.SIGNATURE):
            signature.verified(bytes(changed), b"manifest")


def test_every_file_that_is_cut_or_missing_is_caught(bundle: Path) -> None:
    for name in files_of(bundle):
        path = bundle / name
        before = path.read_bytes()
        for length in {0, 1, len(before) // 2, len(before) - 1} & set(range(len(before))):
            path.write_bytes(before[:length])
            assert set(refused(bundle)) & {name, manifest.CHECKSUM}, (name, length)
        path.write_bytes(before + b"\n")
        assert set(refused(bundle)) & {name, manifest.CHECKSUM}, name
        path.unlink()
        if name == manifest.SIGNATURE:  # then it is an unsigned bundle
            assert verify.check(bundle).signature == "none"
        else:
            assert refused(bundle)[name] == "is missing"
        path.write_bytes(before)
    verify.check(bundle, trusted=TRUSTED)


def test_two_files_that_changed_places_are_caught(bundle: Path) -> None:
    first, second = "models/net_litert_fp32.tflite", "models/other_litert_fp32.tflite"
    one, two = (bundle / first).read_bytes(), (bundle / second).read_bytes()
    (bundle / first).write_bytes(two[: len(one)].ljust(len(one)))
    assert set(refused(bundle)) == {first}
    (bundle / first).write_bytes(two)
    (bundle / second).write_bytes(one)
    assert set(refused(bundle)) == {first, second}


def test_files_of_one_size_that_changed_places_are_named(tmp_path: Path) -> None:
    from edgekit.bundle.recipe import Content
    from edgekit.bundle.seal import write

    folder = tmp_path / "bundle"
    base = msgspec.structs.replace(sealed.unsealed(made.simple(tmp_path)), runtimes=())
    write.write(folder, base, Content(files={"a": b"123", "b": b"456"}, runtimes=()))
    (folder / "a").write_bytes(b"456")
    (folder / "b").write_bytes(b"123")
    assert refused(folder) == {"a": "has the content of b", "b": "has the content of a"}


def test_a_manifest_in_another_order_is_refused_even_with_its_checksum(bundle: Path) -> None:
    found = manifest.decode((bundle / manifest.MANIFEST).read_bytes())
    sealed.reseal(bundle, msgspec.structs.replace(found, files=found.files[::-1]))
    problems = refused(bundle)
    assert "not sorted" in problems[manifest.MANIFEST] and manifest.CHECKSUM not in problems
    fields = msgspec.json.decode(canonical.encode(found))
    other = msgspec.json.format(msgspec.json.encode(dict(reversed(fields.items()))), indent=1) + b"\n"
    sealed.reseal(bundle, other)
    assert "re-ordered" in refused(bundle)[manifest.MANIFEST]


def test_who_seals_a_change_again_is_caught_by_the_signature_alone(tmp_path: Path) -> None:
    for key in (None, KEY):
        folder = tmp_path / f"bundle{key is None}"
        sealed.bundle(folder, tmp_path / f"sources{key is None}", key)
        found = manifest.decode((folder / manifest.MANIFEST).read_bytes())
        entry = found.files[0]
        content = b"#" * entry.bytes
        (folder / entry.path).write_bytes(content)
        changed = FileEntry(path=entry.path, bytes=entry.bytes, sha256=made.digest(content.decode()))
        sealed.reseal(folder, msgspec.structs.replace(found, files=(changed, *found.files[1:])))
        if key is None:  # nothing secret is in an unsigned bundle: this is what signatures are for
            assert verify.check(folder).signature == "none"
        else:
            assert refused(folder) == {manifest.SIGNATURE: "is not the signature of this manifest"}
            assert refused(folder, trusted=()) == {manifest.SIGNATURE: "is not the signature of this manifest"}


def test_the_signature_of_another_bundle_is_none_of_this(signed: Path, tmp_path: Path) -> None:
    other = signature.sign(b"another manifest", KEY)
    (signed / manifest.SIGNATURE).write_bytes(other)
    assert set(refused(signed)) == {manifest.SIGNATURE}
    # Over the manifest alone, without the domain: a signature of something else, which any tool may have asked for.
    data = (signed / manifest.MANIFEST).read_bytes()
    plain = signature.Signature(key_id=KEY.public.key_id, public_key=KEY.public.raw, signature=KEY.sign(data))
    (signed / manifest.SIGNATURE).write_bytes(canonical.encode(plain))
    assert set(refused(signed)) == {manifest.SIGNATURE}


def test_a_signature_that_claims_a_trusted_key_is_refused(signed: Path) -> None:
    data = (signed / manifest.MANIFEST).read_bytes()
    other = generate("other")
    right = msgspec.json.decode(signature.sign(data, other), type=signature.Signature)
    for changes in (
        {"key_id": KEY.public.key_id}, {"public_key": KEY.public.raw}, {"schema": 2}, {"public_key": b""},
        {"key_id": KEY.public.key_id, "public_key": KEY.public.raw}, {"signature": b""},
        {"signature": right.signature[:-1]},
    ):  # fmt: skip
        forged = msgspec.structs.replace(right, **changes)
        (signed / manifest.SIGNATURE).write_bytes(canonical.encode(forged))
        assert set(refused(signed)) == {manifest.SIGNATURE}, changes


def test_openssl_verifies_the_signature_too(signed: Path, tmp_path: Path) -> None:
    require("openssl")
    found = msgspec.json.decode((signed / manifest.SIGNATURE).read_bytes(), type=signature.Signature)
    message, binary, public = tmp_path / "message", tmp_path / "signature", tmp_path / "key.pub"
    message.write_bytes(b"edgekit bundle manifest 1\n" + (signed / manifest.MANIFEST).read_bytes())
    binary.write_bytes(found.signature)
    public.write_bytes(public_pem(PublicKey(found.public_key)))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(public), "-rawin", "-in", str(message),
               "-sigfile", str(binary)]  # fmt: skip
    assert subprocess.run(command, capture_output=True).returncode == 0
    message.write_bytes(message.read_bytes() + b" ")
    assert subprocess.run(command, capture_output=True).returncode != 0


def test_what_is_not_listed_is_refused(bundle: Path) -> None:
    (bundle / "models/extra.bin").write_bytes(b"")
    (bundle / ".hidden").write_bytes(b"")
    (bundle / "empty").mkdir()
    assert refused(bundle) == {
        "models/extra.bin": "is not listed", ".hidden": "is not listed",
        "empty": "is a folder of which nothing is listed",
    }  # fmt: skip


def test_what_a_build_left_is_one_line_with_the_advice(bundle: Path) -> None:
    for name in ("build/tmp/a.class", "build/b", ".gradle/8/x"):
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).write_text("x")
    with pytest.raises(BundleError) as caught:
        verify.check(bundle, trusted=TRUSTED)
    assert [p["path"] for p in caught.value.facts["problems"]] == [".gradle", "build"]
    assert "Verify before you build" in caught.value.next_step


def test_names_that_a_terminal_would_act_on_are_made_harmless(bundle: Path) -> None:
    (bundle / "a\x1b[31m\n").write_text("")
    (bundle / os.fsdecode(b"\xff")).write_text("")
    (bundle / "b\u202e").write_text("")
    assert set(refused(bundle)) == {"a\\x1b[31m\\n", "\\udcff", "b\\u202e"}


def test_a_folder_whose_name_is_no_utf8_is_checked_like_any_other(bundle: Path) -> None:
    other = bundle.rename(bundle.with_name(os.fsdecode(b"bundle\xff")))
    msgspec.json.encode(verify.check(other, trusted=TRUSTED))
    (other / "README.md").write_text("changed")
    with pytest.raises(BundleError) as caught:
        verify.check(other, trusted=TRUSTED)
    msgspec.json.encode(caught.value.to_dict())


def put(path: Path, kind: str, elsewhere: Path) -> None:
    if kind == "a link":
        path.symlink_to(elsewhere)
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    else:
        assert kind == "a socket"
        here = Path.cwd()
        os.chdir(path.parent)  # the whole path may be too long for a socket
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
        os.chdir(here)


@pytest.mark.parametrize("kind", ["a link", "a pipe", "a folder", "a socket"])
def test_what_is_no_file_is_refused_and_waits_for_nobody(bundle: Path, kind: str, tmp_path: Path) -> None:
    for name in files_of(bundle):
        path, kept = bundle / name, tmp_path / "kept"
        path.rename(kept)
        put(path, kind, kept)  # as a link, to the very content
        assert refused(bundle)[name] == f"is {kind}, not a file", name
        path.rmdir() if kind == "a folder" else path.unlink()
        kept.rename(path)
    put(bundle / "extra", kind, tmp_path)
    assert "extra" in refused(bundle)


def test_a_link_in_the_place_of_a_folder_is_not_followed(bundle: Path, tmp_path: Path) -> None:
    (bundle / "models").rename(tmp_path / "models")
    (bundle / "models").symlink_to(tmp_path / "models")
    problems = refused(bundle)
    assert problems["models"] == "is no folder"
    assert {problem for path, problem in problems.items() if path != "models"} == {"is missing"}


def test_a_device_is_not_opened(bundle: Path, tmp_path: Path) -> None:
    try:
        os.mknod(bundle / "README.md.new", stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("only root can make a device")
    (bundle / "README.md.new").replace(bundle / "README.md")
    assert refused(bundle) == {"README.md": "is a device, not a file"}


def test_a_program_that_runs_as_its_owner_is_refused(bundle: Path) -> None:
    (bundle / "tools/run.sh").chmod(0o4755)
    assert "setuid" in refused(bundle)["tools/run.sh"]


def test_rights_that_a_copy_has_lost_are_no_damage(bundle: Path) -> None:
    for name in files_of(bundle):
        (bundle / name).chmod(0o600)
    verify.check(bundle, trusted=TRUSTED)


def test_what_can_t_be_read_is_a_problem(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bundle / "README.md").chmod(0)
    real = os.open

    def denied(path: str, flags: int) -> int:  # as for anybody but root, who may be running this
        if os.fspath(path).endswith("README.md"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags)

    monkeypatch.setattr(plain_file.os, "open", denied)
    assert refused(bundle) == {"README.md": "can't be read: Permission denied"}


def test_many_problems_are_counted_and_some_shown(bundle: Path) -> None:
    for i in range(10_050):
        (bundle / f"extra{i}").touch()
    with pytest.raises(BundleError) as caught:
        verify.check(bundle, trusted=TRUSTED)
    assert len(caught.value.facts["problems"]) == 10_000
    assert len(caught.value.message.splitlines()) == 10 and "and 9992 more" in caught.value.message


@pytest.mark.parametrize("name", ["no such", "a\0b", "file", "empty", "x" * 5000])
def test_what_is_no_bundle_is_a_wrong_request(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError) as caught:
        verify.check(tmp_path / name)
    assert caught.value.where and caught.value.next_step


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_bytes_as_a_seal_are_refused_with_a_typed_error(signed: Path, data: st.DataObject) -> None:
    seals = {name: (signed / name).read_bytes() for name in manifest.SEALS}
    name = data.draw(st.sampled_from(manifest.SEALS))
    before = seals[name]
    start, end = sorted((data.draw(st.integers(0, len(before))), data.draw(st.integers(0, len(before)))))
    changed = before[:start] + data.draw(st.binary(max_size=20)) + before[end:]
    (signed / name).write_bytes(changed)
    if name == manifest.MANIFEST and data.draw(st.booleans()):  # past the checksum
        sealed.reseal(signed, changed)
    try:
        verify.check(signed, trusted=TRUSTED)
    except EdgekitError as failure:
        assert failure.code == 17
    else:
        assert changed == before
    finally:
        for seal, content in seals.items():
            (signed / seal).write_bytes(content)
