"""Beginning, continuing and retrying a sweep, without measuring."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgekit.errors import DeviceError
from edgekit.store.store import Store
from edgekit.sweep import start
from edgekit.sweep.grid import Grid, GridFile, settle


def runs(_device: str) -> tuple[str, ...]:
    return ("litert", "onnx", "coreml")


def away(_device: str) -> tuple[str, ...]:
    raise DeviceError("away")


@pytest.fixture
def grid() -> Grid:
    return settle(GridFile(models=("zoo:mobilevig_ti",), devices=("adb:1",), precisions=("fp16", "fp32")), Path())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}")


def test_a_new_sweep_needs_its_devices_and_a_known_one_goes_on_without_them(grid: Grid, store: Store) -> None:
    with pytest.raises(DeviceError):
        start.begin(grid, store, away)
    assert store.sweeps() == []
    first = start.begin(grid, store, runs)
    again = start.begin(grid, store, away)
    assert (again.sweep, again.cells, again.known, again.finished) == (first.sweep, first.cells, True, False)
    assert start.begin(grid, store, runs, new=True).sweep.id != first.sweep.id


@pytest.mark.parametrize("reached", [True, False], ids=["the device is there", "the device is away"])
def test_what_failed_is_asked_for_again_and_what_can_t_be_is_not(grid: Grid, store: Store, reached: bool) -> None:
    begun = start.begin(grid, store, runs)
    cells = {(cell.format, cell.precision): cell for cell in begun.cells}
    assert [key for key, cell in cells.items() if cell.state == "skipped"] == [("litert", "fp16"), ("onnx", "fp16")]
    store.save_cell(msgspec.structs.replace(cells["onnx", "fp32"], state="failed", kind="runtime", reason="crashed"))
    store.save_cell(msgspec.structs.replace(cells["coreml", "fp16"], state="skipped", reason="no runtime"))
    retried = start.begin(grid, store, runs if reached else away, retry_failed=True)
    states = {(cell.format, cell.precision): (cell.state, cell.kind, cell.reason) for cell in retried.cells}
    assert states["onnx", "fp32"] == ("pending", None, None)
    assert states["coreml", "fp16"][0] == ("pending" if reached else "skipped")
    assert states["litert", "fp16"] == ("skipped", None, "litert has no precision fp16")
