from __future__ import annotations

from typing import Any

import pytest

from edgekit.bundle.gather.evidence import Candidate, device_rows, doubts, evidence_of, measurements_of
from edgekit.bundle.gather.kinds import Kind, kind_of
from edgekit.errors import BundleError
from edgekit.records import Measurement, Plan
from tests.unit.bundle.kept import Kept, choice

PHONES = Kind("android")
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
    assert doubts("net (litert_fp32)", [], PHONES) == ("There is no measurement of net (litert_fp32) in the store.",)


def test_a_measurement_that_is_ok_needs_no_word(measured: Any) -> None:
    assert doubts("net", [measured()], PHONES) == ()


def test_other_verdicts_are_said_with_their_reasons(measured: Any) -> None:
    bad = measured(verdict="throttled", verdict_reasons=("It was hot.", "It slowed down"), id="0123456789")
    assert doubts("net", [bad], PHONES) == (
        "The measurement of net on Pixel 7 (01234567) is throttled: It was hot; It slowed down.",
    )


def test_an_emulated_device_is_said(measured: Any) -> None:
    one = measured(emulated=True, device_name="virtual phone", id="0123456789")
    assert doubts("net", [one], PHONES) == (
        "virtual phone, which net was measured on (01234567), is emulated: its times are no device's.",
        "There is no measurement of net on an Android device.",
    )
    assert len(doubts("net", [one, measured()], PHONES)) == 1


def test_an_emulated_board_counts_and_gives_no_times(measured: Any) -> None:
    board = {"device": "virtual:cortex-m7", "device_name": "QEMU", "engine": "edgekit-mcu", "emulated": True,
             "p50_ms": None, "id": "0123456789"}  # fmt: skip
    assert doubts("net", [measured(instructions=7, **board)], Kind("mcu")) == (
        "QEMU, which net was measured on (01234567), is emulated: the instructions are counted, exactly, and what time "
        "they take on a board is not known.",
        "There is no measurement of net on a microcontroller board.",
    )


def test_a_device_of_another_kind_is_said_and_its_verdict_does_not_matter(measured: Any) -> None:
    host = {"device": "host", "device_name": "AMD EPYC", "os_build": "Debian 12 (Linux 6.1)", "soc": None}
    found = [measured(verdict="noisy", **host), measured(threads=4, **host)]
    assert doubts("net", found, PHONES) == (
        "net was measured on AMD EPYC (host), which is no Android device.",
        "There is no measurement of net on an Android device.",
    )
    assert doubts("net", found, Kind("linux", "arm64-v8a")) == (
        "net was measured on AMD EPYC (host), which is no arm64-v8a Linux machine.",
        "There is no measurement of net on an arm64-v8a Linux machine.",
    )
    assert doubts("net", found[1:], Kind("linux", "x86_64")) == ()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, PHONES), ({"device": "adb:123"}, PHONES), ({"device": "virtual:phone-arm64", "emulated": True}, PHONES),
        ({"device": "ios:123"}, Kind("ios")),
        ({"device": "serial:/dev/ttyACM0", "engine": "edgekit-mcu"}, Kind("mcu")),
        ({"device": "host", "os_build": "Debian (Linux 6.1)", "device_name": "Intel(R) Core(TM) i7"},
         Kind("linux", "x86_64")),
        ({"device": "host", "os_build": "Debian (Linux 6.1)", "device_name": "QEMU Virtual CPU version 2.5+"},
         Kind("linux", "x86_64")),
        ({"device": "host", "os_build": "Linux 6.1", "device_name": "Raspberry Pi 5"}, Kind("linux", "arm64-v8a")),
        ({"device": "host", "os_build": "Linux 6.1", "engine": "edgekit-mcu", "device_name": "aarch64"},
         Kind("linux", "arm64-v8a")),
        ({"device": "host", "os_build": "Darwin 24.1", "device_name": "Apple M2"}, None),
        ({"device": "host", "os_build": None}, None),
    ],
)  # fmt: skip
def test_which_kind_of_device_it_was(measured: Any, changes: dict[str, Any], kind: Kind | None) -> None:
    every = [kind_of("android", {"package": "a.b"}), kind_of("ios", {}), kind_of("mcu", {"board": "generic"}),
             kind_of("linux", {"abi": "x86_64"}), kind_of("linux", {"abi": "arm64-v8a"})]  # fmt: skip
    one = measured(**changes)
    assert [known for known in every if known.has(one)] == ([kind] if kind else [])


# -- which device runs what --------------------------------------------------------------------------------------------


def test_a_device_runs_what_was_fastest_on_it(measured: Any) -> None:
    slow, fast = measured(0, 10.0), measured(1, 5.0, threads=4)
    elsewhere = measured(0, 1.0, device_name="Galaxy S23", soc="SM8550")
    rows, said = device_rows("net", [candidate("a", slow, elsewhere), candidate("b", fast)], PHONES)
    assert [(r.device_name, r.soc, r.variant, r.threads, r.p50_ms, r.measurement_id) for r in rows] == [
        ("Galaxy S23", "SM8550", "a", 1, 1.0, elsewhere.id), ("Pixel 7", "GS201", "b", 4, 5.0, fast.id),
    ]  # fmt: skip
    assert said == ()


