"""A microcontroller board as a device: jobs are run by the agent on it, over a serial line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from edgekit.convert.mcu.unpack import Packed, unpack
from edgekit.device.device import Conditions
from edgekit.device.mcu import boards
from edgekit.device.mcu.agent import INPUTS, Agent, Loaded
from edgekit.device.mcu.answers import Identity
from edgekit.device.mcu.bench import bench, counter_of, ns_per_count
from edgekit.device.mcu.boards import Board
from edgekit.device.mcu.fits import check_fits
from edgekit.device.mcu.images import find_image
from edgekit.device.mcu.listing import ENGINE, describe
from edgekit.device.mcu.tensors import outside, stacks_of, stored
from edgekit.errors import DeadlineError, DeviceError, UsageError
from edgekit.harness.content import sha256_of
from edgekit.harness.int8_tensors import outside_shape
from edgekit.job import Counted, Job, JobResult
from edgekit.records import (
    Artifact,
    ClockRegime,
    DeviceInfo,
    DeviceState,
    Footprint,
    OpTime,
    Push,
    TensorSpec,
)
from edgekit.version import __version__

_STATE_MISSING = ("frequencies_khz", "temperatures_c", "load_1min", "battery_percent")

Array = npt.NDArray[Any]
Say = Callable[[str], None]


class Line(Protocol):
    """The way to a board's agent."""

    def connect(self, model: Path | None) -> Agent:
        """Make the connection, which ends the one before.

        A virtual board is started anew, with ``model`` in its store from the beginning: its serial line is far slower
        than a real one. Raises DeviceError.
        """

    def close(self) -> None:
        """End what :meth:`connect` started besides the connection."""

    def failure(self) -> DeviceError | None:
        """Why the board ended by itself, where that can be told."""

    @property
    def preloads(self) -> bool:
        """Whether :meth:`connect` takes a model."""


