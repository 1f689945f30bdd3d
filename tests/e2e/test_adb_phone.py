"""Deploying over adb to a real daemon with the real native runner, and every fault that can happen on the way."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest
from adbd import Adbd, adbd, free_port
from command import ZOO, edgekit, started
from native import build

from edgekit.convert.convert import convert
from edgekit.convert.request import ConvertRequest
from edgekit.device.adb import runs
from edgekit.device.adb.attached import open_serial
from edgekit.device.adb.link import Patience
from edgekit.device.adb.phone import AdbDevice
from edgekit.device.adb.storage import PART_BYTES, ROOT, Storage
from edgekit.device.resolve import open_device
from edgekit.errors import DeviceError, RuntimeCrashError
from edgekit.harness.content import sha256_of
from edgekit.job import Job, Mode
from edgekit.measure.plan import Candidate, job_for
from edgekit.model.request import LoadRequest
from edgekit.records import Artifact, Plan
from edgekit.version import __version__

SHORT = Plan(warmup_min_runs=2, warmup_min_seconds=0.0, warmup_max_seconds=1.0, min_runs=5, min_seconds=0.0, repeats=1)
ENDLESS = msgspec.structs.replace(SHORT, min_seconds=100.0, max_seconds=100.0)
QUICK = ("--runs", "5", "--min-secs", "0.05", "--warmup", "1", "--repeats", "1")
BRIEF = Patience(ask_s=0.3, notice_s=0.5, limit_s=2.0)


@pytest.fixture(scope="session", autouse=True)
def runner() -> None:
    """The runner is there for this machine's ABI, which is the daemon's."""
    build("x86_64")


@pytest.fixture(scope="session")
def tiny(own_places: Path) -> dict[str, Artifact]:
    request = ConvertRequest(
        load=LoadRequest(spec=f"{ZOO}:tiny"), formats=("executorch", "litert"), cache=str(own_places / "cache")
    )
    outcome = convert(request, lambda _event: None)
    assert outcome.errors == {}
    return {artifact.format: artifact for artifact in outcome.artifacts}


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("image") / "input.npy"
    np.save(path, np.random.default_rng(0).standard_normal((2, 1, 3, 32, 32)).astype("float32"))
    return str(path)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Adbd]:
    with adbd(tmp_path) as running:
        yield running


class Phone:
    """A device over one daemon, what it said, and what is on it."""

    def __init__(self, daemon: Adbd, patience: Patience | None = None) -> None:
        self.said: list[str] = []
        self.daemon = daemon
        self.device: AdbDevice = open_serial(daemon.address, self.said.append, patience)

    @property
    def files(self) -> list[str]:
        """Everything below edgekit's folder, runner bundles aside."""
        root = self.daemon.data / "edgekit"
        return sorted(str(p.relative_to(root)) for p in root.rglob("*") if "runner-" not in str(p))

    def heard(self, text: str) -> bool:
        return any(text in line for line in self.said)

    def runners(self) -> list[psutil.Process]:
        """The runner's processes on the device."""
        return [process for process, line in self.processes() if line[-1].endswith("envelope.json")]

    def started(self) -> list[psutil.Process]:
        """The runner itself: its command line shows on the shell that starts it first."""
        return [process for process, line in self.processes()
                if line[-1].endswith("envelope.json") and "ld-linux" in line[0]]  # fmt: skip

    def processes(self) -> list[tuple[psutil.Process, list[str]]]:
        """Every process on the device with its command line; in its namespace an orphan belongs to its first one."""
        found = []
        for process in psutil.Process(self.daemon.pid).parent().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
                if line := process.cmdline():
                    found.append((process, line))
        return found


def job(artifact: Artifact, image: str, mode: Mode = "measure", plan: Plan = SHORT, folder: Path | None = None) -> Job:
    return job_for(Candidate(artifact, (image,)), mode, plan, threads=1,
                   outputs_dir=None if folder is None else str(folder))  # fmt: skip


