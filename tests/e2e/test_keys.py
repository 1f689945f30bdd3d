"""``edgekit keys``, and what its keys do for a bundle, as users run them."""

from __future__ import annotations

import os
import pty
import select
import stat
import subprocess
from pathlib import Path

import msgspec
import pytest

from edgekit.bundle.seal import keys
from edgekit.bundle.seal.manifest import SIGNATURE
from tests.command import EDGEKIT, Done, edgekit, environment
from tests.unit.bundle.seal import sealed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_KEYS", str(tmp_path / "keys"))
    monkeypatch.delenv("EDGEKIT_KEY_PASSPHRASE", raising=False)
    return tmp_path / "keys"


def fits(done: Done, *paths: str) -> bool:
    """Whether every line that has no path in it is of 80 columns at most."""
    return all(len(line) <= 80 for line in done.out.splitlines() if "/" not in line)


def test_a_key_is_made_shown_and_listed(folder: Path) -> None:
    done = edgekit("keys", "new", "--json")
    (made,) = done.json()["keys"]
    assert done.code == 0 and (made["name"], made["private"], made["own"]) == ("default", True, True)
    assert made["public_key"] == keys.named("default").public.text
    assert stat.S_IMODE((folder / "default.pem").stat().st_mode) == 0o600
    shown = edgekit("keys", "show", "default")
    assert made["key_id"] in shown.out and made["public_key"] in shown.out and fits(shown)
    keys.make("x" * 64)
    listed = edgekit("keys", "list")
    assert f"{made['key_id']}  own      default" in listed.out and "x" * 64 in listed.out and fits(listed)
    assert [entry["name"] for entry in edgekit("keys", "list", "--json").json()["keys"]] == ["default", "x" * 64]
    edgekit("keys", "new", "--json").failed(2, "usage")


def test_what_a_strangers_manifest_says_can_do_nothing_to_a_terminal(folder: Path, tmp_path: Path) -> None:
    made = sealed.bundle(tmp_path / "bundle", tmp_path / "sources")
    name = "\x1b[2J\x9b1mapp\r\u202e"
    sealed.reseal(tmp_path / "bundle", msgspec.structs.replace(made.manifest, name=name))
    done = edgekit("bundle", "verify", str(tmp_path / "bundle"))
    assert done.code == 0 and r"\x1b[2J\x9b1mapp\r\u202e" in done.out
    assert all(line.isprintable() for line in (done.out + done.err).split("\n"))


def test_without_keys_the_list_says_how_to_make_one(folder: Path) -> None:
    done = edgekit("keys", "list")
    assert (done.code, done.out) == (0, "") and "edgekit keys new" in done.err
    assert edgekit("keys", "list", "--json").json()["keys"] == []
    assert not folder.exists()


def test_wrong_input(folder: Path, tmp_path: Path) -> None:
    edgekit("keys", "new", "../x", "--json").failed(2, "usage")
    edgekit("keys", "show", "nobody", "--json").failed(17, "bundle")
    edgekit("keys", "trust", str(tmp_path / "none.pub"), "--json").failed(17, "bundle")
    edgekit("keys", "forget", "nobody", "--json").failed(17, "bundle")
    edgekit("keys", "new", "--passphrase", "--json").failed(2, "usage")  # nobody is there to be asked
    assert not folder.exists()


def test_trust_decides_what_a_signature_is_worth(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:  # the build server
        elsewhere.setenv("EDGEKIT_KEYS", str(tmp_path / "server"))
        keys.make("ci")
        sealed.bundle(tmp_path / "bundle", tmp_path / "sources", keys.load("ci"))
    verify = ("bundle", "verify", str(tmp_path / "bundle"), "--json")
    before = edgekit(*verify)
    assert before.code == 0 and before.json()["verified"]["signature"] == "unknown-key"
    edgekit(*verify, "--require-signature").failed(17, "bundle")
    trusted = edgekit("keys", "trust", str(tmp_path / "server/ci.pub"), "build-server")
    assert trusted.code == 0 and "build-server (trusted)" in trusted.out and fits(trusted)
    after = edgekit(*verify, "--require-signature").json()["verified"]
    assert (after["signature"], after["key_name"]) == ("trusted", "build-server")
    keys.make("mine")
    edgekit(*verify, "--require-signature", "--key", "mine").failed(17, "bundle")  # this one alone
    (tmp_path / "bundle" / SIGNATURE).unlink()
    edgekit(*verify, "--require-signature").failed(17, "bundle")
    assert edgekit("keys", "forget", "build-server").code == 0
    assert [entry.name for entry in keys.entries()] == ["mine"]


def test_a_passphrase_comes_from_the_environment_or_the_terminal(folder: Path) -> None:
    assert edgekit("keys", "new", "a", "--passphrase", env={"EDGEKIT_KEY_PASSPHRASE": "secret"}).code == 0
    assert keys.load("a", lambda _: "secret").name == "a"
    said = typed(["keys", "new", "b", "--passphrase"], "typed")
    assert keys.load("b", lambda _: "typed").name == "b"
    assert "Passphrase" in said and "typed" not in said


def typed(arguments: list[str], answer: str) -> str:
    """Run a command at a terminal and answer each of its prompts; what the terminal showed."""
    ours, theirs = pty.openpty()
    command = subprocess.Popen([*EDGEKIT, *arguments], env=environment(), stdin=theirs, stdout=theirs, stderr=theirs,
                               start_new_session=True)  # fmt: skip
    os.close(theirs)
    shown, answered = b"", 0
    try:
        while select.select([ours], [], [], 60)[0] and (chunk := os.read(ours, 4096)):
            shown += chunk
            # Not earlier: a prompt without echo discards what was typed before it.
            if shown.count(b": ") > answered:
                answered += 1
                os.write(ours, answer.encode() + b"\n")
    except OSError:  # the other end was closed
        pass
    finally:
        os.close(ours)  # which ends a command that still waits for an answer
    assert command.wait(60) == 0, shown
    return shown.decode()


@pytest.mark.parametrize("arguments", [("--help",), ("keys", "--help"), ("keys", "new", "--help")], ids=" ".join)
def test_help_needs_no_cryptography(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys; from edgekit.cli.main import main; main(sys.argv[1:]); "
        "sys.exit(' '.join({'cryptography', 'torch', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([EDGEKIT[0], "-c", code, *arguments], env=environment(), capture_output=True, text=True)
    assert "Usage:" in done.stdout and done.stderr == "\n"  # no name
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
