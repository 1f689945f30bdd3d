"""Measure candidates on a device by the protocol: cold repeats, candidates interleaved, memory in a pass of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekit.device import lease
from edgekit.device.device import Device
from edgekit.errors import EdgekitError
from edgekit.measure.plan import Candidate, check_plan
from edgekit.measure.session import Say, Session
from edgekit.records import ClockRegime, Measurement, Plan


@dataclass(frozen=True)
class Outcome:
    """What became of one candidate.

    ``measurement`` holds every repeat that finished and is None if none did. ``error`` says what ended the
    measurement early and is None if it is complete; the other candidates were measured all the same.
    """

    candidate: Candidate
    measurement: Measurement | None
    error: EdgekitError | None


def measure(
    candidates: Sequence[Candidate],
    device: Device,
    plan: Plan,
    *,
    threads: int,
    on_repeat: Callable[[Measurement], None],
    progress: Say,
    clocks: ClockRegime = "free",
    wait_s: float = 0.0,
) -> list[Outcome]:
    """Measure every candidate and answer one outcome each, in the order given.

    The order of work is repeat by repeat, each over all candidates, so that a change of the machine touches all of
    them alike. Every repeat is a process of its own. The memory passes come last: a kill then costs a memory figure,
    not samples. The device's lease is held throughout.

    Args:
        on_repeat: called with the measurement as known so far, under one id, after every repeat and after the memory
            pass; until the last repeat its verdict is ``incomparable``. Store it: a kill then loses the run in flight.
        progress: called with one line of text before every step.
        clocks: ``pinned`` asks the device to hold its clocks; what came of that is in each measurement.
        wait_s: how long to wait for another process that measures on the device, in seconds.

    Raises:
        DeviceError: another process measures on the device.
        UsageError: the plan contradicts itself.
    """
    check_plan(plan)
    info = device.info()
    sessions = [Session(candidate, info, plan, threads) for candidate in candidates]
    errors: dict[int, EdgekitError] = {}

    def step(number: int, make: Callable[[Session], Measurement]) -> None:
        if number in errors:
            return
        try:
            measurement = make(sessions[number])
        except EdgekitError as error:
            errors[number] = error
        else:
            on_repeat(measurement)

    with lease.hold(info.spec, wait_s=wait_s), device.conditions(threads, clocks) as conditions:
        for _ in range(plan.repeats):
            for number in range(len(sessions)):
                step(number, lambda session: session.repeat(device, conditions, progress))
        for number, session in enumerate(sessions):
            if not session.memory_done:
                step(number, lambda session: session.memory(device, conditions, progress))
    return [Outcome(s.candidate, s.measurement, errors.get(number)) for number, s in enumerate(sessions)]
