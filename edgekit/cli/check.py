"""``edgekit check``."""

from __future__ import annotations

import os
from typing import Any

import click

from edgekit.cli import options, output
from edgekit.cli.convert import exponent, failures, finish, parity_word, show_model, show_placement

_EPILOG = """\b
Examples:
  edgekit check timm:mobilenetv2_100 out/mobilenetv2_100_litert_fp32.tflite
  edgekit check weights.pt --arch my_models.py:net model.pte model.mlpackage
  edgekit check zoo:mobilevig_ti model.onnx --inputs photos/ --json

\b
Exit 0 if every file computes what the model computes, 12 if one does not or
can't be judged."""


@click.command(epilog=_EPILOG)
@click.argument("model")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@options.golden_options
@click.option(
    "--precision", metavar="NAME", help="Tolerance to judge by: fp32 or fp16. Default: by the file's weights."
)
@options.worker_options
@options.model_options
@options.output_options
def command(model: str, files: tuple[str, ...], as_json: bool, quiet: bool, traceback: bool, **given: Any) -> int:
    """Check that converted FILEs still compute what MODEL computes, as they are written.

    A file that does not is named with the first layer that differs, by how much, and what in the file says so.
    """
    from edgekit import pipeline
    from edgekit.cli.progress import ProgressView
    from edgekit.cli.requests import convert_request

    request = convert_request(model, {**given, "precision": given["precision"] or "", "no_parity": False}, ())
    with ProgressView(quiet) as progress:
        checked = pipeline.check(request, files, progress.on_event)
    if as_json:
        fields: dict[str, Any] = {"artifacts": [output.plain(a) for a in checked.artifacts]}
        fields["warnings"] = list(checked.exported.warnings) if checked.exported else []
        output.document({**fields, **failures(checked.errors, files, key="file")})
    elif checked.artifacts:
        show(checked)
    return finish(checked.errors, files, checked.tracebacks if traceback else {})


def show(checked: Any) -> None:
    """The tables for people."""
    rows = []
    for a in checked.artifacts:
        p = a.parity
        figures = [parity_word(p), exponent(p.max_abs), output.number(p.psnr_db, 0)]
        rows.append([os.path.basename(a.path.rstrip("/")), a.format, a.precision, *figures])
    columns = [("File", "left"), ("Format", "left"), ("Type", "left"), ("Parity", "left"), ("Max abs", "right"),
               ("PSNR dB", "right")]  # fmt: skip
    exported = checked.exported
    output.print_table(f"{exported.name} ({exported.weights})", columns, rows)
    console = show_placement(checked.artifacts)
    show_model(exported, console)
