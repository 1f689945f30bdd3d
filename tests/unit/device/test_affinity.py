from __future__ import annotations

import pytest

from edgekit.device.affinity import choose_cores

PHONE = {0: 1800, 1: 1800, 2: 1800, 3: 1800, 4: 2348, 5: 2348, 6: 2850, 7: 2850}
MIXED = {0: 3000, 1: 1000, 2: 2000, 3: 3000}
ALIKE = dict.fromkeys(range(8), 3500)


@pytest.mark.parametrize(
    ("max_khz", "threads", "allowed", "cores"),
    [
        (PHONE, 1, None, (6, 7)),
        (PHONE, 2, None, (6, 7)),
        (PHONE, 3, None, (4, 5, 6, 7)),
        (PHONE, 4, None, (4, 5, 6, 7)),
        (PHONE, 5, None, None),  # all cores are needed: the scheduler is left alone
        (PHONE, 99, None, None),
        (PHONE, 1, {0, 1, 4}, (4,)),
        (PHONE, 2, {0, 1, 4}, None),
        (MIXED, 1, None, (0, 3)),
        (MIXED, 3, None, (0, 2, 3)),
        (ALIKE, 1, None, None),
        ({}, 1, None, None),
        ({}, 1, {0, 1}, None),
        ({0: 3000}, 1, {0, 1}, None),  # core 1 does not tell: nothing to choose by
        ({0: 3000, 1: 1000}, 0, None, (0,)),
    ],
)
def test_the_fastest_cores_first(
    max_khz: dict[int, int], threads: int, allowed: set[int] | None, cores: tuple[int, ...] | None
) -> None:
    assert choose_cores(max_khz, threads, allowed) == cores
