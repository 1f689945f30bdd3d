"""What the user asks the doctor for. No torch."""

from __future__ import annotations

from edgekit.convert.request import GoldenRequest
from edgekit.model.request import LoadRequest
from edgekit.records import Record

# Each rewrite is proved by running the whole model once more per sample.
DEFAULT_SAMPLES = 2


class DoctorRequest(Record, frozen=True, kw_only=True):
    """One call of the doctor. ``golden`` are the inputs on which rewrites are proved and precision is measured;
    ``model`` says whether the model itself is reported on too, or only the backends.
    """

    load: LoadRequest
    formats: tuple[str, ...]
    precision: str = "fp32"
    golden: GoldenRequest = GoldenRequest(count=DEFAULT_SAMPLES)
    jobs: int = 2
    memory_limit_bytes: int = 8 << 30
    model: bool = True
