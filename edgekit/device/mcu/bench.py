"""Timed runs on a board by the plan, and what its counter says."""

from __future__ import annotations

import time

from edgekit.device.mcu.agent import Agent
from edgekit.device.mcu.answers import Identity
from edgekit.errors import DeadlineError
from edgekit.records import Counter, Plan

# Counted instructions are the same in every run: more than this many only show it again.
COUNTED_RUNS = 3
# Runs asked for at once, so that a job ends near its limits.
_BATCH = 10


def counter_of(identity: Identity) -> Counter | None:
    """What a measurement calls it; None where the board counts time, or nothing."""
    return None if identity.counts == "nanoseconds" else identity.counts


def ns_per_count(identity: Identity) -> float | None:
    """Nanoseconds in one of what the board counts; None if that says nothing of time."""
    if identity.counts == "instructions":
        return None
    return 1e9 / identity.clock_hz if identity.counts == "cycles" else 1.0


def bench(agent: Agent, plan: Plan) -> tuple[list[float], int, bool]:
    """Runs by the plan: the values of each, the raw overhead, and whether the plan's limit ended them too early."""
    if agent.identity.counts == "instructions":
        done = agent.bench(1, COUNTED_RUNS, limit_s=plan.max_seconds)
        return list(done.values), done.overhead, False
    values: list[float] = []
    _warm_up(agent, plan)
    overhead, began = 0, time.monotonic()
    while len(values) < plan.min_runs or time.monotonic() - began < plan.min_seconds:
        left = plan.max_seconds - (time.monotonic() - began)
        if left <= 0 and values:
            return values, overhead, len(values) < plan.min_runs
        try:
            done = agent.bench(0, _BATCH, limit_s=left)
        except DeadlineError:
            if not values:
                raise
            return values, overhead, len(values) < plan.min_runs
        overhead = done.overhead
        values += done.values
    return values, overhead, False


def _warm_up(agent: Agent, plan: Plan) -> None:
    """Runs and seconds of the plan's warm-up: caches and flash accelerators are cold after a load."""
    runs, began = 0, time.monotonic()
    while runs < plan.warmup_min_runs or time.monotonic() - began < plan.warmup_min_seconds:
        left = plan.warmup_max_seconds - (time.monotonic() - began)
        if left <= 0:
            return
        try:
            agent.bench(0, 1, limit_s=left)
        except DeadlineError:
            return  # the measurement has limits of its own
        runs += 1
