"""The resident agent on this machine, under sanitizers, through good, bad and broken serial lines."""

from __future__ import annotations

import os
import pty
import random
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from mcu_agents import build_host_agent, convolutions, packed
from serial_line import Line, chained, damaged, doubled, dropped, overrun, reordered, running
from tflite_maker import reference_outputs

from edgekit.device.mcu import refusals
from edgekit.device.mcu.agent import INPUTS, MODEL, Agent, connect
from edgekit.device.mcu.frames import Decoder, Frame, Kind, encode
from edgekit.device.mcu.link import Patience
from edgekit.errors import (
    DeadlineError,
    DeviceError,
    EdgekitError,
    LinkLostError,
    RuntimeCrashError,
    UsageError,
)
from edgekit.version import __version__

QUICK = Patience(silence_s=1.0, stuck_s=4.0)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_host_agent(tmp_path_factory.mktemp("agent"), sanitize=True)


@pytest.fixture
def board(program: Path) -> Iterator[str]:
    with running(program) as name:
        yield name


@contextmanager
def connected(url: str, **options: object) -> Iterator[Agent]:
    agent = connect(url, **options)
    try:
        yield agent
    finally:
        agent.close()


def noise(count: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(count)


class TestLoading:
    def test_what_was_loaded_is_verified_and_not_sent_twice(self, board: str) -> None:
        data, seen = noise(50_000), []
        with connected(board) as agent:
            first = agent.load(data, progress=lambda done, of: seen.append((done, of)))
            again = agent.load(data)
        assert (first.sent_bytes, first.resumed_bytes, first.reconnects) == (50_000, 0, 0)
        assert (again.sent_bytes, again.resumed_bytes) == (0, 50_000)
        assert seen[0] == (0, 50_000) and seen[-1] == (50_000, 50_000) and seen == sorted(seen)

    def test_other_bytes_of_the_same_size_are_sent(self, board: str) -> None:
        with connected(board) as agent:
            agent.load(noise(5_000, 1))
            assert agent.load(noise(5_000, 2)).sent_bytes == 5_000

    @pytest.mark.parametrize("size", [1, 31, 32, 33, 992, 993, 4 * 992, 10_007])
    def test_every_size(self, board: str, size: int) -> None:
        with connected(board) as agent:
            assert agent.load(noise(size)).sent_bytes == size

    @pytest.mark.parametrize(
        ("to_board", "to_host"),
        [
            (damaged(5), None), (None, damaged(5)), (dropped(5), None), (None, dropped(20)), (doubled(20), doubled(20)),
            (reordered(10), None), (None, reordered(10)), (overrun(5), None), (overrun(3), overrun(3)),
            (chained(damaged(3), dropped(3), doubled(5), reordered(5)), chained(dropped(5), damaged(5), reordered(5))),
        ],
        ids=["damaged", "damaged answers", "dropped", "lost acknowledgements", "doubled", "reordered",
             "reordered answers", "overruns", "overruns both ways", "everything"],
    )  # fmt: skip
    def test_a_bad_line(self, board: str, to_board: object, to_host: object) -> None:
        data = noise(100_000)
        with Line(board, to_board=to_board, to_host=to_host) as line, connected(line.url) as agent:
            loaded = agent.load(data)
            assert loaded.sent_bytes == 100_000 and loaded.reconnects == 0
            assert agent.load(data).sent_bytes == 0

    def test_the_cable_is_pulled_and_comes_back(self, board: str) -> None:
        data = noise(100_000)
        with Line(board) as line:
            line.cut_after, line.back_after_s = 40_000, 0.5
            with connected(line.url, patience=QUICK) as agent:
                loaded = agent.load(data)
                assert loaded.reconnects == 1
                assert line.bytes_to_board < 120_000  # and not 140,000: it went on where it stopped
                assert agent.load(data).sent_bytes == 0

    def test_the_cable_is_pulled_and_another_process_goes_on(self, board: str) -> None:
        data = noise(100_000)
        with Line(board) as line:
            line.cut_after, line.back_after_s = 40_000, 60
            agent = connect(line.url, patience=QUICK, reconnect_s=0)
            began = time.monotonic()
            with pytest.raises(DeviceError, match="lost|opened|answers"):
                agent.load(data)
            agent.close()
            assert time.monotonic() - began < 6
        with connected(board) as again:
            loaded = again.load(data)
        assert 20_000 < loaded.resumed_bytes < 60_000
        assert loaded.sent_bytes == 100_000 - loaded.resumed_bytes

    def test_a_board_that_was_started_again_takes_the_load_from_its_beginning(self, board: str) -> None:
        with Line(board) as line:
            line.cut_after, line.back_after_s = 40_000, 60
            agent = connect(line.url, patience=QUICK, reconnect_s=0)
            with pytest.raises(DeviceError):
                agent.load(noise(100_000))
            agent.close()
        with connected(board) as again:
            again.reset()
            assert again.load(noise(100_000)).resumed_bytes == 0

    def test_another_host_breaks_in(self, board: str) -> None:
        def break_in(done: int, _of: int) -> None:
            if done > 40_000 and not broken:
                broken.append(done)
                agent._link._port.write(encode(Frame(Kind.IDENTIFY, agent._link._session ^ 1 or 2, 7)))

        broken: list[int] = []
        with connected(board, patience=QUICK) as agent:
            loaded = agent.load(noise(100_000), progress=break_in)
            assert broken and loaded.reconnects == 1
            assert agent.load(noise(100_000)).sent_bytes == 0

    def test_by_tcp_one_host_after_another(self, program: Path) -> None:
        with running(program, "--tcp") as port:
            for sent in (5_000, 0):
                with connected(f"socket://127.0.0.1:{port}") as agent:
                    assert agent.load(noise(5_000)).sent_bytes == sent

    def test_too_large(self, board: str) -> None:
        with connected(board) as agent, pytest.raises(DeviceError, match="do not fit"):
            agent.load(b"x" * (agent.identity.store_bytes + 1))

    def test_into_flash(self, tmp_path: Path) -> None:
        with running(build_host_agent(tmp_path, flash=True)) as name, connected(name) as agent:
            assert agent.identity.store_is_flash and agent.identity.store_erase_bytes == 4096
            model, inputs = noise(10_001, 1), noise(777, 2)
            place = agent.inputs_offset(len(model))
            assert place % 4096 == 0 and place >= len(model)
            for data in (model, noise(10_001, 3)):
                assert agent.load(data).sent_bytes == len(data)
            assert agent.load(inputs, place, kind=INPUTS).sent_bytes == 777
            assert agent.load(noise(10_001, 3)).sent_bytes == 0
            # The same block: the inputs are gone with it.
            agent.load(noise(10_001, 4), 4096 * 2, kind=MODEL)
            assert agent.load(inputs, place, kind=INPUTS).sent_bytes == 777


class TestRunning:
    def test_runs_are_those_of_the_reference_kernels(self, board: str) -> None:
        content = convolutions()
        generator = np.random.default_rng(1)
        with connected(board) as agent:
            agent.load(packed(content))
            opened = agent.open_model()
            assert (opened.inputs, opened.outputs, opened.input_bytes, opened.output_bytes) == (1, 1, 144, 10)
            for _ in range(5):
                values = generator.integers(-128, 128, (1, 6, 6, 4), np.int8)
                (expected,) = reference_outputs(content, [values])
                run = agent.run(values.tobytes())
                assert run.outputs == expected.tobytes() and run.counter > 0

    def test_runs_over_a_bad_line(self, board: str) -> None:
        content = convolutions()
        bad = chained(damaged(5), dropped(5), doubled(5), reordered(5))
        values = np.random.default_rng(2).integers(-128, 128, (1, 6, 6, 4), np.int8)
        (expected,) = reference_outputs(content, [values])
        line = Line(board, to_board=bad, to_host=chained(dropped(5, 9), damaged(5, 9)))
        with line, connected(line.url) as agent:
            agent.load(packed(content))
            agent.open_model()
            for _ in range(5):
                assert agent.run(values.tobytes()).outputs == expected.tobytes()

    def test_measuring_refills_the_inputs(self, board: str) -> None:
        content = convolutions()
        ekm = packed(content)
        values = np.random.default_rng(3).integers(-128, 128, (1, 6, 6, 4), np.int8)
        with connected(board) as agent:
            agent.load(ekm)
            opened = agent.open_model()
            with pytest.raises(UsageError, match="inputs are missing"):
                agent.bench(1, 1)
            agent.load(values.tobytes(), agent.inputs_offset(len(ekm)), kind=INPUTS)
            bench, profile = agent.bench(3, 500), agent.profile()
            assert len(bench.counters) == len(bench.values) == 500 and bench.unit == "nanoseconds"
            assert all(value > 0 for value in bench.values)
            assert len(profile.counters) == opened.operators > 1
            assert sum(profile.values) < 20 * max(bench.values)
            memory = agent.memory(repaint=True)
            assert memory.model_arena_bytes == opened.arena_bytes and memory.static_bytes <= 8192

    def test_wrong_inputs(self, board: str) -> None:
        with connected(board) as agent:
            with pytest.raises(UsageError, match="No model is open"):
                agent.run(b"x")
            agent.load(packed(convolutions()))
            agent.open_model()
            for wrong in (0, 143, 145):
                with pytest.raises(UsageError, match="takes 144"):
                    agent.run(bytes(wrong))
            # The board holds to it as well, whatever a host says.
            with pytest.raises(UsageError, match="144 bytes"):
                agent._link.request(Kind.RUN)

    def test_models_that_are_refused(self, board: str) -> None:
        ekm = packed(convolutions())
        with connected(board) as agent:
            with pytest.raises(UsageError, match="no model is loaded"):
                agent.open_model()
            for wrong, why in ((noise(3000), "no packed model"), (ekm[:-4], "damaged"), (_flip(ekm, 700), "damaged")):
                agent.load(wrong)
                with pytest.raises(RuntimeCrashError, match=why) as caught:
                    agent.open_model()
                assert "edgekit mcu flash --board host" in caught.value.next_step
            agent.load(ekm)
            assert agent.open_model().operators > 1

    def test_a_second_host_takes_over_and_the_first_is_told(self, board: str) -> None:
        with Line(board) as line, connected(line.url) as first:
            first.load(noise(1000))
            spoken = encode(Frame(Kind.IDENTIFY, first._link._session ^ 1 or 2, 7))
            first._link._port.write(spoken)  # what another host's first frame looks like
            with pytest.raises(LinkLostError, match="another host"):
                first.memory()


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


class TestOthers:
    def test_an_agent_of_another_version(self, tmp_path: Path) -> None:
        program = build_host_agent(tmp_path, version="9.9.9")
        with running(program) as name, pytest.raises(DeviceError, match="belongs to edgekit 9.9.9") as caught:
            connect(name)
        assert "edgekit mcu flash --board host" in caught.value.next_step

    def test_the_agent_refuses_a_host_of_another_protocol(self, board: str) -> None:
        with connected(board) as agent:
            agent._link._port.write(encode(Frame(Kind.IDENTIFY, agent._link._session, 0, protocol=2)))
            with pytest.raises(DeviceError, match="version 1 of the protocol"):
                _until_error(agent)

    def test_no_such_port(self) -> None:
        with pytest.raises(DeviceError, match="can't be opened"):
            connect("/dev/no-such-port")

    @pytest.mark.parametrize("kind", ["silent", "text", "zeros", "endless", "echo", "other protocol", "malformed"])
    def test_a_board_that_is_no_agent(self, kind: str) -> None:
        with impostor(ANSWERS[kind]) as name:
            began = time.monotonic()
            with pytest.raises(DeviceError) as caught:
                connect(name, patience=QUICK)
            assert time.monotonic() - began < 6
            assert "edgekit mcu flash" in caught.value.next_step

    def test_a_board_that_never_finishes(self) -> None:
        late = pytest.raises(DeadlineError, match="was not done")
        with impostor(ANSWERS["working"]) as name, connected(name) as agent, late:
            agent._link.request(Kind.RUN, limit_s=1.5)

    def test_a_board_that_dies_while_it_is_asked(self, program: Path) -> None:
        agent: Agent | None = None
        with pytest.raises(EdgekitError):
            with running(program) as name:
                agent = connect(name, patience=QUICK, reconnect_s=0.5)
            agent.load(noise(1000))
        assert agent is not None
        agent.close()


def _until_error(agent: Agent) -> None:
    """The refusal carries the number 0, so it is looked for where it arrives."""
    frame = agent._link._next_frame(time.monotonic() + 2)
    assert frame is not None and frame.type == Kind.ERROR
    raise refusals.error(frame.payload, Kind.IDENTIFY, "board")


Answer = Callable[[Frame], bytes]
# A real agent can't be made to answer these.
ANSWERS: dict[str, Answer | bytes | None] = {
    "silent": None,
    "text": b"\r\n*** Booting Zephyr OS build v3.7.0 ***\r\nuart:~$ ",
    "zeros": bytes(4096),
    "endless": noise(65_536),
    "echo": encode,
    "other protocol": lambda f: encode(Frame(f.type | 0x80, f.session, f.sequence, 0, b"", protocol=2)),
    "malformed": lambda f: encode(Frame(f.type | 0x80, f.session, f.sequence, 0, b"\1\2\3")),
}


def _working(frame: Frame) -> bytes:
    if frame.type == Kind.IDENTIFY:
        payload = b"".join(n.to_bytes(4, "little") for n in (4, 992, 0, 1, 1, 1, 1, *[1 << 20] * 4, 1, 0, 0))
        payload += f"{__version__}\0hash\0fake\0fake\0".encode()
        return encode(Frame(frame.type | 0x80, frame.session, frame.sequence, (frame.sequence + 1) & 0xFFFF, payload))
    return encode(Frame(Kind.WORKING, frame.session, frame.sequence, (frame.sequence + 1) & 0xFFFF))


ANSWERS["working"] = _working


@contextmanager
def impostor(answer: Answer | bytes | None) -> Iterator[str]:
    """A pty whose far end sends these bytes again and again, or answers every frame."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    ends = threading.Event()

    def play() -> None:
        decoder = Decoder()
        while not ends.wait(0.001):
            try:
                asked = os.read(master, 4096)
            except BlockingIOError:
                asked = b""
            out = answer if isinstance(answer, bytes) else b""
            if callable(answer):
                out = b"".join(answer(frame) for frame in decoder.feed(asked))
            try:
                os.write(master, out)
            except BlockingIOError:
                pass

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        ends.set()
        thread.join()
        os.close(master)
        os.close(slave)
