"""What ``edgekit compare`` prints: every candidate whole, in 80 columns."""

from __future__ import annotations

import pytest

from edgekit.cli.compare_text import show
from edgekit.compare.comparison import Change, Comparison, Mean, Note, Pair, RunInfo, Side
from edgekit.selection import CandidateKey

DEVICES = ("adb:192.168.100.200:5555", "adb:0123456789ABCDEF")


def side(model: str, format: str, precision: str, threads: int, device: str, p50: float | None) -> Side:
    key = CandidateKey(model=model, format=format, precision=precision, threads=threads, engine=format,
                       artifact_sha256="a" * 64)  # fmt: skip
    return Side(candidate=key, artifact_bytes=1, measurement_id="m", created="", device=device, device_name="Pixel 7",
                os_build=None, runtime_version="1", verdict="ok", p50_ms=p50, ci95_ms=None,
                counted=None if p50 else 123_456_789)  # fmt: skip


def comparison(*pairs: Pair, mean: Mean | None = None) -> Comparison:
    run = RunInfo(kind="sweep", id="s" * 32, name="night", created="2026-03-01T10:00:00+00:00", store="", candidates=2)
    return Comparison(runs=(run, run), pairs=pairs, geometric_mean=mean, notes=(Note(text="B is noisy", pairs=1),))


def pair(*what: object, p50: float | None = 10.0, factor: float = 1.1, **more: object) -> Pair:
    fields: dict[str, object] = {
        "verdict": "slower", "quantity": "p50_ms", "ratio": factor, "ci95": (factor / 1.05, factor * 1.05),
        "method": "intervals", "changes": (Change(quantity="size_bytes", a=1.0, b=3.0, ratio=3.0),
                                           Change(quantity="load_cold_ms", a=1.0, b=0.99999, ratio=0.99999)),
    }  # fmt: skip
    a = side(*what, p50)  # type: ignore[arg-type]
    return Pair(a=a, b=a, **{**fields, **more})  # type: ignore[arg-type]


def test_long_names_are_folded_and_no_figure_is_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    long = "timm:mobilenetv4_hybrid_medium.e500_r224_in1k"
    show(comparison(pair(long, "executorch", "fp32", 1, DEVICES[0], p50=1234.5, factor=58.4),
                    pair(long, "onnx", "int8", 4, DEVICES[1], factor=1.2, verdict="no-difference",
                         reasons=("by chance",)),
                    mean=Mean(quantity="p50_ms", ratio=8.3, ci95=(8.1, 8.5), pairs=2)))  # fmt: skip
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= 80, out
    assert "…" not in out
    table = out.split("\n\n")[1]
    width = table.splitlines()[1].index("A ms")
    squeezed = "".join(line[:width].strip().replace(" ", "") for line in table.splitlines())
    for part in (long, *DEVICES, "executorch", "4thr."):
        assert part in squeezed, (part, out)
    for figure in ("1234", "58.4", "55.6-61.3", "1.143-1.260", "slower?", "x3.0", "+0.0%"):
        assert figure in out, (figure, out)
    assert "slower in 1, faster in 0; no difference shown in 1." in out
    assert "? (1 of these): the pair's own interval says so, but of 2 pairs some do by\n  chance" in out


def test_counts_and_rounds_are_called_so(capsys: pytest.CaptureFixture[str]) -> None:
    counted = pair("net", "mcu", "int8", 1, "virtual:cortex-m4", p50=None, quantity="instructions", method="exact")
    show(comparison(counted))
    out = capsys.readouterr().out
    assert "123.457 M" in out and "A ms" not in out and "the machine's doing" not in out.replace("\n", " ")
    show(comparison(pair("net", "onnx", "fp32", 2, "host", method="paired", rounds=3)))
    assert "1 pair, on host (Pixel 7), onnx, fp32, threads: 2, 3 interleaved rounds" in capsys.readouterr().out
