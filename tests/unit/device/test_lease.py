from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edgekit.device import lease
from edgekit.device.host import HostDevice
from edgekit.errors import DeviceError

_HOLD = """
import sys
from edgekit.device import lease
with lease.hold(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
print("released", flush=True)
"""


@contextmanager
def other_holder(device: str = "host") -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lease until its standard input is closed."""
    process = subprocess.Popen([sys.executable, "-c", _HOLD, device], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_two_processes_never_hold_it_at_once() -> None:
    with other_holder() as other:
        with pytest.raises(DeviceError) as caught, lease.hold("host"):
            raise AssertionError("held by both")
        assert caught.value.facts["holder_pid"] == other.pid
        assert str(other.pid) in caught.value.message
        other.communicate("")
        with lease.hold("host"):
            pass


def test_other_devices_are_free() -> None:
    with other_holder("adb:192.168.0.7:5555"), lease.hold("host"):
        held = lease.holder("adb:192.168.0.7:5555")
        assert held is not None and held.pid != os.getpid()


def test_kill_9_of_the_holder_frees_it_at_once() -> None:
    with other_holder() as other:
        assert lease.holder("host") is not None
        other.kill()
        other.wait()
        assert lease.holder("host") is None, "its file is still there, but the process is not"
        with lease.hold("host"):
            found = lease.holder("host")
            assert found is not None and found.pid == os.getpid()
    assert lease.holder("host") is None


def test_a_reused_process_number_is_not_the_holder() -> None:
    with lease.hold("host"):
        found = lease.holder("host")
        assert found is not None
        file = lease._files("host")[1]
        file.write_text(f'{{"pid": {os.getpid()}, "since": 1.0, "started": {(found.started or 0) - 1}}}')
        assert lease.holder("host") is None


def test_waiting_gets_it_when_the_holder_ends() -> None:
    with other_holder() as other:
        assert other.stdin is not None
        other.stdin.close()
        with lease.hold("host", wait_s=30.0):
            found = lease.holder("host")
            assert found is not None and found.pid == os.getpid()


def test_nested_holds_of_one_thread_release_once() -> None:
    with lease.hold("host"):
        with lease.hold("host"):
            pass
        assert lease.holder("host") is not None
        child = subprocess.run([sys.executable, "-c", _HOLD, "host"], capture_output=True, text=True, check=False)
        assert child.returncode != 0 and "DeviceError" in child.stderr
    assert lease.holder("host") is None


def test_the_host_is_shown_busy_while_it_is_held() -> None:
    assert (HostDevice().info().state, HostDevice().info().lease) == ("ready", None)
    with other_holder() as other:
        info = HostDevice().info()
        assert info.state == "busy"
        assert info.lease is not None and f"process {other.pid} " in info.lease


def test_a_lease_directory_that_can_not_be_made_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", "/dev/null/cache")
    with pytest.raises(DeviceError, match="can't be taken"), lease.hold("host"):
        pass
