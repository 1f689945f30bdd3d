"""From an artifact and a plan to the jobs that measure it, and how long one of them may take."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from edgekit.errors import UsageError
from edgekit.job import ENGINE_OF_FORMAT, Job, Mode
from edgekit.records import Artifact, Plan
from edgekit.version import __version__

# For importing a runtime, hashing the file and loading it twice, on a slow disk.
LOAD_ALLOWANCE_S = 180.0
# For one inference that was started just before a limit.
RUN_ALLOWANCE_S = 60.0


@dataclass(frozen=True)
class Candidate:
    """One artifact to measure, with its input stacks: one .npy file per model input, samples first."""

    artifact: Artifact
    inputs: tuple[str, ...]


def check_plan(plan: Plan) -> None:
    """Refuse a plan that contradicts itself.

    Raises:
        UsageError: a number is out of its range.
    """
    rules = (
        (plan.repeats >= 1, "repeats must be at least 1"),
        (plan.min_runs >= 1, "min_runs must be at least 1"),
        (plan.warmup_min_runs >= 0 and plan.warmup_min_seconds >= 0, "a warm-up can't be negative"),
        (plan.min_seconds >= 0, "min_seconds can't be negative"),
        (plan.max_seconds > 0 and plan.max_seconds >= plan.min_seconds, "max_seconds must not be below min_seconds"),
        (plan.warmup_max_seconds >= plan.warmup_min_seconds, "warmup_max_seconds is below warmup_min_seconds"),
    )
    for holds, text in rules:
        if not holds:
            raise UsageError(f"The measuring plan is not possible: {text}.", where="plan", next_step="Change the plan.")


def timeout_s(plan: Plan) -> float:
    """Seconds after which a job of this plan is given up."""
    return LOAD_ALLOWANCE_S + plan.warmup_max_seconds + plan.max_seconds + RUN_ALLOWANCE_S


def job_for(
    candidate: Candidate,
    mode: Mode,
    plan: Plan,
    *,
    threads: int,
    affinity: tuple[int, ...] | None = None,
    outputs_dir: str | None = None,
) -> Job:
    """The job that runs ``candidate`` in ``mode``.

    Raises:
        UsageError: no runtime of edgekit's executes this format.
    """
    artifact = candidate.artifact
    if artifact.format not in ENGINE_OF_FORMAT:
        raise UsageError(
            f"No runtime on this device executes the format {artifact.format}.",
            where=artifact.path,
            next_step=f"Formats that run: {', '.join(sorted(ENGINE_OF_FORMAT))}.",
        )
    return Job(
        harness_version=__version__,
        mode=mode,
        engine=ENGINE_OF_FORMAT[artifact.format],
        artifact=artifact.path,
        artifact_sha256=artifact.sha256,
        inputs=candidate.inputs,
        outputs_dir=outputs_dir,
        threads=threads,
        affinity=affinity,
        plan=plan,
    )


def profile_plan(plan: Plan, runs: int) -> Plan:
    """The plan of a profile pass of ``runs`` runs."""
    return msgspec.structs.replace(plan, min_runs=runs)
