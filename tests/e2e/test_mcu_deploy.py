"""From a model to a board and back, by the command line: virtual boards in QEMU, and the agent on this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mcu_models
import numpy as np
import psutil
import pytest
from command import TIMEOUT_S, ZOO, Done, edgekit, started
from mcu_agents import build_host_agent, packed
from mcu_host import MODELS
from mcu_host_board import write_profile
from serial_line import Line, running

from edgekit.convert.cache import Manifest
from edgekit.convert.mcu.unpack import unpack
from edgekit.device.mcu import boards
from edgekit.device.mcu.images import images_dir
from edgekit.device.mcu.virtual import QEMU, VirtualBoard
from edgekit.harness.content import sha256_of
from edgekit.harness.int8_tensors import outside_shape
from tests.unit.mcu.tampering import with_other_weights

M7 = ("--device", "virtual:cortex-m7")
SHORT = ("--runs", "10", "--min-secs", "0.05", "--warmup", "2", "--repeats", "2")
BUILD = Path(boards.__file__).resolve().parents[3] / "mcu/build_boards.py"
VWW = MODELS / "vww_96_int8.tflite"

for needed in ("cc", "arm-none-eabi-gcc", QEMU):
    if shutil.which(needed) is None:
        pytest.skip(f"{needed} is not installed", allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """The virtual boards' images, where users have them; one that is up to date is left as it is."""
    for core in ("m4", "m7", "m55"):
        command = [sys.executable, str(BUILD), "--board", f"virtual-cortex-{core}", "--out", str(images_dir())]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of .tflite files."""
    home = tmp_path_factory.mktemp("models")
    made = {
        "small": mcu_models.small(), "heavy": mcu_models.heavy(), "large": mcu_models.weighty(400, 100),
        "wide": mcu_models.wide(160), "huge": mcu_models.weighty(2200, 2000), "float": mcu_models.in_float(),
    }  # fmt: skip
    for name, content in made.items():
        (home / f"{name}.tflite").write_bytes(content)
    return home


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_host_agent(tmp_path_factory.mktemp("agent"))


@pytest.fixture
def pty(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of the port at which this machine answers as a board that edgekit has a profile of."""
    for name, value in write_profile(tmp_path / "profiles").items():
        monkeypatch.setenv(name, value)
    with running(program) as name:
        yield name


@pytest.fixture(scope="module")
def deployed(models: Path) -> dict[str, Any]:
    return ok("deploy", *M7, str(models / "small.tflite"))["deployments"][0]


def ok(*arguments: str) -> dict[str, Any]:
    """What a command that must succeed answered."""
    done = edgekit(*arguments, "--json")
    assert done.code == 0, done.err
    return done.json()


def deploy(device: str, model: Path, *more: str) -> dict[str, Any]:
    (deployment,) = ok("deploy", "--device", device, str(model), *SHORT, *more)["deployments"]
    return dict(deployment)


def refused(device: str, model: Path, code: int, kind: str, *more: str) -> dict[str, Any]:
    return edgekit("deploy", "--device", device, str(model), *SHORT, *more, "--json").failed(code, kind)


# -- a virtual board ---------------------------------------------------------------------------------------------------


def test_a_tflite_is_proved_counted_and_weighed(deployed: dict[str, Any]) -> None:
    artifact, measurement = deployed["artifact"], deployed["measurement"]
    assert (artifact["format"], artifact["precision"], artifact["cached"]) == ("mcu", "int8", False)
    assert deployed["parity"]["passed"] is True and deployed["parity"]["bit_equal"] is True
    assert deployed["device_parity"] == {"passed": True, "bit_equal": True, "reason": None, "max_abs": 0.0}
    assert (measurement["verdict"], measurement["emulated"], measurement["counter"]) == ("ok", True, "instructions")
    assert measurement["instructions"] > 10_000
    assert (measurement["p50_ms"], measurement["cycles"], measurement["first_ms"]) == (None, None, None)
    parts = measurement["footprint"]
    assert measurement["sram_bytes"] == parts["static_bytes"] + parts["arena_bytes"] + parts["stack_bytes"]
    assert parts["arena_bytes"] == unpack(Path(artifact["path"]).read_bytes()).arena_bytes
    assert min(parts.values()) > 0 and measurement["flash_bytes"] > artifact["bytes"]


