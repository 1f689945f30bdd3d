from __future__ import annotations

from typing import Any

import pytest

from edgekit.bundle.evidence import Candidate, device_rows, doubts, evidence_of, measurements_of
from edgekit.errors import BundleError
from edgekit.records import Measurement, Plan
from tests.unit.bundle.kept import Kept, choice

OLD, NEW = "2026-01-01T10:00:00+00:00", "2026-06-01T10:00:00+02:00"


@pytest.fixture
def measured(kept: Kept) -> Any:
    """Makes a measurement of one of two files."""
    exported = kept.export()
    files = [kept.convert(exported), kept.convert(exported, "onnx")]
    return lambda number=0, p50=10.0, **changes: kept.measure(files[number], p50, **changes)


def candidate(variant: str, *measurements: Measurement, **changes: Any) -> Candidate:
    return Candidate(variant, measurements, **changes)


# -- which measurements ------------------------------------------------------------------------------------------------


def test_the_newest_of_each_device_runtime_and_number_of_threads_counts(kept: Kept, measured: Any) -> None:
    measured(p50=1.0, created=OLD)
    one = measured(p50=2.0, created=NEW)
    four = measured(p50=3.0, created=OLD, threads=4)
    other = measured(p50=4.0, created=OLD, device_name="Galaxy S23", soc="SM8550")
    measured(1, p50=5.0)
    found = measurements_of([one.artifact_sha256], [], kept.store)
    assert list(found) == [one.artifact_sha256]
    assert found[one.artifact_sha256][0] == one  # the newest first, whatever its time zone
    assert {m.id for m in found[one.artifact_sha256]} == {one.id, four.id, other.id}


def test_what_a_choice_rests_on_is_there_even_if_it_is_not_the_newest(kept: Kept, measured: Any) -> None:
    old, new = measured(p50=1.0, created=OLD), measured(p50=2.0, created=NEW)
    artifact = kept.store.artifact(old.artifact_sha256)
    assert artifact is not None
    found = measurements_of([artifact.sha256], [choice(artifact, old)], kept.store)
    assert [m.id for m in found[artifact.sha256]] == [new.id, old.id]


def test_another_files_measurement_is_no_evidence(kept: Kept, measured: Any) -> None:
    mine, theirs = measured(0), measured(1)
    artifact = kept.store.artifact(mine.artifact_sha256)
    assert artifact is not None
    found = measurements_of([artifact.sha256], [choice(artifact, theirs)], kept.store)
    assert [m.id for m in found[artifact.sha256]] == [mine.id]


def test_a_file_that_was_never_measured_has_an_empty_list(kept: Kept) -> None:
    assert measurements_of(["0" * 64], [], kept.store) == {"0" * 64: []}


def test_evidence_has_the_measurements_figures(measured: Any) -> None:
    one = measured(p50=2.0, verdict="noisy", verdict_reasons=("a fan",), instructions=7, sram_bytes=8)
    made = evidence_of(one)
    for field in made.__struct_fields__:
        assert getattr(made, field) == getattr(one, "id" if field == "measurement_id" else field), field


# -- doubts ------------------------------------------------------------------------------------------------------------


def test_a_missing_measurement_is_said() -> None:
    assert doubts("net (litert_fp32)", []) == ("There is no measurement of net (litert_fp32) in the store.",)


def test_a_measurement_that_is_ok_needs_no_word(measured: Any) -> None:
    assert doubts("net", [measured()]) == ()


def test_other_verdicts_are_said_with_their_reasons(measured: Any) -> None:
    bad = measured(verdict="throttled", verdict_reasons=("It was hot.", "It slowed down"), id="0123456789")
    assert doubts("net", [bad]) == (
        "The measurement of net on Pixel 7 (01234567) is throttled: It was hot; It slowed down.",
    )


def test_an_emulated_device_is_said(measured: Any) -> None:
    (said,) = doubts("net", [measured(emulated=True, device_name="virtual phone")])
    assert said.startswith("virtual phone, which net was measured on") and "emulated" in said


