from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgekit import paths
from edgekit.bundle.seal import key, keys
from edgekit.errors import BundleError, EdgekitError, UsageError
from tests.adbd import require

MESSAGE = b"a message"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "config/keys"
    monkeypatch.setenv("EDGEKIT_KEYS", str(place))
    monkeypatch.delenv(key.PASSPHRASE_VARIABLE, raising=False)
    return place


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def somebody(path: Path) -> key.PublicKey:
    """Somebody else's public key as a file."""
    made = key.generate("").public
    path.write_bytes(key.public_pem(made))
    return made


@pytest.mark.parametrize("umask", [0o022, 0o077, 0])
def test_a_new_key_is_for_its_owner_alone(folder: Path, umask: int) -> None:
    folder.parent.mkdir()
    before = os.umask(umask)
    try:
        made = keys.make()
    finally:
        os.umask(before)
    assert (made.name, made.own, made.private, made.path) == ("default", True, True, folder / "default.pub")
    assert (mode(folder), mode(folder / "default.pem"), mode(folder / "default.pub")) == (0o700, 0o600, 0o644)
    assert sorted(path.name for path in folder.iterdir()) == ["default.pem", "default.pub"]


def test_the_private_key_never_has_more_rights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    real = os.fchmod

    def look(handle: int, wanted: int) -> None:
        seen[wanted] = stat.S_IMODE(os.fstat(handle).st_mode)
        real(handle, wanted)

    monkeypatch.setattr(os, "fchmod", look)
    before = os.umask(0)
    try:
        keys.make()
    finally:
        os.umask(before)
    assert seen == {0o600: 0o600, 0o644: 0o644}


def test_a_signature_is_that_of_the_key_and_the_message(folder: Path) -> None:
    made = keys.make().public
    signature = keys.load("default").sign(MESSAGE)
    assert len(signature) == 64 and signature == keys.load("default").sign(MESSAGE)
    assert made.verifies(signature, MESSAGE)
    assert not made.verifies(signature, MESSAGE + b" ") and not made.verifies(signature[::-1], MESSAGE)
    assert not made.verifies(b"", MESSAGE) and not key.generate("").public.verifies(signature, MESSAGE)
    assert not key.PublicKey(b"short").verifies(signature, MESSAGE)


def test_the_key_id_is_of_the_raw_public_key(folder: Path) -> None:
    made = keys.make().public
    assert len(made.raw) == 32 and made.key_id == hashlib.sha256(made.raw).hexdigest()[:16]
    assert repr(keys.load("default")) == "PrivateKey(name='default')"


def test_openssl_reads_what_was_made(folder: Path) -> None:
    require("openssl")
    keys.make()
    pem = subprocess.run(["openssl", "pkey", "-in", folder / "default.pem", "-pubout"], capture_output=True, check=True)
    assert pem.stdout == (folder / "default.pub").read_bytes()


def test_a_key_of_openssl_signs(tmp_path: Path) -> None:
    require("openssl")
    path = tmp_path / "mine.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], check=True, capture_output=True)
    path.chmod(0o600)
    assert keys.load(str(path)).public.verifies(keys.load(str(path)).sign(MESSAGE), MESSAGE)


def test_nothing_is_overwritten(folder: Path, tmp_path: Path) -> None:
    made = keys.make("a")
    somebody(tmp_path / "b.pub")
    keys.trust(tmp_path / "b.pub")
    for name in ("a", "b"):
        with pytest.raises(UsageError, match="already"):
            keys.make(name)
    (folder / "a.pem").unlink()  # its public half still verifies what it signed
    with pytest.raises(UsageError, match="already"):
        keys.make("a")
    (folder / "c.pem").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="already"):
        keys.make("c")
    assert keys.named("a").public == made.public


