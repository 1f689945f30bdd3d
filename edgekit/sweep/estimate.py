"""How far a sweep is and how long it will still take, from the durations that it has seen itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import mean

from edgekit.records import Plan
from edgekit.selection import SweepCell

# Before there are any: starting a process and loading a model; a conversion.
_START_S = 2.0
_CONVERT_S = 20.0
# A memory pass loads and runs once.
_MEMORY_S = 2.0


@dataclass(frozen=True)
class Left:
    """Repeats that are done and there are to be in all, and the seconds that are left by what is known."""

    done: int
    total: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.done}/{self.total} repeats, {words(self.seconds)} left"


class Estimate:
    """Counts what was done, device by device.

    Args:
        cells: all of the sweep's.
        made: repeats that each cell has already, by its key.
        here: the devices on this machine, which are measured one after another once the conversions have ended;
            the others are measured at the same time.
    """

    def __init__(self, cells: Iterable[SweepCell], plan: Plan, made: Mapping[str, int], here: Iterable[str]) -> None:
        self._plan = plan
        counted = [cell for cell in cells if cell.state in ("pending", "measured")]
        self._device = {cell.key: cell.device for cell in counted}
        measured = {cell.key for cell in counted if cell.state == "measured"}
        self._made = {key: plan.repeats if key in measured else made.get(key, 0) for key in self._device}
        self._open = set(self._device) - measured
        self._here = frozenset(here)
        self._repeats: dict[str, list[float]] = {}
        self._conversions: list[float] = []
        self.conversions_left = 0

    def repeated(self, key: str, seconds: float) -> None:
        """A repeat of the cell has been made."""
        if key not in self._made:  # it had failed, and another process asked for it again meanwhile
            return
        self._made[key] += 1
        self._repeats.setdefault(key, []).append(seconds)

    def ended(self, key: str) -> None:
        """The cell is settled; repeats that it lacks will not be made."""
        self._open.discard(key)

    def converted(self, seconds: float) -> None:
        """A model has been converted."""
        self.conversions_left -= 1
        self._conversions.append(seconds)

    def left(self) -> Left:
        """What is left now."""
        per_device: dict[str, float] = {}
        for key in self._open:
            device = self._device[key]
            per_device[device] = per_device.get(device, 0.0) + self._seconds(key)
        converting = self.conversions_left * (mean(self._conversions) if self._conversions else _CONVERT_S)
        local = sum(seconds for device, seconds in per_device.items() if device in self._here)
        others = [seconds for device, seconds in per_device.items() if device not in self._here]
        done = sum(self._made.values())
        total = done + sum(self._plan.repeats - self._made[key] for key in self._open)
        return Left(done, total, max([converting + local, *others]))

    def _seconds(self, key: str) -> float:
        own = self._repeats.get(key)
        device = self._device[key]
        known = own or [s for other, seen in self._repeats.items() if self._device[other] == device for s in seen]
        guess = self._plan.warmup_min_seconds + self._plan.min_seconds + _START_S
        return (self._plan.repeats - self._made[key]) * (mean(known) if known else guess) + _MEMORY_S


def words(seconds: float) -> str:
    """A duration for people: about 40 s, about 12 min, about 1.5 h."""
    if seconds < 90:
        return f"about {max(5, round(seconds / 5) * 5)} s"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h"
