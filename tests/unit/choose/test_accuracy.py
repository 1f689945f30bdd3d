from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.choose.accuracy import Evaluated, from_evaluations, published
from edgekit.choose.accuracy_csv import MAX_BYTES, Table, read_table
from edgekit.errors import UsageError
from edgekit.records import Evaluation, Parity
from tests.unit.choose.made import artifact, digest, evaluation


def known(*evaluations: Evaluation, **options: object) -> Evaluated:
    found = from_evaluations(evaluations, ["top1"], **options)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_the_newest_evaluation_of_a_file_counts() -> None:
    old = evaluation("net", 0.5, created="2026-01-01T00:00:00+00:00")
    quantity = known(evaluation("net", 0.7), old).of(artifact("net")).quantities["top1"]
    assert (quantity.value, quantity.low, quantity.high) == pytest.approx((0.7, 0.69, 0.71))
    assert quantity.source == "evaluated" and "1000 samples" in (quantity.note or "")


def test_two_files_evaluated_alike_are_not_one_and_the_same_evidence() -> None:
    found = known(evaluation("a", 0.7), evaluation("b", 0.7))
    first, second = (found.of(artifact(name)).quantities["top1"] for name in "ab")
    assert first.evidence and first.evidence != second.evidence


def test_an_evaluation_without_a_value_says_why() -> None:
    found = known(evaluation("net", None, reason="Core ML runs only on Apple systems"), evaluation("b", 0.5))
    assert "Core ML runs only" in found.of(artifact("net")).reason("top1")


def test_several_data_sets_have_to_be_told_apart() -> None:
    other = evaluation("net", 0.9, dataset="photos", dataset_sha256=digest("photos"))
    with pytest.raises(UsageError) as caught:
        known(evaluation("net", 0.7), other)
    assert caught.value.where == "--dataset" and "photos" in caught.value.message
    assert known(evaluation("net", 0.7), other, dataset="photos").of(artifact("net")).quantities["top1"].value == 0.9
    by_sha = known(evaluation("net", 0.7), other, dataset=digest("photos")[:8])
    assert by_sha.of(artifact("net")).quantities["top1"].value == 0.9
    with pytest.raises(UsageError, match="No candidate was evaluated on the data set 'pictures'"):
        known(evaluation("net", 0.7), other, dataset="pictures")


def test_the_pytorch_models_accuracy_stands_in_only_if_asked_for() -> None:
    model = evaluation("net", 0.8, artifact_sha256=None, format="pytorch")
    assert from_evaluations([model], ["top1"]) is None
    found = known(model, model_stands_in=True)
    quantity = found.of(artifact("net")).quantities["top1"]
    assert quantity.value == 0.8 and "not of the file" in (quantity.note or "")
    assert any("stands in" in note for note in found.notes)
    # Not for one that computes something else: quantised, or without parity.
    assert not found.of(artifact("net", precision="int8")).quantities
    assert not found.of(artifact("net", parity=Parity(passed=None, reason="not checked"))).quantities


def test_published_figures_are_marked_and_have_the_interval_of_their_50000_pictures() -> None:
    accuracy = published().of(artifact("mobilenetv2_100"))
    quantity = accuracy.quantities["top1"]
    assert quantity.value == pytest.approx(0.718) and quantity.source == "published"
    assert quantity.note is not None and "tensorflow/models" in quantity.note
    assert (quantity.low, quantity.high) == pytest.approx((0.714, 0.722), abs=2e-4)
    assert accuracy.reason("top5") == "only top1 is published"


def test_published_figures_are_not_taken_for_others() -> None:
    assert "no published top1 of my_net" in published().of(artifact("my_net")).reason("top1")
    assert "float model's" in published().of(artifact("mobilenetv2_100", precision="int8")).reason("top1")


def table(folder: Path, text: str) -> Table:
    path = folder / "mine.csv"
    path.write_text(text, encoding="utf-8")
    return read_table(path)


