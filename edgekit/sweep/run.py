"""Running a sweep: converting here, measuring on every device at once as far as that disturbs nobody.

Remote devices measure in processes of their own while this process converts. What runs on this machine, the host and
its virtual devices, begins when the conversions have ended, one device after another: each would slow the other down,
and a conversion would slow down both.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from edgekit import prepare
from edgekit.convert import backend as backends
from edgekit.convert import events
from edgekit.device.device import Device
from edgekit.device.resolve import open_device
from edgekit.errors import DeviceError, EdgekitError, StoreError, UsageError
from edgekit.model.request import parse_spec
from edgekit.records import DeviceInfo
from edgekit.selection import Sweep, SweepCell
from edgekit.store.query import Query
from edgekit.store.store import Store
from edgekit.sweep import grid as grids
from edgekit.sweep.cells import hindrance
from edgekit.sweep.estimate import Estimate
from edgekit.sweep.grid import Grid
from edgekit.sweep.messages import Ended, Feed, FromFile, Prepared, Provision, Refused, Repeated, Said, Work
from edgekit.sweep.queue import Queue
from edgekit.sweep.remote import Remote

Say = Callable[[str], None]
OnEvent = Callable[[events.Event], None]


@dataclass(frozen=True)
class Options:
    """How this run of a sweep works; none of it changes what is measured. ``store`` is the store's URL."""

    cache: str
    store: str
    jobs: int
    memory_limit_bytes: int
    wait_s: float = 0.0


class Devices:
    """The devices of a grid, opened when they are first asked for; one that can't be is remembered with its error."""

    def __init__(self, grid: Grid, say: Say) -> None:
        self._grid, self._say = grid, say
        self._found: dict[str, tuple[Device, DeviceInfo]] = {}
        self.lost: dict[str, EdgekitError] = {}

    def formats(self, spec: str) -> tuple[str, ...]:
        """The formats that it runs. Raises DeviceError."""
        return prepare.runnable_formats(self.open(spec)[0])

    def open(self, spec: str) -> tuple[Device, DeviceInfo]:
        """The device and what it says of itself. Raises DeviceError."""
        if spec not in self._found:
            device = open_device(spec, self._say, self._grid.engine if spec == "host" else None)
            info = device.info()
            for other, (_, known) in self._found.items():
                if known.spec == info.spec:
                    raise UsageError(f"{other} and {spec} are the same device.", where="devices",
                                     next_step="Leave one of them out.")  # fmt: skip
            self._found[spec] = (device, info)
        return self._found[spec]

    def reach(self, specs: Iterable[str]) -> dict[str, DeviceInfo]:
        """Those that can be reached; the others are in ``lost``."""
        found = {}
        for spec in dict.fromkeys(specs):
            try:
                found[spec] = self.open(spec)[1]
            except DeviceError as error:
                self.lost[spec] = error
        return found

    def release(self, spec: str) -> None:
        """Close the connection, for the process that measures to have it."""
        close = getattr(self._found[spec][0], "close", None)
        if close is not None:
            close()


def is_here(info: DeviceInfo) -> bool:
    """Whether measuring on the device takes this machine's cores, as far as can be told."""
    return info.transport == "local" or info.spec.startswith("virtual:") or info.emulated


@dataclass
class _Run:
    """One run of a sweep."""

    sweep: Sweep
    grid: Grid
    store: Store
    devices: Devices
    options: Options
    say: Say
    on_event: OnEvent
    estimate: Estimate
    reached: dict[str, DeviceInfo]
    pending: list[SweepCell]
    sinks: dict[str, Feed | Remote] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, event: Said | Repeated | Ended) -> None:
        """What a queue has done; those of remote devices call it from their threads."""
        with self._lock:
            if isinstance(event, Repeated):
                self.estimate.repeated(event.cell, event.seconds)
            elif isinstance(event, Ended):
                self.estimate.ended(event.cell)
            else:
                self.say(f"{self.estimate.left()}: {event.text}")

    def work(self, device: str) -> Work:
        return Work(sweep=self.sweep, device=device, store=self.options.store, cache=self.options.cache,
                    wait_s=self.options.wait_s)  # fmt: skip


def run(
    sweep: Sweep, grid: Grid, store: Store, devices: Devices, options: Options, say: Say, on_event: OnEvent
) -> dict[str, EdgekitError]:
    """Measure the sweep's pending cells; the results are in the store. Answers the devices that were lost, and why.

    Lost is also one whose cells could not all be measured for another reason; they stay pending.

    Raises:
        StoreError: the results can't be kept.
        UsageError: two specs name one device.
    """
    cells = store.cells(sweep.id)
    pending = [cell for cell in cells if cell.state == "pending"]
    reached = devices.reach(cell.device for cell in pending)
    for spec, error in devices.lost.items():
        say(f"{spec} can't be reached: {error.message}")
    here = [spec for spec, info in reached.items() if is_here(info)]
    estimate = Estimate(cells, grid.plan, _repeats_made(store, pending), here)
    state = _Run(sweep, grid, store, devices, options, say, on_event, estimate, reached, pending)
    lost = dict(devices.lost)
    with ExitStack() as stack:
        for spec in reached:
            if spec in here:
                state.sinks[spec] = Feed()
            else:
                devices.release(spec)
                remote = Remote(state.work(spec), state.tell)
                stack.callback(remote.stop)
                state.sinks[spec] = remote
        _convert_all(state)
        lost |= _measure(state, here)
    return lost


