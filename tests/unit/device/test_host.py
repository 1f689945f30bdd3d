from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edgekit.device.host import HostDevice
from edgekit.device.resolve import list_devices, open_device
from edgekit.errors import DeviceError
from edgekit.records import Artifact, Parity


def test_the_host_says_who_it_is() -> None:
    info = open_device("host").info()
    assert (info.spec, info.transport, info.emulated) == ("host", "local", False)
    assert info.abi == platform.machine()
    assert info.os_build is not None and platform.release() in info.os_build
    assert info.cores == os.cpu_count()
    assert info.ram_bytes is None or info.ram_bytes > 10**8
    assert info.name


def test_facts_come_from_the_machines_own_files(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("Hardware\t: Board X\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal: 1024 kB\n")
    (tmp_path / "etc/os-release").write_text('PRETTY_NAME="Tiny Linux 1"\n')
    for core, khz in ((0, 1000), (1, 2000)):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{core}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "cpuinfo_max_freq").write_text(f"{khz}\n")
    host = HostDevice(tmp_path)
    assert (host.info().name, host.info().ram_bytes) == ("Board X", 1024 * 1024)
    assert (host.info().os_build or "").startswith("Tiny Linux 1 (")
    assert host.state().max_frequencies_khz == (1000, 2000)
    if os.sched_getaffinity(0) == {0, 1}:
        with host.conditions(1, "free") as conditions:
            assert conditions.affinity == (1,)


def test_push_sends_nothing_and_checks_the_file(tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    file.write_bytes(b"x")
    artifact = Artifact(sha256="0" * 64, bytes=1, format="onnx", precision="fp32", path=str(file), model="m",
                        exported_sha256=None, parity=Parity(passed=None))  # fmt: skip
    assert HostDevice().push(artifact).bytes_sent == 0
    with pytest.raises(DeviceError, match="does not exist"):
        HostDevice().push(msgspec.structs.replace(artifact, path=str(tmp_path / "none.onnx")))


def test_listing_devices_imports_nothing_heavy() -> None:
    script = ("import sys; from edgekit.device.resolve import list_devices\n"
              "names = [device.spec for device in list_devices()]\n"
              "heavy = {'numpy', 'torch', 'onnxruntime', 'executorch', 'ai_edge_litert', 'filelock', 'sqlalchemy'}\n"
              "print(names[0], sorted(heavy & set(sys.modules)))\n")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "host []\n"
    # Boards are there as well where QEMU and their images are; nothing else is attached to a machine that tests.
    assert all(device.spec == "host" or device.emulated for device in list_devices())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("hots", "Did you mean host?"),
        ("Host", "Did you mean host?"),
        ("serial:", "edgekit devices"),
        ("virtual:cortex-m9", "Did you mean virtual:cortex-m4"),
        ("ios:00008030", "not available in this version"),
        ("pixel7", "No attached device matches the profile pixel7"),
        ("", "edgekit devices"),
        ("telnet:1", "edgekit devices"),
    ],
)
def test_a_spec_that_names_no_device_says_what_there_is(spec: str, words: str) -> None:
    with pytest.raises(DeviceError) as caught:
        open_device(spec)
    assert caught.value.code == 13
    assert words in f"{caught.value.message} {caught.value.next_step}"
    assert caught.value.where == spec
