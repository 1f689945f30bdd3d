"""A microcontroller board through its resident agent: load, open, run, measure."""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from edgekit.device.mcu import answers
from edgekit.device.mcu.answers import Identity, MalformedError, Memory, Opened
from edgekit.device.mcu.frames import BULK_BYTES, PAYLOAD_BYTES, Kind
from edgekit.device.mcu.link import BAUD, Link, Patience, open_port
from edgekit.errors import DeadlineError, DeviceError, LinkLostError, RuntimeCrashError, UsageError
from edgekit.version import __version__

MODEL, INPUTS = 0, 1
_ALIGN = 32
_MOST_BENCH_RUNS = 240
_BATCH_S = 1.0
_RETRY_S = 0.3
# How often a load may lose the connection without having got any further.
_MOST_VAIN = 3
_COUNTER = 1 << 32

Progress = Callable[[int, int], None]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Loaded:
    """What a load took. ``resumed_bytes`` were on the board already; ``resent`` frames were sent more than once."""

    bytes: int
    sent_bytes: int
    resumed_bytes: int
    seconds: float
    resent: int
    reconnects: int


@dataclass(frozen=True)
class Run:
    """The outputs one after another as the board's bytes, and the raw counter of the run."""

    outputs: bytes
    counter: int


@dataclass(frozen=True)
class Bench:
    """Raw counter of every run, and of measuring nothing; ``unit`` and ``values`` (without the overhead) for people."""

    counters: tuple[int, ...]
    overhead: int
    unit: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Profile:
    """``values[i]`` is what operator i took, in ``unit``, without the overhead of measuring."""

    counters: tuple[int, ...]
    overhead: int
    unit: str
    values: tuple[float, ...]


