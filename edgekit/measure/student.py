"""Student's distribution, as far as intervals need it; without numpy, so that choosing need not wait for it."""

from __future__ import annotations

# 97.5% quantiles of Student's distribution with 1, 2, … 30 degrees of freedom.
_T975 = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788, 2.1604, 2.1448,
    2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484,
    2.0452, 2.0423,
)  # fmt: skip


def student_t95(freedom: int) -> float:
    """How many standard errors a two-sided 95% interval reaches with so many degrees of freedom, at least one.

    Beyond 30 by the expansion of M. Abramowitz and I. Stegun, Handbook of Mathematical Functions (1964), 26.7.5.
    """
    if freedom <= len(_T975):
        return _T975[freedom - 1]
    z = 1.959964
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2