def _measure(state: _Run, here: Sequence[str]) -> dict[str, EdgekitError]:
    lost: dict[str, EdgekitError] = {}
    for sink in state.sinks.values():
        if isinstance(sink, Remote):
            sink.close()
    for spec in here:
        feed = state.sinks[spec]
        assert isinstance(feed, Feed)
        feed.put_line(None)
        try:
            Queue(state.work(spec), state.devices.open(spec)[0], state.store, feed, state.tell).run()
        except StoreError:
            raise
        except EdgekitError as error:  # as with a remote device: the others are measured all the same
            lost[spec] = error
        finally:
            state.devices.release(spec)
    for spec, sink in state.sinks.items():
        if isinstance(sink, Remote) and (failure := sink.join()) is not None:
            if isinstance(failure, StoreError):
                raise failure
            lost[spec] = failure
    return lost


def _repeats_made(store: Store, pending: Sequence[SweepCell]) -> dict[str, int]:
    ids = {cell.measurement_id: cell.key for cell in pending if cell.measurement_id}
    found = store.measurements(Query(ids=tuple(ids), with_samples=True, limit=None)) if ids else []
    return {ids[measurement.id]: len(measurement.repeats) for measurement in found}


def _convert_all(state: _Run) -> None:
    """Everything that is wanted, model by model in the grid's order; each file goes to the devices that run it."""
    wanted: dict[tuple[str, str], dict[str, None]] = {}
    for cell in state.pending:
        info = state.reached.get(cell.device)
        if info is not None and hindrance(cell, info) is None:
            wanted.setdefault((cell.model, cell.precision), {})[cell.format] = None
    state.estimate.conversions_left = len(wanted)
    for (model, precision), names in wanted.items():
        began = time.monotonic()
        if parse_spec(state.grid.models[model].spec).kind == "artifact":
            _give_file(state, model, precision, tuple(names))
        else:
            _convert(state, model, precision, _installed(state, model, precision, tuple(names)))
        state.estimate.converted(time.monotonic() - began)


def _installed(state: _Run, model: str, precision: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those whose converter is there; the others have failed, and don't hold these up."""
    found = []
    for name in names:
        try:
            backends.check(backends.lookup(name), precision)
        except EdgekitError as error:
            _give(state, Refused(key=(model, name, precision), error=error.to_dict()))
        else:
            found.append(name)
    return tuple(found)


def _convert(state: _Run, model: str, precision: str, names: tuple[str, ...]) -> None:
    if not names:
        return
    options = state.options
    state.tell(Said(text=f"{model} {precision}: convert to {', '.join(names)}"))
    request = grids.convert_request(
        state.grid, model, names, precision, jobs=options.jobs, memory_limit_bytes=options.memory_limit_bytes,
        cache=options.cache,
    )  # fmt: skip
    try:
        outcome = prepare.convert(request, None, state.on_event)
    except EdgekitError as error:
        for name in names:
            _give(state, Refused(key=(model, name, precision), error=_public(error)))
        return
    for name, failure in outcome.errors.items():
        _give(state, Refused(key=(model, name, precision), error=_public(failure)))
    for spec, info in state.reached.items():
        try:
            ready = prepare.placed(outcome, request, info).ready
        except EdgekitError as error:  # only laying a model out anew for this device can fail
            state.sinks[spec].put(Refused(key=(model, "mcu", precision), error=_public(error)))
            continue
        for subject in ready:
            key = (model, subject.artifact.format, precision)
            state.sinks[spec].put(Prepared(key=key, subject=subject))


def _give_file(state: _Run, model: str, precision: str, names: tuple[str, ...]) -> None:
    """The device looks at the file itself, in its queue."""
    for name in names:
        request = grids.convert_request(
            state.grid, model, (name,), "" if precision == "unknown" else precision, jobs=state.options.jobs,
            memory_limit_bytes=state.options.memory_limit_bytes, cache=state.options.cache,
        )  # fmt: skip
        _give(state, FromFile(key=(model, name, precision), request=request))


def _give(state: _Run, provision: Provision) -> None:
    for sink in state.sinks.values():
        sink.put(provision)


def _public(error: EdgekitError) -> dict[str, object]:
    """Without what only one process can know."""
    return {key: value for key, value in error.to_dict().items() if key not in ("traceback", "log_tail")}
