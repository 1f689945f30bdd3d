"""The queue of a device. The device is scripted: these are faults and orders that no real one gives when asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from edgekit.device import lease
from edgekit.device.device import Conditions
from edgekit.errors import ConvertError, DeviceError, LinkLostError, RuntimeCrashError, UsageError
from edgekit.job import Job, JobResult
from edgekit.prepare import Subject
from edgekit.records import Artifact, ClockRegime, DeviceInfo, DeviceState, Measurement, Parity, Plan, Push
from edgekit.selection import Sweep, SweepCell
from edgekit.store.query import Query
from edgekit.store.store import Store
from edgekit.sweep import messages, start
from edgekit.sweep.grid import Grid, GridFile, ModelEntry, settle
from edgekit.sweep.messages import Feed, Prepared, Refused, Repeated, Said
from edgekit.sweep.queue import Queue
from edgekit.version import __version__

DEVICE = "adb:scripted"
Before = Callable[[str, Job], None]


class Scripted:
    """Runs nothing; answers as told. ``before`` may raise, or stop the test, at every job."""

    def __init__(
        self, transport: str = "adb, usb", before: Callable[[str, Job], None] = lambda name, job: None
    ) -> None:
        self.transport, self.before = transport, before
        self.done: list[tuple[str, str, int]] = []
        self.entered: list[int] = []
        self.state_of_clocks: ClockRegime = "free"
        self.runtime = "1.0"
        self.count = 0

    def info(self) -> DeviceInfo:
        return DeviceInfo(spec=DEVICE, name="Scripted", profile=None, transport=self.transport, state="ready",
                          engines=("litert", "onnxruntime"))  # fmt: skip

    def state(self) -> DeviceState:
        return DeviceState(missing=("everything",))

    @contextmanager
    def conditions(self, threads: int, clocks: ClockRegime) -> Iterator[Conditions]:
        if threads > 8:
            raise UsageError("It has no such cores.", where="threads")
        self.entered.append(threads)
        yield Conditions(clock_regime=self.state_of_clocks)

    def push(self, artifact: Artifact, inputs: Sequence[str] = ()) -> Push:
        return Push(bytes_sent=0, seconds=0.0)

    def run(self, job: Job, *, timeout_s: float | None = None) -> JobResult:
        name = Path(job.artifact).stem
        self.before(name, job)
        assert lease.holder(DEVICE) is not None
        self.done.append((job.mode, name, job.threads))
        self.count += 1
        return JobResult(
            harness="native", harness_version=__version__, engine=job.engine, runtime_version=self.runtime,
            threads=job.threads, started=f"2026-01-01T00:00:{self.count:02}.000+00:00", warmup_stable=True,
            samples_ns=(1000 + self.count,) * 60, first_ns=1, load_cold_ns=1, load_warm_ns=1, overhead_ns=1,
            peak_rss_bytes=1000, baseline_rss_bytes=10, state_before=self.state(), state_after=self.state(),
        )  # fmt: skip


class Setup:
    """A stored sweep over models that need no conversion, and what its queue said."""

    def __init__(self, folder: Path, models: int = 3, threads: tuple[int, ...] = (1,), repeats: int = 2) -> None:
        entries = tuple(ModelEntry(spec="zoo:mobilevig_ti", name=f"m{number}") for number in range(models))
        asked = GridFile(models=entries, formats=("onnx",), devices=(DEVICE,), threads=threads, parity=False,
                         plan=Plan(repeats=repeats, min_runs=1, min_seconds=0.0))  # fmt: skip
        self.grid: Grid = settle(asked, folder)
        self.url = f"sqlite:///{folder / 'store.sqlite'}"
        with Store.open(self.url) as store:
            self.sweep: Sweep = start.begin(self.grid, store, lambda device: ()).sweep
        self.folder = folder
        self.said: list[messages.Event] = []

    def feed(self, *models: str) -> Feed:
        feed = Feed()
        for model in models or tuple(self.grid.models):
            feed.put(self.prepared(model))
        if not models:
            feed.put_line(None)
        return feed

    def prepared(self, model: str, content: str = "") -> Prepared:
        sha = f"{content or model:0>64}"
        path = str(self.folder / f"{model}.onnx")
        artifact = Artifact(sha256=sha, bytes=1, format="onnx", precision="fp32", path=path, model="other",
                            exported_sha256=None, parity=Parity(passed=None))  # fmt: skip
        return Prepared(key=(model, "onnx", "fp32"), subject=Subject(artifact, None, ()))

    def run(self, device: Scripted, feed: Feed | None = None) -> None:
        work = messages.Work(sweep=self.sweep, device=DEVICE, store=self.url, cache=str(self.folder), wait_s=0.0)
        with Store.open(self.url) as store:
            Queue(work, device, store, feed or self.feed(), self.said.append).run()

    def cells(self) -> list[SweepCell]:
        with Store.open(self.url) as store:
            return store.cells(self.sweep.id)

    def states(self) -> list[str]:
        return [cell.state for cell in self.cells()]

    def measurements(self) -> dict[str, Measurement]:
        with Store.open(self.url) as store:
            return {m.id: m for m in store.measurements(Query(with_samples=True, limit=None))}

    def texts(self) -> str:
        return "\n".join(event.text for event in self.said if isinstance(event, Said))


def test_round_by_round_and_memory_last(tmp_path: Path) -> None:
    setup = Setup(tmp_path, models=4, threads=(1, 2), repeats=3)
    device = Scripted()
    setup.run(device)
    assert setup.states() == ["measured"] * 8
    rounds = [device.done[8 * number : 8 * number + 8] for number in range(4)]
    assert [{mode for mode, _, _ in each} for each in rounds] == [{"measure"}] * 3 + [{"memory"}]
    for each in rounds:
        assert len(set(each)) == 8
        assert [threads for _, _, threads in each] in ([1] * 4 + [2] * 4, [2] * 4 + [1] * 4)
    assert len(device.entered) == 8  # once per thread count and round
    assert len({tuple(each) for each in rounds[:3]}) == 3
    for cell in setup.cells():
        made = setup.measurements()[cell.measurement_id or ""]
        assert (made.model, made.threads, len(made.repeats)) == (cell.model, cell.threads, 3)
        assert made.peak_rss_bytes == 1000 and made.artifact_sha256 == cell.artifact_sha256
    assert sum(isinstance(event, Repeated) for event in setup.said) == 24
    assert "(1 thread)" in setup.texts() and "(2 threads)" in setup.texts()


def test_it_measures_what_is_ready_and_waits_for_the_rest(tmp_path: Path) -> None:
    setup = Setup(tmp_path, models=3, repeats=2)
    feed = setup.feed("m1")
    blocked = threading.Event()

    def before(name: str, job: Job) -> None:
        if name == "m1" and len(device.done) == 0:
            blocked.set()

    device = Scripted(before=before)
    thread = threading.Thread(target=setup.run, args=(device, feed))
    thread.start()
    assert blocked.wait(20)  # m1 is being measured, the others are not converted yet
    for model in ("m2", "m0"):
        thread.join(0.3)
        assert thread.is_alive() and len(device.done) <= 2
        feed.put_line(messages.encode(setup.prepared(model)))
    thread.join(20)
    assert not thread.is_alive()
    assert [name for _, name, _ in device.done[:3]] == ["m1", "m2", "m0"]  # round 2 begins when round 1 is over
    assert sorted(name for _, name, _ in device.done[3:6]) == ["m0", "m1", "m2"]
    assert setup.states() == ["measured"] * 3


def test_when_the_conversions_end_early_the_queue_ends(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    feed = setup.feed("m1")
    feed.put_line(None)
    with pytest.raises(ConvertError, match="ended before every file"):
        setup.run(Scripted(), feed)
    assert setup.states() == ["pending"] * 3 and len(setup.measurements()) == 1


def test_a_cell_that_fails_is_a_result_and_the_rest_goes_on(tmp_path: Path) -> None:
    def before(name: str, job: Job) -> None:
        if name == "m1" and len([d for d in device.done if d[1] == "m1"]) == 1:
            raise RuntimeCrashError("It crashed.")

    device = Scripted(before=before)
    setup = Setup(tmp_path)
    feed = setup.feed()
    feed.put(Refused(key=("m2", "onnx", "fp32"), error=ConvertError("No such operator.").to_dict()))
    setup.run(device, feed)
    measured, crashed, refused = setup.cells()
    assert measured.state == "measured"
    assert (crashed.state, crashed.kind, crashed.reason) == ("failed", "runtime", "It crashed.")
    assert len(setup.measurements()[crashed.measurement_id or ""].repeats) == 1  # what was measured stays
    assert (refused.state, refused.kind, refused.reason) == ("failed", "convert", "No such operator.")


def test_a_lost_device_keeps_its_cells_pending_and_goes_on_later(tmp_path: Path) -> None:
    gone = False

    def before(name: str, job: Job) -> None:
        if gone or len(device.done) >= 4:
            raise LinkLostError("Gone.")

    setup = Setup(tmp_path, models=3, repeats=3)
    device = Scripted(before=before)
    with pytest.raises(LinkLostError, match="Gone"):
        setup.run(device)
    assert setup.states() == ["pending"] * 3 and lease.holder(DEVICE) is None
    stored = setup.measurements()
    assert sum(len(m.repeats) for m in stored.values()) == 4
    setup.run(again := Scripted())
    assert setup.states() == ["measured"] * 3
    assert len(again.done) == 9 - 4 + 3
    after = setup.measurements()
    assert set(after) == set(stored)
    for name, before_it in stored.items():
        assert after[name].repeats[: len(before_it.repeats)] == before_it.repeats
        assert len(after[name].repeats) == 3


def test_a_device_that_fails_once_is_asked_again(tmp_path: Path) -> None:
    failed: list[str] = []

    def before(name: str, job: Job) -> None:
        if name == "m1" and not failed:
            failed.append(name)
            raise LinkLostError("A loose plug.")

    setup = Setup(tmp_path)
    setup.run(Scripted(before=before))
    assert setup.states() == ["measured"] * 3 and failed


def test_a_cell_that_takes_a_working_device_away_fails_alone(tmp_path: Path) -> None:
    def before(name: str, job: Job) -> None:
        if name == "m1":
            raise LinkLostError("The device restarted.")

    setup = Setup(tmp_path)
    device = Scripted(before=before)
    try:
        setup.run(device)
    except LinkLostError:  # it came last in the round: only the next run can tell
        setup.run(device)
    assert [(c.state, c.kind) for c in setup.cells()] == [
        ("measured", None), ("failed", "link-lost"), ("measured", None),
    ]  # fmt: skip


def test_this_machine_can_t_be_lost(tmp_path: Path) -> None:
    def before(name: str, job: Job) -> None:
        raise DeviceError("The file is gone.")

    setup = Setup(tmp_path)
    setup.run(Scripted("local", before))
    assert {(c.state, c.reason) for c in setup.cells()} == {("failed", "The file is gone.")}


def test_what_a_device_can_t_do_by_design_is_skipped(tmp_path: Path) -> None:
    setup = Setup(tmp_path, models=1, threads=(1, 16))
    setup.run(Scripted())
    assert [(c.state, c.reason) for c in setup.cells()] == [("measured", None), ("skipped", "It has no such cores.")]


def test_a_runtime_that_is_missing_is_skipped_without_its_file(tmp_path: Path) -> None:
    class Other(Scripted):
        def info(self) -> DeviceInfo:
            return msgspec.structs.replace(super().info(), engines=("litert",))

    setup = Setup(tmp_path, models=1)
    feed = Feed()
    feed.put_line(None)
    setup.run(Other(), feed)
    assert [(c.state, c.reason) for c in setup.cells()] == [("skipped", f"{DEVICE} has no runtime for onnx files")]


@pytest.mark.parametrize("what", ["file", "clocks", "runtime", "system"])
def test_a_measurement_is_not_continued_under_other_conditions(tmp_path: Path, what: str) -> None:
    setup = Setup(tmp_path, models=2, repeats=3)

    def stop(name: str, job: Job) -> None:
        if len(first.done) == 2:
            raise LinkLostError("Gone.")

    first = Scripted(before=stop)
    with pytest.raises(LinkLostError):
        setup.run(first)
    old = setup.measurements()
    assert sum(len(m.repeats) for m in old.values()) == 2

    class Later(Scripted):
        def info(self) -> DeviceInfo:
            build = "Android 16" if what == "system" else None
            return msgspec.structs.replace(super().info(), os_build=build)

    second = Later()
    second.state_of_clocks = "pinned" if what == "clocks" else "free"
    second.runtime = "2.0" if what == "runtime" else "1.0"
    feed = Feed()
    for model in setup.grid.models:
        feed.put(setup.prepared(model, content=f"a{model[1:]}" if what == "file" else ""))
    setup.run(second, feed)
    assert setup.states() == ["measured"] * 2 and "measured anew" in setup.texts()
    after = setup.measurements()
    assert {name: m.repeats for name, m in after.items() if name in old} == {n: m.repeats for n, m in old.items()}
    fresh = [m for name, m in after.items() if name not in old]
    assert len(fresh) == 2 and all(len(m.repeats) == 3 for m in fresh)
    assert {c.measurement_id for c in setup.cells()} == {m.id for m in fresh}


def test_clocks_that_change_within_a_run_are_a_failure(tmp_path: Path) -> None:
    def before(name: str, job: Job) -> None:
        device.state_of_clocks = "pinned" if device.state_of_clocks == "free" else "free"

    setup = Setup(tmp_path, models=1, repeats=3)
    device = Scripted(before=before)
    setup.run(device)
    assert [(c.state, c.kind) for c in setup.cells()] == [("failed", "incomparable")]


def test_a_busy_device_is_left_alone(tmp_path: Path) -> None:
    setup = Setup(tmp_path, models=1)
    released = threading.Event()
    held = threading.Event()

    def hold() -> None:
        with lease.hold(DEVICE):
            held.set()
            released.wait(20)

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(20)
    try:
        with pytest.raises(DeviceError, match="is being measured"):
            setup.run(Scripted())
    finally:
        released.set()
        other.join()
    assert setup.states() == ["pending"]
