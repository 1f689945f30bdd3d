"""``edgekit sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli import options, output
from edgekit.errors import EdgekitError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgekit.selection import Sweep, SweepCell
    from edgekit.store.store import Store
    from edgekit.sweep.grid import Grid, GridFile
    from edgekit.sweep.start import Begun

_INTERRUPTED = 130
_MEMORY_SHARE = 0.6
_EPILOG = """\b
Examples:
  edgekit sweep zoo:mobilevig_ti timm:mobilenetv2_100 --to litert,onnx
  edgekit sweep --zoo 'mobilevig*' --threads 1,2 --device host --device pixel7
  edgekit sweep phones.toml --dry-run
  edgekit sweep --list
  edgekit sweep --resume phones --retry-failed

\b
A grid, phones.toml (its paths are relative to it; every key but models or
zoo may be left out):
  models = ["zoo:mobilevig_ti",
            {spec = "w.pt", arch = "net.py:make", name = "mine"}]
  zoo = ["mobilenetv4_conv*"]
  formats = ["litert", "onnx"]
  precisions = ["fp32"]
  threads = [1, 2]
  devices = ["host", "pixel7"]
  clocks = "free"
  inputs = "photos"
  [plan]
  repeats = 5
  [[exclude]]
  model = "mine"
  threads = 2