class BoardDevice:
    """One board.

    Args:
        spec: as the user named it.
        board: its profile; None takes that of the board that the agent says it is on.
        line: the way to its agent.
        transport: in a word, for listings.
        say: takes a line for the user whenever the board keeps edgekit waiting.
    """

    def __init__(
        self, spec: str, board: Board | None, line: Line, transport: str, say: Say = lambda _text: None
    ) -> None:
        self._spec, self._board, self._line, self._transport, self._say = spec, board, line, transport, say
        self._agent: Agent | None = None
        self._preloaded: Path | None = None

    def info(self) -> DeviceInfo:
        """What its profile says. A board whose profile is not known yet is asked who it is."""
        return describe(self._spec, self._profile(), self._transport)

    def state(self) -> DeviceState:
        """A microcontroller at a fixed clock tells nothing of this."""
        return DeviceState(missing=_STATE_MISSING)

    @contextmanager
    def conditions(self, threads: int, clocks: ClockRegime) -> Iterator[Conditions]:
        """One core, whose clock the agent has set once and for all."""
        if threads != 1:
            raise UsageError(f"{self._spec} has one core, not {threads}.", where="--threads",
                             next_step="Leave --threads out.")  # fmt: skip
        yield Conditions(note=None if clocks == "free" else "the agent's clock is fixed: nothing had to be pinned")

    def push(self, artifact: Artifact, inputs: Sequence[str] = ()) -> Push:
        """Load the model into the board's store; what is there already is not sent again.

        Raises:
            RegressedError: the board's memory is too small for the model.
            DeviceError: the board can't be reached, or was lost.
        """
        began = time.perf_counter()
        with self._reconnecting():
            loaded = self._load(Path(artifact.path), self._checked(Path(artifact.path), artifact.sha256))
        return Push(bytes_sent=loaded.sent_bytes, seconds=time.perf_counter() - began)

    def run(self, job: Job, *, timeout_s: float | None = None) -> JobResult:
        """Load the model if it is not there, open it anew, and do the job."""
        modes = {"describe": self._describe, "outputs": self._outputs, "measure": self._measure,
                 "profile": self._profiled, "memory": self._memory}  # fmt: skip
        if job.engine != ENGINE:
            raise UsageError(
                f"{self._spec} runs packed models (.ekm), not files for {job.engine}.", where=job.artifact,
                next_step="Pack an int8 .tflite first, with edgekit mcu compile; deploy and profile do so themselves.",
            )  # fmt: skip
        with self._reconnecting():
            return modes[job.mode](job, self._checked(Path(job.artifact), job.artifact_sha256), timeout_s)

    def close(self) -> None:
        """End the connection, and the board where it is a virtual one."""
        if self._agent is not None:
            self._agent.close()
            self._agent = None
        self._line.close()

    @contextmanager
    def _reconnecting(self) -> Iterator[None]:
        """After the board was lost, or work was broken off, the next call begins with a new connection."""
        try:
            yield
        except (DeviceError, DeadlineError, KeyboardInterrupt) as error:
            ended = self._line.failure() if isinstance(error, DeviceError) else None
            self.close()
            if ended is not None:
                raise ended from error
            raise

    def _opened(self, model: Path | None = None) -> Agent:
        other = self._line.preloads and model is not None and model != self._preloaded
        if self._agent is None or other:
            self.close()
            self._agent = self._line.connect(model)
            self._preloaded = model
            self._check_board(self._agent.identity)
        return self._agent

    def _check_board(self, identity: Identity) -> None:
        if self._board is not None and identity.board != self._board.name:
            raise DeviceError(
                f"The board there is {identity.board}, not {self._board.name}.", where=self._spec,
                next_step=f"Name the port of the {self._board.label} (serial:PORT), or attach it.",
            )  # fmt: skip

    def _profile(self) -> Board:
        if self._board is None:
            with self._reconnecting():
                self._board = boards.find(self._opened().identity.board)
        return self._board

    def _checked(self, path: Path, sha256: str) -> bytes:
        if sha256_of(path) != sha256:
            raise DeviceError(f"{path} is not the file that was converted.", where=str(path),
                              next_step="Convert it again.")  # fmt: skip
        return path.read_bytes()

    def _load(self, path: Path, ekm: bytes) -> Loaded:
        packed = unpack(ekm, str(path))
        agent = self._opened(path)
        check_fits(packed, len(ekm), agent.identity)
        return agent.load(ekm)

    def _ready(self, job: Job, ekm: bytes) -> tuple[Agent, Packed]:
        self._load(Path(job.artifact), ekm)
        agent = self._opened(Path(job.artifact))
        agent.open_model()
        return agent, unpack(ekm, job.artifact)

    def _blank(self, identity: Identity | None) -> JobResult:
        build = f" {identity.kernels} {identity.build_hash[:12]}" if identity else ""
        return JobResult(
            harness="mcu", harness_version=__version__, engine=ENGINE, runtime_version=f"{__version__}{build}",
            threads=1, started=datetime.now(timezone.utc).isoformat(timespec="milliseconds"), warmup_stable=True,
            state_before=self.state(), state_after=self.state(),
        )  # fmt: skip

    def _describe(self, job: Job, ekm: bytes, timeout_s: float | None) -> JobResult:
        specs = tuple(
            TensorSpec(name=f"input_{i}", shape=outside_shape(e), dtype="float32" if e.float_outside else "int8")
            for i, e in enumerate(unpack(ekm, job.artifact).inputs)
        )
        return msgspec.structs.replace(self._blank(None), inputs=specs)

    def _outputs(self, job: Job, ekm: bytes, timeout_s: float | None) -> JobResult:
        agent, packed = self._ready(job, ekm)
        if job.outputs_dir is None:
            raise UsageError("A job of mode outputs names no outputs_dir.", where=job.artifact,
                             next_step="Name a folder.")  # fmt: skip
        ends = time.monotonic() + timeout_s if timeout_s else None
        stacks = stacks_of(job, packed)
        rows: list[list[Array]] = []
        for sample in range(len(stacks[0])):
            if ends and time.monotonic() > ends:
                raise DeadlineError(f"{sample} of {len(stacks[0])} samples were done within {timeout_s:g} s.",
                                    where=self._spec, next_step="Give fewer samples.")  # fmt: skip
            done = agent.run(stored(packed, stacks, sample))
            rows.append(outside(packed, done.outputs))
        folder = Path(job.outputs_dir)
        folder.mkdir(parents=True, exist_ok=True)
        names = []
        for number in range(len(packed.outputs)):
            names.append(str(folder / f"output_{number}.npy"))
            np.save(names[-1], np.stack([row[number] for row in rows]), allow_pickle=False)
        return msgspec.structs.replace(self._blank(agent.identity), outputs=tuple(names))

    def _measure(self, job: Job, ekm: bytes, timeout_s: float | None) -> JobResult:
        agent, packed = self._ready(job, ekm)
        self._load_inputs(agent, job, packed, ekm)
        agent.memory(repaint=True)
        values, overhead, timed_out = bench(agent, job.plan)
        result = msgspec.structs.replace(
            self._blank(agent.identity), counted=self._counted(agent, values, ekm), timed_out=timed_out
        )
        to_ns = ns_per_count(agent.identity)
        if to_ns is None:
            return result
        samples = tuple(max(1, round(value * to_ns)) for value in values)
        return msgspec.structs.replace(
            result, samples_ns=samples, first_ns=samples[0], overhead_ns=round(agent.identity.count(overhead) * to_ns)
        )

    def _profiled(self, job: Job, ekm: bytes, timeout_s: float | None) -> JobResult:
        agent, packed = self._ready(job, ekm)
        self._load_inputs(agent, job, packed, ekm)
        to_ns, counter = ns_per_count(agent.identity), counter_of(agent.identity)
        runs = [agent.profile() for _ in range(1 if to_ns is None else job.plan.min_runs)]
        totals = [round(sum(run.values)) for run in runs]
        ops = []
        for index, operator in enumerate(packed.operators):
            value = median(run.values[index] for run in runs)
            time_ms = None if to_ns is None else value * to_ns / 1e6
            share = value / median(totals) if median(totals) else 0.0
            kind = operator.kernel or str(operator.kind)
            ops.append(OpTime(name=operator.name, type=kind, unit="CPU", p50_ms=time_ms, share=share,
                              counted=None if counter is None else round(value)))  # fmt: skip
        return msgspec.structs.replace(
            self._blank(agent.identity),
            ops=tuple(ops),
            samples_ns=() if to_ns is None else tuple(round(total * to_ns) for total in totals),
            counted=Counted(counter=counter, per_run=tuple(totals)) if counter else None,
        )

    def _memory(self, job: Job, ekm: bytes, timeout_s: float | None) -> JobResult:
        """Of a board that does not tell its stack; others give all their memory with their runs."""
        agent, _packed = self._ready(job, ekm)
        memory = agent.memory()
        return msgspec.structs.replace(
            self._blank(agent.identity),
            baseline_rss_bytes=memory.static_bytes,
            peak_rss_bytes=memory.static_bytes + memory.model_arena_bytes + (memory.stack_bytes or 0),
            note=f"{agent.identity.board} does not tell its stack: the memory is without it"
            if memory.stack_bytes is None
            else None,
        )

    def _load_inputs(self, agent: Agent, job: Job, packed: Packed, ekm: bytes) -> None:
        """The first sample, which the bench copies into place before every run."""
        blob = stored(packed, stacks_of(job, packed), 0)
        agent.load(blob, agent.inputs_offset(len(ekm)), kind=INPUTS)

    def _counted(self, agent: Agent, values: Sequence[float], ekm: bytes) -> Counted | None:
        counter = counter_of(agent.identity)
        if counter is None:
            return None
        memory = agent.memory()
        footprint = None
        if memory.stack_bytes is not None:
            program = image_bytes(agent.identity.board)
            footprint = Footprint(
                static_bytes=memory.static_bytes, arena_bytes=memory.model_arena_bytes, stack_bytes=memory.stack_bytes,
                flash_bytes=None if program is None else program + len(ekm),
            )  # fmt: skip
        return Counted(counter=counter, per_run=tuple(round(value) for value in values), footprint=footprint)


def image_bytes(board: str) -> int | None:
    """Bytes of the agent's program in flash, of the image that is here; None if it is not."""
    try:
        return find_image(board).manifest.image_bytes
    except DeviceError:
        return None