def in_background(action: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    """Run it in a thread; the list holds what it raised."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, raised


def ended(thread: threading.Thread) -> None:
    thread.join(60)
    assert not thread.is_alive(), "it goes on"


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    give_up = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.02)
    return found


def test_deploy_and_deploy_again(daemon: Adbd) -> None:
    command = ("deploy", f"{ZOO}:tiny", "--device", daemon.spec, "--to", "executorch,litert", *QUICK, "--json")
    first = edgekit(*command)
    assert first.code == 0, first.err
    for made in first.json()["deployments"]:
        assert made["device_parity"]["passed"] is True
        assert made["push"]["bytes_sent"] > 0
        measured = made["measurement"]
        assert (measured["device"], measured["harness"], measured["emulated"]) == (daemon.spec, "native", True)
        assert measured["samples"] >= 5 and measured["p50_ms"] > 0 and measured["peak_rss_bytes"] > 0
    again = edgekit(*command)
    assert again.code == 0, again.err
    assert [made["push"]["bytes_sent"] for made in again.json()["deployments"]] == [0, 0]
    left = sorted(p.name for p in (daemon.data / "edgekit").iterdir())
    assert "runs" in left and list((daemon.data / "edgekit/runs").iterdir()) == []


def test_outputs_are_those_of_the_host(daemon: Adbd, tiny: dict[str, Artifact], image: str, tmp_path: Path) -> None:
    phone, host = Phone(daemon), open_device("host", harness="native")
    for name, artifact in tiny.items():
        there = phone.device.run(job(artifact, image, "outputs", folder=tmp_path / "there" / name))
        here = host.run(job(artifact, image, "outputs", folder=tmp_path / "here" / name))
        for mine, theirs in zip(here.outputs, there.outputs, strict=True):
            assert np.array_equal(np.load(mine), np.load(theirs))


def test_profile_names_operators(daemon: Adbd) -> None:
    done = edgekit(
        "profile", f"{ZOO}:tiny", "--device", daemon.spec, "--to", "executorch,litert", "--runs", "3", "--json"
    )
    assert done.code == 0, done.err
    for profile in done.json()["profiles"]:
        assert profile["device"] == daemon.spec and profile["ops"] and profile["total_ms"] > 0


def test_device_listing_and_information(daemon: Adbd) -> None:
    info = Phone(daemon).device.info()
    assert (info.state, info.abi, info.emulated, info.name) == ("ready", "x86_64", True, "edgekit adbd in a directory")
    assert info.transport == "adb, directly by TCP"
    assert info.engines == ("executorch", "litert")


def test_a_damaged_file_on_the_device_is_sent_again(daemon: Adbd, tiny: dict[str, Artifact], image: str) -> None:
    artifact = tiny["litert"]
    Phone(daemon).device.push(artifact)
    file = daemon.data / "edgekit" / artifact.sha256
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    phone = Phone(daemon)
    pushed = phone.device.push(artifact)
    assert pushed.bytes_sent == artifact.bytes
    assert phone.heard("is damaged: it is sent again")
    assert sha256_of(file) == artifact.sha256


def test_a_file_damaged_after_it_was_verified_is_refused_by_the_runner(
    daemon: Adbd, tiny: dict[str, Artifact], image: str
) -> None:
    phone, artifact = Phone(daemon), tiny["litert"]
    phone.device.push(artifact)
    (daemon.data / "edgekit" / artifact.sha256).write_bytes(b"rubbish")
    with pytest.raises(DeviceError, match="sha256"):
        phone.device.run(job(artifact, image))


def test_a_damaged_runner_is_sent_again(daemon: Adbd, tiny: dict[str, Artifact], image: str) -> None:
    phone = Phone(daemon)
    phone.device.push(tiny["litert"])
    (folder,) = (daemon.data / "edgekit").glob("runner-*")
    (folder / "runner").write_bytes(b"#!/bin/sh\n")
    again = Phone(daemon)
    assert again.device.run(job(tiny["litert"], image)).samples_ns
    assert again.heard("runner on the device is damaged")


def test_the_daemon_is_restarted_between_two_jobs(daemon: Adbd, tiny: dict[str, Artifact], image: str) -> None:
    phone = Phone(daemon)
    assert phone.device.run(job(tiny["litert"], image)).samples_ns
    daemon.restart()
    assert phone.device.run(job(tiny["litert"], image)).samples_ns  # connected anew


def test_the_phone_is_lost_in_the_middle_of_a_run(daemon: Adbd, tiny: dict[str, Artifact], image: str) -> None:
    phone = Phone(daemon)
    thread, raised = in_background(lambda: phone.device.run(job(tiny["litert"], image, plan=ENDLESS)))
    until(phone.runners)
    daemon.restart()
    ended(thread)
    (error,) = raised
    assert isinstance(error, DeviceError) and error.code == 13
    assert [name for name in phone.files if name.startswith("runs/")] != []
    again = Phone(daemon)  # the next one finds it clean
    assert again.device.run(job(tiny["litert"], image)).samples_ns
    assert [name for name in again.files if name.startswith("runs/")] == []


def test_a_runner_that_was_left_running_is_ended_by_the_next_one(
    daemon: Adbd, tiny: dict[str, Artifact], image: str
) -> None:
    """As after a cable that was pulled on a phone whose adbd does not end what it started."""
    phone = Phone(daemon)
    left = f"{ROOT}/runs/{runs.host_id()}-left"
    phone.device.shell(
        ["sh", "-c", "mkdir -p $0 && (setsid sh -c 'sleep 60; true' $0 >/dev/null 2>&1 &)", left], what="x"
    )
    old = until(lambda: [process for process, line in phone.processes() if line[-1] == left])[0]
    again = Phone(daemon)
    assert again.device.run(job(tiny["litert"], image)).samples_ns
    until(lambda: not old.is_running() or old.status() == psutil.STATUS_ZOMBIE)
    assert [name for name in again.files if name.startswith("runs/")] == []


def test_another_computers_measurement_is_not_disturbed(daemon: Adbd, tiny: dict[str, Artifact], image: str) -> None:
    phone = Phone(daemon)
    other = f"{ROOT}/runs/0123456789ab-x"
    thread, _ = in_background(
        lambda: phone.device.shell(["sh", "-c", "mkdir -p $0 && sleep 30; true", other], what="stand-in")
    )
    until(lambda: (daemon.data / "edgekit/runs/0123456789ab-x").is_dir())
    with pytest.raises(DeviceError, match="Another computer's edgekit"):
        Phone(daemon).device.run(job(tiny["litert"], image))
    phone.device.close()
    ended(thread)


def test_a_frozen_phone_that_thaws_finishes_its_run(daemon: Adbd, tiny: dict[str, Artifact], image: str) -> None:
    phone = Phone(daemon, Patience(ask_s=0.3, notice_s=0.5, limit_s=20.0))
    plan = msgspec.structs.replace(SHORT, min_seconds=1.0)
    thread, raised = in_background(lambda: phone.device.run(job(tiny["litert"], image, plan=plan)))
    until(phone.runners)
    daemon.freeze()
    until(lambda: phone.heard("has not answered for"))
    daemon.thaw()
    ended(thread)
    assert raised == []
    assert phone.heard("answers again")


def test_a_phone_that_stays_frozen_is_given_up(daemon: Adbd, tiny: dict[str, Artifact], image: str) -> None:
    phone = Phone(daemon, BRIEF)
    thread, raised = in_background(lambda: phone.device.run(job(tiny["litert"], image, plan=ENDLESS)))
    until(phone.runners)
    begin = time.monotonic()
    daemon.freeze()
    ended(thread)
    assert time.monotonic() - begin < 15
    (error,) = raised
    assert isinstance(error, DeviceError) and "has not answered for" in error.message
    daemon.thaw()
    assert Phone(daemon).device.run(job(tiny["litert"], image)).samples_ns


def test_a_runner_that_is_killed(daemon: Adbd, tiny: dict[str, Artifact], image: str) -> None:
    phone = Phone(daemon)
    thread, raised = in_background(lambda: phone.device.run(job(tiny["litert"], image, plan=ENDLESS)))
    for process in until(phone.started):
        os.kill(process.pid, signal.SIGSEGV)
    ended(thread)
    (error,) = raised
    assert isinstance(error, RuntimeCrashError) and error.facts["signal"] == signal.SIGSEGV
    assert [name for name in phone.files if name.startswith("runs/")] == []


def test_a_runner_that_answers_rubbish(
    daemon: Adbd, tiny: dict[str, Artifact], image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = b'#!/bin/sh\necho "\x1b]0;owned\x07"\nhead -c 100000 /dev/urandom > "$2"\n'
    monkeypatch.setenv("EDGEKIT_RUNNER", str(stand_in(tmp_path, script)))
    phone = Phone(daemon)
    with pytest.raises(DeviceError, match="does not understand"):
        phone.device.run(job(tiny["litert"], image))
    assert [name for name in phone.files if name.startswith("runs/")] == []


def test_a_runner_that_prints_without_end(
    daemon: Adbd, tiny: dict[str, Artifact], image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = b"#!/bin/sh\nhead -c 50000000 /dev/zero | tr '\\0' x\necho\necho '\x1b[31mlast words'\nexit 3\n"
    monkeypatch.setenv("EDGEKIT_RUNNER", str(stand_in(tmp_path, script)))
    with pytest.raises(RuntimeCrashError) as caught:
        Phone(daemon).device.run(job(tiny["litert"], image))
    assert "ended with exit code 3" in caught.value.message and "last words" in caught.value.message
    assert "\x1b" not in caught.value.message and len(caught.value.message) < 5000


def stand_in(tmp_path: Path, script: bytes) -> Path:
    """A bundle whose runner is a shell script, with a manifest that is right about it."""
    folder = tmp_path / "bundles/x86_64"
    folder.mkdir(parents=True)
    (folder / "runner").write_bytes(script)
    entry = {"name": "runner", "bytes": len(script), "sha256": sha256_of(folder / "runner"), "engine": None}
    manifest = {
        "schema": 1, "abi": "x86_64", "harness_version": __version__, "engines": {"litert": "2.3.0"},
        "compiler": "none",
        "command": ["runner"], "source": "0" * 64, "files": [entry],
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path / "bundles"


@pytest.fixture
def large(tmp_path: Path) -> tuple[Path, str, int]:
    """A file of five parts: path, sha256, bytes."""
    path = tmp_path / "large"
    path.write_bytes(np.random.default_rng(2).bytes(4 * PART_BYTES + 1000))
    return path, sha256_of(path), path.stat().st_size


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """``large``'s last part is not sent before this is set: a test that is slow to look does not miss the push."""
    gate, push_range = threading.Event(), Storage._push_range

    def held(self: Storage, source: Path, path: str, begin: int, length: int, mode: int) -> None:
        if begin == 4 * PART_BYTES:
            gate.wait(60)
        push_range(self, source, path, begin, length, mode)

    monkeypatch.setattr(Storage, "_push_range", held)
    return gate


def parts(daemon: Adbd) -> list[Path]:
    return sorted((daemon.data / "edgekit/parts").glob("*.*"))


def test_a_push_goes_on_after_the_link_was_lost(
    daemon: Adbd, large: tuple[Path, str, int], gate: threading.Event
) -> None:
    phone = Phone(daemon)
    thread, raised = in_background(lambda: phone.device.storage.put(*large))
    until(lambda: len(parts(daemon)) >= 2)
    daemon.restart()
    gate.set()
    ended(thread)
    assert raised == [] and phone.heard("Trying again")
    assert sha256_of(daemon.data / "edgekit" / large[1]) == large[1]
    assert parts(daemon) == []
    # What was there was not sent again.
    assert phone.device.storage.bytes_sent <= large[2]


def test_a_push_that_was_given_up_is_resumed_by_the_next_edgekit(
    daemon: Adbd, large: tuple[Path, str, int], gate: threading.Event
) -> None:
    phone = Phone(daemon)
    thread, raised = in_background(lambda: phone.device.storage.put(*large))
    until(lambda: len(parts(daemon)) >= 3)
    daemon.kill()
    gate.set()
    ended(thread)
    (error,) = raised
    assert isinstance(error, DeviceError) and error.code == 13
    daemon.start()
    again = Phone(daemon)
    again.device.storage.put(*large)
    assert sha256_of(daemon.data / "edgekit" / large[1]) == large[1]
    assert 0 < again.device.storage.bytes_sent <= large[2] - 2 * PART_BYTES
    assert parts(daemon) == []


def test_a_full_device(tmp_path: Path, tiny: dict[str, Artifact]) -> None:
    with adbd(tmp_path, data_bytes=4 << 20) as daemon:
        phone = Phone(daemon)
        with pytest.raises(DeviceError, match="MiB free") as caught:
            phone.device.push(tiny["executorch"])
        assert caught.value.facts["free_bytes"] <= 4 << 20 < caught.value.facts["needed_bytes"]
        assert phone.files == []


def test_a_read_only_device(daemon: Adbd, tiny: dict[str, Artifact]) -> None:
    (daemon.root / "data/local/tmp").chmod(0o555)
    done = edgekit("deploy", f"{ZOO}:tiny", "--device", daemon.spec, "--to", "litert", *QUICK, "--json")
    error = done.failed(13, "device")
    assert "can't hold edgekit's files" in error["message"]


def test_nothing_listens_there(tmp_path: Path) -> None:
    done = edgekit("deploy", f"{ZOO}:tiny", "--device", f"adb:127.0.0.1:{free_port()}", "--json")
    assert "There is no adb device at" in done.failed(13, "device")["message"]


def test_something_else_listens_there() -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        other.settimeout(20)

        def answer() -> None:
            peer, _ = other.accept()
            peer.sendall(b"SSH-2.0-OpenSSH_9.2 this is not adb\r\n")
            # To the end: closed with something unread, a socket resets the connection, and the banner may be lost.
            with peer, contextlib.suppress(ConnectionError):
                while peer.recv(1 << 16):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        done = edgekit("deploy", f"{ZOO}:tiny", "--device", f"adb:127.0.0.1:{other.getsockname()[1]}", "--json")
        thread.join()
    assert "does not speak the adb protocol" in done.failed(13, "device")["message"]


def test_clean(daemon: Adbd, tiny: dict[str, Artifact]) -> None:
    Phone(daemon).device.push(tiny["litert"])
    done = edgekit("devices", "clean", daemon.spec, "--json")
    assert done.code == 0, done.err
    assert done.json()["removed_bytes"] > 1 << 20
    assert not (daemon.data / "edgekit").exists()
    assert edgekit("devices", "clean", daemon.spec, "--json").json()["removed_bytes"] == 0
    edgekit("devices", "clean", "host", "--json").failed(2, "usage")


def test_kill_9_while_measuring_keeps_the_store_and_frees_the_phone(daemon: Adbd, tmp_path: Path) -> None:
    env = {"EDGEKIT_STORE": f"sqlite:///{tmp_path / 'results.sqlite'}"}
    long = ("--min-secs", "60", "--repeats", "2", "--warmup", "1")
    process = started("deploy", f"{ZOO}:tiny", "--device", daemon.spec, "--to", "litert", *long, env=env)
    assert process.stderr is not None
    for line in process.stderr:
        if "repeat 1 of 2" in line:
            break
    phone = Phone(daemon)
    until(phone.runners)
    busy = edgekit("deploy", f"{ZOO}:tiny", "--device", daemon.spec, "--to", "litert", *QUICK, "--json", env=env)
    assert "is being measured by process" in busy.failed(13, "device")["message"]
    process.kill()
    process.communicate()
    assert edgekit("results", "--json", env=env).json()["measurements"] == []
    again = edgekit("deploy", f"{ZOO}:tiny", "--device", daemon.spec, "--to", "litert", *QUICK, "--json", env=env)
    assert again.code == 0, again.err
    assert [name for name in phone.files if name.startswith("runs/")] == []
    until(lambda: not phone.runners())


def test_ctrl_c_while_measuring_leaves_nothing_on_the_phone(daemon: Adbd) -> None:
    command = ("deploy", f"{ZOO}:tiny", "--device", daemon.spec, "--to", "litert", "--min-secs", "60", "--json")
    process = started(*command)
    assert process.stderr is not None
    for line in process.stderr:
        if "repeat 1 of 3" in line:
            break
    phone = Phone(daemon)
    until(phone.runners)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    until(lambda: not phone.runners())
    assert [name for name in phone.files if name.startswith("runs/")] == []


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Debian's adb with a server of its own; edgekit finds the same one."""
    port = free_port()
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def adb(*arguments: str) -> str:
        done = subprocess.run(["adb", *arguments], capture_output=True, text=True, timeout=30, check=True)
        return done.stdout

    adb("start-server")
    yield adb
    adb("kill-server")


PIXEL = {"ro.product.device": "panther", "ro.product.model": "Pixel 7", "ro.product.manufacturer": "Google",
         "ro.boot.qemu": "0"}  # fmt: skip


def test_a_profile_finds_the_device_that_matches_it(
    tmp_path: Path, server: Callable[..., str], tiny: dict[str, Artifact], image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / name for name in ("one", "two", "other")]
    for folder in folders:
        folder.mkdir()
    with adbd(folders[0], properties=PIXEL) as one, adbd(folders[2]) as other:
        server("connect", other.address)
        with pytest.raises(DeviceError, match="No attached device matches the profile pixel7"):
            open_device("pixel7")
        server("connect", one.address)
        until(lambda: server("devices").count("\tdevice") == 2)
        device = open_device("pixel7")
        info = device.info()
        assert (info.profile, info.spec, info.name) == ("pixel7", one.spec, "Google Pixel 7")
        assert info.transport.startswith("adb, through the adb server at 127.0.0.1:")
        assert device.run(job(tiny["litert"], image)).samples_ns
        with adbd(folders[1], properties=PIXEL) as two:
            server("connect", two.address)
            until(lambda: server("devices").count("\tdevice") == 3)
            with pytest.raises(DeviceError, match="2 attached devices match the profile pixel7") as caught:
                open_device("pixel7")
            assert set(caught.value.facts["near"]) == {one.spec, two.spec}
            monkeypatch.setenv("ANDROID_SERIAL", two.address)
            assert open_device("pixel7").info().spec == two.spec
            assert open_device("adb").info().spec == two.spec
            listed = {d["spec"]: d["profile"] for d in edgekit("devices", "--json").json()["devices"]}
            assert (listed[one.spec], listed[two.spec]) == ("pixel7", "pixel7") and other.spec in listed


def test_the_adb_server_is_killed_in_the_middle_of_a_run(
    daemon: Adbd, server: Callable[..., str], tiny: dict[str, Artifact], image: str
) -> None:
    server("connect", daemon.address)
    phone = Phone(daemon)
    thread, raised = in_background(lambda: phone.device.run(job(tiny["litert"], image, plan=ENDLESS)))
    until(phone.runners)
    server("kill-server")
    ended(thread)
    (error,) = raised
    assert isinstance(error, DeviceError) and error.code == 13
    again = Phone(daemon)  # without the server, directly
    assert again.device.run(job(tiny["litert"], image)).samples_ns
    assert again.device.info().transport == "adb, directly by TCP"
    server("start-server")


# A power service that holds the clocks as Android's does on phones that can: it moves the bounds in /sys. There is no
# such phone here.
_HOLDS = """#!/bin/sh
[ "$1 $2" = "power set-fixed-performance-mode-enabled" ] || exit 1
cd /sys/devices/system/cpu/cpufreq/policy0
if [ "$3" = true ]; then echo 1000000 > scaling_min_freq; echo 1000000 > scaling_max_freq
else echo 300000 > scaling_min_freq; echo 2000000 > scaling_max_freq; fi
"""
_ANSWERS_ONLY = "#!/bin/sh\nexit 0\n"


def with_power_service(daemon: Adbd, script: str) -> Path:
    policy = daemon.root / "sys/devices/system/cpu/cpufreq/policy0"
    policy.mkdir(parents=True)
    (policy / "scaling_min_freq").write_text("300000\n")
    (policy / "scaling_max_freq").write_text("2000000\n")
    (daemon.root / "system/bin/cmd").write_text(script)
    (daemon.root / "system/bin/cmd").chmod(0o755)
    return policy


def pinned(daemon: Adbd) -> dict[str, Any]:
    options = ("--to", "litert", *QUICK, "--clocks", "pinned", "--json")
    done = edgekit("deploy", f"{ZOO}:tiny", "--device", daemon.spec, *options)
    assert done.code == 0, done.err
    (made,) = done.json()["deployments"]
    measurement: dict[str, Any] = made["measurement"]
    return measurement


def test_clocks_are_held_and_set_free_again(daemon: Adbd) -> None:
    policy = with_power_service(daemon, _HOLDS)
    assert pinned(daemon)["clock_regime"] == "pinned"
    assert (policy / "scaling_max_freq").read_text() == "2000000\n"
    assert not (daemon.data / "edgekit/clocks-pinned").exists()


def test_clocks_that_do_not_follow_are_not_called_held(daemon: Adbd) -> None:
    with_power_service(daemon, _ANSWERS_ONLY)
    found = pinned(daemon)
    assert found["clock_regime"] == "free"
    assert any("no clock's bounds changed" in reason for reason in found["verdict_reasons"])


def test_a_phone_without_the_mode_says_so(daemon: Adbd) -> None:
    found = pinned(daemon)
    assert found["clock_regime"] == "free"
    assert any("refuses fixed-performance mode" in reason for reason in found["verdict_reasons"])


def test_clocks_left_held_are_set_free_by_the_next_connection(
    daemon: Adbd, tiny: dict[str, Artifact], image: str
) -> None:
    policy = with_power_service(daemon, _HOLDS)
    phone = Phone(daemon)
    with pytest.raises(DeviceError), phone.device.conditions(1, "pinned") as conditions:
        assert conditions.clock_regime == "pinned"
        daemon.kill()
        phone.device.run(job(tiny["litert"], image))
    daemon.start()
    assert (policy / "scaling_max_freq").read_text() == "1000000\n"
    again = Phone(daemon)
    assert again.device.run(job(tiny["litert"], image)).samples_ns
    assert again.heard("left the clocks held")
    assert (policy / "scaling_max_freq").read_text() == "2000000\n"


def test_the_host_does_not_pin_its_clocks() -> None:
    done = edgekit("deploy", f"{ZOO}:tiny", "--to", "litert", *QUICK, "--clocks", "pinned", "--json")
    assert "does not pin the clocks" in done.failed(2, "usage")["message"]


def test_the_native_runner_on_the_host() -> None:
    done = edgekit("deploy", f"{ZOO}:tiny", "--engine", "native", "--to", "executorch,litert", *QUICK, "--json")
    assert done.code == 0, done.err
    for made in done.json()["deployments"]:
        assert made["device_parity"]["passed"] is True
        assert (made["measurement"]["device"], made["measurement"]["harness"]) == ("host", "native")


def test_accuracy_on_the_device_is_that_of_the_host(daemon: Adbd, tiny: dict[str, Artifact], tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    data = tmp_path / "data.npz"
    np.savez(data, inputs=random.standard_normal((24, 3, 32, 32)).astype("float32"), labels=random.integers(0, 10, 24))
    files = [artifact.path for artifact in tiny.values()]
    values = {}
    for device in ("host", daemon.spec):
        done = edgekit("evaluate", *files, "--data", str(data), "--device", device, "--json")
        assert done.code == 0, done.err
        found = done.json()["evaluations"]
        assert {e["device"] for e in found} == {device}
        values[device] = [e["value"] for e in found]
    assert values["host"] == values[daemon.spec] and len(values["host"]) == 2
