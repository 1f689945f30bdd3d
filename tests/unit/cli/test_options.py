from __future__ import annotations

import pytest

from edgekit.cli import options, requests
from edgekit.errors import UsageError
from edgekit.records import Plan

CONVERT = {"precision": "fp32", "golden_count": 8, "no_parity": False}


@pytest.mark.parametrize(
    ("text", "size"),
    [("8GiB", 8 << 30), ("500M", 500 << 20), ("500MB", 500 << 20), ("1.5g", 3 << 29), ("4096", 4096),
     ("2 TiB", 2 << 40), ("64kib", 64 << 10)],
)  # fmt: skip
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert options.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1G", "1e9", "8 giga", "0x10", "8GiBB", "1.2.3M", "٨G"])
def test_other_texts_are_no_sizes(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        options.parse_size(text)
    assert caught.value.where == "--memory-limit"


def test_formats_are_a_list_without_repetition() -> None:
    assert options.parse_formats("litert, onnx,litert,", ("x",)) == ("litert", "onnx")
    assert options.parse_formats(None, ("x", "y")) == ("x", "y")
    for text in ("", ",", " , "):
        with pytest.raises(UsageError, match="names no format"):
            options.parse_formats(text, ("x",))


def test_the_machine_is_asked_for_its_cores_and_memory() -> None:
    assert options.cores() >= 1
    assert options.free_memory_bytes() > 10 << 20


def test_what_is_not_given_keeps_the_protocols_default() -> None:
    assert requests.plan({}) == Plan()
    given = requests.plan({"runs": 7, "warmup": 0, "min_secs": 0.5, "max_secs": 9.0, "repeats": 1})
    assert (given.min_runs, given.warmup_min_runs, given.repeats) == (7, 0, 1)
    assert (given.min_seconds, given.max_seconds) == (0.5, 9.0)
    assert given.warmup_min_seconds == Plan().warmup_min_seconds


def test_a_request_holds_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", "/some/cache")
    asked = {**CONVERT, "formats": "onnx", "inputs": "photos", "seed": 3, "jobs": 5, "memory_limit": "1GiB",
             "arch": "timm:x", "trust_pickle": True, "input_shape": "1,3,8,8", "no_parity": True}  # fmt: skip
    made = requests.convert_request("net.pt", asked, ("litert",))
    assert made.formats == ("onnx",) and made.jobs == 5 and made.memory_limit_bytes == 1 << 30
    assert made.golden.directory == "photos" and made.golden.seed == 3 and made.check_parity is False
    assert made.load.spec == "net.pt" and made.load.arch == "timm:x" and made.load.trust_pickle is True
    assert made.load.input_shape == ((1, 3, 8, 8),) and made.load.seed == 3
    assert made.cache == "/some/cache"


def test_bounds_that_are_not_given_come_from_the_machine() -> None:
    made = requests.convert_request("net.pt", CONVERT, ("litert",))
    assert made.formats == ("litert",) and made.jobs == options.cores()
    assert 0 < made.memory_limit_bytes <= options.free_memory_bytes() * 1.5
    assert made.load.trust_pickle is False and made.check_parity is True