def test_half_a_key_is_not_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync
    calls = []

    def interrupted(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(handle)

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        keys.make()
    assert list(folder.iterdir()) == []


def test_a_full_disk_is_a_typed_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        keys.make()
    assert list(folder.iterdir()) == []


BAD_NAMES = (
    "",
    ".",
    "..",
    "../a",
    "a/b",
    "-a",
    ".a",
    "a b",
    "a\n",
    "é",
    "a\0",
    "x" * 65,
    "a.pem",
    "a.pub",
    "a:b",
    "$a",
)


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_bad_names_are_refused(name: str, tmp_path: Path) -> None:
    somebody(tmp_path / "good.pub")
    for attempt in (lambda: keys.make(name), lambda: keys.named(name), lambda: keys.forget(name),
                    lambda: keys.trust(tmp_path / "good.pub", name)):  # fmt: skip
        with pytest.raises(UsageError, match="can't be the name"):
            attempt()


@pytest.mark.parametrize("name", ["a", "A.b-c_9", "_x", "x" * 64, "v1.0", "9"])
def test_good_names_are_taken(name: str) -> None:
    made = keys.make(name)
    assert keys.load(name).public == made.public
    assert [entry.name for entry in keys.entries()] == [name]


def test_the_list_has_own_keys_first_and_all_are_trusted(folder: Path, tmp_path: Path) -> None:
    assert keys.entries() == () and keys.trusted() == ()
    ci = somebody(tmp_path / "ci.pub")
    keys.trust(tmp_path / "ci.pub")
    keys.make("b")
    keys.make("a")
    (folder / "notes.txt").write_text("not a key")
    found = keys.entries()
    assert [(e.name, e.own, e.private) for e in found] == [("a", True, True), ("b", True, True), ("ci", False, False)]
    assert keys.trusted() == tuple(e.public for e in found) and keys.trusted()[2] == ci


def test_named_keys_are_the_only_ones_trusted(tmp_path: Path) -> None:
    keys.make()
    ci = somebody(tmp_path / "ci.pub")
    assert keys.trusted([str(tmp_path / "ci.pub")]) == (ci,)
    assert keys.trusted(["default"]) == (keys.named("default").public,)
    with pytest.raises(BundleError, match="no key 'ci'"):
        keys.trusted(["ci"])
    with pytest.raises(BundleError, match="no such key"):
        keys.trusted(["./ci"])


def test_trust_and_forget(folder: Path, tmp_path: Path) -> None:
    public = somebody(tmp_path / "ci.pub")
    made = keys.trust(tmp_path / "ci.pub", "build-server")
    assert made.path == folder / "trusted/build-server.pub" and mode(made.path) == 0o644
    assert mode(folder) == mode(folder / "trusted") == 0o700
    assert keys.trust(tmp_path / "ci.pub", "build-server") == made  # nothing changes
    with pytest.raises(UsageError, match="known as 'build-server'"):
        keys.trust(tmp_path / "ci.pub")
    somebody(tmp_path / "other.pub")
    with pytest.raises(UsageError, match="already"):
        keys.trust(tmp_path / "other.pub", "build-server")
    assert keys.forget("build-server").public == public and keys.trusted() == ()
    with pytest.raises(BundleError, match="no key"):
        keys.forget("build-server")


def test_ones_own_key_is_not_forgotten(folder: Path) -> None:
    made = keys.make()
    with pytest.raises(UsageError, match="your own"):
        keys.forget("default")
    with pytest.raises(UsageError, match="known as 'default'"):
        keys.trust(folder / "default.pub", "mine")
    assert keys.named("default") == made


def test_a_private_key_that_others_can_read_is_refused(folder: Path) -> None:
    keys.make()
    for rights in (0o640, 0o604, 0o610, 0o602, 0o644):
        (folder / "default.pem").chmod(rights)
        with pytest.raises(BundleError, match="read by others") as refused:
            keys.load("default")
        assert f"chmod 600 {folder / 'default.pem'}" in refused.value.next_step
    (folder / "default.pem").chmod(0o400)
    keys.load("default")


@pytest.mark.parametrize("below", ["", "trusted"])
def test_a_folder_that_others_can_write_is_refused(folder: Path, tmp_path: Path, below: str) -> None:
    keys.make()
    somebody(tmp_path / "ci.pub")
    keys.trust(tmp_path / "ci.pub")
    (folder / below).chmod(0o770)
    for attempt in (keys.entries, keys.trusted, lambda: keys.load("default"), lambda: keys.make("b")):
        with pytest.raises(BundleError, match="Others can write") as refused:
            attempt()
        assert f"chmod 700 {folder / below}" in refused.value.next_step
    keys.load(str(folder / "default.pem"))  # the file's own rights are what counts then


def test_a_passphrase_protects_the_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = keys.make("a", "secret")
    assert b"ENCRYPTED PRIVATE KEY" in (folder / "a.pem").read_bytes()
    assert keys.trusted() == (made.public,)  # needs no passphrase
    with pytest.raises(BundleError, match="no passphrase") as refused:
        keys.load("a")
    assert "EDGEKIT_KEY_PASSPHRASE" in refused.value.next_step
    asked = []
    assert keys.load("a", lambda path: asked.append(path) or "secret").public == made.public
    assert asked == [str(folder / "a.pem")]
    for wrong in ("wrong", "s" * 10_000, "é", "\udc80"):
        with pytest.raises(BundleError):
            keys.load("a", lambda _, wrong=wrong: wrong)
    monkeypatch.setenv(key.PASSPHRASE_VARIABLE, "secret")
    assert keys.load("a").public == made.public
    monkeypatch.setenv(key.PASSPHRASE_VARIABLE, "other")
    with pytest.raises(BundleError, match="passphrase is wrong"):
        keys.load("a")


def test_a_passphrase_of_any_bytes_is_the_one_that_openssl_takes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("openssl")
    secret = b"caf\xe9 \xff"  # no UTF-8: as a terminal or a vault of another encoding gives it
    made = keys.make("k", os.fsdecode(secret))
    monkeypatch.setenv(key.PASSPHRASE_VARIABLE, os.fsdecode(secret))
    assert keys.load("k").public == made.public
    (tmp_path / "secret").write_bytes(secret + b"\n")
    done = subprocess.run(["openssl", "pkey", "-in", folder / "k.pem", "-passin", f"file:{tmp_path / 'secret'}",
                           "-pubout"], capture_output=True, check=False)  # fmt: skip
    assert done.stdout == made.path.read_bytes(), done.stderr


def test_a_passphrase_that_openssl_can_t_take_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="more than 1023 bytes"):
        keys.make("k", "é" * 512)
    assert not folder.exists() or list(folder.iterdir()) == []
    made = keys.make("k", "é" * 511)
    assert keys.load("k", lambda _: "é" * 511).public == made.public


