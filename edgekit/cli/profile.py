"""``edgekit profile``."""

from __future__ import annotations

import operator
from typing import Any

import click

from edgekit.cli import options, output
from edgekit.cli.convert import failures, finish

_EPILOG = """\b
Examples:
  edgekit profile timm:mobilenetv2_100 --to executorch
  edgekit profile model.onnx --top 10 --by type"""


@click.command(epilog=_EPILOG)
@click.argument("model")
@options.device_options
@click.option(
    "--runs",
    "--num-runs",
    "--num_runs",
    "runs",
    default=30,
    show_default=True,
    type=click.IntRange(1),
    help="Profiled runs.",
)
@click.option("--top", default=15, show_default=True, type=click.IntRange(1), help="Rows to show.")
@click.option(
    "--by",
    type=click.Choice(["operator", "type"]),
    default="operator",
    show_default=True,
    help="One row per operator, or summed by type.",
)
@options.convert_options
@options.model_options
@options.output_options
def command(model: str, as_json: bool, quiet: bool, traceback: bool, **given: Any) -> int:
    """Per-operator times of MODEL (or of a converted file) on a device; they are kept in the store.

    The pass is separate from the latency measurement: profiling slows a runtime down.
    """
    from edgekit import pipeline, prepare
    from edgekit.cli.progress import ProgressView
    from edgekit.cli.requests import convert_request
    from edgekit.device.resolve import open_device
    from edgekit.store.store import Store

    with Store.open() as store, ProgressView(quiet) as progress:
        device = open_device(given["device"], progress.say, given["harness"])
        request = convert_request(model, given, prepare.runnable_formats(device))
        made, found = pipeline.profile(
            request,
            device,
            threads=given["threads"],
            runs=given["runs"],
            on_event=progress.on_event,
            say=progress.say,
            wait_s=given["wait_s"],
            store=store,
        )
    if as_json:
        skipped = [{"format": name, "reason": reason} for name, reason in found.skipped.items()]
        listed = [output.plain(p) for p in made]
        output.document({"profiles": listed, "skipped": skipped, **failures(found.errors, request.formats)})
    else:
        for p in made:
            _show(p, given["top"], given["by"])
        if made:
            kept = ", ".join(f"{p.format} {p.artifact_sha256[:8]}" for p in made)
            output.console().print(f"Kept for {kept} (edgekit report).", soft_wrap=True)
    return finish(found.errors, request.formats, found.outcome.tracebacks if traceback else {})


def _show(profile: Any, top: int, by: str) -> None:
    timed = profile.total_ms is not None
    amount = operator.attrgetter("p50_ms" if timed else "counted")
    ops = [(o.name, o.unit, amount(o), o.share) for o in profile.ops]
    rows = _by_type(profile.ops, amount) if by == "type" else ops
    rows = sorted(rows, key=lambda row: -row[2])
    shown = [[name, unit, _figure(value, timed), f"{share:.1%}"] for name, unit, value, share in rows[:top]]
    unit = "ms" if timed else profile.counter
    total = output.milliseconds(profile.total_ms) if timed else f"{profile.total_counted:,}"
    how = f"median of {profile.runs}" if profile.runs > 1 else "one run"
    title = f"{profile.model} {profile.format}: {total} {unit} per profiled run, {how}"
    heads = [
        ("Operator" if by == "operator" else "Type of operator", "left"),
        ("Unit", "left"),
        (unit, "right"),
        ("Share", "right"),
    ]
    console = output.print_table(title, heads, shown)
    if len(rows) > top:
        rest = sum(row[2] for row in rows[top:])
        console.print(f"{len(rows) - top} more, {_figure(rest, timed)} {unit} together (--top).")
    if profile.note:
        console.print(profile.note, soft_wrap=True)


def _figure(value: float, timed: bool) -> str:
    return f"{value:.3f}" if timed else f"{round(value):,}"


def _by_type(ops: Any, amount: Any) -> list[tuple[str, str, float, float]]:
    sums: dict[tuple[str, str], list[float]] = {}
    for o in ops:
        entry = sums.setdefault((o.type, o.unit), [0.0, 0.0, 0])
        entry[0] += amount(o)
        entry[1] += o.share
        entry[2] += 1
    return [(f"{kind} ×{int(n)}", unit, ms, share) for (kind, unit), (ms, share, n) in sums.items()]