# -- which device runs what --------------------------------------------------------------------------------------------


def test_a_device_runs_what_was_fastest_on_it(measured: Any) -> None:
    slow, fast = measured(0, 10.0), measured(1, 5.0, threads=4)
    elsewhere = measured(0, 1.0, device_name="Galaxy S23", soc="SM8550")
    rows, said = device_rows("net", [candidate("a", slow, elsewhere), candidate("b", fast)])
    assert [(r.device_name, r.soc, r.variant, r.threads, r.p50_ms, r.measurement_id) for r in rows] == [
        ("Galaxy S23", "SM8550", "a", 1, 1.0, elsewhere.id), ("Pixel 7", "GS201", "b", 4, 5.0, fast.id),
    ]  # fmt: skip
    assert said == ()


@pytest.mark.parametrize("changes", [{"verdict": "noisy"}, {"verdict": "throttled"}, {"emulated": True}])
def test_only_what_can_be_trusted_decides(measured: Any, changes: dict[str, Any]) -> None:
    (row,), _ = device_rows("net", [candidate("a", measured(0, 10.0)), candidate("b", measured(1, 5.0, **changes))])
    assert row.variant == "a"
    assert device_rows("net", [candidate("b", measured(1, 5.0, **changes))]) == ((), ())


@pytest.mark.parametrize(
    "changes", [{"os_build": "15"}, {"clock_regime": "pinned"}, {"harness": "native"}, {"plan": Plan(min_runs=7)}]
)
def test_what_can_not_be_compared_does_not_decide(measured: Any, changes: dict[str, Any]) -> None:
    rows, (said,) = device_rows("net", [candidate("a", measured(0, 10.0)), candidate("b", measured(1, 5.0, **changes))])
    assert rows == ()
    assert said == ("a, b of net were not measured under equal conditions on Pixel 7, which runs the first variant.")


def test_the_newest_conditions_that_all_variants_have_decide(measured: Any) -> None:
    old = [measured(0, 1.0, created=OLD), measured(1, 2.0, created=OLD)]
    new = [measured(0, 4.0, created=NEW, os_build="15"), measured(1, 3.0, created=NEW, os_build="15")]
    rows, _ = device_rows("net", [candidate("a", new[0], old[0]), candidate("b", new[1], old[1])])
    assert [(row.variant, row.p50_ms) for row in rows] == [("b", 3.0)]


def test_a_choice_goes_before_what_was_fastest(kept: Kept, measured: Any) -> None:
    slow, fast = measured(0, 10.0, threads=2), measured(1, 5.0)
    artifact = kept.store.artifact(slow.artifact_sha256)
    assert artifact is not None
    chosen = candidate("a", slow, choices=(choice(artifact, slow, threads=2),))
    (row,), _ = device_rows("net", [chosen, candidate("b", fast)])
    assert (row.variant, row.threads, row.measurement_id) == ("a", 2, slow.id)


def test_a_choices_measurement_that_is_not_in_the_store_gives_no_row(kept: Kept, measured: Any) -> None:
    one = measured(0)
    artifact = kept.store.artifact(one.artifact_sha256)
    assert artifact is not None
    rows, (said,) = device_rows("net", [candidate("a", choices=(choice(artifact, one),))])
    assert rows == () and f"The measurement {one.id[:8]} on pixel7" in said and "not in the store" in said


def test_two_choices_for_one_device_are_refused(kept: Kept, measured: Any) -> None:
    both = [measured(number) for number in (0, 1)]
    files = [kept.store.artifact(one.artifact_sha256) for one in both]
    given = [candidate(name, m, choices=(choice(file, m),)) for name, m, file in zip("ab", both, files, strict=True)
             if file]  # fmt: skip
    with pytest.raises(BundleError, match=r"Two choices of net differ for Pixel 7: a \(threads: 1\) and b"):
        device_rows("net", given)
    assert len(device_rows("net", given[:1] * 2)[0]) == 1