@pytest.mark.parametrize("changes", [{"verdict": "noisy"}, {"verdict": "throttled"}, {"emulated": True}])
def test_only_what_can_be_trusted_decides(measured: Any, changes: dict[str, Any]) -> None:
    (row,), _ = device_rows(
        "net", [candidate("a", measured(0, 10.0)), candidate("b", measured(1, 5.0, **changes))], PHONES
    )
    assert row.variant == "a"
    assert device_rows("net", [candidate("b", measured(1, 5.0, **changes))], PHONES) == ((), ())


@pytest.mark.parametrize(
    "changes", [{"os_build": "15"}, {"clock_regime": "pinned"}, {"harness": "native"}, {"plan": Plan(min_runs=7)}]
)
def test_what_can_not_be_compared_does_not_decide(measured: Any, changes: dict[str, Any]) -> None:
    rows, (said,) = device_rows(
        "net", [candidate("a", measured(0, 10.0)), candidate("b", measured(1, 5.0, **changes))], PHONES
    )
    assert rows == ()
    assert said == ("a, b of net were not measured under equal conditions on Pixel 7, which runs the first variant.")


def test_the_newest_conditions_that_all_variants_have_decide(measured: Any) -> None:
    old = [measured(0, 1.0, created=OLD), measured(1, 2.0, created=OLD)]
    new = [measured(0, 4.0, created=NEW, os_build="15"), measured(1, 3.0, created=NEW, os_build="15")]
    rows, _ = device_rows("net", [candidate("a", new[0], old[0]), candidate("b", new[1], old[1])], PHONES)
    assert [(row.variant, row.p50_ms) for row in rows] == [("b", 3.0)]


def test_a_choice_goes_before_what_was_fastest(kept: Kept, measured: Any) -> None:
    slow, fast = measured(0, 10.0, threads=2), measured(1, 5.0)
    artifact = kept.store.artifact(slow.artifact_sha256)
    assert artifact is not None
    chosen = candidate("a", slow, choices=(choice(artifact, slow, threads=2),))
    (row,), _ = device_rows("net", [chosen, candidate("b", fast)], PHONES)
    assert (row.variant, row.threads, row.measurement_id) == ("a", 2, slow.id)


def test_a_choice_over_several_devices_gives_each_of_them_its_row(kept: Kept, measured: Any) -> None:
    """What was measured on another kind of device counts for none."""
    places = [{}, {"device": "adb:1", "device_name": "Galaxy S23", "soc": "SM8550"}, {"device": "host"}]
    mine = [measured(0, 10.0, **place) for place in places]
    faster = measured(1, 5.0)
    artifact = kept.store.artifact(mine[0].artifact_sha256)
    assert artifact is not None
    chosen = candidate("a", *mine, choices=(choice(artifact, *mine),))
    rows, said = device_rows("net", [chosen, candidate("b", faster)], PHONES)
    assert [(row.device_name, row.variant) for row in rows] == [("Galaxy S23", "a"), ("Pixel 7", "a")] and said == ()


def test_a_choices_measurement_that_is_not_in_the_store_gives_no_row(kept: Kept, measured: Any) -> None:
    one = measured(0)
    artifact = kept.store.artifact(one.artifact_sha256)
    assert artifact is not None
    rows, (said,) = device_rows("net", [candidate("a", choices=(choice(artifact, one),))], PHONES)
    assert rows == ()
    assert said == f"The store has no such measurement of the file as a was chosen by: {one.id[:8]} on pixel7."


def test_many_measurements_that_are_not_in_the_store_are_one_warning(kept: Kept, measured: Any) -> None:
    gone = [measured(0, device=f"phone{number}") for number in range(5)]
    artifact = kept.store.artifact(gone[0].artifact_sha256)
    assert artifact is not None
    _, (said,) = device_rows("net", [candidate("a", choices=(choice(artifact, *gone),))], PHONES)
    assert " on phone0, " in said and said.endswith(" on phone2 and 2 more.")


def test_a_choice_of_other_threads_than_were_measured_is_refused(kept: Kept, measured: Any) -> None:
    one = measured(0, threads=2)
    artifact = kept.store.artifact(one.artifact_sha256)
    assert artifact is not None
    edited = candidate("a", one, choices=(choice(artifact, one, threads=99),))
    with pytest.raises(BundleError, match=r"The choice of a is for 99 threads, .* on pixel7\) is of 2"):
        device_rows("net", [edited], PHONES)


@pytest.mark.parametrize("changes", [{"device": "host", "os_build": "Linux"}, {"device": "ios:1"}, {"emulated": True}])
def test_another_kind_of_device_gets_no_row_even_by_a_choice(kept: Kept, measured: Any, changes: Any) -> None:
    one = measured(0, **changes)
    artifact = kept.store.artifact(one.artifact_sha256)
    assert artifact is not None
    assert device_rows("net", [candidate("a", one), candidate("b", measured(1, **changes))], PHONES) == ((), ())
    assert device_rows("net", [candidate("a", one, choices=(choice(artifact, one),))], PHONES) == ((), ())


def test_two_choices_for_one_device_are_refused(kept: Kept, measured: Any) -> None:
    both = [measured(number) for number in (0, 1)]
    files = [kept.store.artifact(one.artifact_sha256) for one in both]
    given = [candidate(name, m, choices=(choice(file, m),)) for name, m, file in zip("ab", both, files, strict=True)
             if file]  # fmt: skip
    with pytest.raises(BundleError, match=r"Two choices of net differ for Pixel 7: a \(threads: 1\) and b"):
        device_rows("net", given, PHONES)
    assert len(device_rows("net", given[:1] * 2, PHONES)[0]) == 1