\b
Every runtime runs on its one CPU delegate (XNNPACK in .pte and .tflite), so
delegates are no axis. What runs on this machine is measured one device after
another, when the conversions have ended; other devices measure meanwhile.
A sweep that was stopped goes on where it was with the same command."""
# Options that belong into the grid file where there is one.
_OF_GRID = (
    "formats", "precisions", "threads", "devices", "zoo_patterns", "harness", "name", "clocks", "runs", "warmup",
    "min_secs", "max_secs", "repeats", "inputs", "golden_count", "calibration", "calibration_count", "no_parity",
    "arch", "weights", "pretrained", "trust_pickle", "input_shape", "input_spec", "seed",
)  # fmt: skip

_grid_options = options.stack(
    click.option("--zoo", "zoo_patterns", metavar="PATTERN", multiple=True, help="Models of the zoo, such as "
                 "'mobilevig*'; may be repeated."),
    click.option("--to", "formats", metavar="LIST", help="Formats: executorch,litert,onnx,mcu. [default: all that the "
                 "device runs]"),
    click.option("--precision", "precisions", metavar="LIST", help="For example fp32,fp16. [default: each format's "
                 "first]"),
    click.option("--threads", "--num-threads", "--num_threads", "threads", default="1", show_default=True,
                 metavar="LIST", help="Thread counts, for example 1,2,4."),
    click.option("--device", "-d", "devices", multiple=True, default=("host",), metavar="SPEC",
                 help="Where to run; may be repeated. [default: host]"),
    click.option("--engine", "harness", type=click.Choice(["python", "native"]), help="The program that runs the "
                 "models on the host. [default: python]"),
    click.option("--name", metavar="NAME", help="The sweep's name. [default: from the models]"),
    options.plan_options,
)  # fmt: skip
_run_options = options.stack(
    click.option("--new", is_flag=True, help="Begin anew, whatever there is of this grid."),
    click.option("--resume", metavar="SWEEP", help="Continue this sweep: its name or id."),
    click.option("--retry-failed", is_flag=True, help="Do failed and skipped cells again."),
    click.option("--dry-run", is_flag=True, help="Show the cells and an estimate; do nothing."),
    click.option("--list", "show_list", is_flag=True, help="List the stored sweeps and how far they are."),
    click.option("--show", "show_one", metavar="SWEEP", help="Show the cells of this sweep, with the reasons."),
    click.option("--wait", "wait_s", default=0.0, metavar="SECONDS", help="Wait for a busy device."),
)  # fmt: skip


@click.command(epilog=_EPILOG)
@click.argument("models", nargs=-1, metavar="[GRID.toml | MODEL...]")
@_grid_options
@options.golden_options
@click.option("--calibration", metavar="PATH", help="For int8: your data, or the word synthetic.")
@click.option("--calibration-count", default=128, show_default=True, type=click.IntRange(1, 100_000),
              help="At most so many samples of it.")  # fmt: skip
@click.option("--no-parity", is_flag=True, help="Don't compare with PyTorch.")
@options.model_options
@options.worker_options
@_run_options
@options.output_options
@click.pass_context
def command(
    ctx: click.Context, /, models: tuple[str, ...], as_json: bool, quiet: bool, traceback: bool, **given: Any
) -> int:
    """Measure every combination of models, formats, precisions, thread counts and devices.

    What was measured is kept after every repeat, and the same command goes on from there. A cell that fails is a
    result with its reason; the others are measured all the same. The exit code is then that of the first failure, a
    device that was lost before a cell that failed.
    """
    from edgekit.store.store import Store
    from edgekit.sweep import start

    if given["show_list"]:
        with Store.open() as store:
            return _list(store, as_json)
    if given["show_one"]:
        with Store.open() as store:
            return _show(store, given["show_one"], as_json)
    if given["resume"] and (models or _given(ctx) or given["new"]):
        raise UsageError("--resume goes on with the stored sweep and its grid.", where="--resume",
                         next_step="Leave the models, their options and --new out.")  # fmt: skip
    asked = None if given["resume"] else _grid(ctx, models, given)
    if given["dry_run"] and asked is not None:
        return _dry_run(asked, as_json)
    with Store.open() as store:
        if given["dry_run"]:
            sweep, grid = start.resume(given["resume"], store)
            return _plan(grid, store.cells(sweep.id), 0, as_json)
        return _sweep(store, asked, given, as_json, quiet)


def _given(ctx: click.Context) -> list[str]:
    default = click.core.ParameterSource.DEFAULT
    return [name for name in _OF_GRID if ctx.get_parameter_source(name) not in (default, None)]


def _grid(ctx: click.Context, models: tuple[str, ...], given: dict[str, Any]) -> Grid:
    """The grid in a TOML file, or that of the command line."""
    from edgekit.sweep import grid, grid_file

    files = [model for model in models if model.lower().endswith(".toml")]
    if not files:
        return grid.settle(_from_options(models, given), Path.cwd())
    if len(models) > 1 or _given(ctx):
        what = "models" if len(models) > 1 else ", ".join(_given(ctx))
        raise UsageError(f"The grid {files[0]} says what is measured; so do {what}.", where=files[0],
                         next_step="Put them into the grid, or leave the grid out.")  # fmt: skip
    path = Path(files[0])
    return grid.settle(grid_file.load(path), path.parent, path.stem)


def _from_options(models: tuple[str, ...], given: dict[str, Any]) -> GridFile:
    from edgekit.cli.requests import plan
    from edgekit.sweep.grid import GridFile, ModelEntry, checked

    per_model = ("arch", "weights", "pretrained", "trust_pickle", "input_shape", "input_spec")
    if given["zoo_patterns"] and any(given[key] for key in per_model):
        named = next(key for key in per_model if given[key]).replace("_", "-")
        raise UsageError(f"--{named} is for models that are named one by one, not for those of --zoo.",
                         where="--zoo", next_step="Name the models: zoo:NAME (edgekit zoo lists them).")  # fmt: skip
    made = GridFile(
        name=given["name"],
        models=tuple(ModelEntry(spec=spec, **{key: given[key] for key in per_model}) for spec in models),
        zoo=given["zoo_patterns"],
        formats=options.parse_formats(given["formats"], ()),
        precisions=_texts(given["precisions"]),
        threads=_counts(given["threads"]),
        devices=given["devices"],
        engine=given["harness"],
        clocks=given["clocks"],
        inputs=given["inputs"],
        golden_count=given["golden_count"],
        seed=given["seed"],
        calibration=given["calibration"],
        calibration_count=given["calibration_count"],
        parity=not given["no_parity"],
        plan=plan(given),
    )
    return checked(made)


def _texts(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _counts(text: str) -> tuple[int, ...]:
    parts = _texts(text)
    if not parts or not all(part.isascii() and part.isdecimal() and len(part) < 5 for part in parts):
        raise UsageError(f"{text!r} is not a list of thread counts.", where="--threads", next_step="For example 1,2,4.")
    return tuple(int(part) for part in parts)


def _sweep(store: Store, asked: Grid | None, given: dict[str, Any], as_json: bool, quiet: bool) -> int:
    from edgekit.cli.sweep_view import SweepView
    from edgekit.sweep import run, start

    begun = None
    try:
        with SweepView(quiet) as view:
            chosen, grid = (None, asked) if asked else start.resume(given["resume"], store)
            assert grid is not None
            devices = run.Devices(grid, view.say)
            begun = start.begin(
                grid, store, devices.formats, chosen=chosen, new=given["new"], retry_failed=given["retry_failed"]
            )
            view.say(_beginning(begun))
            lost: dict[str, EdgekitError] = {}
            if not begun.finished:
                lost = run.run(begun.sweep, grid, store, devices, _run_of(given), view.say, view.on_event)
    except KeyboardInterrupt:
        if begun is None:
            raise
        again = f"edgekit sweep --resume {begun.sweep.id[:8]}"
        error = EdgekitError("Interrupted.", where=begun.sweep.name, sweep=begun.sweep.id,
                             next_step=f"What was measured is kept; to go on, run it again: {again}")  # fmt: skip
        return output.fail(error, as_json=as_json, code=_INTERRUPTED)
    return _finish(store, begun.sweep, lost, as_json)


def _beginning(begun: Begun) -> str:
    from edgekit.cli.sweep_view import in_words

    which = f"{begun.sweep.name} ({begun.sweep.id[:8]})"
    if begun.finished:
        return f"the sweep {which} of {begun.sweep.created} is finished; --new measures it again"
    return f"{'continuing' if begun.known else 'new'} sweep {which}: {in_words(begun.cells)}"


def _run_of(given: dict[str, Any]) -> Any:
    from edgekit import paths
    from edgekit.sweep.run import Options

    limit = given["memory_limit"]
    return Options(
        cache=str(paths.cache_dir()),
        store=paths.store_url(),
        jobs=given["jobs"] or options.cores(),
        memory_limit_bytes=options.parse_size(limit) if limit else int(options.free_memory_bytes() * _MEMORY_SHARE),
        wait_s=given["wait_s"],
    )


def _finish(store: Store, sweep: Sweep, lost: dict[str, EdgekitError], as_json: bool) -> int:
    from edgekit.cli import sweep_view

    cells = store.cells(sweep.id)
    errors = sweep_view.errors_of(sweep, cells, lost)
    measured = _measured(store, cells)
    if as_json:
        output.document(sweep_view.document(sweep, cells, measured, errors))
    else:
        sweep_view.show(sweep, cells, measured)
    for error in sweep_view.grouped(errors):
        output.report(error)
    if lost:
        left = sum(cell.state == "pending" for cell in cells)
        click.echo(f"  {left} cell{' is' if left == 1 else 's are'} still to be measured: edgekit sweep --resume "
                   f"{sweep.id[:8]}", err=True)  # fmt: skip
    return next(iter(errors.values())).code if errors else 0


def _measured(store: Store, cells: Any) -> dict[str, Any]:
    from edgekit.store.query import Query

    ids = tuple(cell.measurement_id for cell in cells if cell.measurement_id)
    found = store.measurements(Query(ids=ids, limit=None)) if ids else []
    return {measurement.id: measurement for measurement in found}


def _list(store: Store, as_json: bool) -> int:
    from edgekit.cli import sweep_view

    listed = [(sweep, store.cells(sweep.id)) for sweep in store.sweeps()]
    if as_json:
        output.document({"sweeps": [sweep_view.head(sweep, cells) for sweep, cells in listed]})
    elif listed:
        sweep_view.show_list(listed)
    else:
        click.echo("No sweep is stored. `edgekit sweep --zoo 'mobilevig*' --dry-run` shows what one would do.")
    return 0


def _show(store: Store, text: str, as_json: bool) -> int:
    from edgekit.cli import sweep_view

    sweep = store.sweep(text)
    cells = store.cells(sweep.id)
    if as_json:
        output.document(sweep_view.document(sweep, cells, _measured(store, cells), {}))
    else:
        sweep_view.show(sweep, cells, _measured(store, cells))
    return 0


def _dry_run(grid: Grid, as_json: bool) -> int:
    import msgspec

    from edgekit.sweep.cells import expand, hindrance
    from edgekit.sweep.run import Devices

    devices = Devices(grid, lambda _text: None)
    expansion = expand(grid, "", devices.formats)
    reached = devices.reach(grid.devices)
    cells = []
    for cell in expansion.cells:
        reason = hindrance(cell, reached[cell.device]) if cell.device in reached else None
        skipped = cell.state == "pending" and reason is not None
        cells.append(msgspec.structs.replace(cell, state="skipped", reason=reason) if skipped else cell)
    for spec, error in devices.lost.items():
        click.echo(f"{spec} can't be reached: {error.message}", err=True)
    return _plan(grid, cells, expansion.excluded, as_json)


def _plan(grid: Grid, cells: Sequence[SweepCell], excluded: int, as_json: bool) -> int:
    """What is to be done, and how long it may take; durations are guessed from the plan."""
    from edgekit.sweep.estimate import Estimate, words

    here = [spec for spec in grid.devices if spec == "host" or spec.startswith("virtual:")]
    pending = [cell for cell in cells if cell.state == "pending"]
    estimate = Estimate(pending, grid.plan, {}, here)
    estimate.conversions_left = len({(cell.model, cell.precision) for cell in pending})
    left = estimate.left()
    if as_json:
        output.document({
            "cells": [output.plain(cell, drop=("sweep_id",)) for cell in cells],
            "excluded": excluded, "repeats": left.total, "estimate_seconds": left.seconds,
        })  # fmt: skip
        return 0
    for cell in cells:
        state = "" if cell.state == "pending" else f"  {cell.state}"
        click.echo(cell.key + state + (f": {cell.reason}" if cell.reason else ""))
    click.echo(f"{len(cells)} cells, {left.total} repeats to make, {excluded} excluded; {words(left.seconds)} if "
               "nothing is converted yet.")  # fmt: skip
    return 0
