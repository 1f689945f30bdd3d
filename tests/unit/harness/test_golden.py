"""The wire bytes that every harness, in whatever language, reads and writes. A change here is a new version."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgekit.job import Envelope, Job, JobFailure, JobResult, encode
from edgekit.records import DeviceState, OpTime, Plan, TensorSpec

GOLDEN = Path(__file__).parents[2] / "golden"

JOB = Job(
    harness_version="0.1.0",
    mode="measure",
    engine="executorch",
    artifact="/data/local/tmp/edgekit/mobilenetv2_xnnpack_fp32.pte",
    artifact_sha256="0123456789abcdef" * 4,
    inputs=("/data/local/tmp/edgekit/input_0.npy",),
    outputs_dir=None,
    threads=4,
    affinity=(4, 5, 6, 7),
    plan=Plan(),
)
RESULT = Envelope(
    result=JobResult(
        harness="python",
        harness_version="0.1.0",
        engine="executorch",
        runtime_version="1.5.1",
        threads=4,
        load_cold_ns=18_900_001,
        load_warm_ns=9_800_002,
        first_ns=16_460_003,
        warmup_ns=(9_000_000, 8_000_000),
        warmup_stable=True,
        samples_ns=(5_248_000, 5_247_999, 9_007_199_254_740_993),  # the last one does not fit a double
        overhead_ns=90,
        outputs=("/data/local/tmp/edgekit/output_0.npy",),
        inputs=(TensorSpec(name="x", shape=(1, 3, 224, 224)),),
        baseline_rss_bytes=223 << 20,
        peak_rss_bytes=251 << 20,
        started="2026-01-02T03:04:05.678+00:00",
        state_before=DeviceState(
            frequencies_khz=(1_803_000, 2_850_000),
            max_frequencies_khz=(1_803_000, 2_850_000),
            governor="schedutil",
            temperatures_c={"soc": 34.5, "battery °C": 29.0},
            thermal_status=0,
            battery_percent=80.0,
            charging=False,
            missing=("load_1min", "screen_on", "steal_ms", "throttle_count"),
        ),
        ops=(OpTime(name="conv #1", type="conv", unit="XNNPACK", p50_ms=0.25, share=0.0625),),
        note="Ünicode is kept as it is.",
    )
)


@pytest.mark.parametrize(("name", "document"), [("job.json", JOB), ("result.json", RESULT)])
def test_documents_round_trip_byte_by_byte(name: str, document: Job | Envelope) -> None:
    golden = (GOLDEN / name).read_bytes()
    assert encode(document) == golden
    decoded = msgspec.json.decode(golden, type=type(document))
    assert decoded == document
    assert encode(decoded) == golden


def test_a_failure_is_a_document_too() -> None:
    failure = Envelope(failure=JobFailure(kind="runtime", message="m", where="w", next_step="n"))
    assert msgspec.json.decode(encode(failure), type=Envelope) == failure


@pytest.mark.parametrize("name", ["job.json", "result.json"])
def test_a_field_that_is_not_known_is_refused(name: str) -> None:
    kind = Job if name == "job.json" else Envelope
    document = msgspec.json.decode((GOLDEN / name).read_bytes())
    document["unheard_of"] = 1
    with pytest.raises(msgspec.ValidationError, match="unheard_of"):
        msgspec.json.decode(msgspec.json.encode(document), type=kind)
