"""``edgekit doctor``."""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli import options, output
from edgekit.cli.convert import DEFAULT_FORMATS

_EPILOG = """\b
Examples:
  edgekit doctor zoo:mobilevig_ti
  edgekit doctor weights.pt --arch my_models.py:small_net --to executorch
  edgekit doctor timm:efficientformerv2_s0 --to coreml --precision fp16

\b
Nothing is converted. Exit code: 0 if every format will convert, 11 if one
will not in spite of edgekit's rewrites, 12 if a rewrite leaves its bound or
the model's output would prove nothing; 10 and 11 as for convert."""


@click.command(epilog=_EPILOG)
@click.argument("model")
@click.option("--to", "formats", metavar="LIST", help="Formats: executorch,litert,coreml,onnx.")
@click.option("--precision", default="fp32", show_default=True, help="fp32; coreml also fp16.")
@options.model_options
@click.option(
    "--inputs", metavar="DIR", type=click.Path(),
    help="Golden inputs: a folder of images or .npy files. Default: seeded natural-statistics images.",
)  # fmt: skip
@click.option("--golden-count", default=2, show_default=True, type=click.IntRange(1, 10_000),
              help="How many golden inputs the rewrites are proved on.")  # fmt: skip
@options.worker_options
@options.output_options
def command(model: str, as_json: bool, quiet: bool, traceback: bool, **given: Any) -> int:
    """Say what will fail, come out wrong or run badly, and what to do about it."""
    from edgekit import pipeline
    from edgekit.cli import doctor_text
    from edgekit.cli.convert import failures, finish
    from edgekit.cli.progress import ProgressView
    from edgekit.cli.requests import doctor_request
    from edgekit.doctor.diagnose import verdict

    request = doctor_request(model, given, DEFAULT_FORMATS)
    with ProgressView(quiet) as progress:
        diagnosis = pipeline.doctor(request, progress.on_event)
    errors = verdict(diagnosis)
    if as_json:
        output.document({**output.plain(diagnosis, drop=("schema",)), **failures(errors, tuple(errors))})
        return finish(errors, tuple(errors), {})
    doctor_text.show(diagnosis, errors)
    return next((error.code for error in errors.values()), 0)
