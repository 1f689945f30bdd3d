"""The keys and the AUTH exchange, with a peer that verifies signatures as adbd does."""

from __future__ import annotations

import base64
import hashlib
import stat
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from adb_shell.auth.keygen import keygen

from edgekit.device.adb import direct, keys
from edgekit.device.adb.direct import connect_tcp
from edgekit.device.adb.messages import AUTH, AUTH_TOKEN, CNXN, OKAY, STLS, VERSION, WRTE
from edgekit.errors import DeviceError, UnauthorisedError

from .peer import BANNER, QUICK, Peer, device, nobody, public_of, verifier


def welcome(peer: Peer) -> None:
    peer.send(CNXN, VERSION, 1 << 20, BANNER)
    peer.wait_for_end()


def connect(address: tuple[str, int], said: list[str] | None = None, *, prompt: bool = True) -> direct.DirectLink:
    say = print if said is None else said.append
    return connect_tcp(*address, patience=QUICK, say=say, prompt=prompt)


def fingerprint(blob: bytes) -> str:
    digest = hashlib.md5(base64.b64decode(blob.split()[0])).hexdigest().upper()
    return ":".join(digest[i : i + 2] for i in range(0, 32, 2))


def numbers(blob: bytes) -> tuple[int, int]:
    """Modulus and exponent of a public key in Android's format."""
    words, _n0, modulus, _rr, exponent = struct.unpack("<II256s256sI", base64.b64decode(blob.split()[0]))
    assert words == 64
    return int.from_bytes(modulus, "little"), exponent


def test_a_known_key_is_accepted_by_its_signature(own_keys: Path) -> None:
    known = verifier(public_of(keys.own().path))

    def script(peer: Peer) -> None:
        assert peer.authenticate(known) is None
        welcome(peer)

    said: list[str] = []
    with device(script) as address:
        link = connect(address, said)
        assert "shell_v2" in link.features
        link.close()
    assert said == []


def test_an_unknown_key_is_offered_and_accepted_at_the_prompt(own_keys: Path) -> None:
    def script(peer: Peer) -> None:
        offered = peer.authenticate(nobody)
        assert offered is not None and offered.endswith(b"\0")
        key = public_of(own_keys).public_numbers()
        assert numbers(offered) == (key.n, key.e)
        time.sleep(2 * QUICK.limit_s)  # a user is slower than a device may be
        welcome(peer)

    said: list[str] = []
    with device(script) as address:
        connect(address, said).close()
    assert len(said) == 1
    assert keys.own().fingerprint in said[0] and "accept the prompt" in said[0]
    assert keys.own().fingerprint == fingerprint(keys.own().public)


def test_a_prompt_that_nobody_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "PROMPT_S", 0.5)

    def script(peer: Peer) -> None:
        assert peer.authenticate(nobody)
        peer.wait_for_end()

    keys.own()  # made before: that takes its time too
    with device(script) as address:
        begun = time.monotonic()
        with pytest.raises(UnauthorisedError) as caught:
            connect(address)
        assert 0.5 <= time.monotonic() - begun < 1.5
    assert caught.value.facts["fingerprint"] == keys.own().fingerprint
    assert keys.own().fingerprint in caught.value.next_step
    assert caught.value.code == 13


def test_a_prompt_that_is_refused() -> None:
    """A phone whose user refuses asks again, with a new token."""

    def script(peer: Peer) -> None:
        assert peer.authenticate(nobody)
        peer.send(AUTH, AUTH_TOKEN, 0, bytes(20))
        peer.wait_for_end()

    with device(script) as address, pytest.raises(UnauthorisedError):
        connect(address)


def test_without_a_prompt_an_unknown_key_is_an_error_at_once() -> None:
    def script(peer: Peer) -> None:
        with pytest.raises(EOFError):  # no public key is offered, so that no phone wakes up
            peer.authenticate(nobody)

    with device(script) as address, pytest.raises(UnauthorisedError):
        connect(address, prompt=False)


