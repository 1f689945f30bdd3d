from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgekit.convert import parity
from edgekit.records import Parity, Tolerance

LOOSE = Tolerance(precision="fp32", max_abs=10.0, cosine=-2.0, psnr_db=-1000.0, top1_agreement=0.0)
# Four samples of ten class scores, batch 1.
REFERENCE = np.random.default_rng(0).normal(size=(4, 1, 10)).astype(np.float32)


def compared(actual: np.ndarray, reference: np.ndarray = REFERENCE, precision: str = "fp32") -> Parity:
    return parity.compare([actual], [reference], precision, "abc")


def moved(amount: float, at: tuple[int, ...] = (0, 0, 0)) -> np.ndarray:
    actual = REFERENCE.copy()
    actual[at] += amount
    return actual


def test_equal_outputs_pass_with_figures_that_json_can_hold() -> None:
    judged = compared(REFERENCE.copy())
    assert (judged.passed, judged.reason, judged.samples, judged.golden_sha256) == (True, None, 4, "abc")
    assert (judged.max_abs, judged.max_rel, judged.top1_agreement) == (0.0, 0.0, 1.0)
    assert judged.cosine == pytest.approx(1.0) and judged.psnr_db == parity.MAX_PSNR_DB
    assert judged.tolerance == parity.TOLERANCES["fp32"]
    assert msgspec.json.decode(msgspec.json.encode(judged), type=Parity) == judged


def test_the_figures_are_what_their_names_say() -> None:
    reference = np.array([[[3.0, -4.0]]], np.float32)
    judged = compared(np.array([[[3.0, -3.5]]], np.float32), reference)
    assert judged.max_abs == 0.5
    assert judged.max_rel == pytest.approx(0.5 / (4 + 4e-3))
    assert judged.cosine == pytest.approx((9 + 14) / (5 * np.hypot(3, 3.5)))
    assert judged.psnr_db == pytest.approx(10 * np.log10(16 / 0.125))


def test_rounding_of_float32_sums_passes() -> None:
    assert compared(REFERENCE * np.float32(1 + 3e-7)).passed is True


@pytest.mark.parametrize(
    ("bound", "value", "word"),
    [("max_abs", 1e-3, "max_abs"), ("cosine", 0.9999999, "cosine"), ("psnr_db", 60.0, "PSNR")],
)
def test_each_bound_alone_fails(monkeypatch: pytest.MonkeyPatch, bound: str, value: float, word: str) -> None:
    strict = msgspec.structs.replace(LOOSE, **{bound: value})
    monkeypatch.setitem(parity.TOLERANCES, "fp32", strict)
    actual = moved(0.02)
    judged = compared(actual)
    assert judged.passed is False and judged.reason is not None
    assert word in judged.reason and judged.reason.count(";") == 0
    monkeypatch.setitem(parity.TOLERANCES, "fp32", LOOSE)
    assert compared(actual).passed is True


def test_one_changed_best_class_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parity.TOLERANCES, "fp32", msgspec.structs.replace(LOOSE, top1_agreement=1.0))
    actual = REFERENCE.copy()
    actual[2, 0, int(actual[2].argmin())] = 9.0
    judged = compared(actual)
    assert judged.passed is False and judged.top1_agreement == 0.75
    assert judged.reason == "output 0: top-1 agrees on 75.0%, not 100%"


def test_the_bound_on_max_abs_is_relative_to_the_largest_value() -> None:
    peak = float(np.abs(REFERENCE).max())
    bound = parity.TOLERANCES["fp32"].max_abs
    for scale in (1e-6, 1.0, 1e6):
        reference = (REFERENCE * scale).astype(np.float32)
        for factor, passes in ((0.5, True), (2.0, False)):
            actual = reference.astype(np.float64)
            actual[0, 0, 0] += factor * bound * peak * scale
            assert compared(actual, reference).passed is passes, (scale, factor)


def test_half_precision_has_bounds_of_its_own() -> None:
    half = REFERENCE.astype(np.float16).astype(np.float32)
    assert compared(half, precision="fp16").passed is True
    assert compared(half, precision="fp32").passed is False


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("output", [0, 1])
def test_a_value_that_is_not_finite_fails_and_its_figures_are_null(bad: float, output: int) -> None:
    actual = [REFERENCE.copy(), REFERENCE.copy()]
    actual[output][3, 0, 5] = bad
    judged = parity.compare(actual, [REFERENCE, REFERENCE], "fp32")
    assert judged.passed is False
    assert f"output {output}" in (judged.reason or "")
    assert judged.max_abs is None
    assert msgspec.json.decode(msgspec.json.encode(judged), type=Parity) == judged


def test_the_worst_output_decides() -> None:
    judged = parity.compare([REFERENCE, moved(0.5)], [REFERENCE, REFERENCE], "fp32")
    assert judged.passed is False and judged.max_abs == pytest.approx(0.5)
    assert "output 1" in (judged.reason or "") and "output 0" not in (judged.reason or "")


