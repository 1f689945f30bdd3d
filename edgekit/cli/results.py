"""``edgekit results``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit.cli import options, output

_VERDICTS = ["ok", "noisy", "throttled", "timed-out", "incomparable"]
_EPILOG = """\b
Examples:
  edgekit results --model mobilenet --since 7d
  edgekit results --id 3f9a --samples --json
  edgekit results --export results.parquet
  edgekit results --export profile.json --field-names aihub"""


@click.command(epilog=_EPILOG)
@click.option("--device", "-d", metavar="SPEC", help="Device spec or name.")
@click.option("--model", "-m", metavar="TEXT", help="Part of the model's name, or a pattern with * and ?.")
@click.option("--engine", metavar="NAME", help="executorch, litert or onnxruntime.")
@click.option("--format", "format_name", metavar="NAME", help="executorch, litert, coreml or onnx.")
@click.option("--verdict", type=click.Choice(_VERDICTS), help="Only measurements with this verdict.")
@click.option("--since", metavar="WHEN", help="A date, an ISO 8601 time, or an age: 90m, 12h, 7d, 2w.")
@click.option("--id", "id_prefix", metavar="PREFIX", help="Only the measurement with this id.")
@click.option(
    "--limit", "-n", type=click.IntRange(1), help="At most this many, newest first. [default: 50; all with --export]"
)
@click.option("--samples", is_flag=True, help="With every sample (in --json and --export).")
@click.option(
    "--export",
    "export_path",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Write to FILE.json, .csv or .parquet.",
)
@click.option(
    "--field-names",
    type=click.Choice(["edgekit", "aihub", "litert"]),
    default="edgekit",
    show_default=True,
    help="Whose names the fields get.",
)
@options.output_options
def command(as_json: bool, quiet: bool, traceback: bool, **given: Any) -> int:
    """List, filter and export the stored measurements, newest first."""
    from edgekit.store import export
    from edgekit.store.query import Query
    from edgekit.store.store import Store

    path = Path(given["export_path"]) if given["export_path"] else None
    # The other tools' averages and percentiles are made from the samples.
    every_sample = given["samples"] or given["field_names"] != "edgekit"
    query = Query(
        device=given["device"], model=given["model"], engine=given["engine"], format=given["format_name"],
        verdict=given["verdict"], since=given["since"], id_prefix=given["id_prefix"],
        limit=given["limit"] or (None if path else 50), with_samples=every_sample,
    )  # fmt: skip
    with Store.open() as store:
        found = store.measurements(query)
    if path is not None:
        export.export(found, path, given["field_names"])
    if as_json:
        listed = export.documents(found, given["field_names"])
        if not given["samples"] and given["field_names"] == "edgekit":
            listed = [{k: v for k, v in row.items() if k != "repeats"} for row in listed]
        output.document({"measurements": listed})
    elif path is not None:
        click.echo(f"{len(found)} measurement{'s' if len(found) != 1 else ''} written to {path}.")
    else:
        _show(found)
    return 0


def _show(found: list[Any]) -> None:
    if not found:
        click.echo("No stored measurement matches. `edgekit deploy --device host MODEL` makes one.")
        return
    rows = []
    for m in found:
        verdict = f"{m.verdict}*" if m.emulated else m.verdict
        rows.append([m.id[:8], m.created[5:16].replace("T", " "), m.model, m.format, m.device,
                     _p50(m), output.half_width(m.ci95_ms, m.p50_ms), verdict])  # fmt: skip
    heads = [("Id", "left"), ("UTC", "left"), ("Model", "left"), ("Format", "left"), ("On", "left"),
             ("p50 ms", "right"), ("±95%", "right"), ("Verdict", "left")]  # fmt: skip
    console = output.print_table(f"{len(found)} measurement{'s' if len(found) != 1 else ''}", heads, rows)
    if any(m.emulated for m in found):
        console.print("* emulated: not a device's latency; M: millions of executed instructions.")


def _p50(m: Any) -> str:
    """The median time; of a virtual microcontroller, which has none, the millions of instructions."""
    if m.p50_ms is None and m.instructions is not None:
        return f"{m.instructions / 1e6:.2f} M*"
    return output.milliseconds(m.p50_ms)