def test_a_passphrase_in_the_environment_is_no_harm_to_a_plain_key(monkeypatch: pytest.MonkeyPatch) -> None:
    made = keys.make()
    monkeypatch.setenv(key.PASSPHRASE_VARIABLE, "x")
    assert keys.load("default").public == made.public


def pem_of(private: object) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_what_is_no_private_key_of_ed25519_is_refused(tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    whole = pem_of(Ed25519PrivateKey.generate())
    cases = {
        "no private key": [b"", b"x", whole[:60], b"\xff" * 100, key.public_pem(key.generate("").public)],
        "not of Ed25519": [pem_of(other)], "too large": [whole + b" " * 70_000],
    }  # fmt: skip
    path = tmp_path / "k.pem"
    for message, contents in cases.items():
        for content in contents:
            path.write_bytes(content)
            path.chmod(0o600)
            with pytest.raises(BundleError, match=message) as refused:
                keys.load(str(path))
            assert refused.value.where == str(path) and refused.value.next_step


def test_what_is_no_public_key_of_ed25519_is_refused(tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = other.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    cases = {
        "no public key": [b"", b"x", b"\xff" * 100], "not of Ed25519": [pem],
        "This is a private key": [pem_of(Ed25519PrivateKey.generate())],
    }  # fmt: skip
    path = tmp_path / "k.pub"
    for message, contents in cases.items():
        for content in contents:
            path.write_bytes(content)
            for attempt in (lambda: keys.trust(path), lambda: keys.trusted([str(path)])):
                with pytest.raises(BundleError, match=message):
                    attempt()
    assert keys.entries() == ()


def test_every_damaged_byte_of_a_key_file_is_a_key_or_a_typed_error(folder: Path) -> None:
    keys.make()
    for name in ("default.pem", "default.pub"):
        whole = (folder / name).read_bytes()
        for at in range(len(whole)):
            (folder / name).write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
            for attempt in (lambda: keys.load("default"), keys.entries):
                try:
                    attempt()
                except EdgekitError as failure:
                    assert failure.code == 17
        (folder / name).write_bytes(whole)


def test_the_public_key_beside_a_private_one_must_be_its_own(folder: Path) -> None:
    keys.make("a")
    keys.make("b")
    shutil.copy(folder / "b.pub", folder / "a.pub")
    with pytest.raises(BundleError, match="another's") as refused:
        keys.load("a")
    assert "openssl pkey" in refused.value.next_step


def test_a_public_key_that_was_lost_comes_from_the_private_one(folder: Path) -> None:
    made = keys.make("a")
    (folder / "a.pub").unlink()
    assert keys.entries()[0].public == made.public
    keys.make("b", "secret")
    (folder / "b.pub").unlink()
    with pytest.raises(BundleError, match="no passphrase"):
        keys.entries()


def test_links_are_followed_as_mounted_secrets_are_but_pipes_are_not_waited_for(folder: Path, tmp_path: Path) -> None:
    made = keys.make("a")
    (tmp_path / "link.pem").symlink_to(folder / "a.pem")
    assert keys.load(str(tmp_path / "link.pem")).public == made.public
    os.mkfifo(tmp_path / "pipe.pem", 0o600)
    for place in (tmp_path / "pipe.pem", tmp_path, tmp_path / "none.pem", tmp_path / "link.pem/x", Path("/dev/zero")):
        with pytest.raises(BundleError):
            keys.load(f"{place}/" if place == tmp_path else str(place))
    with pytest.raises(BundleError):
        keys.load("a/b\0")


def test_the_folder_can_t_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEKIT_KEYS", str(tmp_path / "file/keys"))
    with pytest.raises(UsageError) as refused:
        keys.make()
    assert "EDGEKIT_KEYS" in refused.value.next_step
    monkeypatch.setenv("EDGEKIT_KEYS", str(tmp_path / "file"))
    for attempt in (keys.make, keys.entries):
        with pytest.raises(EdgekitError):
            attempt()


def test_the_folder_is_in_the_users_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EDGEKIT_KEYS")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert paths.keys_dir() == tmp_path / "edgekit/keys" and not paths.keys_dir().exists()