def test_it_is_kept_and_every_run_counted_the_same(deployed: dict[str, Any], models: Path) -> None:
    again = deploy(M7[1], models / "small.tflite")
    assert again["artifact"]["cached"] is True and again["artifact"]["sha256"] == deployed["artifact"]["sha256"]
    kept = {m["id"]: m for m in ok("results", "--samples")["measurements"]}
    both = [kept[d["measurement"]["id"]] for d in (deployed, again)]
    runs = [count for m in both for repeat in m["repeats"] for count in repeat["counts"]]
    assert len(runs) == 3 * (3 + 2) and set(runs) == {deployed["measurement"]["instructions"]}
    assert [m["sram_bytes"] for m in both] == [deployed["measurement"]["sram_bytes"]] * 2


def test_operators_add_up_to_the_run(deployed: dict[str, Any], models: Path) -> None:
    (profile,) = ok("profile", *M7, str(models / "small.tflite"))["profiles"]
    counts = [op["counted"] for op in profile["ops"]]
    assert len(counts) == deployed["artifact"]["operators"] and min(counts) > 0
    assert sum(counts) == profile["total_counted"]
    assert profile["total_counted"] == pytest.approx(deployed["measurement"]["instructions"], rel=0.01)
    assert profile["total_ms"] is None and {op["p50_ms"] for op in profile["ops"]} == {None}
    assert {"conv", "depthwise", "add", "average_pool", "softmax"} <= {op["type"] for op in profile["ops"]}


@pytest.mark.skipif(not VWW.is_file(), reason="the reference models are not here (EDGEKIT_MCU_MODELS)")
def test_the_reference_model_stays_within_its_targets() -> None:
    """Exact counts, so that this holds on any machine."""
    made = deploy(M7[1], VWW, "--golden-count", "1", "--repeats", "1")
    assert made["device_parity"]["bit_equal"] is True
    assert made["measurement"]["instructions"] <= 12_200_000
    assert made["measurement"]["sram_bytes"] <= 56_000


# -- from PyTorch ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("calibration") / "data.npy"
    np.save(path, np.random.default_rng(0).normal(0.5, 0.3, (16, 3, 32, 32)).astype(np.float32))
    return path


def test_a_pytorch_model_is_quantised_and_runs_bit_equal(calibration: Path, tmp_path: Path) -> None:
    made = deploy("virtual:cortex-m4", Path(f"{ZOO}:tiny"), "--calibration", str(calibration))
    assert made["parity"]["passed"] is True and made["parity"]["bit_equal"] is True
    assert made["device_parity"]["passed"] is True and made["device_parity"]["bit_equal"] is True
    assert made["measurement"]["verdict"] == "ok" and made["measurement"]["instructions"] > 10_000
    (x,) = unpack(Path(made["artifact"]["path"]).read_bytes()).inputs
    assert (x.shape, outside_shape(x), x.float_outside) == ((1, 32, 32, 3), (1, 3, 32, 32), True)
    arguments = ("convert", f"{ZOO}:tiny", "--to", "mcu", "--calibration", str(calibration), "-o", str(tmp_path))
    (converted,) = ok(*arguments)["artifacts"]
    assert converted["cached"] is True and converted["parity"]["bit_equal"] is True
    assert sha256_of(Path(converted["path"])) == converted["sha256"] == made["artifact"]["sha256"]


