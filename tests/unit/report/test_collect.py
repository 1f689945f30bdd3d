from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import UsageError
from edgekit.report import samples, text
from edgekit.report.collect import Asked, collect
from edgekit.report.data import ReportData
from edgekit.selection import Choice
from edgekit.store.store import Store
from tests.unit.report import examples
from tests.unit.report.conftest import CREATED


def test_candidates_of_one_page_are_compared_within_their_conditions(everything: ReportData) -> None:
    assert [group.device_name for group in everything.groups] == ["Bench machine", "Virtual phone", "MPS2 board"]
    for c in everything.candidates:
        assert everything.groups[c.group].device_name == c.measurement.device_name
    assert len({c.label for c in everything.candidates}) == len(everything.candidates) == 16


def test_ranks_without_a_choice(everything: ReportData) -> None:
    rank = {(c.measurement.model, c.measurement.format): c.rank for c in everything.candidates if c.group == 0}
    assert everything.metric == "top1"
    assert rank["small_net", "executorch"] == "front"
    # Slower than middle_net, and certainly less accurate.
    assert rank["large_net", "onnx"] == "dominated"
    # Every fourth has no evaluation, and a throttled measurement compares with nothing.
    assert rank["middle_net", "executorch"] == "unplaced"
    assert rank["wrong_net", "litert"] == "unusable"


def test_ranks_are_the_choices(chosen: ReportData, choice: Choice) -> None:
    assert choice.choice is not None
    best = [c for c in chosen.candidates if c.rank == "chosen"]
    assert [c.measurement.id for c in best] == list(choice.choice.measurements.values())
    ties = {one for standing in choice.ties for one in standing.measurements.values()}
    assert {c.measurement.id for c in chosen.candidates if c.rank == "tie"} == ties
    assert best[0].accuracy == choice.choice.quantities["top1"]


def test_what_the_choice_left_out_has_no_rank_of_its_own(filled: Store, choice: Choice) -> None:
    data = collect(filled, Asked(devices=("host",)), CREATED, choice)
    rank = {(c.measurement.model, c.measurement.format): c.rank for c in data.candidates}
    assert rank["middle_net", "executorch"] == "unplaced"  # it has no accuracy
    assert rank["wrong_net", "litert"] == "unusable"
    placed = {one for standing in (*choice.front, *choice.dominated) for one in standing.measurements.values()}
    assert placed == {c.measurement.id for c in data.candidates if c.rank not in ("unplaced", "unusable")}


def test_a_sweep_has_its_own_measurements_only(chosen: ReportData) -> None:
    assert {c.measurement.device for c in chosen.candidates} == {"host"}
    assert "wrong_net" not in {c.measurement.model for c in chosen.candidates}
    assert sorted({cell.state for cell in chosen.cells}) == ["failed", "measured", "pending", "skipped"]


def test_figures_are_of_every_run(everything: ReportData, filled: Store) -> None:
    shown = next(c for c in everything.candidates if c.measurement.model == "small_net" and c.group == 0)
    full = filled.measurement(shown.measurement.id)
    for shape, repeat in zip(shown.runs, full.repeats, strict=True):
        assert shape.runs == len(repeat.samples_ns)
        assert shape.p50 == pytest.approx(statistics.median(repeat.samples_ns) / 1e6, rel=1e-4)
        assert (shape.ecdf[0], shape.ecdf[-1]) == (shape.low, shape.high)
    assert shown.measurement.repeats == ()


def test_counts_stand_in_where_there_is_no_time(everything: ReportData) -> None:
    board = next(c for c in everything.candidates if c.measurement.format == "mcu")
    assert (board.unit, board.cost and board.cost.value) == ("instructions", 31_000_000)
    assert [shape.p50 for shape in board.runs] == [31_000_000] * 3


def test_the_newest_are_kept_and_the_rest_counted(filled: Store, everything: ReportData) -> None:
    some = collect(filled, Asked(limit=5), CREATED)
    newest = sorted((c.measurement.created for c in everything.candidates), reverse=True)[:5]
    assert sorted((c.measurement.created for c in some.candidates), reverse=True) == newest
    assert some.omitted == 11


def test_nothing_that_fits_says_what_to_do(filled: Store) -> None:
    with pytest.raises(UsageError, match="models nonesuch") as caught:
        collect(filled, Asked(model="nonesuch"), CREATED)
    assert "edgekit results" in caught.value.next_step


def test_files_without_accuracy_are_ranked_by_size(tmp_path: object) -> None:
    with Store.open(f"sqlite:///{tmp_path}/bare.sqlite") as store:
        examples.fill(store, accuracy=False)
        data = collect(store, Asked(devices=("host",)), CREATED)
    assert data.metric is None
    rank = {(c.measurement.model, c.measurement.format): c.rank for c in data.candidates}
    assert rank["small_net", "executorch"] == "front"
    assert rank["large_net", "onnx"] == "dominated"


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=2000))
@settings(deadline=None)
def test_thinned_runs_keep_the_extremes(values: list[int]) -> None:
    shape = samples.shape(examples.repeat(values, 0))
    assert shape is not None and shape.runs == len(values)
    assert len(shape.series) <= max(samples.SERIES_RUNS, 2 * samples.STRETCHES)
    assert shape.thinned == (len(values) > samples.SERIES_RUNS)
    runs = [run for run, _ in shape.series]
    assert runs == sorted(set(runs))
    shown = [value for _, value in shape.series]
    assert min(shown) == shape.low and max(shown) == shape.high
    for run, value in shape.series:
        assert value == pytest.approx(values[run - 1] / 1e6, rel=1e-4)
    assert np.all(np.diff(shape.ecdf) >= 0)


def test_states_are_in_the_order_of_time(everything: ReportData) -> None:
    c = everything.candidates[0]
    assert [state.time for state in c.states] == sorted(state.time for state in c.states)
    assert c.states[0].temperature_c is not None and c.states[0].temperature_c > 40  # the hottest sensor's
    assert samples.thin(c.states * 50, 10)[0] == c.states[0] and len(samples.thin(c.states * 50, 10)) == 10


@pytest.mark.parametrize(
    ("value", "shown"),
    [(11.04, "11.0"), (2.0, "2.00"), (0.1234, "0.123"), (999.4, "999"), (123456.0, "123,456"), (1.234e-5, "1.23e-5"),
     (0, "0"), (None, "–"), (9.999, "10.00"), (float("inf"), "–")],
)  # fmt: skip
def test_figures_have_three_digits(value: float | None, shown: str) -> None:
    assert text.significant(value) == shown


def test_names_that_are_alike_are_told_apart() -> None:
    made = examples.artifact("net", "onnx")
    here = examples.measurement(made, examples.HOST, 1.0, 1)
    there = examples.measurement(made, examples.PHONE, 1.0, 2)
    again = examples.measurement(made, examples.HOST, 1.0, 3)
    assert text.labels([here, there]) == ["net · onnx · on host", "net · onnx · on virtual:phone-arm64"]
    assert text.labels([here, again]) == [f"net · onnx · on host · {m.id[:8]}" for m in (here, again)]
