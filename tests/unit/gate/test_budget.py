from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import UsageError
from edgekit.gate import budget

WHOLE = """
device = "pixel7"
clocks = "pinned"
threads = 4
baseline = "gold"

[[model]]
name = "classifier"
spec = "models/net.py:make"
weights = "weights.pt"
format = "litert"
data = "val"
metrics = ["top1", "score.py:recall"]
[model.limits]
p50_ms = 12
peak_rss_bytes = "60MB"
size_bytes = "5 MiB"
top1 = "75%"
[model.regression]
latency = "3%"
p50 = "off"
top1 = 0.01
"score.py:recall" = 0.2

[[model]]
name = "other"
spec = "timm:mobilenetv2_100"
format = "onnx"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "budget.toml"
    path.write_text(text)
    return path


def refused(folder: Path, text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        budget.read(written(folder, text))
    assert str(folder / "budget.toml") in caught.value.where and caught.value.next_step
    return caught.value


def model(text: str) -> str:
    return f'[[model]]\nname = "net"\nspec = "net.pt2"\n{text}\n'


def test_every_value_comes_in_its_unit_and_paths_are_those_of_the_file(tmp_path: Path) -> None:
    read = budget.read(written(tmp_path, WHOLE))
    assert (read.device, read.clocks, read.threads, read.baseline) == ("pixel7", "pinned", 4, str(tmp_path / "gold"))
    first, second = read.model
    assert first.spec == f"{tmp_path}/models/net.py:make" and first.weights == str(tmp_path / "weights.pt")
    assert first.data == str(tmp_path / "val") and first.metrics == ("top1", f"{tmp_path}/score.py:recall")
    limits = first.limits
    assert (limits.p50_ms, limits.peak_rss_bytes, limits.size_bytes) == (12, 60e6, 5 * 2**20)
    assert limits.accuracy == {"top1": 0.75} and limits.p90_ms is None
    assert first.regression.latency == 0.03 and first.regression.p50 is None and first.regression.size == 0.01
    assert first.regression.accuracy == {"top1": 0.01, f"{tmp_path}/score.py:recall": 0.2}
    assert first.given == ("latency", "p50", "score.py:recall", "top1")
    assert second.spec == "timm:mobilenetv2_100" and second.regression.latency == 0.02 and second.given == ()


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ('bassline = "x"\n' + model(""), "bassline", "baseline"),
        (model('fromat = "litert"'), "fromat", "format"),
        (model("[model.limits]\np50 = 3"), "p50", "p50_ms"),
        (model("[model.regression]\nlatencies = 3"), "latencies", "latency"),
        (model("[model.limits]\ntop5 = 0.9"), "top5", "top1"),
        (model("given = []"), "given", None),
        (model("[model.limits]\naccuracy = 1"), "accuracy", None),
        ('path = "x"\n' + model(""), "path", None),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(tmp_path: Path, text: str, key: str, near: str | None) -> None:
    error = refused(tmp_path, text)
    assert repr(key) in error.message and error.where.endswith(f": {key}")
    if near is not None:
        assert f"Did you mean {near}?" in error.next_step


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "model"),
        ("model = 3", "model"),
        (model("threads = 1"), "threads"),
        ('[[model]]\nname = "net"', "neither"),
        ('[[model]]\nname = "../net"\nspec = "x.pt2"', "name"),
        (model("") + model(""), "twice"),
        (model("[model.limits]\np50_ms = 0"), "p50_ms"),
        (model('[model.limits]\np50_ms = "3%"'), "p50_ms"),
        (model("[model.limits]\np50_ms = nan"), "p50_ms"),
        (model('[model.limits]\nsize_bytes = "5 parsecs"'), "size_bytes"),
        (model("[model.regression]\nlatency = true"), "latency"),
        (model('[model.regression]\nlatency = "5000%"'), "latency"),
        (model("[model.regression]\nlatency = -0.1"), "latency"),
        (model('[model.regression]\nlatency = "0%"'), "latency"),
        (model("[model.limits]\ntop1 = 0.5"), "no data"),
        (model('data = "val"\n[model.limits]\ntop1 = 75'), "limits: top1"),
        (model("metrics = 3"), "metrics"),
        (model("limits = 3"), "limits"),
        (model("golden_count = 0"), "golden_count"),
        ("threads = 0\n" + model(""), "threads"),
        ('clocks = "fast"\n' + model(""), "clocks"),
        ("baseline = 3\n" + model(""), "baseline"),
        ("= broken", "can't be read"),
        ("x = " + "[" * 5000, "can't be read"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(tmp_path: Path, text: str, where: str) -> None:
    error = refused(tmp_path, text)
    assert where in f"{error.message} {error.where}"


def test_a_file_that_is_missing_too_large_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        budget.read(tmp_path / "none.toml")
    assert "larger" in refused(tmp_path, "#" * (budget.MAX_BYTES + 1)).message
    (tmp_path / "budget.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError):
        budget.read(tmp_path / "budget.toml")


@pytest.mark.parametrize(
    ("text", "size"),
    [("60MB", 60e6), ("4 MiB", 4 * 2**20), ("1.5k", 1500), ("7", 7), (12, 12.0), ("2GB", 2e9), ("3B", 3), ("iB", None),
     ("-3", None), (True, None), ("1e9", None)],
)  # fmt: skip
def test_sizes(text: object, size: float | None) -> None:
    assert budget.parse_size(text) == size


@pytest.mark.parametrize(("text", "share"), [("3%", 0.03), ("0.5 %", 0.005), (0.1, 0.1), ("3", None), (None, None)])
def test_shares(text: object, share: float | None) -> None:
    assert budget.parse_share(text) == share
