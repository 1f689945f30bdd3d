"""From grids to cells, and the order of a round."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from edgekit.errors import DeviceError, UsageError
from edgekit.selection import SweepCell
from edgekit.sweep.cells import expand, rounds
from edgekit.sweep.grid import Exclude, GridFile, ModelEntry, settle

ZOO = ("zoo:mobilevig_ti", "zoo:mobilevig_s")


def cells(asked: GridFile, folder: Path = Path()) -> tuple[SweepCell, ...]:
    return expand(
        settle(asked, folder), "id", lambda device: {"host": ("litert", "onnx"), "board": ("mcu",)}[device]
    ).cells


def test_every_combination_is_a_cell() -> None:
    made = cells(GridFile(models=ZOO, formats=("litert", "onnx"), threads=(1, 2), devices=("host", "pixel7")))
    assert len(made) == len({cell.key for cell in made}) == 16
    assert made[0].key == "mobilevig_ti/litert/fp32/1/host"
    assert {cell.state for cell in made} == {"pending"} and {cell.sweep_id for cell in made} == {"id"}


def test_without_formats_a_device_runs_what_it_can() -> None:
    made = cells(GridFile(models=ZOO[:1], devices=("host", "board")))
    assert [(c.device, c.format, c.precision) for c in made] == [
        ("host", "litert", "fp32"), ("host", "onnx", "fp32"), ("board", "mcu", "int8"),
    ]  # fmt: skip

    def away(_device: str) -> tuple[str, ...]:
        raise DeviceError("away")

    with pytest.raises(DeviceError, match="away"):
        expand(settle(GridFile(models=ZOO), Path()), "id", away)


def test_a_precision_that_a_format_lacks_is_skipped_with_the_reason() -> None:
    made = cells(GridFile(models=ZOO[:1], formats=("litert", "coreml"), precisions=("fp16", "fp32")))
    states = {(c.format, c.precision): (c.state, c.reason) for c in made}
    assert states[("litert", "fp16")] == ("skipped", "litert has no precision fp16")
    assert states[("coreml", "fp16")] == ("pending", None)


def test_converted_files_keep_their_format(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(b"x")
    (tmp_path / "b.onnx").write_bytes(b"y")
    both = (ModelEntry(spec="a.tflite"), ModelEntry(spec="b.onnx"))
    made = cells(GridFile(models=both, formats=("litert",)), tmp_path)
    assert [(c.model, c.format, c.precision, c.state) for c in made] == [
        ("a", "litert", "unknown", "pending"), ("b", "onnx", "unknown", "skipped"),
    ]  # fmt: skip
    (compiled,) = cells(GridFile(models=both[:1], devices=("board",)), tmp_path)
    assert (compiled.format, compiled.precision) == ("mcu", "int8")


def test_exclusions_are_counted_and_must_fit_something() -> None:
    asked = GridFile(models=ZOO, formats=("onnx",), threads=(1, 2), exclude=(Exclude(model="*_s", threads=2),))
    expansion = expand(settle(asked, Path()), "id", lambda device: ())
    assert expansion.excluded == 1 and len(expansion.cells) == 3
    with pytest.raises(UsageError, match="fits no cell"):
        cells(GridFile(models=ZOO, formats=("onnx",), exclude=(Exclude(model="mobilevit*"),)))


def test_a_grid_with_nothing_or_too_much_is_refused() -> None:
    with pytest.raises(UsageError, match="everything is excluded"):
        cells(GridFile(models=ZOO, formats=("onnx",), exclude=(Exclude(),)))
    with pytest.raises(UsageError, match="onnx has no precision fp16"):
        cells(GridFile(models=ZOO, formats=("onnx",), precisions=("fp16",)))
    with pytest.raises(UsageError, match="There is no format 'onyx'"):
        cells(GridFile(models=ZOO, formats=("onyx",)))
    devices = tuple(f"d{number}" for number in range(100))
    with pytest.raises(UsageError, match="at most 10000"):
        cells(GridFile(models=ZOO, formats=("onnx",), threads=tuple(range(1, 101)), devices=devices))
    precisions = tuple(f"p{number}" for number in range(1000))  # 80 million cells in a file of a few kilobytes
    with pytest.raises(UsageError, match="at most 10000"):
        cells(GridFile(models=ZOO, formats=("onnx", "litert", "coreml", "executorch"), precisions=precisions,
                       threads=tuple(range(1, 101)), devices=devices))  # fmt: skip


def test_rounds_are_shuffled_but_repeatable() -> None:
    entries = [(name, threads) for name in "abcdefgh" for threads in (1, 2)]

    def order(seed: str, number: int) -> list[tuple[str, int]]:
        return [entry for group in rounds(seed, number, entries, lambda entry: entry[1]) for entry in group]

    assert order("id", 1) == order("id", 1)
    seen = [order("id", number) for number in range(1, 41)]
    assert all(sorted(each) == sorted(entries) for each in seen)
    assert len({tuple(each) for each in seen}) == 40
    for each in seen:  # one thread count after the other
        counts = [threads for _, threads in each]
        assert counts == sorted(counts) or counts == sorted(counts, reverse=True)
    first = Counter(each[0][1] for each in seen)
    assert min(first[1], first[2]) >= 10  # neither is always first
    assert order("other", 1) != order("id", 1)
