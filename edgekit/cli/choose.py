"""``edgekit choose``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli import options, output
from edgekit.errors import UsageError

if TYPE_CHECKING:
    from edgekit.selection import Direction, Sense

_EPILOG = """\b
Examples:
  edgekit choose --device pixel7 --max-latency 10ms --maximize top1
  edgekit choose -d host --min-top1 75% --minimize latency --minimize size
  edgekit choose -d host --require "p99_ms<=20" --maximize top1 \\
                 --accuracy published
  edgekit choose -d pixel7 -d galaxy_s23 --across weighted \\
                 --weight pixel7=0.7 --weight galaxy_s23=0.3 --minimize p90_ms
  edgekit choose -d virtual:cortex-m7 --max-sram 256KiB \\
                 --minimize instructions

\b
Figures: latency (p50_ms; --latency) p50_ms p90_ms p99_ms first_ms
load_cold_ms memory (model_rss_bytes) peak_rss_bytes size sram flash
instructions cycles, accuracy (--metric), top1 or another metric.
MB is 10^6 bytes, MiB 2^20. A share may be written 75%, 0.75 or 75.

\b
Exit code: 0 there is a choice, 1 no candidate certainly meets the limits,
2 usage, or nothing that can be compared."""

_LIMITS: tuple[tuple[str, str, Sense, str], ...] = (
    # option, figure, sense, help
    ("--max-latency", "latency", "<=", "At most this long, e.g. 10ms; of the percentile --latency."),
    ("--max-memory", "memory", "<=", "At most this much memory for the model, e.g. 50MB."),
    ("--max-size", "size", "<=", "A file of at most this size."),
    ("--max-sram", "sram", "<=", "Microcontrollers: at most this much SRAM."),
    ("--max-flash", "flash", "<=", "Microcontrollers: at most this much flash."),
    ("--max-instructions", "instructions", "<=", "Microcontrollers: at most so many instructions, e.g. 30M."),
    ("--min-top1", "top1", ">=", "At least this top-1 accuracy, e.g. 75%."),
    ("--min-accuracy", "accuracy", ">=", "At least this accuracy by --metric."),
)
_DIRECTIONS: dict[str, Direction] = {"--maximize": "maximize", "--minimize": "minimize"}
ORDER = "edgekit.choose.order"


class Ordered(click.Command):
    """Keeps in which order --maximize and --minimize were given, which click forgets."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        flags = [arg.partition("=")[0] for arg in args]
        ctx.meta[ORDER] = [_DIRECTIONS[flag] for flag in flags if flag in _DIRECTIONS]
        return super().parse_args(ctx, args)


_limit_options = options.stack(*(
    click.option(flag, metavar="LIMIT", help=text) for flag, _, _, text in _LIMITS
))  # fmt: skip

question_options = options.stack(
    click.option("--device", "-d", "devices", multiple=True, metavar="SPEC", help="Device spec, name or profile; "
                 "several times to choose for all of them. [default: the only one measured]"),
    _limit_options,
    click.option("--require", multiple=True, metavar="TEXT", help='Any other limit, as "p90_ms<=12"; several times.'),
    click.option("--maximize", multiple=True, metavar="NAME", help="What is to be large."),
    click.option("--minimize", multiple=True, metavar="NAME", help="What is to be small. The first of these counts "
                 "first; the next ones decide where it can't."),
    click.option("--latency", type=click.Choice(["p50", "p90", "p99"]), default="p50", show_default=True,
                 help="The percentile that latency means."),
    click.option("--metric", default="top1", show_default=True, metavar="NAME", help="The metric that accuracy means."),
    click.option("--accuracy", multiple=True, metavar="SOURCE", help="evaluations (of edgekit evaluate), published "
                 "(the zoo's top1), or a FILE.csv: model[,format][,precision],METRIC... [default: evaluations]"),
    click.option("--dataset", metavar="NAME", help="Only evaluations on this data set (name or sha256)."),
    click.option("--model-stands-in", is_flag=True, help="Where a float file was not evaluated but passed parity, take "
                 "its PyTorch model's accuracy."),
)  # fmt: skip