def test_a_table_by_model_format_and_precision(tmp_path: Path) -> None:
    found = table(
        tmp_path, "Model,format,precision,top1,mIoU\nnet,,,70%,33.5\nnet,litert,,71%,\nnet,litert,int8,65%,\nb,,,,40\n"
    )  # fmt: skip
    assert found.metrics == ("top1", "mIoU")
    assert found.of(artifact("net", format="onnx")).quantities["top1"].value == pytest.approx(0.70)
    net = found.of(artifact("net")).quantities
    assert net["top1"].value == pytest.approx(0.71) and net["mIoU"].value == 33.5
    assert found.of(artifact("net", precision="int8")).quantities["top1"].value == pytest.approx(0.65)
    assert "top1" not in found.of(artifact("b")).quantities
    assert found.of(artifact("c")).reason("top1") == "mine.csv has no figure for it"
    assert found.unknown([artifact("net")]) == ["b"]


def test_a_models_spec_is_its_name(tmp_path: Path) -> None:
    assert table(tmp_path, "model,top1\nzoo:net,70%\n").of(artifact("net")).quantities


@pytest.mark.parametrize(
    ("cells", "value"), [(("75%", "74%"), 0.75), (("0.75", "0.5"), 0.75), (("75", "74.5"), 0.75), (("75", "80%"), 0.75)]
)
def test_shares_and_percents(tmp_path: Path, cells: tuple[str, str], value: float) -> None:
    found = table(tmp_path, f"model,top1\na,{cells[0]}\nb,{cells[1]}\n")
    assert found.of(artifact("a")).quantities["top1"].value == pytest.approx(value)


def test_a_column_that_may_mean_two_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="percent or shares"):
        table(tmp_path, "model,top1\na,75\nb,0.7\n")


def test_intervals_of_a_table(tmp_path: Path) -> None:
    found = table(tmp_path, "model,top1,top1_low,top1_high,samples\na,70,68,73,\nb,70,,,1000\nc,70,,,\n")
    assert found.metrics == ("top1",)
    a, b, c = (found.of(artifact(name)).quantities["top1"] for name in "abc")
    assert (a.low, a.high) == pytest.approx((0.68, 0.73))
    assert (b.low, b.high) == pytest.approx((0.6709, 0.7276), abs=1e-3)
    assert c.low == c.high and "no interval is given" in (c.note or "")
    # A number of samples says nothing about a metric that is no share of them.
    other = table(tmp_path, "model,topology,samples\na,33.5,100\n").of(artifact("a")).quantities["topology"]
    assert other.low == other.value == other.high == 33.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("name,top1\na,70\n", "has the columns"),
        ("model,format\na,litert\n", "has the columns"),
        ("model,top1,top1\na,70,70\n", "a column twice"),
        ("model,top 1\na,70\n", "no name of a metric"),
        ("model,p50_ms\na,70\n", "which edgekit measures itself"),
        ("model,top1\na\n", "1 cells in line 2"),
        ("model,top1\n,70\n", "names no model"),
        ("model,top1\na\x1b[2J,70\n", "names no model"),
        ("model,top1\na,70\na,71\n", "in line 2 and in line 3"),
        ("model,top1\na,good\n", "no number"),
        ("model,top1\na,nan\n", "no number"),
        ("model,top1\na,1_0\n", "no number"),
        ("model,top1\na,170\n", "outside 0 to 100%"),
        ("model,top1\na,-3%\n", "outside 0 to 100%"),
        ("model,top1,top1_low,top1_high\na,70,71,72\n", "outside its own interval"),
        ("model,top1,samples\na,70,2.5\n", "2.5 samples"),
        ('model,top1\n"a,70\n', "no CSV file"),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        table(tmp_path, text)
    assert caught.value.where.endswith("mine.csv") and caught.value.next_step


def test_a_table_that_is_none_too_large_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    with pytest.raises(UsageError, match="can't be read"):
        read_table(path)
    path.write_bytes(b"model,top1\n\xff\xfe,70\n")
    with pytest.raises(UsageError, match="UTF-8"):
        read_table(path)
    path.write_bytes(b"model,top1\n" + b"a" * MAX_BYTES)
    with pytest.raises(UsageError, match="larger than 16 MiB"):
        read_table(path)
    path.write_text("model,top1\n" + "".join(f"m{index},50%\n" for index in range(200_001)))
    with pytest.raises(UsageError, match="more than 200,000 lines"):
        read_table(path)
