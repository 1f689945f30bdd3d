"""quant.h against gemmlowp's definitions, in whole numbers of unlimited size."""

from __future__ import annotations

import ctypes
import itertools
import subprocess
from collections.abc import Callable

import numpy as np
import pytest

from edgekit.paths import mcu_dir

from .compiler import needs_compiler

pytestmark = needs_compiler

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
_SOURCE = """
#include "edgekit/quant.h"
void requantise(const int32_t *x, const int32_t *m, const int32_t *s, int32_t *out, int32_t n)
{ for (int32_t i = 0; i < n; i++) out[i] = ek_requantise(x[i], m[i], s[i]); }
void requantise_once(const int32_t *x, const int32_t *m, const int32_t *s, int32_t *out, int32_t n)
{ for (int32_t i = 0; i < n; i++) out[i] = ek_requantise_once(x[i], m[i], s[i]); }
void high_mul(const int32_t *a, const int32_t *b, const int32_t *unused, int32_t *out, int32_t n)
{ (void)unused; for (int32_t i = 0; i < n; i++) out[i] = ek_high_mul(a[i], b[i]); }
void shift_right(const int32_t *x, const int32_t *e, const int32_t *unused, int32_t *out, int32_t n)
{ (void)unused; for (int32_t i = 0; i < n; i++) out[i] = ek_rounding_shift_right(x[i], e[i]); }
"""


@pytest.fixture(scope="module", params=["-O0", "-O2"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("quant")
    source, made = folder / "quant.c", folder / "quant.so"
    source.write_text(_SOURCE)
    flags = [request.param, "-std=c11", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fsanitize=undefined",
             "-fsanitize-undefined-trap-on-error"]  # fmt: skip
    subprocess.run(["cc", *flags, "-I", str(mcu_dir() / "include"), str(source), "-o", str(made)], check=True)
    return ctypes.CDLL(str(made))


def truncated(numerator: int, denominator: int) -> int:
    """C's division."""
    quotient = abs(numerator) // denominator
    return quotient if numerator >= 0 else -quotient


def wrapped(x: int) -> int:
    return (x + 2**31) % 2**32 - 2**31


def high_mul(a: int, b: int, _: int = 0) -> int:
    """SaturatingRoundingDoublingHighMul."""
    if a == b == INT32_MIN:
        return INT32_MAX
    nudge = 2**30 if a * b >= 0 else 1 - 2**30
    return truncated(a * b + nudge, 2**31)


def shift_right(x: int, exponent: int, _: int = 0) -> int:
    """RoundingDivideByPOT."""
    mask = 2**exponent - 1
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + ((x & mask) > threshold)


def requantise(x: int, multiplier: int, shift: int) -> int:
    """MultiplyByQuantizedMultiplier, double rounding."""
    return shift_right(high_mul(wrapped(x << max(shift, 0)), multiplier), max(-shift, 0))


def requantise_once(x: int, multiplier: int, shift: int) -> int:
    """x * multiplier * 2^(shift - 31), halves away from zero, saturated."""
    size, right = abs(x * multiplier), 31 - shift
    rounded = (2 * size + 2**right) >> (right + 1)
    return min(max(rounded if x >= 0 else -rounded, INT32_MIN), INT32_MAX)


def compare(
    library: ctypes.CDLL, name: str, expected: Callable[[int, int, int], int], cases: list[tuple[int, int, int]]
) -> None:
    columns = [np.array(column, np.int64).astype(np.int32) for column in zip(*cases, strict=True)]
    out = np.zeros(len(cases), np.int32)
    getattr(library, name)(*(ctypes.c_void_p(a.ctypes.data) for a in (*columns, out)), len(cases))
    wrong = [(case, int(got)) for case, got in zip(cases, out, strict=True) if expected(*case) != got]
    assert not wrong, wrong[:5]


EDGES = [INT32_MIN, INT32_MIN + 1, -(2**30) - 1, -(2**30), -3, -2, -1, 0, 1, 2, 3, 2**30 - 1, 2**30, 2**30 + 1,
         INT32_MAX - 1, INT32_MAX]  # fmt: skip


def numbers(count: int, low: int = INT32_MIN) -> list[int]:
    """Of every magnitude."""
    pick = np.random.default_rng(7)
    wide = pick.integers(low, INT32_MAX, count, endpoint=True) >> pick.integers(0, 31, count)
    return [int(value) for value in wide]


def test_high_mul(library: ctypes.CDLL) -> None:
    pairs = [*itertools.product(EDGES, EDGES), *zip(numbers(20000), numbers(20000)[::-1], strict=True)]
    # Products at and next to a half, where the rounding is decided.
    pairs += [(a * 2**k + d, 2 ** (30 - k)) for a in (1, -1, 3, -3) for k in range(28) for d in (-1, 0, 1)]
    compare(library, "high_mul", high_mul, [(a, b, 0) for a, b in pairs])


def test_rounding_shift_right(library: ctypes.CDLL) -> None:
    cases = [(x, e, 0) for e in range(32) for x in [*EDGES, *numbers(500)]]
    cases += [(wrapped(a * 2**e // 2 + d), e, 0) for e in range(1, 31) for a in (-3, -1, 1, 3) for d in (-1, 0, 1)]
    compare(library, "shift_right", shift_right, cases)


def test_requantise(library: ctypes.CDLL) -> None:
    multipliers = [m for m in EDGES if m >= 0] + [abs(m) for m in numbers(5)]
    shifts = [-31, -30, -16, -9, -8, -1, 0, 1, 2, 9, 30]
    cases = list(itertools.product([*EDGES, *numbers(60)], multipliers, shifts))
    compare(library, "requantise", requantise, cases)
    # Halves exactly, of both signs.
    cases += [(s * (2 * a + 1), 2**30, -b) for s in (1, -1) for a in range(4) for b in (0, 1, 2, 9)]
    compare(library, "requantise_once", requantise_once, cases)
