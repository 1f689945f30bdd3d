"""A board as a device, by the real agent on this machine behind a pty (it counts nanoseconds)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from mcu_agents import build_host_agent
from mcu_host_board import HOST, write_profile
from mcu_models import weighty
from serial_line import Line as Wire
from serial_line import running
from tflite_maker import reference_outputs
from tiny_networks import Network

from edgekit.convert.mcu.compile import Compiled, compile_graph
from edgekit.convert.mcu.tflite import parse_tflite
from edgekit.convert.mcu.unpack import unpack
from edgekit.device.foreign import artifact_at
from edgekit.device.mcu import boards
from edgekit.device.mcu.agent import Agent, connect
from edgekit.device.mcu.attached import SerialLine
from edgekit.device.mcu.board import BoardDevice
from edgekit.device.mcu.fits import check_fits
from edgekit.device.mcu.link import Patience
from edgekit.errors import DeadlineError, DeviceError, EdgekitError, RegressedError, RuntimeCrashError, UsageError
from edgekit.harness.content import sha256_of
from edgekit.harness.int8_tensors import to_outside, to_stored
from edgekit.harness.mcu_model import HostModel
from edgekit.job import Job
from edgekit.records import Artifact, Plan
from edgekit.version import __version__

from .compiler import needs_compiler
from .tampering import with_field

pytestmark = needs_compiler
Array = npt.NDArray[Any]
QUICK = Patience(silence_s=1.0, stuck_s=4.0)
SHORT = Plan(warmup_min_runs=3, min_runs=25, min_seconds=0.01, max_seconds=20, repeats=1)


class Port(SerialLine):
    """A line to the agent that counts its connections and does not wait for lost ones."""

    def __init__(self, url: str) -> None:
        super().__init__(HOST, url)
        self.url, self.connections = url, 0

    def connect(self, model: Path | None) -> Agent:
        self.connections += 1
        return connect(self.url, patience=QUICK, reconnect_s=0)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_host_agent(tmp_path_factory.mktemp("agent"))


@pytest.fixture
def port(program: Path) -> Iterator[Port]:
    with running(program) as name:
        yield Port(name)


@pytest.fixture
def device(port: Port) -> Iterator[BoardDevice]:
    made = BoardDevice("serial:host", HOST, port, "serial")
    yield made
    made.close()


def net() -> bytes:
    made = Network(7)
    a, b = made.input(1, 8, 8, 3), made.input(1, 4, 4, 6)
    x = made.add(made.conv(a, 6, 3, 2), b)
    return made.build(made.depthwise(x), made.softmax(made.dense(made.reshape(x, 1, 96), 5)))


def compiled(content: bytes, **options: bool) -> Compiled:
    return compile_graph(parse_tflite(content, "net"), dsp=False, **options)


@pytest.fixture(scope="session")
def packed() -> bytes:
    return compiled(net()).ekm


@pytest.fixture
def file(packed: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "net.ekm"
    path.write_bytes(packed)
    return path


def artifact(path: Path) -> Artifact:
    return artifact_at(path)


def saved(folder: Path, *stacks: Array) -> tuple[str, ...]:
    names = []
    for number, stack in enumerate(stacks):
        names.append(str(folder / f"given_{number}.npy"))
        np.save(names[-1], stack)
    return tuple(names)


def given(count: int = 3) -> list[Array]:
    chance = np.random.default_rng(1)
    return [chance.integers(-128, 128, (count, *shape), np.int8) for shape in ((1, 8, 8, 3), (1, 4, 4, 6))]


def job(path: Path, mode: Any, inputs: tuple[str, ...] = (), **more: Any) -> Job:
    return Job(harness_version=__version__, mode=mode, engine="edgekit-mcu", artifact=str(path),
               artifact_sha256=sha256_of(path), inputs=inputs, plan=SHORT, **more)  # fmt: skip


# -- what it says of itself and of a file ------------------------------------------------------------------------------


def test_its_profile_answers_for_it_without_a_connection(device: BoardDevice, port: Port) -> None:
    info = device.info()
    assert (info.spec, info.name, info.profile, info.abi) == ("serial:host", "This machine", "host", "cortex-m0+")
    assert (info.cores, info.emulated, info.engines, info.state) == (1, False, ("edgekit-mcu",), "ready")
    assert "temperatures_c" in device.state().missing
    assert port.connections == 0


def test_a_board_without_a_profile_of_its_own_says_who_it_is(
    port: Port, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in write_profile(tmp_path / "profiles").items():
        monkeypatch.setenv(name, value)
    device = BoardDevice("serial:x", None, port, "serial")
    assert device.info().name == "This machine" and port.connections == 1
    device.close()


def test_a_board_that_nobody_knows_is_refused_by_name(port: Port) -> None:
    device = BoardDevice("serial:x", None, port, "serial")
    with pytest.raises(DeviceError, match="no board 'host'") as raised:
        device.info()
    assert "rp2040" in raised.value.next_step


def test_another_board_than_the_named_one_is_refused(port: Port, file: Path) -> None:
    device = BoardDevice("rp2040", boards.find("rp2040"), port, "serial")
    with pytest.raises(DeviceError, match="The board there is host, not rp2040"):
        device.push(artifact(file))


def test_describe_reads_the_file_alone(device: BoardDevice, port: Port, file: Path) -> None:
    inputs = device.run(job(file, "describe")).inputs
    assert [(i.name, i.shape, i.dtype) for i in inputs] == [
        ("input_0", (1, 8, 8, 3), "int8"), ("input_1", (1, 4, 4, 6), "int8"),
    ]  # fmt: skip
    assert port.connections == 0


# -- loading -----------------------------------------------------------------------------------------------------------


def test_what_is_there_is_not_sent_again(device: BoardDevice, file: Path) -> None:
    sent = [device.push(artifact(file)).bytes_sent for _ in range(2)]
    device.close()
    assert [*sent, device.push(artifact(file)).bytes_sent] == [file.stat().st_size, 0, 0]


def test_a_file_that_is_not_the_converted_one_is_refused(device: BoardDevice, port: Port, file: Path) -> None:
    of = artifact(file)
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(DeviceError, match="is not the file that was converted"):
        device.push(of)
    assert port.connections == 0


def test_the_line_breaks_off_in_a_load_and_the_next_goes_on(program: Path, tmp_path: Path) -> None:
    path = tmp_path / "large.ekm"
    path.write_bytes(compiled(weighty(400, 100)).ekm)
    size = path.stat().st_size
    with running(program) as name, Wire(name) as wire:
        wire.cut_after, wire.back_after_s = size // 2, 2.5
        device = BoardDevice("serial:host", HOST, Port(wire.url), "serial")
        began = time.monotonic()
        with pytest.raises(DeviceError, match="lost|No edgekit agent answers"):
            device.push(artifact(path))
        assert time.monotonic() - began < 6
        time.sleep(max(0.0, began + 4 - time.monotonic()))
        assert 0 < device.push(artifact(path)).bytes_sent < 0.9 * size
        assert device.push(artifact(path)).bytes_sent == 0
        device.close()


def test_a_model_that_the_board_has_no_memory_for(device: BoardDevice, packed: bytes, port: Port) -> None:
    agent = port.connect(None)
    who, model = agent.identity, unpack(packed)
    agent.close()
    check_fits(model, len(packed), dataclasses.replace(who, arena_bytes=model.arena_bytes, store_bytes=len(packed)))
    with pytest.raises(RegressedError, match=f"arena of {model.arena_bytes:,} bytes; host has") as raised:
        check_fits(model, len(packed), dataclasses.replace(who, arena_bytes=model.arena_bytes - 1))
    assert raised.value.where == model.peak_operator and raised.value.facts["peak_operator"] == model.peak_operator
    assert raised.value.code == 1 and "edgekit mcu plan" in raised.value.next_step
    with pytest.raises(RegressedError, match="host has room for") as raised:
        check_fits(model, len(packed), dataclasses.replace(who, store_bytes=len(packed) - 1))
    assert raised.value.facts["model_bytes"] == len(packed)


def test_a_model_for_kernels_that_the_board_does_not_have(device: BoardDevice, tmp_path: Path) -> None:
    path = tmp_path / "dsp.ekm"
    path.write_bytes(compile_graph(parse_tflite(net(), "net"), dsp=True).ekm)
    with pytest.raises(DeviceError, match="net is packed for the DSP kernels; host has the portable ones"):
        device.push(artifact(path))


def test_a_damaged_model_is_refused_before_anything_is_sent(device: BoardDevice, port: Port, file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-200] ^= 1
    file.write_bytes(content)
    with pytest.raises(EdgekitError, match="checksum") as raised:
        device.push(artifact(file))
    assert raised.value.code == 10 and port.connections == 0


# -- outputs -----------------------------------------------------------------------------------------------------------


def test_outputs_are_those_of_litert_bit_by_bit(device: BoardDevice, file: Path, tmp_path: Path) -> None:
    stacks = given()
    done = device.run(job(file, "outputs", saved(tmp_path, *stacks), outputs_dir=str(tmp_path / "out")))
    found = [np.load(name) for name in done.outputs]
    assert [(f.shape, f.dtype) for f in found] == [((3, 1, 4, 4, 6), np.int8), ((3, 1, 5), np.int8)]
    for sample in range(3):
        expected = reference_outputs(net(), [stack[sample] for stack in stacks])
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours[sample], theirs)
    assert all(f.std() > 1 for f in found)
    assert (done.engine, done.harness) == ("edgekit-mcu", "mcu") and " portable " in done.runtime_version


def test_a_model_that_was_float_takes_and_gives_floats(device: BoardDevice, tmp_path: Path) -> None:
    path = tmp_path / "float.ekm"
    path.write_bytes(compiled(net(), float_outside=True).ekm)
    stacks = [(stack * np.float32(0.021)).astype(np.float32) for stack in given(2)]
    names = saved(tmp_path, *stacks)
    assert [i.dtype for i in device.run(job(path, "describe")).inputs] == ["float32"] * 2
    done = device.run(job(path, "outputs", names, outputs_dir=str(tmp_path / "out")))
    model = HostModel(path.read_bytes())
    for sample in range(2):
        stored = [to_stored(stack[sample], e) for stack, e in zip(stacks, model.inputs, strict=True)]
        for name, own, e in zip(done.outputs, model.run(stored), model.outputs, strict=True):
            np.testing.assert_array_equal(np.load(name)[sample], to_outside(own, e))
            assert np.load(name).dtype == np.float32


def test_a_deadline_that_passes_between_samples(device: BoardDevice, file: Path, tmp_path: Path, port: Port) -> None:
    asked = job(file, "outputs", saved(tmp_path, *given()), outputs_dir=str(tmp_path / "out"))
    with pytest.raises(DeadlineError, match="of 3 samples were done"):
        device.run(asked, timeout_s=1e-9)
    assert not (tmp_path / "out").exists()
    assert len(device.run(asked).outputs) == 2 and port.connections == 2, "it began with a new connection"


def lacks_one(stacks: list[Array]) -> list[Array]:
    return stacks[:1]


def channel_first(stacks: list[Array]) -> list[Array]:
    return [stack.transpose(0, 1, 4, 2, 3) for stack in stacks]


def floats(stacks: list[Array]) -> list[Array]:
    return [stack.astype(np.float32) for stack in stacks]


def none_at_all(stacks: list[Array]) -> list[Array]:
    return [stack[:0] for stack in stacks]


@pytest.mark.parametrize("change", [lacks_one, channel_first, floats, none_at_all])
@pytest.mark.parametrize("mode", ["outputs", "measure", "profile"])
def test_inputs_that_do_not_fit_are_refused(
    device: BoardDevice, file: Path, tmp_path: Path, mode: str, change: Callable[[list[Array]], list[Array]]
) -> None:
    asked = job(file, mode, saved(tmp_path, *change(given())), outputs_dir=str(tmp_path / "out"))
    with pytest.raises(UsageError, match="expects int8|2 inputs, but 1 files"):
        device.run(asked)
    again = msgspec.structs.replace(asked, inputs=saved(tmp_path, *given()))
    device.run(again)  # the connection is still good


def test_outputs_need_a_folder(device: BoardDevice, file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="outputs_dir"):
        device.run(job(file, "outputs", saved(tmp_path, *given())))


def test_files_for_other_runtimes_are_refused(device: BoardDevice, file: Path, port: Port) -> None:
    asked = msgspec.structs.replace(job(file, "describe"), engine="litert")
    with pytest.raises(UsageError, match=r"packed models \(\.ekm\), not files for litert") as raised:
        device.run(asked)
    assert "edgekit mcu compile" in raised.value.next_step and port.connections == 0


def test_it_has_one_core(device: BoardDevice) -> None:
    with pytest.raises(UsageError, match="one core, not 2"), device.conditions(2, "free"):
        pass
    with device.conditions(1, "pinned") as conditions:
        assert conditions.note is not None and "fixed" in conditions.note


# -- measuring ---------------------------------------------------------------------------------------------------------


def test_runs_are_timed_on_the_board(device: BoardDevice, file: Path, tmp_path: Path) -> None:
    result = device.run(job(file, "measure", saved(tmp_path, *given())))
    assert len(result.samples_ns) >= 25 and min(result.samples_ns) > 100
    assert result.first_ns == result.samples_ns[0] and not result.timed_out
    assert result.counted is None, "nanoseconds are times, nothing else"


def test_a_plan_that_ends_before_its_runs(device: BoardDevice, file: Path, tmp_path: Path) -> None:
    few = msgspec.structs.replace(SHORT, min_runs=10_000_000, max_seconds=0.5)
    result = device.run(msgspec.structs.replace(job(file, "measure", saved(tmp_path, *given())), plan=few))
    assert result.timed_out and result.samples_ns


def test_a_plan_that_has_no_time_for_any_run(device: BoardDevice, file: Path, tmp_path: Path) -> None:
    none = msgspec.structs.replace(SHORT, max_seconds=1e-9)
    asked = job(file, "measure", saved(tmp_path, *given()))
    with pytest.raises(DeadlineError, match="0 of"):
        device.run(msgspec.structs.replace(asked, plan=none))
    assert device.run(asked).samples_ns


def test_a_profile_has_every_operator(device: BoardDevice, file: Path, packed: bytes, tmp_path: Path) -> None:
    result = device.run(job(file, "profile", saved(tmp_path, *given())))
    assert [op.name for op in result.ops] == [op.name for op in unpack(packed).operators]
    assert {"conv", "depthwise", "add", "softmax"} <= {op.type for op in result.ops}
    assert all(op.p50_ms is not None and op.p50_ms >= 0 and op.counted is None for op in result.ops)
    assert len(result.samples_ns) == SHORT.min_runs
    total_ms = float(np.median(result.samples_ns)) / 1e6
    assert sum(op.p50_ms or 0 for op in result.ops) == pytest.approx(total_ms, rel=0.5)
    assert sum(op.share for op in result.ops) == pytest.approx(1, rel=0.5)


def test_memory_of_a_board_that_does_not_tell_its_stack(device: BoardDevice, file: Path, packed: bytes) -> None:
    result = device.run(job(file, "memory"))
    assert result.peak_rss_bytes - result.baseline_rss_bytes == unpack(packed).arena_bytes
    assert result.note == "host does not tell its stack: the memory is without it"


def test_another_model_takes_the_place_of_the_first(device: BoardDevice, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.ekm"
    other.write_bytes(compiled(weighty(400, 100)).ekm)
    inputs = saved(tmp_path, *given())
    assert len(device.run(job(file, "profile", inputs)).ops) > 1
    (row,) = device.run(job(other, "profile", saved(tmp_path, np.ones((1, 1, 400), np.int8)))).ops
    assert row.type == "conv"
    assert len(device.run(job(file, "profile", saved(tmp_path, *given()))).ops) > 1


def test_a_model_that_the_runtime_refuses(device: BoardDevice, tmp_path: Path) -> None:
    """A record that leads out of the arena, behind a right checksum: the board finds it, and which operator it is."""
    made = compiled(weighty(400, 100)).ekm
    path = tmp_path / "bad.ekm"
    path.write_bytes(with_field(made, 0, "output", 1 << 20))
    with pytest.raises(RuntimeCrashError, match="host refuses the model.*operator 0") as raised:
        device.run(job(path, "profile", saved(tmp_path, np.ones((1, 1, 400), np.int8))))
    assert raised.value.facts["operator"] == 0