class Agent:
    """The agent on one board. Use :func:`connect`, or give a function that makes a link."""

    def __init__(self, open_link: Callable[[], Link], *, reconnect_s: float = 10.0) -> None:
        self._open_link, self._reconnect_s = open_link, reconnect_s
        self._link = open_link()
        self.opened: Opened | None = None
        try:
            self.identity = self._start()
        except BaseException:
            self._link.close()
            raise

    def close(self) -> None:
        """Close the connection; the board keeps what was loaded."""
        self._link.close()

    def identify(self) -> Identity:
        """Ask again who it is. Raises DeviceError and LinkLostError, as every method does."""
        return self._parse(answers.identity, self._link.request(Kind.IDENTIFY))

    def load(self, data: bytes, offset: int = 0, *, kind: int = MODEL, progress: Progress | None = None) -> Loaded:
        """Bring a packed model, or the inputs for :meth:`bench`, into the board's store, and have it verified there.

        A connection that is lost is made again, and the load goes on where it stopped. What is there is not sent.

        Args:
            data: the bytes; inputs one after another, as the model stores them.
            offset: where in the store; a multiple of 32, see :meth:`inputs_offset`.
            kind: ``MODEL`` or ``INPUTS``.
            progress: called with (bytes that are there, bytes in all).

        Raises:
            DeviceError: it does not fit, or the board can't store it.
            LinkLostError: the connection is lost and does not come back.
        """
        began, resent, reconnects, vain, furthest = time.monotonic(), 0, 0, 0, -1
        resumed: int | None = None
        while True:
            have, before = -1, self._link.resent
            try:
                have = self._begin(data, offset, kind)
                resumed = have if resumed is None else resumed
                self._send(data, have, progress)
                break
            except LinkLostError:
                vain = 0 if have > furthest else vain + 1
                furthest = max(have, furthest)
                if vain > _MOST_VAIN:
                    raise
                resent += self._link.resent - before
                reconnects += 1
                self._reconnect()
        resent += self._link.resent - before
        return Loaded(len(data), len(data) - resumed, resumed, time.monotonic() - began, resent, reconnects)

    def inputs_offset(self, model_bytes: int) -> int:
        """Where inputs may lie behind a model of this size that begins at 0."""
        block = max(_ALIGN, self.identity.store_erase_bytes)
        return -(-model_bytes // block) * block

    def open_model(self) -> Opened:
        """Have the loaded model checked and made ready.

        Raises:
            RuntimeCrashError: the runtime on the board refuses it; ``fact`` ``operator`` says which operator.
        """
        self.opened = None
        status, operator, opened = self._parse(answers.opened, self._link.request(Kind.OPEN))
        if status:
            at = "" if operator is None else f", operator {operator}"
            reason = answers.MODEL_STATUS.get(status, f"status {status}")
            raise RuntimeCrashError(
                f"The board {self.identity.board} refuses the model: {reason}{at}.", where=self._link.name,
                next_step="Compile the model for this board with this edgekit, or put this edgekit's agent on it: "
                f"edgekit mcu flash --board {self.identity.board}.", status=status, operator=operator,
            )  # fmt: skip
        self.opened = opened
        return opened

    def run(self, inputs: bytes, *, limit_s: float | None = None) -> Run:
        """Run the open model once.

        Args:
            inputs: all inputs one after another, as the model stores them (int8).
            limit_s: bound on the run.

        Raises:
            UsageError: no model is open, or the inputs are of the wrong size.
            DeadlineError: the run was not done in time.
        """
        opened = self._need_open()
        if len(inputs) != opened.input_bytes:
            raise UsageError(
                f"The inputs have {len(inputs)} bytes; the model on {self.identity.board} takes {opened.input_bytes}.",
                where=self._link.name, next_step="Give every input of the model, quantised, one after another.",
            )  # fmt: skip
        self._link.bulk(Kind.INPUT, self._pieces(inputs, 0))
        (counter,) = self._parse(lambda p: answers.numbers(p, 1), self._link.request(Kind.RUN, limit_s=limit_s))
        return Run(b"".join(self._outputs(opened.output_bytes)), counter)

    def bench(self, warm_up: int, repeats: int, *, limit_s: float = 150.0) -> Bench:
        """Run the open model on the loaded inputs, which are copied into place before every run.

        Args:
            warm_up: runs that are not measured.
            repeats: measured runs.
            limit_s: bound on all of it.

        Raises:
            UsageError: no model is open or no inputs are loaded.
            DeviceError: the board counts nothing, or its counter may have wrapped.
            DeadlineError: it was not done within the limit.
        """
        self._need_open()
        unit, ends, batch = self._unit(), time.monotonic() + limit_s, 1
        counters: list[int] = []
        overhead = _COUNTER
        while len(counters) < repeats:
            began = time.monotonic()
            if began >= ends:
                raise DeadlineError(
                    f"{len(counters)} of {repeats} runs were done within {limit_s:g} s.", where=self._link.name,
                    next_step="Ask for fewer runs, or allow more time.",
                )  # fmt: skip
            runs = min(batch, repeats - len(counters), _MOST_BENCH_RUNS)
            # The first batch takes the warm-up, and so says little about the time of a run.
            request = struct.pack("<2I", 0 if counters else warm_up, runs)
            payload = self._link.request(Kind.BENCH, request, limit_s=ends - began)
            least, more = self._parse(partial(answers.bench, runs=runs), payload)
            took = time.monotonic() - began
            self._check_wrap(took, runs + (0 if counters else warm_up))
            overhead = min(overhead, least)
            counters += more
            batch = max(1, int(_BATCH_S * runs / max(took, 1e-3)))
        return Bench(tuple(counters), overhead, unit, self._values(counters, overhead))

    def profile(self, *, limit_s: float | None = None) -> Profile:
        """What every operator of the open model takes, on the loaded inputs. Raises as :meth:`bench` does."""
        self._need_open()
        counters: list[int] = []
        overhead, unit = _COUNTER, self._unit()
        while True:
            payload = self._link.request(Kind.PROFILE, struct.pack("<I", len(counters)), limit_s=limit_s)
            least, operators, more = self._parse(answers.profile, payload)
            counters += more
            overhead = min(overhead, least)
            if len(counters) >= operators:
                return Profile(tuple(counters), overhead, unit, self._values(counters, overhead))
            if not more:
                raise self._malformed("PROFILE")

    def memory(self, *, repaint: bool = False) -> Memory:
        """The board's memory; with ``repaint`` the stack's high-water mark begins anew after it was read."""
        return self._parse(answers.memory, self._link.request(Kind.MEMORY, struct.pack("<I", int(repaint))))

    def reset(self) -> None:
        """Start the board again and connect to it. What was loaded into RAM has to be loaded again."""
        self.opened = None
        with suppress(LinkLostError):  # the board may start again before its answer is out
            self._link.request(Kind.RESET)
        self._reconnect()

    def _start(self) -> Identity:
        identity = self._parse(answers.identity, self._link.start())
        if identity.version != __version__:
            raise DeviceError(
                f"The agent at {self._link.name} belongs to edgekit {identity.version}, this is {__version__}.",
                where=self._link.name,
                next_step=f"Put this edgekit's agent on the board: edgekit mcu flash --board {identity.board}.",
            )  # fmt: skip
        self._link.widen(identity.window)
        return identity

    def _reconnect(self) -> None:
        ends = time.monotonic() + self._reconnect_s
        while True:
            self._link.close()
            try:
                self._link = self._open_link()
                identity = self._start()
                break
            except DeviceError:
                if time.monotonic() > ends:
                    raise
                time.sleep(_RETRY_S)
        if (identity.board, identity.build_hash) != (self.identity.board, self.identity.build_hash):
            raise DeviceError(
                f"Another board answers at {self._link.name}: {identity.board} instead of {self.identity.board}.",
                where=self._link.name, next_step="Attach the board again and run the command again.",
            )  # fmt: skip
        self.identity = identity

    def _begin(self, data: bytes, offset: int, kind: int) -> int:
        """Announce the load; how much is there already."""
        if not data or offset % _ALIGN or offset < 0:
            raise UsageError("Nothing to load, or not at a multiple of 32.", where=self._link.name,
                             next_step="Give a packed model.")  # fmt: skip
        if offset + len(data) > self.identity.store_bytes:
            raise DeviceError(
                f"{len(data)} bytes at {offset} do not fit into the {self.identity.store_bytes} bytes for models on "
                f"{self.identity.board}.", where=self._link.name,
                next_step="Take a smaller model, or a board with more memory.",
            )  # fmt: skip
        if kind == MODEL:
            self.opened = None
        request = struct.pack("<3I", kind, offset, len(data)) + hashlib.sha256(data).digest()
        (have,) = self._parse(lambda p: answers.numbers(p, 1), self._link.request(Kind.LOAD_BEGIN, request))
        if have > len(data) or (have != len(data) and have % _ALIGN):
            raise self._malformed("LOAD_BEGIN")
        return have

    def _send(self, data: bytes, have: int, progress: Progress | None) -> None:
        size = self._bulk_bytes()

        def tell(frames: int) -> None:
            if progress:
                progress(min(len(data), have + frames * size), len(data))

        tell(0)
        self._link.bulk(Kind.LOAD_DATA, self._pieces(data, have), tell)
        if self._link.request(Kind.LOAD_END) != hashlib.sha256(data).digest():
            raise self._malformed("LOAD_END")

    def _pieces(self, data: bytes, start: int) -> Iterator[bytes]:
        size = self._bulk_bytes()
        return (struct.pack("<I", at) + data[at : at + size] for at in range(start, len(data), size))

    def _bulk_bytes(self) -> int:
        return min(BULK_BYTES, self.identity.bulk_bytes)

    def _outputs(self, total: int) -> Iterator[bytes]:
        for at in range(0, total, PAYLOAD_BYTES):
            count = min(PAYLOAD_BYTES, total - at)
            piece = self._link.request(Kind.OUTPUT, struct.pack("<2I", at, count))
            if len(piece) != count:
                raise self._malformed("OUTPUT")
            yield piece

    def _need_open(self) -> Opened:
        if self.opened is None:
            raise UsageError("No model is open on the board.", where=self._link.name,
                             next_step="Load a model and open it.")  # fmt: skip
        return self.opened

    def _unit(self) -> str:
        if self.identity.counts is None:
            raise DeviceError(f"The board {self.identity.board} has no counter to measure with.",
                              where=self._link.name, next_step="Measure on another board.")  # fmt: skip
        return self.identity.counts

    def _values(self, counters: list[int], overhead: int) -> tuple[float, ...]:
        return tuple(self.identity.count(max(0, counter - overhead)) for counter in counters)

    def _check_wrap(self, took_s: float, runs: int) -> None:
        """A counter of time wraps after 2**32 ticks; a run that may have been as long has no known length."""
        wraps_s = self.identity.count(_COUNTER) / (self.identity.clock_hz if self.identity.counts == "cycles" else 1e9)
        if self.identity.counts != "instructions" and took_s / runs > wraps_s:
            raise DeviceError(
                f"A run takes longer than the {wraps_s:.1f} s after which the counter of {self.identity.board} wraps.",
                where=self._link.name, next_step="Measure a smaller model, or on a faster board.",
            )  # fmt: skip

    def _parse(self, parse: Callable[[bytes], _T], payload: bytes) -> _T:
        try:
            return parse(payload)
        except MalformedError as error:
            raise self._malformed(str(error)) from error

    def _malformed(self, what: str) -> DeviceError:
        return DeviceError(
            f"The agent at {self._link.name} gave a malformed answer ({what}).", where=self._link.name,
            next_step="Put this edgekit's agent on the board: edgekit mcu flash --board BOARD.",
        )  # fmt: skip


def connect(url: str, *, baud: int = BAUD, patience: Patience | None = None, reconnect_s: float = 10.0) -> Agent:
    """Connect to the agent at a serial port: ``/dev/ttyACM0``, a pty's name, or a URL of pyserial.

    Args:
        url: the port.
        baud: its speed; means nothing to a pty or socket.
        patience: how long to wait for what.
        reconnect_s: how long a lost connection is tried again, where going on is possible.

    Raises:
        DeviceError: no such port, no agent behind it, or one of another version.
    """
    return Agent(lambda: Link(open_port(url, baud), url, baud=baud, patience=patience), reconnect_s=reconnect_s)
