"""``edgekit evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit.cli import options, output

_EPILOG = """\b
Examples:
  edgekit evaluate net_xnnpack_fp32.pte net_litert_fp32.tflite --data test.npz
  edgekit evaluate weights.pt --arch models.py:net --data data.py:test_set
  edgekit evaluate *.tflite --data photos_by_class/ --metric top1,top5

\b
DATA is a folder with one sub-folder of images per class, a FILE.npz with the
arrays inputs and labels, or a function returning (inputs, labels).
METRIC is top1, top5 or file.py:function taking (outputs, labels)."""


@click.command(epilog=_EPILOG)
@click.argument("subjects", nargs=-1, required=True, metavar="FILE|MODEL...")
@click.option("--data", required=True, metavar="DATA", help="Samples with known answers; see below.")
@click.option("--metric", default="top1", show_default=True, metavar="LIST", help="Metrics, separated by commas.")
@click.option("--limit", type=click.IntRange(1), help="At most so many samples, evenly spaced over the set.")
@click.option("--mean", metavar="LIST", help="For images: mean per channel, of 0..1 values. [default: ImageNet's]")
@click.option("--std", metavar="LIST", help="For images: standard deviation per channel. [default: ImageNet's]")
@click.option(
    "--crop-fraction",
    default=0.875,
    show_default=True,
    type=click.FloatRange(0.1, 1.0),
    help="For images: the centre crop's share of the short side.",
)
@options.device_options
@options.model_options
@options.output_options
def command(subjects: tuple[str, ...], as_json: bool, quiet: bool, traceback: bool, **given: Any) -> int:
    """Measure accuracy: each converted FILE by its real runtime on a device, a MODEL by PyTorch on this machine."""
    from edgekit import pipeline
    from edgekit.cli.progress import ProgressView
    from edgekit.cli.requests import load_request
    from edgekit.device.resolve import open_device
    from edgekit.evaluate.subjects import EvaluateRequest
    from edgekit.store.store import Store

    metrics = [part.strip() for part in given["metric"].split(",") if part.strip()]
    requests = [load_request(subject, given) for subject in subjects]
    asked = EvaluateRequest(
        subjects=tuple(requests), data=given["data"], metrics=tuple(metrics), limit=given["limit"],
        mean=_numbers(given["mean"], "--mean"), std=_numbers(given["std"], "--std"),
        crop_fraction=given["crop_fraction"], threads=given["threads"],
    )  # fmt: skip
    with Store.open() as store, ProgressView(quiet) as progress:
        device = open_device(given["device"], progress.say, given["harness"])
        made, errors = pipeline.evaluate(asked, device, store, progress.say, given["wait_s"])
    names = tuple(subjects)
    from edgekit.cli.convert import failures, finish

    if as_json:
        output.document(
            {"evaluations": [output.plain(scored.evaluation) for scored in made], **failures(errors, names)}
        )
    elif made:
        _show(made)
    return finish(errors, names, {})


def _numbers(text: str | None, flag: str) -> tuple[float, ...] | None:
    from edgekit.errors import UsageError

    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{text!r} is not a list of numbers.", where=flag, next_step="Example: 0.5,0.5,0.5") from None


def _show(made: list[Any]) -> None:
    rows = []
    for scored in made:
        subject, e = scored.spec, scored.evaluation
        interval = "-" if e.ci95 is None else f"{e.ci95[0]:.2%} - {e.ci95[1]:.2%}" if _share(e) else _plain_interval(e)
        value = "not run" if e.value is None else f"{e.value:.2%}" if _share(e) else f"{e.value:.4g}"
        rows.append([Path(subject).name, e.format, e.metric, value, interval, str(e.samples)])
    heads = [("File", "left"), ("Format", "left"), ("Metric", "left"), ("Value", "right"), ("95% interval", "right"),
             ("Samples", "right")]  # fmt: skip
    devices = dict.fromkeys(scored.evaluation.device for scored in made if scored.evaluation.format != "pytorch")
    where = "" if list(devices) in ([], ["host"]) else f", run on {', '.join(devices)}"
    console = output.print_table(f"Accuracy on {made[0].evaluation.dataset}{where}", heads, rows)
    for scored in made:
        if scored.evaluation.reason:
            console.print(f"{Path(scored.spec).name}: not run: {scored.evaluation.reason}.", soft_wrap=True)


def _share(evaluation: Any) -> bool:
    return str(evaluation.metric).startswith("top")


def _plain_interval(evaluation: Any) -> str:
    return f"{evaluation.ci95[0]:.4g} - {evaluation.ci95[1]:.4g}"
