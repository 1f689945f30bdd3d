from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.choose import ask as questions
from edgekit.choose.ask import ChooseRequest, answer, device_names
from edgekit.choose.limits import parse_constraint, parse_objective
from edgekit.errors import IncomparableError, UsageError
from edgekit.records import Parity
from edgekit.selection import Choice, Sweep, SweepCell
from edgekit.store.store import Store
from tests.unit.choose.made import artifact, digest, evaluation, measurement
from tests.unit.store.samples import make_repeat


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'results.sqlite'}") as opened:
        yield opened


def put(store: Store, model: str, p50: float, top1: float | None = None, **changes: Any) -> str:
    """A measured file, evaluated if there is an accuracy; answers the measurement's id."""
    store.add_artifact(artifact(model))
    made = measurement(model, p50, **changes)
    store.save_measurement(made)
    if top1 is not None:
        store.save_evaluation(evaluation(model, top1))
    return made.id


def ask(store: Store, *limits: str, best: str = "maximize top1", **options: Any) -> Choice:
    request = ChooseRequest(
        devices=options.pop("devices", ("host",)), constraints=tuple(parse_constraint(text) for text in limits),
        objectives=(parse_objective(best),), **options,
    )  # fmt: skip
    return answer(request, store)


def chosen(choice: Choice) -> str:
    assert choice.choice is not None
    return choice.choice.candidate.model


def test_the_newest_measurements_and_evaluations_of_the_store_are_judged(store: Store) -> None:
    put(store, "slow", 30, 0.9)
    put(store, "good", 20, 0.8, created="2026-02-01T00:00:00+00:00")
    newest = put(store, "good", 9)
    put(store, "quick", 3, 0.5)
    choice = ask(store, "latency<=10")
    assert (choice.status, chosen(choice)) == ("chosen", "good")
    assert choice.choice is not None and choice.choice.measurements == {"host": newest}
    assert choice.choice.quantities["size_bytes"].value == 4_000_000
    (older,) = choice.excluded
    assert older.count == 1 and "superseded" in older.reason


def test_only_what_was_asked_about_counts(store: Store) -> None:
    put(store, "wide_net", 5, 0.9)
    put(store, "tall_net", 6, 0.7, created="2026-01-01T00:00:00+00:00")
    first = put(store, "other", 2, 0.5)
    assert chosen(ask(store, model="tall")) == "tall_net"
    assert chosen(ask(store, since="2026-02-01", model="*net")) == "wide_net"
    sweep = Sweep(id="s" * 32, name="nightly", created="2026-03-02T00:00:00+00:00", grid="{}", grid_sha256=digest("{}"))
    cell = SweepCell(sweep_id=sweep.id, key="1", model="other", format="litert", precision="fp32", threads=1,
                     device="host", state="measured", measurement_id=first)  # fmt: skip
    store.add_sweep(sweep)
    store.add_cells([cell])
    assert chosen(ask(store, sweep="nightly")) == "other"
    assert chosen(ask(store, sweep="nightly", devices=())) == "other"
    with pytest.raises(UsageError, match="Nothing measured on host that fits --model none"):
        ask(store, model="none")


def test_the_only_device_need_not_be_named(store: Store) -> None:
    with pytest.raises(UsageError, match="no measurements to choose from"):
        ask(store, devices=())
    put(store, "net", 5, 0.7)
    assert chosen(ask(store, devices=())) == "net"
    put(store, "net", 5, device="adb:0123", device_name="Google Pixel 7")
    with pytest.raises(UsageError, match=r"measurements on 2 devices: .*adb:0123") as caught:
        ask(store, devices=())
    assert caught.value.where == "--device"


def test_the_only_device_is_the_only_one_of_all_measurements(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "_RECENT", 2)
    put(store, "old", 5, device="adb:0123", device_name="Google Pixel 7", created="2026-01-01T00:00:00+00:00")
    put(store, "a", 5, 0.7)
    put(store, "b", 6, 0.7)
    with pytest.raises(UsageError, match=r"measurements on 2 devices: .*adb:0123"):
        ask(store, devices=())


def test_a_device_is_named_by_its_spec_its_name_or_its_profile(store: Store) -> None:
    put(store, "net", 5, 0.7, device="adb:0123", device_name="Google Pixel 7", soc="GS201")
    put(store, "net", 5, device="adb:9", device_name="Google Pixel 7 Pro")
    for device in ("adb:0123", "Google Pixel 7", "pixel7"):
        choice = ask(store, devices=(device,))
        assert choice.conditions[device].device_name == "Google Pixel 7"
    with pytest.raises(UsageError, match="Nothing measured on pixel6") as caught:
        ask(store, devices=("pixel6",))
    assert "edgekit sweep --device pixel6" in caught.value.next_step
    assert "adb:0123 (Google Pixel 7)" in caught.value.next_step
    with pytest.raises(UsageError, match="named twice"):
        ask(store, devices=("host", "host"))


def test_the_names_of_a_profiles_devices_are_those_that_android_gives() -> None:
    assert device_names("adb:0123") == ("adb:0123",)
    assert {"pixel7", "Google Pixel 7"} <= set(device_names("pixel7"))
    assert "samsung SM-A528B" in device_names("galaxy_a52s_5g")
    assert device_names("nucleo-h743zi")[1:] == ("nucleo_h743zi", "ST NUCLEO-H743ZI, NUCLEO-H743ZI2")
    assert device_names("rp2040") == ("rp2040", "Raspberry Pi Pico")
    assert device_names("host") == ("host",)


def test_two_units_of_one_device_are_one_class(store: Store) -> None:
    for unit, model in (("adb:1", "a"), ("adb:2", "b")):
        put(store, model, 5, 0.7, device=unit, device_name="Google Pixel 7")
    choice = ask(store, devices=("pixel7",))
    assert len(choice.front) + len(choice.dominated) == 2


