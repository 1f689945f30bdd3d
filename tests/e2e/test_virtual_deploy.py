"""The whole flow on the virtual phone: convert, push, check, run and measure on arm64, and a phone that goes away."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import adbd
import numpy as np
import pytest
from command import ZOO, edgekit, started
from native import build

from edgekit.device import virtual_phone
from edgekit.device.adb.phone import AdbDevice
from edgekit.device.resolve import open_device
from edgekit.device.virtual_phone import Running
from edgekit.errors import LinkLostError

SPEC = "virtual:phone-arm64"
QUICK = ("--runs", "5", "--min-secs", "0.05", "--warmup", "1", "--repeats", "1")
LONG = ("--to", "litert", "--min-secs", "60", "--warmup", "1", "--repeats", "1")


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    adbd.require("qemu-system-aarch64", "aarch64-linux-gnu-g++")
    build("arm64-v8a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKIT_DATA", str(tmp_path_factory.mktemp("data")))
        with adbd.phone() as running:
            yield running


def test_it_is_listed_with_its_profile(phone: Running) -> None:
    listed = {device["spec"]: device for device in edgekit("devices", "--json").json()["devices"]}
    found = listed[SPEC]
    assert (found["state"], found["emulated"], found["abi"]) == ("ready", True, "arm64-v8a")
    assert (found["profile"], found["transport"]) == ("generic_android_arm64", "adb, directly by TCP")
    assert found["ram_bytes"] > 1 << 30 and found["engines"] == ["executorch", "litert"]
    people = edgekit("devices")
    assert SPEC in people.out and max(len(line) for line in people.out.splitlines()) <= 80


def test_deploy_twice_and_evaluate(phone: Running, tmp_path: Path) -> None:
    command = ("deploy", f"{ZOO}:tiny", "--device", SPEC, "--to", "executorch,litert", *QUICK, "--json")
    first = edgekit(*command, "-o", str(tmp_path / "out"))
    assert first.code == 0, first.err
    for made in first.json()["deployments"]:
        measured = made["measurement"]
        assert made["device_parity"]["passed"] is True and made["push"]["bytes_sent"] > 1 << 20
        assert (measured["device"], measured["harness"], measured["emulated"]) == (SPEC, "native", True)
        assert measured["samples"] >= 5 and measured["peak_rss_bytes"] > 0
    again = edgekit(*command)
    assert [made["push"]["bytes_sent"] for made in again.json()["deployments"]] == [0, 0]

    random = np.random.default_rng(1)
    data, files = tmp_path / "data.npz", sorted(str(path) for path in (tmp_path / "out").iterdir())
    np.savez(data, inputs=random.standard_normal((50, 3, 32, 32)).astype("float32"), labels=random.integers(0, 10, 50))
    values = []
    for device in ("host", SPEC):
        done = edgekit("evaluate", *files, "--data", str(data), "--device", device, "--json")
        assert done.code == 0, done.err
        values.append([found["value"] for found in done.json()["evaluations"]])
    assert values[0] == values[1] and len(values[0]) == 2


def test_it_reboots_in_the_middle_of_a_measurement(phone: Running) -> None:
    process = started("deploy", f"{ZOO}:tiny", "--device", SPEC, *LONG, "--json")
    assert process.stderr is not None
    for line in process.stderr:
        if "repeat 1 of 1" in line:
            break
    device = open_device(SPEC)
    assert isinstance(device, AdbDevice)
    with contextlib.suppress(LinkLostError):
        device.shell(["/system/bin/reboot"], what="reboot")
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 13, err
    again = edgekit("deploy", f"{ZOO}:tiny", "--device", SPEC, "--to", "litert", *QUICK, "--json")
    assert again.code == 0, again.err


def test_it_is_unplugged_in_the_middle_of_a_measurement(phone: Running) -> None:
    process = started("deploy", f"{ZOO}:tiny", "--device", SPEC, *LONG, "--json")
    assert process.stderr is not None
    for line in process.stderr:
        if "repeat 1 of 1" in line:
            break
    os.kill(phone.pid, signal.SIGKILL)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 13, err
    gone = edgekit("deploy", f"{ZOO}:tiny", "--device", SPEC, "--json").failed(13, "device")
    assert gone["message"] == "The virtual phone phone-arm64 is not running."
    assert gone["next_step"] == "edgekit virtual phone start"
    assert virtual_phone.running() is None