@pytest.mark.parametrize("shape", [(4, 1, 9), (4, 10), (3, 1, 10)])
def test_other_shapes_fail_and_are_named(shape: tuple[int, ...]) -> None:
    judged = compared(np.zeros(shape, np.float32))
    assert judged.passed is False and judged.max_abs is None
    assert "shapes" in (judged.reason or "") and str(shape[1:]) in (judged.reason or "")


def test_other_numbers_of_outputs_fail() -> None:
    assert parity.compare([REFERENCE, REFERENCE], [REFERENCE], "fp32").passed is False
    assert parity.compare([], [REFERENCE], "fp32").passed is False


def test_a_tie_of_the_two_best_classes_is_no_disagreement() -> None:
    reference = np.array([[[1.0, 1.0 - 1e-7, 0.0]], [[0.0, 2.0, 1.0]]])
    swapped = reference.copy()
    swapped[0, 0, :2] = swapped[0, 0, 1::-1]
    judged = compared(swapped, reference)
    assert (judged.passed, judged.top1_agreement) == (True, 1.0)
    # Further apart than rounding: another class.
    reference[0, 0, 1] = 1.0 - 1e-3
    assert compared(swapped, reference).top1_agreement == 0.5


# int8's bounds are statistical: they say nothing of a single value.
FLOATS = ("fp32", "fp16")


@pytest.mark.parametrize("precision", FLOATS)
def test_a_tie_is_as_wide_as_the_tolerance_of_a_value(precision: str) -> None:
    """The reference puts its two best classes apart by a share of the bound; the file has them the other way round."""
    bound = parity.TOLERANCES[precision].max_abs
    for gap, agreement in ((0.9 * bound, 1.0), (1.1 * bound, 0.5)):
        reference = np.array([[[1.0, 1.0 - gap, 0.0]], [[0.0, 1.0, 0.5]]])
        swapped = reference.copy()
        swapped[0, 0, 1] = 1.0 + 0.1 * bound
        assert compared(swapped, reference, precision).top1_agreement == agreement, gap


@pytest.mark.parametrize("precision", FLOATS)
def test_a_really_wrong_class_is_no_tie(precision: str) -> None:
    reference = np.zeros((4, 1, 10))
    reference[..., 3], reference[..., 7] = 1.0, 0.9
    wrong = reference.copy()
    wrong[2, 0, 7] = 1.01
    judged = compared(wrong, reference, precision)
    assert judged.passed is False and judged.top1_agreement == 0.75
    assert "top-1 agrees on 75.0%" in (judged.reason or "")


def test_what_only_a_class_decides_is_told_from_wrong_values() -> None:
    tolerance = parity.TOLERANCES["fp16"]
    bound = tolerance.max_abs
    reference = np.random.default_rng(0).uniform(0, 0.5, size=(8, 1, 1000))
    reference[:, 0, :2] = 1.0, 1.0 - 1.5 * bound
    swapped = reference.copy()
    swapped[3, 0, :2] = 1.0 - 0.8 * bound, 1.0 - 0.7 * bound
    judged = compared(swapped, reference, "fp16")
    assert judged.passed is False and judged.reason == "output 0: top-1 agrees on 87.5%, not 98%"
    assert parity.only_classes_differ([swapped], [reference], tolerance)
    swapped[3, 0, 0] -= bound
    assert not parity.only_classes_differ([swapped], [reference], tolerance)


def test_only_class_scores_have_a_best_class() -> None:
    for shape in ((4, 10), (4, 1, 3, 8, 8), (4, 1, 1)):
        reference = np.random.default_rng(1).normal(size=shape)
        assert compared(reference.copy(), reference).top1_agreement is None
    batch = np.array([[[3.0, 1.0], [1.0, 2.0]]])  # one sample that is a batch of two
    assert compared(batch[:, :, ::-1] * [1, 1], batch).top1_agreement == 0.0
    assert compared(batch[:, [0, 0]], batch).top1_agreement == 0.5


def test_an_output_of_zeros_is_compared_exactly() -> None:
    zeros = np.zeros((4, 1, 10), np.float32)
    assert compared(zeros.copy(), zeros).passed is True
    almost = zeros.copy()
    almost[0, 0, 0] = 1e-20
    assert compared(almost, zeros).passed is False


def test_whole_numbers_and_booleans_are_compared_too() -> None:
    classes = np.array([[[3, 1], [2, 0]], [[1, 1], [9, 4]]])
    assert compared(classes.copy(), classes).passed is True
    other = classes.copy()
    other[1, 1, 0] = 8
    assert compared(other, classes).passed is False
    flags = classes > 1
    assert compared(flags.copy(), flags).passed is True
    assert compared(~flags, flags).passed is False


def test_not_checked_is_neither_passed_nor_failed() -> None:
    judged = parity.not_checked("no runtime")
    assert (judged.passed, judged.reason, judged.max_abs, judged.samples) == (None, "no runtime", None, 0)