def test_a_pytorch_model_for_a_core_without_dsp(calibration: Path, pty: str, tmp_path: Path) -> None:
    arguments = ("--calibration", str(calibration), "-o", str(tmp_path / "out"))
    made = deploy(f"serial:{pty}", Path(f"{ZOO}:tiny"), *arguments)
    assert not unpack(Path(made["artifact"]["path"]).read_bytes()).dsp
    assert list((tmp_path / "out").iterdir()) == [Path(made["artifact"]["path"])]
    assert made["device_parity"]["passed"] is True and made["device_parity"]["bit_equal"] is True


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    import torch
    from zoo import tiny

    path = tmp_path_factory.mktemp("trained") / "weights.pt"
    torch.save(tiny()[0].state_dict(), path)
    return str(path), "--arch", f"{ZOO}:tiny"


def test_trained_weights_need_calibration(trained: tuple[str, ...]) -> None:
    error = edgekit("deploy", *M7, *trained, "--json").failed(2, "usage")
    assert error["where"] == "--calibration" and "--calibration PATH" in error["next_step"]


def test_calibration_data_that_do_not_fit(trained: tuple[str, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", np.zeros((4, 32, 32, 3), np.float32))
    error = edgekit("deploy", *M7, *trained, "--calibration", str(tmp_path / "data.npy"), "--json").failed(2, "usage")
    assert str(tmp_path / "data.npy") in error["where"] and "32, 32" in error["message"]


# -- over a serial line ------------------------------------------------------------------------------------------------


def test_a_model_is_sent_over_the_line_once(models: Path, deployed: dict[str, Any]) -> None:
    with VirtualBoard("cortex-m7") as board:
        first, second = (deploy(f"serial:{board.url}", models / "small.tflite") for _ in range(2))
    assert first["push"]["bytes_sent"] == first["artifact"]["bytes"] == deployed["artifact"]["bytes"]
    assert second["push"]["bytes_sent"] == 0
    for made in (first, second):
        assert made["device_parity"]["bit_equal"] is True
        assert made["measurement"]["emulated"] is True
        assert made["measurement"]["instructions"] == deployed["measurement"]["instructions"]


def test_a_board_that_counts_time(models: Path, pty: str) -> None:
    first, second = (deploy(f"serial:{pty}", models / "small.tflite") for _ in range(2))
    assert (first["push"]["bytes_sent"], second["push"]["bytes_sent"]) == (first["artifact"]["bytes"], 0)
    measurement = first["measurement"]
    assert first["device_parity"]["bit_equal"] is True and measurement["emulated"] is False
    assert 0 < measurement["min_ms"] <= measurement["p50_ms"] <= measurement["p99_ms"]
    assert (measurement["counter"], measurement["instructions"], measurement["sram_bytes"]) == (None, None, None)
    (profile,) = ok("profile", "--device", f"serial:{pty}", str(models / "small.tflite"), "--runs", "5")["profiles"]
    assert profile["runs"] == 5 and profile["total_ms"] > 0 and all(op["p50_ms"] >= 0 for op in profile["ops"])


def test_the_cable_is_pulled_in_a_load_and_comes_back(models: Path, pty: str) -> None:
    with Line(pty) as line:
        line.cut_after, line.back_after_s = 20_000, 0.3
        made = deploy(f"serial:{line.url}", models / "large.tflite")
        assert line.cut_after is None, "it was pulled"
        assert made["device_parity"]["bit_equal"] is True and made["push"]["bytes_sent"] == made["artifact"]["bytes"]
        assert deploy(f"serial:{line.url}", models / "large.tflite")["push"]["bytes_sent"] == 0


def test_the_cable_is_pulled_in_a_load_and_stays_away(models: Path, pty: str) -> None:
    with Line(pty) as line:
        line.cut_after, line.back_after_s = 20_000, 60
        began = time.monotonic()
        error = refused(f"serial:{line.url}", models / "large.tflite", 13, "device")
        assert time.monotonic() - began < 40 and "No edgekit agent answers" in error["message"]
    made = deploy(f"serial:{pty}", models / "large.tflite")
    assert made["device_parity"]["bit_equal"] is True
    assert 0 < made["push"]["bytes_sent"] < 0.75 * made["artifact"]["bytes"], "it went on where it stopped"


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_a_model_whose_arena_is_too_large_is_not_sent(models: Path) -> None:
    with VirtualBoard("cortex-m7") as board, Line(board.url) as line:
        error = refused(f"serial:{line.url}", models / "wide.tflite", 1, "regressed", "--golden-count", "1")
        assert line.bytes_to_board < 200
    assert "needs an arena of" in error["message"] and "CONV_2D" in error["where"]
    assert "edgekit mcu plan" in error["next_step"]


def test_a_model_that_the_store_has_no_room_for(models: Path) -> None:
    error = refused("virtual:cortex-m55", models / "huge.tflite", 1, "regressed", "--golden-count", "1")
    assert "bytes; virtual_cortex_m55 has room for 4,194,304." in error["message"]


def test_an_agent_of_another_version(models: Path, pty: str, tmp_path: Path) -> None:
    with running(build_host_agent(tmp_path / "old", version="0.0.1")) as old:
        error = refused(f"serial:{old}", models / "small.tflite", 13, "device")
    assert "belongs to edgekit 0.0.1" in error["message"] and "edgekit mcu flash --board host" in error["next_step"]


@contextmanager
def rubbish() -> Iterator[str]:
    """A port at which something answers that is no agent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                peer, _ = listener.accept()
                with peer:
                    for _ in range(200):
                        peer.sendall(os.urandom(500) + b"\0")
                        time.sleep(0.02)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"socket://127.0.0.1:{listener.getsockname()[1]}"
    thread.join()


def test_something_that_is_no_agent(models: Path) -> None:
    began = time.monotonic()
    with rubbish() as url:
        error = refused(f"serial:{url}", models / "small.tflite", 13, "device")
    assert "bytes arrived that are no frames" in error["message"] and "mcu flash" in error["next_step"]
    assert time.monotonic() - began < 30


def test_a_port_that_is_not_there(models: Path, tmp_path: Path) -> None:
    error = refused(f"serial:{tmp_path}/ttyACM0", models / "small.tflite", 13, "device")
    assert "can't be opened" in error["message"] and "dialout" in error["next_step"]


def test_a_model_packed_for_other_kernels(deployed: dict[str, Any], pty: str) -> None:
    error = refused(f"serial:{pty}", Path(deployed["artifact"]["path"]), 13, "device")
    assert "packed for the DSP kernels; host has the portable ones" in error["message"]
    assert "edgekit mcu compile MODEL --board host" in error["next_step"]


def test_data_that_do_not_fit_the_model(pty: str, tmp_path: Path) -> None:
    ekm, labels = tmp_path / "small.ekm", np.arange(6) % 10
    ekm.write_bytes(packed(mcu_models.small()))
    values = np.random.default_rng(2).integers(-128, 128, (6, 16, 16, 3), np.int8)
    np.savez(tmp_path / "good.npz", inputs=values, labels=labels)
    np.savez(tmp_path / "bad.npz", inputs=values.transpose(0, 3, 1, 2), labels=labels)
    arguments = ("evaluate", str(ekm), "--device", f"serial:{pty}", "--data")
    (scored,) = ok(*arguments, str(tmp_path / "good.npz"))["evaluations"]
    assert scored["samples"] == 6 and 0 <= scored["value"] <= 1
    error = edgekit(*arguments, str(tmp_path / "bad.npz"), "--json").failed(2, "usage")
    assert "16, 16, 3" in error["message"]


def test_a_float_model_is_told_how_to_be_quantised(models: Path) -> None:
    error = refused(M7[1], models / "float.tflite", 11, "convert")
    assert "it is a float model" in error["message"] and "--calibration" in error["next_step"]


# -- files that were tampered with, or come from elsewhere -------------------------------------------------------------


def test_a_packed_model_runs_without_a_claim_of_parity(deployed: dict[str, Any]) -> None:
    made = deploy(M7[1], Path(deployed["artifact"]["path"]))
    assert made["parity"]["passed"] is None and "elsewhere" in made["parity"]["reason"]
    assert (made["device_parity"]["passed"], made["device_parity"]["bit_equal"]) == (None, None)
    assert made["device_parity"]["reason"]
    assert made["measurement"]["instructions"] == deployed["measurement"]["instructions"]


def test_a_cache_entry_that_was_tampered_with(models: Path, tmp_path: Path) -> None:
    model = shutil.copy(models / "small.tflite", tmp_path / "tampered.tflite")
    ekm = Path(deploy(M7[1], Path(model))["artifact"]["path"])
    good, bad = ekm.read_bytes(), with_other_weights(ekm.read_bytes())
    ekm.write_bytes(bad)
    again = deploy(M7[1], Path(model))
    assert ekm.read_bytes() == good and again["artifact"]["cached"] is False
    # By someone who also knows what the entry's manifest says: the board's outputs give it away.
    ekm.write_bytes(bad)
    record = ekm.with_name("artifact.json")
    record.write_text(record.read_text().replace(again["artifact"]["sha256"], sha256_of(ekm)))
    names = [path for path in ekm.parent.iterdir() if path.name != "manifest.json"]
    manifest = Manifest(files={path.name: sha256_of(path) for path in names})
    ekm.with_name("manifest.json").write_text(json.dumps({"schema": manifest.schema, "files": manifest.files}))
    error = refused(M7[1], Path(model), 12, "parity")
    assert error["message"].startswith("Output 0 on this device is not LiteRT's: ")


# -- broken off --------------------------------------------------------------------------------------------------------


@contextmanager
def measuring(
    model: Path, stage: str = "repeat 1 of 3", samples: int = 1
) -> Iterator[tuple[subprocess.Popen[str], psutil.Process, list[str]]]:
    """A deploy that is at this stage with a model that takes seconds, its QEMU, and what it has said."""
    process = started("deploy", *M7, str(model), "--golden-count", str(samples), "--json")
    assert process.stderr is not None
    said = []
    try:
        for line in process.stderr:
            said.append(line)
            if stage in line:
                break
        family = psutil.Process(process.pid).children(recursive=True)
        (qemu,) = [child for child in family if child.name().startswith("qemu-system")]
        yield process, qemu, said
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], said: list[str]) -> tuple[Done, float]:
    began = time.monotonic()
    out, err = process.communicate(timeout=60)
    return Done(process.returncode, out, "".join(said) + err), time.monotonic() - began


def gone(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        process.wait(10)
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(("stage", "samples"), [("parity on the device", 24), ("repeat 1 of 3", 1)])
def test_ctrl_c_ends_the_virtual_board_too(models: Path, stage: str, samples: int) -> None:
    with measuring(models / "heavy.tflite", stage, samples) as (process, qemu, said):
        process.send_signal(signal.SIGINT)
        done, took_s = ended(process, said)
        assert gone(qemu)
    assert done.code == 130 and took_s < 5 and "Traceback" not in done.err
    assert done.json()["error"]["kind"] == "interrupted"
    listed = {d["spec"]: d for d in ok("devices")["devices"]}
    assert (listed[M7[1]]["state"], listed[M7[1]]["lease"]) == ("ready", None)


def test_a_virtual_board_that_dies_is_told_within_seconds(models: Path) -> None:
    with measuring(models / "heavy.tflite") as (process, qemu, said):
        qemu.kill()
        done, took_s = ended(process, said)
    error = done.json()["error"]
    assert (done.code, error["code"]) == (13, 13) and took_s < 10
    assert "QEMU ended with -9" in error["message"] or "was lost" in error["message"]
