"""``edgekit check``."""

from __future__ import annotations

import os
from typing import Any

import click
from click.core import ParameterSource

from edgekit.cli import options, output
from edgekit.cli.convert import exponent, failures, finish, parity_word, show_model, show_placement

_EPILOG = """\b
Examples:
  edgekit check timm:mobilenetv2_100 out/mobilenetv2_100_litert_fp32.tflite
  edgekit check weights.pt --arch my_models.py:net model.pte model.mlpackage
  edgekit check zoo:mobilevig_ti model.onnx --inputs photos/ --json
  edgekit check --budget budget.toml --set-baseline
  edgekit check --budget budget.toml --markdown summary.md

\b
MODEL FILE...: exit 0 if every file computes what the model computes, 12 if
one does not or can't be judged.
--budget: exit 0 if every model keeps its budget, 1 if one is over it or worse
than its baseline, 2 if they can't be compared; what breaks on the way has its
own code (11 conversion, 12 parity, 13 device). docs/gate.md says more."""

# What only one of the two forms takes; the names are those of the parameters.
_PARITY_ONLY = ("inputs", "golden_count", "precision", "arch", "weights", "pretrained", "trust_pickle", "input_shape",
                "input_spec", "seed")  # fmt: skip
_GATE_ONLY = ("set_baseline", "strict", "markdown", "wait_s")


@click.command(epilog=_EPILOG)
@click.argument("model", required=False)
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.option("--budget", metavar="FILE", help="The gate: check the models of a budget file against its baseline.")
@click.option("--set-baseline", is_flag=True, help="With --budget: make today's files the baseline.")
@click.option("--strict", is_flag=True, help="With --budget: exit 14 if something can't be decided.")
@click.option("--markdown", metavar="FILE", help="With --budget: also append the result to FILE, as Markdown.")
@click.option("--wait", "wait_s", default=0.0, metavar="SECONDS", help="With --budget: wait for a busy device.")
@options.golden_options
@click.option(
    "--precision", metavar="NAME", help="Tolerance to judge by: fp32 or fp16. Default: by the file's weights."
)
@options.worker_options
@options.model_options
@options.output_options
@click.pass_context
def command(
    context: click.Context,
    /,
    model: str | None,
    files: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    traceback: bool,
    **given: Any,
) -> int:
    """Check that converted FILEs still compute what MODEL computes, as they are written.

    A file that does not is named with the first layer that differs, by how much, and what in the file says so.

    With --budget: check the models of a budget file for latency, memory, size, accuracy and parity against its
    baseline, measured again side by side. This is the gate for CI.
    """
    _refuse_mixed(context, model, given)
    if given["budget"] is not None:
        from edgekit.cli import gate

        return gate.command(given["budget"], as_json=as_json, quiet=quiet, traceback=traceback, given=given)
    if model is None or not files:
        raise click.UsageError(f"Missing argument '{'FILE...' if model else 'MODEL'}'.", context)
    return _parity(model, files, as_json=as_json, quiet=quiet, traceback=traceback, given=given)


def _refuse_mixed(context: click.Context, model: str | None, given: dict[str, Any]) -> None:
    """The two forms of the command take no options of each other's."""
    from edgekit.errors import UsageError

    forms = "MODEL FILE... checks converted files against a model; --budget FILE checks what a budget file lists."
    stated = {name for name in given if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    wrong = [name for name in (_PARITY_ONLY if given["budget"] is not None else _GATE_ONLY) if name in stated]
    if given["budget"] is not None and (model is not None or wrong):
        what = f"the model {model}" if model is not None else _flag(context, wrong[0])
        raise UsageError(f"--budget and {what} don't go together.", where="--budget",
                         next_step=f"{forms} Models and their options are written in that file.")  # fmt: skip
    if wrong:
        raise UsageError(f"{_flag(context, wrong[0])} goes with --budget only.", where=_flag(context, wrong[0]),
                         next_step=forms)  # fmt: skip


def _flag(context: click.Context, name: str) -> str:
    return next(one.opts[0] for one in context.command.params if one.name == name)


def _parity(
    model: str, files: tuple[str, ...], *, as_json: bool, quiet: bool, traceback: bool, given: dict[str, Any]
) -> int:
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
