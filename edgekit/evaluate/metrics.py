"""How right outputs are, with a 95% interval. Pure functions of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.errors import UsageError
from edgekit.evaluate.callables import UserFunction, is_callable_spec

Array = npt.NDArray[Any]

# The 97.5% quantile of the normal distribution.
_Z = 1.959963984540054
_RESAMPLES = 2000
_SEED = 0


@dataclass(frozen=True)
class Score:
    """A metric's value over ``samples`` samples; ``ci95`` is null where it has no value per sample."""

    value: float
    ci95: tuple[float, float] | None
    samples: int


@dataclass(frozen=True)
class Metric:
    """A metric by name. ``compute`` takes the outputs, one array per model output of shape (n, *output shape), and
    the labels, of shape (n, ...).
    """

    name: str
    compute: Callable[[Sequence[Array], Array], Score]


def metric(spec: str) -> Metric:
    """The metric called ``top1``, ``top5`` or ``topK``, or the user's own: ``file.py:function``, ``pkg.mod:function``.

    The user's function gets (outputs, labels): the output array of shape (n, *output shape), or a tuple of them if the
    model has several, and the labels. It returns one number, or an array of shape (n,) with one number per sample,
    whose mean is then the value.

    Raises:
        UsageError: there is no such metric or function.
    """
    known = spec.lower().replace("-", "")
    if known.startswith("top") and known[3:].isdecimal() and 1 <= int(known[3:]) <= 10_000:
        k = int(known[3:])
        return Metric(f"top{k}", lambda outputs, labels: top_k(outputs, labels, k))
    if not is_callable_spec(spec):
        raise UsageError(
            f"There is no metric '{spec}'.", where="--metric",
            next_step="Use top1, top5, or a function of your own: path/file.py:function.",
        )  # fmt: skip
    function = UserFunction(spec)
    return Metric(spec, lambda outputs, labels: _user_score(function, outputs, labels))


def top_k(outputs: Sequence[Array], labels: Array, k: int) -> Score:
    """The share of samples whose label is among the ``k`` highest scores, with its Wilson interval.

    The scores are the first output, of shape (n, C) or (n, 1, C); labels are integers of shape (n,) from 0 to C - 1.
    Of equal scores the one of the lower class counts as higher, as in argmax. A sample with a NaN among its scores is
    wrong.

    Raises:
        UsageError: a shape does not fit, a label is out of range, or there are fewer than ``k`` classes.
    """
    scores = _class_scores(outputs[0], k)
    _check_labels(labels, len(scores), scores.shape[1])
    rows = np.arange(len(scores))
    own = scores[rows, labels][:, None]
    earlier = np.arange(scores.shape[1])[None, :] < labels[:, None]
    rank = (scores > own).sum(axis=1) + ((scores == own) & earlier).sum(axis=1)
    right = (rank < k) & ~np.isnan(scores).any(axis=1)
    hits = int(right.sum())
    return Score(hits / len(scores), wilson(hits, len(scores)), len(scores))


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95% score interval of a share (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927, 209-212)."""
    share, z2 = successes / trials, _Z * _Z
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials)) / (1 + z2 / trials)
    # At 0 and at all successes the interval ends exactly there; rounding may miss it by an ulp.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return low, high


def bootstrap_mean(values: Array) -> tuple[float, float]:
    """The 95% percentile interval of a mean, from 2000 resamples with a fixed seed.

    Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    random = np.random.default_rng(_SEED)
    count = len(values)
    means = [float(values[random.integers(0, count, count)].mean()) for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _class_scores(output: Array, k: int) -> Array:
    shape = output.shape[1:]
    scores = output.reshape(len(output), -1)
    if math.prod(shape[:-1]) != 1 or not shape:
        raise UsageError(
            f"top{k} needs one row of class scores, of shape (1, C); the model's output has shape {shape}.",
            where="output 0", next_step="Give a metric for this model's outputs: --metric path/file.py:function.",
        )  # fmt: skip
    if scores.shape[1] < k:
        raise UsageError(
            f"top{k} needs at least {k} classes; the model has {scores.shape[1]}.", where="output 0",
            next_step="Use top1.",
        )  # fmt: skip
    return scores


def _check_labels(labels: Array, count: int, classes: int) -> None:
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise UsageError(
            f"Labels must be {count} integers of shape ({count},); found {labels.dtype} of shape {labels.shape}.",
            where="labels", next_step="Give one class number per sample, or a metric of your own.",
        )  # fmt: skip
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise UsageError(
            f"Label {labels[wrong[0]]} of sample {wrong[0]} is out of range: the model has classes 0 to {classes - 1}.",
            where=f"labels, {len(wrong)} of {count}",
            next_step="Number the classes as the model does (for folders: labels.txt lists them in the model's order).",
        )


def _user_score(function: UserFunction, outputs: Sequence[Array], labels: Array) -> Score:
    count = len(outputs[0])
    result = function(outputs[0] if len(outputs) == 1 else tuple(outputs), labels)
    try:
        values = np.asarray(result, dtype=np.float64)
    except (TypeError, ValueError):
        raise _bad_result(function, f"returned a {type(result).__name__}", count) from None
    if values.shape not in ((), (count,)):
        raise _bad_result(function, f"returned an array of shape {values.shape}", count)
    if not np.isfinite(values).all():
        raise _bad_result(function, "returned NaN or infinity", count)
    if values.ndim == 0:
        return Score(float(values), None, count)
    return Score(float(values.mean()), bootstrap_mean(values), count)


def _bad_result(function: UserFunction, what: str, count: int) -> UsageError:
    return UsageError(
        f"The metric {function.spec} {what}.", where=function.spec,
        next_step=f"Return one finite number, or an array of shape ({count},) with one per sample.",
    )  # fmt: skip
