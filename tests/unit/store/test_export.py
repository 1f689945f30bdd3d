from __future__ import annotations

import csv
import json
import os
import stat
import statistics
import sys
from pathlib import Path

import msgspec
import pyarrow
import pyarrow.parquet
import pytest

from edgekit.errors import MissingExtraError, StoreError, UsageError
from edgekit.records import Footprint, Measurement
from edgekit.store import export

from .samples import make_measurement

FOOTPRINT = Footprint(static_bytes=1, arena_bytes=2, stack_bytes=3, flash_bytes=4)
FULL = make_measurement(footprint=FOOTPRINT)
SUMMARY = make_measurement(id="m-2", repeats=(), affinity=None, p50_ms=None, ci95_ms=None, peak_rss_bytes=None)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_json_reads_back_as_the_records(tmp_path: Path) -> None:
    path = export.to_json([FULL, SUMMARY], tmp_path / "r.json")
    document = json.loads(path.read_bytes())
    assert document["schema"] == 1
    assert msgspec.convert(document["measurements"], list[Measurement]) == [FULL, SUMMARY]


def test_csv_is_flat(tmp_path: Path) -> None:
    first, second = read_csv(export.to_csv([FULL, SUMMARY], tmp_path / "r.csv"))
    assert float(first["p50_ms"]) == FULL.p50_ms
    assert (first["ci95_low_ms"], first["ci95_high_ms"]) == ("0.29", "0.31")
    assert (first["affinity"], first["verdict_reasons"], first["plan_min_runs"]) == ("0; 1", "load; x", "60")
    assert (second["p50_ms"], second["ci95_low_ms"], second["affinity"]) == ("", "", "")


def test_every_field_of_a_measurement_is_a_column() -> None:
    columns = set(export.rows([FULL])[0])
    nested = {"repeats", "plan", "ci95_ms", "footprint"}
    assert columns >= set(Measurement.__struct_fields__) - nested
    assert columns >= {f"plan_{name}" for name in FULL.plan.__struct_fields__}


def test_parquet_keeps_types(tmp_path: Path) -> None:
    table = pyarrow.parquet.read_table(export.to_parquet([FULL, SUMMARY], tmp_path / "r.parquet"))
    assert table.to_pylist() == export.rows([FULL, SUMMARY])
    assert table.schema.field("p50_ms").type == pyarrow.float64()
    assert table.schema.field("peak_rss_bytes").type == pyarrow.int64()
    empty = pyarrow.parquet.read_table(export.to_parquet([], tmp_path / "empty.parquet"))
    assert empty.schema == table.schema
    assert empty.num_rows == 0


@pytest.mark.parametrize("names", ["edgekit", "aihub", "litert"])
def test_csv_without_measurements_has_a_header(tmp_path: Path, names: export.FieldNames) -> None:
    path = export.to_csv([], tmp_path / "r.csv", names)
    full = export.to_csv([FULL], tmp_path / "full.csv", names)
    assert path.read_text() == full.read_text().splitlines(keepends=True)[0]


def test_ai_hub_names() -> None:
    with_samples, without = export.documents([FULL, SUMMARY], "aihub")
    summary = with_samples["execution_summary"]
    assert summary["estimated_inference_time"] == 0  # 0.4 µs, in whole microseconds
    assert summary["first_load_time"] == 21_250
    assert summary["warm_load_time"] == 4_000
    assert summary["estimated_inference_peak_memory"] == 3 * 2**20
    assert len(summary["all_inference_times"]) == 120
    assert summary["all_inference_times"][0] == 5_000_000
    assert without["execution_summary"]["all_inference_times"] is None
    assert without["execution_summary"]["estimated_inference_peak_memory"] is None


def test_litert_names() -> None:
    with_samples, without = export.documents([FULL, SUMMARY], "litert")
    latency = with_samples["latency_metrics"]
    runs = [sample / 1e6 for repeat in FULL.repeats for sample in repeat.samples_ns]
    assert latency["avg_ms"] == pytest.approx(statistics.fmean(runs), rel=1e-12)
    assert latency["stddev_ms"] == pytest.approx(statistics.stdev(runs))
    cuts = statistics.quantiles(runs, n=20, method="inclusive")
    assert (latency["p5_ms"], latency["p95_ms"]) == (pytest.approx(cuts[0]), pytest.approx(cuts[-1]))
    assert (latency["init_ms"], latency["first_inference_ms"]) == (21.25, 3.5)
    assert latency["median_ms"] == FULL.p50_ms
    assert with_samples["memory_metrics"] == {"peak_mem_mb": 3.0}
    assert with_samples["misc_metrics"] == {"num_runs": 120, "num_warmup_runs": 4}
    unknown = ("average_warm_up_ms", "avg_ms", "stddev_ms", "p5_ms", "p95_ms")
    assert [without["latency_metrics"][name] for name in unknown] == [None] * 5
    assert without["memory_metrics"]["peak_mem_mb"] is None


def test_foreign_names_in_csv_are_dotted(tmp_path: Path) -> None:
    (row,) = read_csv(export.to_csv([FULL], tmp_path / "r.csv", "aihub"))
    assert row["execution_summary.first_load_time"] == "21250"
    (row,) = read_csv(export.to_csv([FULL], tmp_path / "r.csv", "litert"))
    assert row["latency_metrics.init_ms"] == "21.25"


@pytest.mark.parametrize("name", ['=HYPERLINK("http://x")', "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_spreadsheet_runs_a_models_name(tmp_path: Path, name: str) -> None:
    evil = make_measurement(model=name, verdict_reasons=(name,), overhead_ns=-5)
    (row,) = read_csv(export.to_csv([evil], tmp_path / "r.csv"))
    assert row["model"] == "'" + name
    assert row["verdict_reasons"] == "'" + name
    assert row["overhead_ns"] == "-5"
    assert export.rows([evil])[0]["model"] == name


def test_export_by_the_end_of_the_name(tmp_path: Path) -> None:
    assert export.export([FULL], tmp_path / "r.CSV").read_text().startswith("id,")
    with pytest.raises(UsageError, match=r"r\.xlsx"):
        export.export([FULL], tmp_path / "r.xlsx")
    with pytest.raises(UsageError, match="'mlperf'"):
        export.export([FULL], tmp_path / "r.csv", "mlperf")  # type: ignore[arg-type]  # what a user may type
    assert [path.name for path in tmp_path.iterdir()] == ["r.CSV"]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file") as caught:
        export.export([FULL], tmp_path / "missing" / "r.csv")
    assert caught.value.code == 16
    (tmp_path / "r.json").mkdir()
    with pytest.raises(StoreError):
        export.export([FULL], tmp_path / "r.json")
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_a_file_is_replaced_whole_with_usual_rights(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        (tmp_path / "r.csv").write_text("old")
        path = export.export([FULL], tmp_path / "r.csv")
    finally:
        os.umask(old)
    assert len(read_csv(path)) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [one.name for one in tmp_path.iterdir()] == ["r.csv"]


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # what an import of a missing package meets
    with pytest.raises(MissingExtraError) as caught:
        export.export([FULL], tmp_path / "r.parquet")
    assert "edgekit[parquet]" in caught.value.next_step
