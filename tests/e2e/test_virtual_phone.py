"""The virtual phone and the rootless adbd, from the command line to Debian's own adb client.

That client is the judge of what these peers say: none of edgekit's transport is used here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from adbd import Adbd, adbd, free_port, keep_phone_image, require
from command import Done, edgekit, started

from edgekit.device import virtual_image, virtual_phone, virtual_qemu
from edgekit.errors import DeadlineError

STORAGE_MIB = 16
TARGET = "/data/local/tmp"
TIMEOUT_S = 60


class Client:
    """Debian's adb with a server of its own."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        # The server's port also keeps the client from any server that the user has.
        self._environment = {**os.environ, "HOME": str(home), "ANDROID_ADB_SERVER_PORT": str(self.port)}
        self._environment.pop("ANDROID_SERIAL", None)

    def __call__(self, *arguments: str) -> Done:
        made = subprocess.run(["adb", "-P", str(self.port), *arguments], env=self._environment, capture_output=True,
                              text=True, timeout=TIMEOUT_S)  # fmt: skip
        return Done(made.returncode, made.stdout, made.stderr)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(["adb", "-P", str(self.port), *arguments], env=self._environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip

    def connect(self, port: int) -> Callable[..., Done]:
        """A function that runs adb on the device at that port, afresh."""
        address = f"127.0.0.1:{port}"
        self("disconnect", address)
        answer = self("connect", address)
        assert f"connected to {address}" in answer.out, answer
        return lambda *arguments: self("-s", address, *arguments)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    require("adb")
    made = Client(tmp_path_factory.mktemp("home"))
    yield made
    made("kill-server")


@pytest.fixture(scope="module")
def own_phones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A data directory for these tests' phones, none of which outlives them."""
    require("qemu-system-aarch64")
    keep_phone_image()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKIT_DATA", str(tmp_path_factory.mktemp("data")))
        yield
        for found in virtual_phone.phones():
            virtual_phone.stop(found.name)


@pytest.fixture(scope="module")
def phone(own_phones: None) -> dict[str, Any]:
    """A running phone with little storage, as `edgekit virtual phone start --json` answers; started twice at once."""
    words = ("virtual", "phone", "start", "--storage", f"{STORAGE_MIB}MiB", "--json")
    with started(*words) as beside:
        done = edgekit(*words)
        out, err = beside.communicate(timeout=TIMEOUT_S)
    assert (done.code, beside.returncode) == (0, 0), done.err + err
    made: dict[str, Any] = done.json()["virtual_phone"]
    assert json.loads(out)["virtual_phone"] == made, "two were started"
    return made


def listed() -> dict[str, dict[str, Any]]:
    done = edgekit("virtual", "phone", "list", "--json")
    assert done.code == 0, done.err
    return {row["name"]: row for row in done.json()["virtual_phones"]}


def sample(path: Path, count: int) -> str:
    """Write so many random bytes; their sha256."""
    content = os.urandom(count)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def commands_and_files(adb: Callable[..., Done], tmp_path: Path) -> None:
    """What edgekit needs of any device: exit codes, stderr apart, and files that arrive whole."""
    done = adb("shell", "echo out; echo err >&2; exit 7")
    assert (done.code, done.out, done.err) == (7, "out\n", "err\n")
    assert adb("shell", "dumpsys battery").code == 127
    digest = sample(tmp_path / "sent", 5_000_000)
    assert adb("push", str(tmp_path / "sent"), f"{TARGET}/sent").code == 0
    assert adb("shell", f"sha256sum {TARGET}/sent").out.split()[0] == digest
    assert adb("shell", f"stat -c %s {TARGET}/sent").out.strip() == "5000000"
    assert adb("pull", f"{TARGET}/sent", str(tmp_path / "back")).code == 0
    assert hashlib.sha256((tmp_path / "back").read_bytes()).hexdigest() == digest
    assert adb("shell", f"rm {TARGET}/sent").code == 0


def full(adb: Callable[..., Done], tmp_path: Path, count: int) -> None:
    """A push that does not fit is refused, and the device lives on."""
    sample(tmp_path / "large", count)
    done = adb("push", str(tmp_path / "large"), f"{TARGET}/large")
    assert done.code != 0 and "No space left on device" in done.err + done.out
    assert adb("shell", f"rm -f {TARGET}/large").code == 0


def property_of(adb: Callable[..., Done], name: str) -> str:
    return adb("shell", f"getprop {name}").out.strip()


class TestPhone:
    def test_it_boots_in_time_and_is_listed(self, phone: dict[str, Any]) -> None:
        assert phone["boot_s"] <= 45, "the target is 15 s on an idle machine"
        assert (phone["spec"], phone["host"], phone["emulated"]) == ("virtual:phone-arm64", "127.0.0.1", True)
        assert listed()["phone-arm64"] | phone == listed()["phone-arm64"]
        assert edgekit("virtual", "phone", "list").out.startswith("virtual:phone-arm64  running  adb at 127.0.0.1:")

    def test_starting_it_again_shows_the_running_one(self, phone: dict[str, Any]) -> None:
        assert edgekit("virtual", "phone", "start", "--json").json()["virtual_phone"] == phone
        assert "runs already" in edgekit("virtual", "phone", "start").out

    def test_commands_and_files(self, phone: dict[str, Any], client: Client, tmp_path: Path) -> None:
        commands_and_files(client.connect(phone["port"]), tmp_path)

    def test_it_says_what_it_is(self, phone: dict[str, Any], client: Client) -> None:
        adb = client.connect(phone["port"])
        assert adb("shell", "uname -m").out == "aarch64\n"
        names = ("ro.product.manufacturer", "ro.product.cpu.abilist", "ro.boot.qemu", "ro.serialno", "no.such")
        assert [property_of(adb, name) for name in names] == ["edgekit", "arm64-v8a", "1", "phone-arm64", ""]
        found = re.findall(r"^\[(.+)\]: \[(.*)\]$", adb("shell", "getprop").out, re.MULTILINE)
        assert len(found) > 20 and dict(found)["ro.product.model"] == "Virtual phone (arm64)"
        assert adb("shell", "cat /proc/sys/kernel/random/boot_id").out.strip() == phone["boot_id"]

    def test_the_shell_has_no_more_rights_than_on_a_phone(self, phone: dict[str, Any], client: Client) -> None:
        adb = client.connect(phone["port"])
        assert adb("shell", "id -u").out == "2000\n"
        for path in ("/x", "/data/x", "/system/x", "/proc/sys/kernel/hostname"):
            done = adb("shell", f"echo x >{path}")
            assert done.code != 0 and "ermission denied" in done.err, (path, done)

    def test_the_network_ends_at_the_phone(self, phone: dict[str, Any], client: Client) -> None:
        """The user-mode network's own addresses lead to the host where they are not restricted."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.settimeout(2)
            host = f"10.0.2.2 {listening.getsockname()[1]}"
            assert client.connect(phone["port"])("shell", f"timeout 3 nc {host} </dev/null").code != 0
            with pytest.raises(TimeoutError):
                listening.accept()

    def test_storage_is_limited(self, phone: dict[str, Any], client: Client, tmp_path: Path) -> None:
        adb = client.connect(phone["port"])
        assert adb("shell", "df -k /data | tail -n 1").out.split()[1] == str(STORAGE_MIB * 1024)
        full(adb, tmp_path, (STORAGE_MIB + 4) << 20)

    def test_a_program_brings_its_own_loader(self, phone: dict[str, Any], client: Client, tmp_path: Path) -> None:
        """As on Android, there is no glibc but the one that was pushed."""
        require("aarch64-linux-gnu-g++")
        source, folder = tmp_path / "hello.cpp", tmp_path / "hello"
        folder.mkdir()
        source.write_text('#include <iostream>\nint main() { try { throw 3; } catch (int e) '
                          '{ std::cout << "hello" << std::endl; return e; } }\n')  # fmt: skip
        subprocess.run(["aarch64-linux-gnu-g++", "-O1", "-o", folder / "hello", source], check=True)
        loader = "ld-linux-aarch64.so.1"
        for name in (loader, "libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1"):
            found = subprocess.run(["aarch64-linux-gnu-g++", f"-print-file-name={name}"], check=True,
                                   capture_output=True, text=True).stdout.strip()  # fmt: skip
            (folder / name).write_bytes(Path(found).read_bytes())
        (folder / loader).chmod(0o755)
        adb = client.connect(phone["port"])
        assert adb("push", str(folder), TARGET).code == 0
        own = f"{TARGET}/hello"
        done = adb("shell", f"{own}/{loader} --library-path {own} {own}/hello")
        assert (done.code, done.out) == (3, "hello\n"), done.err
        assert adb("shell", f"{own}/hello").code == 127
        assert adb("shell", f"rm -r {own}").code == 0

    def test_it_can_be_frozen_and_thawed(self, phone: dict[str, Any], client: Client) -> None:
        client.connect(phone["port"])
        running = client.begin("-s", f"127.0.0.1:{phone['port']}", "shell", "echo a; sleep 1; echo b; exit 5")
        assert running.stdout is not None and running.stdout.readline() == "a\n"
        os.kill(phone["pid"], signal.SIGSTOP)
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(2)
            assert listed()["phone-arm64"]["state"] == "frozen"
        finally:
            os.kill(phone["pid"], signal.SIGCONT)
        assert (running.communicate(timeout=TIMEOUT_S)[0], running.returncode) == ("b\n", 5)

    def test_it_reboots(self, phone: dict[str, Any], client: Client) -> None:
        adb = client.connect(phone["port"])
        assert adb("shell", f"touch {TARGET}/gone").code == 0
        asked = client.begin("-s", f"127.0.0.1:{phone['port']}", "shell", "/system/bin/reboot")
        console = Path(listed()["phone-arm64"]["console"])
        give_up = time.monotonic() + TIMEOUT_S
        while len(boots := re.findall(r"^edgekit-boot (\S+)", console.read_text(errors="replace"), re.M)) < 2:
            assert time.monotonic() < give_up, console.read_text(errors="replace")
            time.sleep(0.1)
        while not virtual_phone.answers(phone["port"], 1):
            assert time.monotonic() < give_up
        asked.kill()
        asked.communicate()
        adb = client.connect(phone["port"])
        assert adb("shell", "cat /proc/sys/kernel/random/boot_id").out.strip() == boots[1] != phone["boot_id"]
        assert adb("shell", f"ls {TARGET}").out == ""

    def test_unplugged_then_stopped(self, phone: dict[str, Any]) -> None:
        """Last, because it ends the phone of these tests."""
        os.kill(phone["pid"], signal.SIGKILL)
        give_up = time.monotonic() + 10
        while listed()["phone-arm64"]["state"] != "dead":
            assert time.monotonic() < give_up
        assert edgekit("virtual", "phone", "stop", "--json").json()["virtual_phone"]["stopped"] is False
        assert listed() == {}


class TestStarting:
    def test_ctrl_c_while_booting_leaves_nothing(self, own_phones: None) -> None:
        done, console = self.end_while_booting("interrupted", signal.SIGINT)
        assert done.code == 130 and done.json()["error"]["kind"] == "interrupted"
        assert virtual_qemu.processes(console) == []

    def test_what_a_killed_start_leaves_is_shown_and_stopped(self, own_phones: None) -> None:
        done, console = self.end_while_booting("killed", signal.SIGKILL)
        assert done.code == -signal.SIGKILL
        assert len(virtual_qemu.processes(console)) == 1
        assert listed()["killed"]["state"] == "booting"
        done = edgekit("virtual", "phone", "stop", "--name", "killed", "--json")
        assert done.json()["virtual_phone"]["stopped"] is True
        assert virtual_qemu.processes(console) == [] and "killed" not in listed()

    def end_while_booting(self, name: str, number: int) -> tuple[Done, Path]:
        console = virtual_phone.phone(name).console
        process = started("virtual", "phone", "start", "--name", name, "--json")
        with process:
            give_up = time.monotonic() + 300  # the first start of a machine builds the image
            while not virtual_qemu.processes(console):
                assert process.poll() is None and time.monotonic() < give_up
                time.sleep(0.02)
            process.send_signal(number)
            out, err = process.communicate(timeout=TIMEOUT_S)
        return Done(process.returncode, out, err), console

    def test_ctrl_c_while_building_leaves_nothing(self, own_phones: None, tmp_path: Path) -> None:
        process = started("virtual", "phone", "start", "--name", "built", env={"EDGEKIT_CACHE": str(tmp_path)})
        with process:
            assert process.stderr is not None
            while "read the package lists" not in (line := process.stderr.readline()):
                assert line, "ended before it built"
            time.sleep(0.3)  # apt is at work
            family = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 130
        assert len(family) >= 2 and psutil.wait_procs(family, timeout=10)[1] == []
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".virtual-phone-lock"]

    def test_without_an_archive_nothing_is_built(self, own_phones: None, tmp_path: Path) -> None:
        env = {"EDGEKIT_CACHE": str(tmp_path), "EDGEKIT_DEBIAN_MIRROR": f"file:{tmp_path}/none"}
        error = edgekit("virtual", "phone", "start", "--name", "built", "--json", env=env).failed(13, "device")
        assert "EDGEKIT_DEBIAN_MIRROR" in error["next_step"]
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".virtual-phone-lock"]

    def test_a_kernel_that_does_not_boot_is_given_up(self, own_phones: None, tmp_path: Path) -> None:
        content = bytes(1 << 20)
        digest = hashlib.sha256(content).hexdigest()
        for name in ("kernel", "initramfs"):
            (tmp_path / name).write_bytes(content)
        files = {name: {"bytes": len(content), "sha256": digest} for name in ("kernel", "initramfs")}
        (tmp_path / "manifest.json").write_text(json.dumps({"schema": 1, "files": files}))
        with pytest.raises(DeadlineError, match="did not come up in time"):
            virtual_phone.start("silent", image=tmp_path, boot_timeout_s=2)
        assert virtual_qemu.processes(virtual_phone.phone("silent").console) == []
        assert virtual_phone.running("silent") is None

    def test_a_taken_port_is_refused(self, own_phones: None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            done = edgekit("virtual", "phone", "start", "--name", "taken", "--port", port, "--json")
        assert f"Port {port}" in done.failed(13, "device")["message"]

    @pytest.mark.parametrize(
        "option", [("--name", "../x"), ("--storage", "9GiB"), ("--memory", "much"), ("--image", "/nonexistent")]
    )
    def test_wrong_options(self, own_phones: None, option: tuple[str, str]) -> None:
        done = edgekit("virtual", "phone", "start", *option, "--json")
        done.failed(*((13, "device") if option[0] == "--image" else (2, "usage")))

    def test_the_build_says_what_went_into_the_image(self, phone: dict[str, Any]) -> None:
        manifest = json.loads((virtual_image.image_dir() / "manifest.json").read_bytes())
        names = {row["package"] for row in manifest["packages"]}
        assert {"adbd", "busybox-static", "libc6"} <= names and any("cloud-arm64" in name for name in names)
        assert all(row["version"] and len(row["sha256"]) == 64 for row in manifest["packages"])


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Adbd]:
    folder = tmp_path / "device"
    folder.mkdir()
    with adbd(folder) as made:
        yield made


class TestDaemon:
    def test_commands_and_files(self, daemon: Adbd, client: Client, tmp_path: Path) -> None:
        commands_and_files(client.connect(daemon.port), tmp_path)

    def test_it_listens_on_loopback_only(self, daemon: Adbd) -> None:
        port = f"{daemon.port:04X}"
        rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
        listening = [row[1].rpartition(":")[0] for row in rows if row[1].endswith(f":{port}") and row[3] == "0A"]
        # ::ffff:127.0.0.1, in the order in which proc(5) has it
        assert listening == ["0000000000000000FFFF00000100007F"]
        # Nobody has the port in the address family that network namespaces don't confine.
        try:
            probe = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        except (AttributeError, OSError):
            return  # this kernel or this Python has none
        with probe:
            probe.bind((socket.VMADDR_CID_ANY, daemon.port))

    def test_two_at_once_with_properties_of_their_own(self, daemon: Adbd, client: Client, tmp_path: Path) -> None:
        (tmp_path / "second").mkdir()
        with adbd(tmp_path / "second", properties={"ro.product.model": "Another 7"}) as second:
            models = [property_of(client.connect(d.port), "ro.product.model") for d in (daemon, second)]
        assert models == ["adbd in a directory", "Another 7"]

    def test_a_full_device(self, client: Client, tmp_path: Path) -> None:
        (tmp_path / "small").mkdir()
        with adbd(tmp_path / "small", data_bytes=4 << 20) as small:
            full(client.connect(small.port), tmp_path, 8 << 20)
            (small.data / "file").write_text("seen from outside")
            assert client.connect(small.port)("shell", f"cat {TARGET}/file").out == "seen from outside"

    def test_permissions_bind_it(self, daemon: Adbd, client: Client, tmp_path: Path) -> None:
        adb = client.connect(daemon.port)
        target = daemon.root / TARGET.lstrip("/")
        sample(tmp_path / "file", 10)
        target.chmod(0o555)
        refused = adb("push", str(tmp_path / "file"), f"{TARGET}/file")
        target.chmod(0o771)
        assert refused.code != 0 and "Permission denied" in refused.err + refused.out
        assert adb("push", str(tmp_path / "file"), f"{TARGET}/file").code == 0
        assert (target / "file").stat().st_size == 10

    def test_frozen_thawed_killed_and_started_again(self, daemon: Adbd, client: Client) -> None:
        client.connect(daemon.port)
        running = client.begin("-s", daemon.address, "shell", "echo a; sleep 0.3; echo b; exit 5")
        assert running.stdout is not None and running.stdout.readline() == "a\n"
        daemon.freeze()
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(1)
        daemon.thaw()
        assert (running.communicate(timeout=TIMEOUT_S)[0], running.returncode) == ("b\n", 5)
        pid = daemon.pid
        daemon.kill()
        assert not Path(f"/proc/{pid}").exists()
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", daemon.port)).close()
            raise AssertionError("it still listens")
        daemon.start()
        assert client.connect(daemon.port)("shell", "echo back").out == "back\n"
