"""``edgekit deploy``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit.cli import options, output
from edgekit.cli.convert import failures, finish

_EPILOG = """\b
Examples:
  edgekit deploy --device host timm:mobilenetv2_100
  edgekit deploy --device host weights.pt --arch my_models.py:small_net
  edgekit deploy --device host model.tflite --num_threads 2 --strict"""


@click.command(epilog=_EPILOG)
@click.argument("model")
@options.device_options
@options.plan_options
@click.option("--strict", is_flag=True, help="Exit 14 unless every verdict is ok.")
@options.convert_options
@click.option("--output", "-o", metavar="DIR", help="Also copy the converted files there.")
@options.model_options
@options.output_options
def command(model: str, as_json: bool, quiet: bool, traceback: bool, **given: Any) -> int:
    """Convert MODEL (or take a converted file), check it on a device, measure it there, and keep the result."""
    from edgekit import pipeline, prepare
    from edgekit.cli.progress import ProgressView
    from edgekit.cli.requests import convert_request, plan
    from edgekit.device.resolve import open_device
    from edgekit.store.store import Store

    with Store.open() as store, ProgressView(quiet) as progress:
        device = open_device(given["device"], progress.say, given["harness"])
        request = convert_request(model, given, prepare.runnable_formats(device))
        made, found = pipeline.deploy(
            request,
            device,
            plan(given),
            threads=given["threads"],
            store=store,
            on_event=progress.on_event,
            say=progress.say,
            clocks=given["clocks"],
            wait_s=given["wait_s"],
            output=Path(given["output"]) if given["output"] else None,
        )
    doubtful = [d.measurement for d in made if d.measurement.verdict != "ok"]
    if given["strict"] and doubtful and not found.errors:
        found.errors[doubtful[0].format] = _untrustworthy(doubtful)
    if as_json:
        listed = [_plain(d) for d in made]
        skipped = [{"format": name, "reason": reason} for name, reason in found.skipped.items()]
        fields = {"deployments": listed, "skipped": skipped, "warnings": list(found.warnings)}
        output.document({**fields, **failures(found.errors, request.formats)})
    elif made or found.skipped:
        show(made, found)
    return finish(found.errors, request.formats, found.outcome.tracebacks if traceback else {})


def _untrustworthy(measurements: list[Any]) -> Any:
    from edgekit.errors import UntrustworthyError

    listed = "; ".join(f"{m.format} is {m.verdict}" for m in measurements)
    reasons = [reason for m in measurements for reason in m.verdict_reasons]
    return UntrustworthyError(
        f"Not every measurement can be trusted: {listed}.",
        where=reasons[0] if reasons else "",
        next_step="Close other programs, let the device cool, and measure again; the results were kept.",
    )


def _plain(deployment: Any) -> dict[str, Any]:
    """A deployment for JSON; the samples themselves stay in the store (`edgekit results --samples`)."""
    fields = output.plain(deployment)
    fields["measurement"].pop("repeats")
    return fields


def show(made: list[Any], found: Any) -> None:
    """The table for people, then what was left out and every doubt."""
    console = output.console()
    if made:
        first = made[0].measurement
        threads = f"{first.threads} thread{'s' if first.threads > 1 else ''}"
        if first.counter is None:
            title = f"{first.model} on {first.device} ({first.device_name}), {threads}, clock {first.clock_regime}"
            output.print_table(title, _COLUMNS, [_row(d) for d in made])
        else:
            show_counted(made)
    if any(d.measurement.emulated for d in made):
        timed = any(d.measurement.p50_ms is not None for d in made)
        console.print("Emulated: these times show that it runs, not how fast a device is." if timed else
                      "Emulated: executed instructions were counted, exactly; an emulator has no time.",
                      soft_wrap=True)  # fmt: skip
    for warning in found.warnings:
        console.print(f"Note: {warning}", soft_wrap=True)
    for d in made:
        for warning in d.artifact.warnings:
            console.print(f"{d.artifact.format}: note: {warning}.", soft_wrap=True)
    for name, reason in found.skipped.items():
        console.print(f"{name}: not measured: {reason}.", soft_wrap=True)
    for d in made:
        for reason in d.measurement.verdict_reasons:
            doubt = "" if d.measurement.verdict == "ok" else f" is {d.measurement.verdict}"
            console.print(f"{d.artifact.format}{doubt}: {reason}", soft_wrap=True)
    if made:
        ids = ", ".join(d.measurement.id[:8] for d in made)
        console.print(f"Kept as {ids} (edgekit results).", soft_wrap=True)


def show_counted(made: list[Any]) -> None:
    """A microcontroller's table: what it counted, and what it needed of SRAM and flash."""
    first = made[0].measurement
    heads = [("Format", "left"), (first.counter.capitalize(), "right"), ("p50 ms", "right"), ("SRAM", "right"),
             ("Flash", "right"), ("parity", "left"), ("verdict", "left")]  # fmt: skip
    rows = []
    for d in made:
        m = d.measurement
        rows.append([
            d.artifact.format, millions(m.instructions or m.cycles), output.milliseconds(m.p50_ms),
            output.size(m.sram_bytes), output.size(m.flash_bytes), _parity_word(d.device_parity), m.verdict,
        ])  # fmt: skip
    console = output.print_table(f"{first.model} on {first.device} ({first.device_name})", heads, rows)
    for d in made:
        f = d.measurement.footprint
        if f is not None:
            console.print(f"SRAM of {d.artifact.format}: static {f.static_bytes:,} + arena {f.arena_bytes:,} + stack "
                          f"{f.stack_bytes:,} = {f.sram_bytes:,} bytes.", soft_wrap=True)  # fmt: skip


def millions(count: int | None) -> str:
    """A count of instructions or cycles for people; a dash where nothing was counted."""
    return "-" if count is None else f"{count / 1e6:,.3f} M"


def _parity_word(parity: Any) -> str:
    word = {True: "passed", False: "FAILED", None: "-"}[parity.passed]
    return "bit-equal" if parity.passed and parity.bit_equal else word


_COLUMNS = [("Format", "left"), ("p50 ms", "right"), ("95% interval", "left"), ("p90", "right"), ("first", "right"),
            ("load", "right"), ("memory", "right"), ("parity", "left"), ("verdict", "left")]  # fmt: skip


def _row(d: Any) -> list[str]:
    m = d.measurement
    parity = {True: "passed", False: "FAILED", None: "-"}[d.device_parity.passed]
    return [
        d.artifact.format, output.milliseconds(m.p50_ms), output.interval(m.ci95_ms), output.milliseconds(m.p90_ms),
        output.milliseconds(m.first_ms), output.milliseconds(m.load_cold_ms), output.size(m.model_rss_bytes), parity,
        m.verdict,
    ]  # fmt: skip