def test_candidates_without_an_evaluation_are_left_out_and_never_filled_from_published(store: Store) -> None:
    put(store, "mobilenetv2_100", 5, 0.6)
    put(store, "mobilenetv2_140", 6)
    choice = ask(store)
    assert chosen(choice) == "mobilenetv2_100"
    assert [(one.candidate, one.reason) for one in choice.excluded] == [
        ("mobilenetv2_140 litert fp32, 1 thread", "it has not been evaluated on test.npz")
    ]
    published = ask(store, accuracy="published")
    assert chosen(published) == "mobilenetv2_140"
    assert any("published figures, not measurements" in reason for reason in published.reasons)
    assert published.choice is not None and published.choice.quantities["top1"].source == "published"


def test_published_figures_of_random_weights_are_pointed_out(store: Store) -> None:
    store.add_artifact(artifact("mobilenetv2_100", weights="random, seed 0"))
    store.save_measurement(measurement("mobilenetv2_100"))
    reasons = " ".join(ask(store, accuracy="published").reasons)
    assert "top1 is published, for the published weights; 1 of the 1 measured files have random ones." in reasons
    store.add_artifact(artifact("mobilenetv2_140", weights="file mine.pt"))
    store.save_measurement(measurement("mobilenetv2_140"))
    store.add_artifact(artifact("mobilenetv2_050", weights="pretrained, timm"))
    store.save_measurement(measurement("mobilenetv2_050"))
    reasons = " ".join(ask(store, accuracy="published").reasons)
    assert "1 of the 3 measured files have random ones." in reasons
    assert "1 of the 3 measured files are not known to have these." in reasons


def test_a_table_of_the_users_own(store: Store, tmp_path: Path) -> None:
    put(store, "a", 5)
    put(store, "b", 6)
    table = tmp_path / "mine.csv"
    table.write_text("model,miou\na,33.5\nb,40.1\nc,50\n")
    choice = ask(store, "miou>=30", best="maximize miou", accuracy=str(table))
    assert chosen(choice) == "b"
    assert "In mine.csv, but not measured here: c." in choice.reasons
    with pytest.raises(UsageError, match=r"No top1 of these candidates is known. mine.csv has the metrics miou"):
        ask(store, accuracy=str(table))


def test_accuracies_that_nobody_knows_say_where_to_get_them(store: Store) -> None:
    put(store, "a", 5)
    with pytest.raises(UsageError, match="None of them was evaluated") as caught:
        ask(store)
    for way in ("edgekit evaluate", "FILE.csv", "published"):
        assert way in caught.value.next_step
    store.save_evaluation(evaluation("a", 0.9, metric="top5"))
    with pytest.raises(UsageError, match="They were evaluated by top5"):
        ask(store)
    with pytest.raises(UsageError, match="No p50_msec of these") as caught:
        ask(store, best="minimize p50_msec")
    assert "Did you mean p50_ms" in caught.value.next_step
    with pytest.raises(UsageError, match="Only top1 is published"):
        ask(store, best="maximize top5", accuracy="published")
    with pytest.raises(UsageError, match="so none is needed"):
        ask(store, best="minimize latency", accuracy="published")
    with pytest.raises(UsageError, match="are for stored evaluations"):
        ask(store, accuracy="published", dataset="test.npz")


def test_the_models_accuracy_may_stand_in(store: Store) -> None:
    put(store, "a", 5)
    put(store, "b", 5, 0.6)
    store.save_evaluation(evaluation("a", 0.8, artifact_sha256=None, format="pytorch"))
    assert chosen(ask(store)) == "b"
    choice = ask(store, model_stands_in=True)
    assert chosen(choice) == "a" and any("stands in" in reason for reason in choice.reasons)


def test_first_and_cold_figures_are_read_with_their_samples(store: Store) -> None:
    for model, slower in (("a", 0), ("b", 10**9)):
        repeats = tuple(make_repeat(index, 200) for index in range(3))
        store.add_artifact(artifact(model))
        made = measurement(model, load_cold_ms=(12 + slower) * 1e-6, repeats=repeats)
        store.save_measurement(made)
    choice = ask(store, best="minimize load")
    assert choice.choice is not None
    assert choice.choice.quantities["load_cold_ms"].note == "the interval is Student's over 3 cold repeats"


def test_emulated_times_are_refused_unless_asked_for_and_counts_are_not(store: Store) -> None:
    board: dict[str, Any] = {"device": "virtual:cortex-m7", "device_name": "virtual board", "emulated": True}
    put(store, "a", 5, instructions=5_000_000, sram_bytes=100_000, **board)
    put(store, "b", 4, instructions=9_000_000, sram_bytes=50_000, **board)
    with pytest.raises(IncomparableError, match=r"2: its device is emulated.*--emulated takes it"):
        ask(store, best="minimize latency", devices=("virtual:cortex-m7",))
    choice = ask(store, best="minimize latency", devices=("virtual:cortex-m7",), emulated=True)
    assert chosen(choice) == "b" and any("no device's latency" in reason for reason in choice.reasons)
    counted = ask(store, "sram<=128KiB", best="minimize instructions", devices=("virtual:cortex-m7",))
    assert (counted.status, chosen(counted)) == ("chosen", "a")


def test_a_file_that_failed_parity_is_left_out(store: Store) -> None:
    put(store, "right", 5, 0.6)
    put(store, "wrong", 1, 0.9)
    store.add_artifact(artifact("wrong", parity=Parity(passed=False, reason="cosine 0.1 is below 0.999")))
    choice = ask(store)
    assert chosen(choice) == "right"
    assert choice.excluded[0].reason == "the file failed parity: cosine 0.1 is below 0.999"
