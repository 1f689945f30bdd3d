"""Per-operator times of one artifact, from a pass of its own."""

from __future__ import annotations

from statistics import median

from edgekit.device import lease
from edgekit.device.device import Device
from edgekit.errors import RuntimeCrashError
from edgekit.job import JobResult
from edgekit.measure.plan import Candidate, check_plan, job_for, profile_plan, timeout_s
from edgekit.records import Artifact, Plan, Profile


def profile(
    artifact: Artifact,
    inputs: tuple[str, ...],
    device: Device,
    threads: int,
    runs: int,
    *,
    wait_s: float = 0.0,
) -> Profile:
    """Median time per operator over ``runs`` instrumented runs on the first sample of ``inputs``.

    Instrumented runs are slower than plain ones: the total says how long these took, not the latency. Shares are of
    that total; what they leave is the runtime's own work between operators.

    Raises:
        DeviceError: another process measures on the device.
        RuntimeCrashError: the runtime refused the file, or recorded no run.
        UsageError: no runtime executes this format, or ``runs`` is below 1.
    """
    plan = profile_plan(Plan(), runs)
    check_plan(plan)
    candidate = Candidate(artifact, inputs)
    with lease.hold(device.info().spec, wait_s=wait_s), device.conditions(threads, "free") as conditions:
        job = job_for(candidate, "profile", plan, threads=threads, affinity=conditions.affinity)
        result = device.run(job, timeout_s=timeout_s(plan))
    if not result.samples_ns and result.counted is None:
        raise RuntimeCrashError(
            f"{result.engine} recorded no profile: {result.note or 'no reason given'}",
            where=artifact.path,
            next_step=f"edgekit reads the profiles of the pinned {result.engine}; install that version.",
        )
    return _profile_of(artifact, device.info().spec, result)


def _profile_of(artifact: Artifact, device: str, result: JobResult) -> Profile:
    counts = result.counted.per_run if result.counted else ()
    return Profile(
        artifact_sha256=artifact.sha256,
        model=artifact.model,
        format=artifact.format,
        device=device,
        engine=result.engine,
        runtime_version=result.runtime_version,
        threads=result.threads,
        runs=len(result.samples_ns) or len(counts),
        total_ms=median(result.samples_ns) / 1e6 if result.samples_ns else None,
        ops=result.ops,
        note=result.note,
        counter=result.counted.counter if result.counted else None,
        total_counted=round(median(counts)) if counts else None,
    )