row_options = options.stack(
    click.option("--across", type=click.Choice(["worst", "weighted"]), default="worst", show_default=True,
                 help="Over several devices: the worst case, or the weighted mean."),
    click.option("--weight", "weights", multiple=True, metavar="SPEC=SHARE", help="A device's weight."),
    click.option("--model", "-m", metavar="TEXT", help="Part of the model's name, or a pattern with * and ?."),
    click.option("--since", metavar="WHEN", help="A date, an ISO 8601 time, or an age: 90m, 12h, 7d, 2w."),
    click.option("--sweep", metavar="NAME", help="Only what this sweep measured (name or id)."),
    click.option("--strict", is_flag=True, help="Leave noisy measurements out as well."),
    click.option("--emulated", is_flag=True, help="Take the times of emulated devices, which are no device's latency."),
)  # fmt: skip


@click.command(cls=Ordered, epilog=_EPILOG)
@question_options
@row_options
@options.output_options
def command(as_json: bool, quiet: bool, traceback: bool, **given: Any) -> int:
    """Choose what to ship, from measurements that can be compared, with reasons that can be checked."""
    from edgekit.choose.ask import answer
    from edgekit.cli.choose_text import show
    from edgekit.store.store import Store

    request = choose_request(given, click.get_current_context().meta[ORDER])
    with Store.open() as store:
        choice = answer(request, store)
    if as_json:
        output.document(output.plain(choice, drop=("schema",)))
    else:
        show(choice, quiet)
    return 1 if choice.choice is None else 0


def choose_request(given: dict[str, Any], order: Sequence[Direction]) -> Any:
    """The question from the options."""
    from edgekit.choose.ask import ChooseRequest
    from edgekit.choose.limits import figure_name, parse_constraint, parse_limit
    from edgekit.choose.quantities import is_accuracy
    from edgekit.selection import Constraint, Objective

    # A metric may itself be called accuracy.
    latency, metric = given["latency"], figure_name(given["metric"], metric="accuracy", where="--metric")
    if not is_accuracy(metric):
        raise UsageError(f"{metric} is no metric of accuracy.", where="--metric", next_step="For example top1.")
    constraints = []
    for flag, figure, sense, _ in _LIMITS:
        text = given[flag.removeprefix("--").replace("-", "_")]
        if text is not None:
            name = figure_name(figure, latency=latency, metric=metric)
            constraints.append(Constraint(quantity=name, sense=sense, limit=parse_limit(name, text, flag)))
    constraints += [parse_constraint(text, latency=latency, metric=metric) for text in given["require"]]
    objectives = [
        Objective(quantity=figure_name(text, latency=latency, metric=metric, where=f"--{direction}"),
                  direction=direction)
        for direction, text in _in_order(given, order)
    ]  # fmt: skip
    return ChooseRequest(
        devices=given["devices"], constraints=tuple(constraints), objectives=tuple(objectives),
        accuracy=_one_source(given["accuracy"]), dataset=given["dataset"], model_stands_in=given["model_stands_in"],
        model=given["model"], since=given["since"], sweep=given["sweep"], across=given["across"],
        weights=_weights(given["weights"]), strict=given["strict"], emulated=given["emulated"],
    )  # fmt: skip


def _in_order(given: dict[str, Any], order: Sequence[Direction]) -> list[tuple[Direction, str]]:
    """(direction, figure) as they were given."""
    left = {direction: list(given[direction]) for direction in _DIRECTIONS.values()}
    if [order.count(direction) for direction in left] != [len(texts) for texts in left.values()]:
        raise UsageError("The order of --maximize and --minimize can't be told.", where="--maximize, --minimize",
                         next_step="Give each as --maximize NAME.")  # fmt: skip
    return [(direction, left[direction].pop(0)) for direction in order]


def _one_source(sources: Sequence[str]) -> str | None:
    if len(set(sources)) > 1:
        raise UsageError(
            f"Accuracies can't be taken from {' and '.join(sources)} at once: published figures and measured ones, or "
            "those of different sources, can't be compared.",
            where="--accuracy", next_step="Name one source.",
        )  # fmt: skip
    return sources[0] if sources else None


def _weights(texts: Sequence[str]) -> dict[str, float] | None:
    found: dict[str, float] = {}
    for text in texts:
        # A spec may have an equals sign in it; the share is behind the last one.
        device, _, share = text.rpartition("=")
        try:
            weight = float(share.removesuffix("%")) / (100 if share.endswith("%") else 1)
        except ValueError:
            device = ""
        if not device:
            raise UsageError(f"{text!r} is no weight.", where="--weight", next_step="For example --weight pixel7=0.7.")
        if device in found:
            raise UsageError(f"{device} has two weights.", where="--weight", next_step="Give it one.")
        found[device] = weight
    return found or None
