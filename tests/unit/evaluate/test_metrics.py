from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.evaluate.metrics import bootstrap_mean, metric, top_k, wilson

from .samples import scores_and_labels


def test_top_k_counts_right_samples() -> None:
    scores, labels = scores_and_labels(20, wrong=3)
    one = top_k([scores], labels, 1)
    assert (one.value, one.samples) == (17 / 20, 20)
    assert one.ci95 == wilson(17, 20)
    assert top_k([scores[:, None]], labels, 2).value == 1.0


def test_top_k_agrees_with_sorting() -> None:
    random = np.random.default_rng(1)
    scores = random.normal(size=(500, 11))
    labels = random.integers(0, 11, 500)
    for k in (1, 3, 5):
        expected = np.mean([labels[i] in np.argsort(scores[i])[::-1][:k] for i in range(500)])
        assert top_k([scores], labels, k).value == expected


def test_equal_scores_go_to_the_lower_class() -> None:
    scores = np.zeros((3, 4))
    assert top_k([scores], np.array([0, 1, 3]), 1).value == 1 / 3
    assert top_k([scores], np.array([0, 1, 3]), 2).value == 2 / 3


def test_nan_is_wrong_and_infinity_is_a_score() -> None:
    scores = np.array([[np.nan, np.nan], [np.nan, 1.0], [0.0, np.inf]])
    assert top_k([scores], np.array([0, 1, 1]), 1).value == 1 / 3


def test_labels_of_few_bits_do_not_wrap() -> None:
    scores = np.zeros((2, 300))
    scores[:, 200] = 1
    assert top_k([scores], np.array([200, 200], dtype=np.uint8), 1).value == 1.0


def test_wilson_interval() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3 (the score method without continuity
    # correction): 81/263, 15/148, 0/20, 1/29.
    for successes, trials, low, high in (
        (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718),
    ):  # fmt: skip
        assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)
    assert wilson(20, 20) == pytest.approx((1 - 0.1611, 1.0), abs=5e-5)


def test_bootstrap_is_repeatable_and_near_the_normal_interval() -> None:
    values = np.random.default_rng(3).normal(5.0, 2.0, 400)
    low, high = bootstrap_mean(values)
    assert (low, high) == bootstrap_mean(values)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.2 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.2 * half)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (np.zeros((2, 3)), np.array([0, 3]), "Label 3 of sample 1 is out of range: the model has classes 0 to 2"),
        (np.zeros((2, 3)), np.array([-1, 0]), "Label -1 of sample 0"),
        (np.zeros((2, 3)), np.array([0.0, 1.0]), "integers of shape"),
        (np.zeros((2, 3)), np.array([[0], [1]]), "integers of shape"),
        (np.zeros((2, 3, 8, 8)), np.array([0, 1]), r"\(3, 8, 8\)"),
        (np.zeros(2), np.array([0, 1]), "one row of class scores"),
    ],
)
def test_what_does_not_fit_top_k(scores: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        top_k([scores], labels, 1)


def test_too_few_classes_for_top5() -> None:
    with pytest.raises(UsageError, match="at least 5 classes; the model has 3"):
        metric("top5").compute([np.zeros((2, 3))], np.array([0, 1]))


METRICS = """
import numpy as np
def error(outputs, labels):
    return float(np.abs(outputs[:, 0] - labels).mean())
def errors(outputs, labels):
    return np.abs(outputs[:, 0] - labels)
def both(outputs, labels):
    first, second = outputs
    return float((first + second).sum())
def nan(outputs, labels):
    return float("nan")
def text(outputs, labels):
    return "good"
def short(outputs, labels):
    return [1.0]
def broken(outputs, labels):
    return outputs[labels.missing]
VALUE = 3
"""


@pytest.fixture
def functions(tmp_path: Path) -> str:
    (tmp_path / "own.py").write_text(METRICS)
    return str(tmp_path / "own.py")


def test_own_metrics(functions: str) -> None:
    outputs = [np.array([[1.0], [3.0], [5.0]])]
    labels = np.array([0.0, 0.0, 0.0])
    one = metric(f"{functions}:error").compute(outputs, labels)
    assert (one.value, one.ci95, one.samples) == (3.0, None, 3)
    several = metric(f"{functions}:errors").compute(outputs, labels)
    assert several.value == 3.0
    assert several.ci95 is not None
    assert 1.0 <= several.ci95[0] < 3.0 < several.ci95[1] <= 5.0
    assert metric(f"{functions}:both").compute(outputs * 2, labels).value == 18.0


@pytest.mark.parametrize(
    ("name", "message"),
    [("nan", "NaN"), ("text", "returned a str"), ("short", r"shape \(1,\)"), ("broken", "AttributeError")],
)
def test_bad_results_of_own_metrics(functions: str, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        metric(f"{functions}:{name}").compute([np.zeros((3, 1))], np.zeros(3))
    if name == "broken":
        assert (
            caught.value.where == f"{functions}:{METRICS.splitlines().index('    return outputs[labels.missing]') + 1}"
        )


@pytest.mark.parametrize("spec", ["top0", "topp", "top", "accuracy", "none.py:f", "no_such_pkg:f", "os:no_such", ""])
def test_unknown_metrics(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        metric(spec)
    assert caught.value.next_step


def test_names_of_known_metrics(functions: str) -> None:
    assert [metric(name).name for name in ("top1", "Top-5", "top3")] == ["top1", "top5", "top3"]
    with pytest.raises(UsageError, match="no function VALUE"):
        metric(f"{functions}:VALUE")
