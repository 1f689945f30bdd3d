"""Statistics of latency samples: quantiles, spread over repeats, and an interval that respects how they were taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.measure.student import student_t95

TRIM_SHARE = 0.10
LEVEL = 0.95
RESAMPLES = 1000
# Resamples are drawn a few at a time so that memory stays bounded, and fewer of them from very many samples.
_CHUNK_VALUES = 2_000_000
_ALL_VALUES = 60_000_000
_MIN_RESAMPLES = 200
_LEAST = 1e-6  # ms; a clock that did not tick still has a logarithm

Samples = NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """Milliseconds over the samples of all repeats; ``repeat_spread`` is null with fewer than two repeats."""

    samples: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    trimmed_mean_ms: float
    min_ms: float
    max_ms: float
    ci95_ms: tuple[float, float]
    repeat_spread: float | None


def summarise(repeats_ns: Sequence[Sequence[int]], *, seed: int = 0) -> Summary:
    """All figures of one measurement.

    Args:
        repeats_ns: nanoseconds per run, one sequence per repeat, none of them empty.
        seed: of the bootstrap; the same samples and seed give the same interval.
    """
    repeats = [np.asarray(values, dtype=np.float64) / 1e6 for values in repeats_ns]
    pooled = np.concatenate(repeats)
    p50, p90, p99 = (float(value) for value in np.percentile(pooled, [50, 90, 99]))
    return Summary(
        samples=len(pooled),
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        trimmed_mean_ms=trimmed_mean(pooled),
        min_ms=float(pooled.min()),
        max_ms=float(pooled.max()),
        ci95_ms=median_interval(repeats, seed=seed),
        repeat_spread=repeat_spread(repeats),
    )


def trimmed_mean(values: Samples) -> float:
    """Mean without the smallest and the largest 10% of the values (Tukey 1962)."""
    cut = int(len(values) * TRIM_SHARE)
    return float(np.sort(values)[cut : len(values) - cut].mean())


def repeat_spread(repeats: Sequence[Samples]) -> float | None:
    """(largest - smallest) / median of the repeats' medians; None with fewer than two repeats."""
    if len(repeats) < 2:
        return None
    medians = [float(np.median(values)) for values in repeats]
    return (max(medians) - min(medians)) / float(np.median(medians))


def median_interval(repeats: Sequence[Samples], *, seed: int = 0, resamples: int = RESAMPLES) -> tuple[float, float]:
    """95% interval of the median over cold starts, in the unit of the samples: the wider of two at each end.

    Student's interval of the logarithms of the repeats' medians knows how little three cold starts say of the next
    one (W. Gosset, The probable error of a mean, 1908); the bootstrap interval knows what varies within a repeat. The
    bootstrap alone, whose resamples never leave the few repeats that it has, covered 70-77% of what fresh repeats
    showed instead of 95% (``benchmarks/choose.py``).
    """
    low, high = bootstrap_interval(repeats, seed=seed, resamples=resamples)
    if len(repeats) < 2:
        return low, high
    logs = np.log([max(float(np.median(values)), _LEAST) for values in repeats])
    half = student_t95(len(logs) - 1) * float(logs.std(ddof=1)) / len(logs) ** 0.5
    return min(low, float(np.exp(logs.mean() - half))), max(high, float(np.exp(logs.mean() + half)))


def bootstrap_interval(repeats: Sequence[Samples], *, seed: int = 0, resamples: int = RESAMPLES) -> tuple[float, float]:
    """95% bootstrap percentile interval of the median, in the unit of the samples.

    Hierarchical: repeats are drawn with replacement, because cold starts differ from each other (memory layout,
    neighbours), and within each drawn repeat blocks of successive samples, because successive samples are alike
    (clocks, caches). Independent resampling of the pooled samples would give an interval that is far too narrow.

    Sources: B. Efron and R. Tibshirani, An Introduction to the Bootstrap (1993), ch. 8 and 13; H. Künsch, The
    jackknife and the bootstrap for general stationary observations, Ann. Statist. 17 (1989), for moving blocks; block
    length n^(1/3) by P. Hall, J. Horowitz and B.-Y. Jing, Biometrika 82 (1995).
    """
    length = min(len(values) for values in repeats)
    total = length * len(repeats)
    resamples = max(_MIN_RESAMPLES, min(resamples, _ALL_VALUES // total))
    generator = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_VALUES // total)
    medians: list[Any] = []
    for start in range(0, resamples, chunk):
        medians.append(_resampled_medians(repeats, length, min(chunk, resamples - start), generator))
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(np.concatenate(medians), [tail, 100 - tail])
    return float(low), float(high)


def _resampled_medians(
    repeats: Sequence[Samples], length: int, count: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """``count`` medians of resamples; every drawn repeat gives ``length`` samples, so that repeats weigh the same."""
    block = max(1, round(length ** (1 / 3)))
    blocks = -(-length // block)
    drawn = generator.integers(0, len(repeats), size=(count, len(repeats)))
    pool = np.concatenate(repeats)
    offsets = np.cumsum([0, *(len(values) for values in repeats)])[:-1]
    starts_in = np.array([len(values) - block + 1 for values in repeats])
    starts = (generator.random((count, len(repeats), blocks)) * starts_in[drawn][:, :, None]).astype(np.int64)
    places = (starts + offsets[drawn][:, :, None])[..., None] + np.arange(block)
    values = pool[places.reshape(count, len(repeats), blocks * block)[:, :, :length].reshape(count, -1)]
    middle = values.shape[1] // 2
    if values.shape[1] % 2:
        return np.partition(values, middle, axis=1)[:, middle]
    parts = np.partition(values, (middle - 1, middle), axis=1)
    result: NDArray[np.float64] = (parts[:, middle - 1] + parts[:, middle]) / 2
    return result
