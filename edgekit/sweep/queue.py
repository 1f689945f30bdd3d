"""The queue of one device: its cells, repeat by repeat, each round over all of them.

A cell is changed only by whoever holds its device's lease, so two processes never measure one cell at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgekit import prepare
from edgekit.device import lease
from edgekit.device.device import Conditions, Device
from edgekit.errors import DeviceError, EdgekitError, IncomparableError, RuntimeCrashError, StoreError, UsageError
from edgekit.measure.plan import Candidate
from edgekit.measure.session import Session
from edgekit.prepare import Subject
from edgekit.records import DeviceInfo, Measurement
from edgekit.selection import CellState, SweepCell
from edgekit.store.query import Query
from edgekit.store.store import Store
from edgekit.sweep import grid as grids
from edgekit.sweep.cells import hindrance, rounds
from edgekit.sweep.messages import Ended, Feed, Prepared, Provision, Refused, Repeated, Said, Tell, Work, source_of
from edgekit.version import __version__

_REASON = 2000  # characters of an error that are kept: a device may say anything
_ATTEMPTS = 2


@dataclass
class _Entry:
    """One cell while its queue runs; ``so_far`` is its measurement from before."""

    cell: SweepCell
    so_far: Measurement | None
    provision: Provision | None = None
    session: Session | None = None

    @property
    def made(self) -> int:
        """Its repeats so far."""
        if self.session is not None:
            return len(self.session.repeats)
        return len(self.so_far.repeats) if self.so_far else 0

    @property
    def label(self) -> str:
        return f"{self.cell.model} {self.cell.format} {self.cell.precision}"


_Make = Callable[[_Entry, Conditions], None]


class Queue:
    """Measures the device's pending cells.

    Args:
        feed: where the converted files come from; the queue waits where one is not there yet.
        tell: what was done, as it is done.
    """

    def __init__(self, work: Work, device: Device, store: Store, feed: Feed, tell: Tell) -> None:
        self._work, self._device, self._store, self._feed, self._tell = work, device, store, feed, tell
        self._grid = grids.read(work.sweep.grid)
        self._entries: list[_Entry] = []
        self._aside: list[tuple[_Entry, DeviceError]] = []

    def run(self) -> None:
        """Measure until every cell is settled.

        The repeats of all cells come before their memory passes: a kill then costs a memory figure, not samples.

        Raises:
            DeviceError: the device is busy or was lost; its cells stay pending.
            StoreError: the results can't be kept.
        """
        self._info = self._device.info()
        with lease.hold(self._info.spec, wait_s=self._work.wait_s):
            self._load()
            while waiting := self._open():
                fewest = min(entry.made for entry in waiting)
                if fewest < self._grid.plan.repeats:
                    self._round(fewest + 1, [entry for entry in waiting if entry.made == fewest], self._repeat)
                else:
                    self._round(0, waiting, self._memory)
        if self._aside:
            raise self._aside[0][1]

    def _open(self) -> list[_Entry]:
        aside = [entry for entry, _ in self._aside]
        return [entry for entry in self._entries if entry.cell.state == "pending" and entry not in aside]

    def _load(self) -> None:
        """The cells as they are now that nobody else changes them."""
        stored = self._store.cells(self._work.sweep.id)
        cells = [cell for cell in stored if cell.device == self._work.device and cell.state == "pending"]
        ids = tuple(cell.measurement_id for cell in cells if cell.measurement_id)
        found = self._store.measurements(Query(ids=ids, with_samples=True, limit=None)) if ids else []
        known = {measurement.id: measurement for measurement in found}
        self._entries = [_Entry(cell, known.get(cell.measurement_id or "")) for cell in cells]
        for entry in self._entries:
            reason = hindrance(entry.cell, self._info)
            if reason is not None:
                self._settle(entry, "skipped", reason)

    def _round(self, number: int, entries: list[_Entry], make: _Make) -> None:
        seed = f"{self._work.sweep.id}/{self._work.device}"
        for group in rounds(seed, number, entries, lambda entry: entry.cell.threads):
            self._group(group, make)

    def _group(self, waiting: list[_Entry], make: _Make) -> None:
        """One step for every entry; all have one thread count."""
        entry = self._next(waiting)
        if entry is None:
            return
        with ExitStack() as stack:
            try:
                asked = self._device.conditions(entry.cell.threads, self._grid.clocks)
                conditions = stack.enter_context(asked)
            except UsageError as error:  # the device can't be measured so by design
                for each in (entry, *waiting):
                    self._settle(each, "skipped", error.message)
                return
            while entry is not None:
                self._step(entry, conditions, make)
                entry = self._next(waiting)

    def _next(self, waiting: list[_Entry]) -> _Entry | None:
        """The first whose file is there, taken out of ``waiting``; None when there is no more."""
        while waiting:
            ready = next((e for e in waiting if e.provision or self._feed.get(source_of(e.cell))), None)
            if ready is None:
                self._feed.wait()
                continue
            waiting.remove(ready)
            ready.provision = ready.provision or self._feed.get(source_of(ready.cell))
            if not isinstance(ready.provision, Refused):
                return ready
            self._fail(ready, EdgekitError.from_dict(ready.provision.error))
        return None

    def _step(self, entry: _Entry, conditions: Conditions, make: _Make) -> None:
        """A cell's own failure is its result; a device that fails twice, with two cells, is lost."""
        lost = None
        for _ in range(_ATTEMPTS):
            try:
                make(entry, conditions)
            except StoreError:
                raise
            except RuntimeCrashError as error:
                return self._fail(entry, error)
            except DeviceError as error:
                lost = error
                if self._info.transport == "local":  # this machine is there, so it is the cell
                    return self._fail(entry, error)
            except EdgekitError as error:
                return self._fail(entry, error)
            else:
                return self._confirm()
        assert lost is not None
        self._aside.append((entry, lost))
        if len(self._aside) > 1:
            raise self._aside[0][1]

    def _confirm(self) -> None:
        """The device works, so the cell with which it did not has failed by itself."""
        for entry, error in self._aside:
            self._fail(entry, error)
        self._aside = []

    def _begin(self, entry: _Entry) -> Session:
        """Bring the file there, check what it computes there, and go on with what is stored of it."""
        subject = self._subject(entry)
        artifact = msgspec.structs.replace(subject.artifact, model=entry.cell.model)
        self._device.push(artifact, subject.inputs)
        self._say(entry, f"{entry.label}: parity on the device")
        prepare.check_on_device(
            subject, self._device, cache=Path(self._work.cache), check_parity=self._grid.parity,
            threads=entry.cell.threads,
        )  # fmt: skip
        self._store.add_artifact(artifact)
        candidate = Candidate(artifact, subject.inputs)
        if entry.so_far and not _continues(entry.so_far, candidate, self._info):
            return self._anew(entry, candidate, "the file, the device or edgekit has changed")
        return Session(candidate, self._info, self._grid.plan, entry.cell.threads, entry.so_far)

    def _subject(self, entry: _Entry) -> Subject:
        provision = entry.provision
        if isinstance(provision, Prepared):
            return provision.subject
        assert provision is not None and not isinstance(provision, Refused)
        found = prepare.subjects(provision.request, self._device, lambda _event: None)
        for error in found.errors.values():
            raise error
        return found.ready[0]

    def _repeat(self, entry: _Entry, conditions: Conditions) -> None:
        began = time.monotonic()
        session = entry.session = entry.session or self._begin(entry)
        before = session.measurement
        if before and (before.clock_regime, before.affinity) != (conditions.clock_regime, conditions.affinity):
            session = self._anew(entry, session.candidate, "the device's clocks or cores have changed")
            before = None
        made = session.repeat(self._device, conditions, lambda text: self._say(entry, text))
        if before and made.runtime_version != before.runtime_version:
            why = f"its runtime was {before.runtime_version} and is {made.runtime_version}"
            self._anew(entry, session.candidate, why)
            return
        self._keep(entry, made, session.repeats_done and session.memory_done)
        self._tell(Repeated(cell=entry.cell.key, seconds=time.monotonic() - began))

    def _memory(self, entry: _Entry, conditions: Conditions) -> None:
        session = entry.session = entry.session or self._begin(entry)
        if not session.repeats_done:  # what was stored of it can't be continued: its repeats come first
            return
        made = session.measurement
        if made is None or not session.memory_done:
            made = session.memory(self._device, conditions, lambda text: self._say(entry, text))
        self._keep(entry, made, complete=True)

    def _keep(self, entry: _Entry, made: Measurement, complete: bool) -> None:
        entry.cell = msgspec.structs.replace(
            entry.cell,
            state="measured" if complete else "pending",
            artifact_sha256=made.artifact_sha256,
            measurement_id=made.id,
        )
        self._store.save_cell(entry.cell, made)
        if complete:
            self._tell(Ended(cell=entry.cell.key, state="measured"))

    def _anew(self, entry: _Entry, candidate: Candidate, why: str) -> Session:
        """A measurement from before that can't be continued stays in the store, unfinished.

        Raises:
            IncomparableError: it is this run's own.
        """
        if entry.so_far is None:
            raise IncomparableError(f"Two repeats can't be compared: {why}.", where=entry.cell.key,
                                    next_step="Let nothing else set the device's clocks meanwhile.")  # fmt: skip
        entry.so_far = None
        self._say(entry, f"{entry.label}: measured anew, because {why}")
        entry.session = Session(candidate, self._info, self._grid.plan, entry.cell.threads)
        return entry.session

    def _fail(self, entry: _Entry, error: EdgekitError) -> None:
        self._say(entry, f"{entry.label}: FAILED: {error.message}")
        self._settle(entry, "failed", error.message, error.kind)

    def _settle(self, entry: _Entry, state: CellState, reason: str, kind: str | None = None) -> None:
        entry.cell = msgspec.structs.replace(entry.cell, state=state, reason=reason[:_REASON], kind=kind)
        self._store.save_cell(entry.cell)
        self._tell(Ended(cell=entry.cell.key, state=state))

    def _say(self, entry: _Entry, text: str) -> None:
        count = entry.cell.threads
        threads = f"{count} thread{'s' if count > 1 else ''}" if len(self._grid.threads) > 1 else ""
        device = self._work.device if len(self._grid.devices) > 1 else ""
        which = ", ".join(part for part in (threads, device) if part)
        self._tell(Said(text=f"{text} ({which})" if which else text))


def _continues(so_far: Measurement, candidate: Candidate, info: DeviceInfo) -> bool:
    """Whether further repeats may be added: the same file on the same device by the same harness."""
    then = (so_far.artifact_sha256, so_far.device, so_far.device_name, so_far.os_build, so_far.soc)
    now = (candidate.artifact.sha256, info.spec, info.name, info.os_build, info.soc)
    return then == now and so_far.harness_version == __version__
