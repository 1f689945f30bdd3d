from __future__ import annotations

import msgspec
import plotly.graph_objects as go
import pytest

from edgekit.compare.compare import Run, compare
from edgekit.compare.comparison import Comparison, RunInfo
from edgekit.report import compare as page
from edgekit.report.compare import CompareData, collect_comparison, compare_page
from edgekit.report.figures import Variant
from edgekit.selection import Measured
from edgekit.store.store import Store
from tests.unit.report import examples
from tests.unit.report.conftest import CREATED
from tests.unit.report.test_figures import uncoloured

# Model, medians in A and in B: equal, slower, faster; and one that only A has.
MEDIANS = (("even_net", 2.0, 2.0), ("slow_net", 3.0, 3.9), ("quick_net", 5.0, 4.1), ("lone_net", 1.0, None))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> CompareData:
    with Store.open(f"sqlite:///{tmp_path_factory.mktemp('compare')}/r.sqlite") as store:
        rows: tuple[list[Measured], list[Measured]] = ([], [])
        for number, (model, *medians) in enumerate(MEDIANS):
            made = examples.artifact(model, "onnx")
            store.add_artifact(made)
            for side, median_ms in enumerate(medians):
                if median_ms is not None:
                    found = examples.measurement(made, examples.HOST, median_ms, 100 + 2 * number + 40 * side)
                    store.save_measurement(found)
                    bare = msgspec.structs.replace(found, repeats=())
                    rows[side].append(Measured(measurement=bare, artifact=made))
        runs = [
            Run(RunInfo(kind="sweep", id=letter * 32, name="nightly", created=CREATED, store="here",
                        candidates=len(rows[side])), tuple(rows[side]))
            for side, letter in enumerate("ab")
        ]  # fmt: skip
        return collect_comparison(compare(*runs), store, store, CREATED)


def ratios(data: CompareData) -> Variant:
    shown = page._shown(data.comparison)
    return page._ratio_figure(shown, page.labels(shown), data.emulated)


def test_ratios_have_their_intervals_and_marks(data: CompareData) -> None:
    found = ratios(data).figure
    go.Figure(uncoloured(found))
    marks = {trace["marker"]["symbol"]: trace for trace in found["data"]}
    assert set(marks) == {"triangle-right", "triangle-left", "circle"}
    assert marks["triangle-right"]["x"] == pytest.approx([1.3], rel=0.02)
    assert marks["triangle-left"]["x"] == pytest.approx([0.82], rel=0.02)
    for pair in data.comparison.comparable:
        trace = next(t for t in found["data"] if pair.ratio in t["x"])
        place = trace["x"].index(pair.ratio)
        assert pair.ci95 is not None and pair.ratio is not None
        ends = (pair.ratio - trace["error_x"]["arrayminus"][place], pair.ratio + trace["error_x"]["array"][place])
        assert ends == pytest.approx(pair.ci95)
    assert found["layout"]["shapes"][0]["x0"] == 1


def test_both_distributions_are_drawn(data: CompareData) -> None:
    pair = data.comparison.comparable[0]
    found = page._both("pair", pair, data.runs)
    go.Figure(uncoloured(found.figure))
    assert [trace["line"]["dash"] for trace in found.figure["data"]] == ["solid"] * 3 + ["dash"] * 3
    assert found.figure["data"][0]["x"][0] == data.runs[pair.a.measurement_id][0].low


def test_the_page_says_it_all(data: CompareData) -> None:
    html = compare_page(data)
    assert compare_page(data) == html
    mean = data.comparison.geometric_mean
    assert mean is not None and f"is {mean.ratio:.3f} times A" in html
    assert "lone_<wbr>net" in html and "only A" in html
    for words in ("slower", "faster", "no-difference", "nightly: aaaaaaaa and bbbbbbbb"):
        assert words in html


def test_emulated_times_are_marked(data: CompareData) -> None:
    marked = msgspec.structs.replace(data, emulated=True)
    assert "emulated" in ratios(marked).figure["layout"]["xaxis"]["title"]["text"]
    assert compare_page(marked).count("Some of these times are emulated") == 2
    assert "Some of these times" not in compare_page(data)


def test_counts_are_called_so(data: CompareData) -> None:
    pair = data.comparison.comparable[0]
    sides = {name: msgspec.structs.replace(getattr(pair, name), p50_ms=None, counted=31_000_000) for name in "ab"}
    counted = msgspec.structs.replace(pair, quantity="instructions", method="exact", **sides)
    marked = msgspec.structs.replace(data, comparison=msgspec.structs.replace(data.comparison, pairs=(counted,)))
    html = compare_page(marked)
    assert "count over A" in html and "time over A" not in html
    assert "31.000 M instructions → 31.000 M instructions" in html


def test_like_pairs_are_told_apart_by_their_device(data: CompareData) -> None:
    pair = data.comparison.pairs[0]
    other = msgspec.structs.replace(pair, b=msgspec.structs.replace(pair.b, device="adb:1"))
    assert page.labels([pair, other])[1].endswith(" on adb:1")


def test_a_comparison_without_samples_has_no_distributions(data: CompareData) -> None:
    bare: Comparison = data.comparison
    html = compare_page(CompareData(comparison=bare, created=CREATED, version="0", runs={}))
    assert "Both distributions" not in html and "What became slower" in html