def test_vendor_keys_of_files_and_directories_are_tried_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "vendor"
    folder.mkdir()
    keygen(str(tmp_path / "file"))
    keygen(str(folder / "b.adb_key"))
    keygen(str(folder / "a.adb_key"))
    (folder / "c.adb_key").write_text("no key\n")
    (folder / "other").write_text("not looked at\n")
    (tmp_path / "home/.android").mkdir()
    keygen(str(tmp_path / "home/.android/adbkey"))
    monkeypatch.setenv("ADB_VENDOR_KEYS", f"{tmp_path / 'file'}:{tmp_path / 'none'}::{folder}")
    tried = [tmp_path / "file", folder / "a.adb_key", folder / "b.adb_key", tmp_path / "home/.android/adbkey"]
    assert [key.path for key in keys.load_all()] == [*tried, keys.own().path]
    attempts: list[int] = []

    def known(token: bytes, signature: bytes) -> bool:
        right = [verifier(public_of(path))(token, signature) for path in tried]
        attempts.append(right.index(True))
        return attempts[-1] == 2

    def script(peer: Peer) -> None:
        assert peer.authenticate(known) is None
        welcome(peer)

    with device(script) as address:
        connect(address).close()
    assert attempts == [0, 1, 2]


def test_the_public_key_is_that_of_the_private_one_whatever_lies_beside_it(own_keys: Path) -> None:
    before = keys.own().public
    own_keys.with_name("adbkey.pub").write_text("QUJD someone@else")
    assert keys.own().public == before


def test_a_key_is_made_for_its_owner_alone(own_keys: Path) -> None:
    keys.own()
    assert stat.S_IMODE(own_keys.stat().st_mode) == 0o600
    assert sorted(path.name for path in own_keys.parent.iterdir()) == ["adbkey", "adbkey.pub"]


def test_a_key_that_others_may_read_is_refused(own_keys: Path) -> None:
    keys.own()
    own_keys.chmod(0o644)
    with pytest.raises(DeviceError, match="mode 0644") as caught:
        keys.load_all()
    assert f"chmod 600 {own_keys}" in caught.value.next_step
    own_keys.chmod(0o600)
    own_keys.write_text("damaged")
    with pytest.raises(DeviceError, match="can't be read"):
        keys.own()


def test_a_key_that_can_t_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEKIT_ADB_KEY", str(tmp_path / "file/adbkey"))
    with pytest.raises(DeviceError, match="can't be made") as caught:
        keys.own()
    assert "EDGEKIT_ADB_KEY" in caught.value.next_step


def test_of_many_that_make_the_key_at_once_all_use_the_same() -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: keys.own().public, range(4)))
    assert len(set(made)) == 1


def test_wireless_debugging_is_told_apart() -> None:
    def script(peer: Peer) -> None:
        peer.expect(CNXN)
        peer.send(STLS, VERSION, 0)
        peer.wait_for_end()

    with device(script) as address, pytest.raises(DeviceError, match="asks for TLS") as caught:
        connect(address)
    assert "adb pair" in caught.value.next_step


def test_packets_of_a_connection_that_was_cut_are_passed_over() -> None:
    def script(peer: Peer) -> None:
        peer.expect(CNXN)
        peer.send(WRTE, 3, 4, b"left over")
        peer.send(OKAY, 3, 4)
        welcome(peer)

    with device(script) as address:
        connect(address).close()


@pytest.mark.parametrize(
    "packet", [(AUTH, AUTH_TOKEN, 0, b"short"), (AUTH, 9, 0, bytes(20)), (AUTH, AUTH_TOKEN, 0, bytes(1 << 20))]
)
def test_an_odd_request_for_a_key_is_an_error(packet: tuple[int, int, int, bytes]) -> None:
    def script(peer: Peer) -> None:
        peer.expect(CNXN)
        peer.send(*packet)
        peer.wait_for_end()

    with device(script) as address, pytest.raises(DeviceError, match="does not keep to the adb protocol"):
        connect(address)


def test_a_device_that_runs_nothing_is_told() -> None:
    def script(peer: Peer) -> None:
        peer.expect(CNXN)
        peer.send(CNXN, VERSION, 4096, b"sideload\x1b[31m::\0")
        peer.wait_for_end()

    with device(script) as address, pytest.raises(DeviceError, match="where it runs nothing") as caught:
        connect(address)
    assert "\x1b" not in caught.value.message
