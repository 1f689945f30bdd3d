"""``edgekit convert``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from edgekit.cli import options, output
from edgekit.errors import EdgekitError

_EPILOG = """\b
Examples:
  edgekit convert timm:mobilenetv2_100 --to executorch,litert,coreml,onnx
  edgekit convert weights.pt --arch my_models.py:small_net --inputs photos/
  edgekit convert scripted.pt --input-shape 1,3,224,224 --to litert -o out

\b
A model is: model.pt2 (torch.export), model.pt (TorchScript, or a state dict
with --arch), pkg.module:factory, file.py:factory, timm:NAME, zoo:NAME."""
DEFAULT_FORMATS = ("executorch", "litert", "coreml", "onnx")
# Kinds of undelegated operators named below the table.
_LISTED = 6


@click.command(epilog=_EPILOG)
@click.argument("model")
@options.convert_options
@options.model_options
@click.option("--output", "-o", default=".", show_default=True, metavar="DIR", help="Where the files go.")
@options.output_options
def command(model: str, as_json: bool, quiet: bool, traceback: bool, **given: Any) -> int:
    """Convert MODEL and prove each file against PyTorch on the golden inputs."""
    from edgekit import prepare
    from edgekit.cli.progress import ProgressView
    from edgekit.cli.requests import convert_request

    request = convert_request(model, given, DEFAULT_FORMATS)
    with ProgressView(quiet) as progress:
        outcome = prepare.convert(request, Path(given["output"]), progress.on_event)
    if as_json:
        fields: dict[str, Any] = {"artifacts": [output.plain(a) for a in outcome.artifacts]}
        fields["warnings"] = list(outcome.exported.warnings) if outcome.exported else []
        output.document({**fields, **failures(outcome.errors, request.formats)})
    elif outcome.artifacts:
        show(outcome.artifacts, outcome.exported)
    return finish(outcome.errors, request.formats, outcome.tracebacks if traceback else {})


def failures(errors: dict[str, EdgekitError], formats: tuple[str, ...], key: str = "format") -> dict[str, Any]:
    """The ``error`` (the first one) and ``failures`` (every format's, or file's) of a JSON document."""
    if not errors:
        return {}
    ordered = [(name, errors[name]) for name in formats if name in errors] or list(errors.items())
    listed = [{key: name, **output.public(error)} for name, error in ordered]
    return {"error": output.public(ordered[0][1]), "failures": listed}


def finish(errors: dict[str, EdgekitError], formats: tuple[str, ...], tracebacks: dict[str, str]) -> int:
    """Report every failed format on stderr; the first one's code is the command's."""
    ordered = [name for name in formats if name in errors] or list(errors)
    for name in ordered:
        if name in tracebacks:
            sys.stderr.write(tracebacks[name])
        output.report(errors[name])
    return errors[ordered[0]].code if ordered else 0


def show(artifacts: list[Any], exported: Any) -> None:
    """The table for people."""
    from edgekit.convert import judge

    rows = []
    for a in artifacts:
        p = a.parity
        took = "cached" if a.cached else f"{output.number(a.convert_seconds, 1)} s"
        rows.append([a.format, a.precision, parity_word(p), exponent(p.max_abs), output.number(p.psnr_db, 0), took])
    columns = [("Format", "left"), ("Type", "left"), ("Parity", "left"), ("Max abs", "right"), ("PSNR dB", "right"),
               ("Convert", "right")]  # fmt: skip
    output.print_table(f"{artifacts[0].model} ({artifacts[0].weights})", columns, rows)
    console = show_placement(artifacts)
    if exported is not None:
        show_model(exported, console)
    for a in artifacts:
        evaluator = judge.evaluator_of(a.format)
        if evaluator is not None and a.parity.passed is not None:
            console.print(f"{a.format}: judged by {evaluator}, which runs the file as written.", soft_wrap=True)
    for a in artifacts:
        for warning in a.warnings:
            console.print(f"{a.format}: note: {warning}.", soft_wrap=True)
        if a.parity.bit_equal:
            console.print(f"{a.format}: bit-equal with LiteRT's reference kernels.", soft_wrap=True)
    for a in artifacts:
        reason = f"  ({a.parity.reason})" if a.parity.passed is not True and a.parity.reason else ""
        console.print(f"{a.path}{reason}", soft_wrap=True)


def show_model(exported: Any, console: Any) -> None:
    """What was compared with, and what has to be known of the model."""
    console.print(f"Golden inputs: {exported.golden.count}, {exported.golden.source}.", soft_wrap=True)
    for warning in exported.warnings:
        console.print(f"Note: {warning}", soft_wrap=True)


def show_placement(artifacts: list[Any]) -> Any:
    """Size and placement side by side, for people; answers the console used."""
    rows = []
    for a in artifacts:
        outside = None if a.undelegated_ops is None else sum(op.count for op in a.undelegated_ops)
        share = "-" if a.undelegated_macs_share is None else f"{a.undelegated_macs_share:.1%}"
        counts = [_count(value) for value in (a.operators, a.partitions, outside)]
        rows.append([a.format, output.size(a.bytes), output.size(a.weight_bytes), *counts, share])
    columns = [("Format", "left"), ("Size", "right"), ("Weights", "right"), ("Operators", "right"),
               ("Partitions", "right"), ("Undelegated", "right"), ("of MACs", "right")]  # fmt: skip
    console = output.print_table("Size and placement", columns, rows)
    for a in artifacts:
        if a.undelegated_ops:
            listed = [f"{op.count} {op.op}" for op in a.undelegated_ops[:_LISTED]]
            more = len(a.undelegated_ops) - _LISTED
            end = f", and {more} more kinds (--json lists them)" if more > 0 else ""
            console.print(f"{a.format}: outside the delegate: {', '.join(listed)}{end}.", soft_wrap=True)
        elif a.partitions is None and a.placement_note:
            console.print(f"{a.format}: {a.placement_note}.", soft_wrap=True)
    return console


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def parity_word(parity: Any) -> str:
    """``passed``, ``FAILED`` or ``not checked``."""
    return {True: "passed", False: "FAILED", None: "not checked"}[parity.passed]


def exponent(value: float | None) -> str:
    """A figure as a power of ten; a dash where it was not measured."""
    return "-" if value is None else f"{value:.1e}"
