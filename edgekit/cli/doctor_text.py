"""The doctor's report for people: at most 80 columns, the most severe first, a verdict and the next command last."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edgekit.cli import output
from edgekit.convert.remedies import REST_OUTSIDE
from edgekit.diagnosis import BackendReport, Diagnosis, Finding, ModelReport, ModuleCost, Placement, RewriteProof
from edgekit.errors import EdgekitError
from edgekit.records import Record

_WIDTH = 80
_INDENT = "    "
# Where an operator of this severity is, in one word each.
_VERBS = {
    "fails": "fails",
    "wrong": "silently wrong",
    "splits": "splits the delegate",
    "undelegated": "outside the delegate",
    "precision": "loses precision",
}
_MOST_PARTS = 4


class _Entry(Record, frozen=True, kw_only=True):
    """One finding as it is shown: the same operator in the same places, on all the backends that it concerns."""

    findings: tuple[Finding, ...]

    @property
    def first(self) -> Finding:
        return self.findings[0]


def show(diagnosis: Diagnosis, errors: Mapping[str, EdgekitError]) -> None:
    """Print the whole report on stdout."""
    model = diagnosis.model
    shapes = ", ".join("x".join(map(str, spec.shape)) for spec in model.inputs)
    console = output.print_table(f"{model.name} ({model.weights}), input {shapes}", *_backend_table(diagnosis.backends))
    for line in (*_figures(model), *_notes(diagnosis), "", *_findings(diagnosis.findings), *_proofs(diagnosis)):
        console.print(line, soft_wrap=True, markup=False)
    _show_blocks(model)
    for line in ("", *_verdict(diagnosis, errors)):
        console.print(line, soft_wrap=True, markup=False)


def _backend_table(reports: Sequence[BackendReport]) -> tuple[list[tuple[str, str]], list[list[str]]]:
    heads = [("Format", "left"), ("Type", "left"), ("Converts", "left"), ("Partitions", "right"),
             ("Undelegated operators", "right")]  # fmt: skip
    rows = []
    for report in reports:
        converts = {True: "yes", False: "NO", None: "unknown"}[report.convertible]
        before, after = report.before, report.after
        rows.append([report.name, report.precision, converts, _change(before.partitions, after.partitions),
                     _change(_outside(before), _outside(after))])  # fmt: skip
    return heads, rows


def _outside(placement: Placement) -> int | None:
    ops = placement.undelegated_ops
    return None if ops is None else sum(op.count for op in ops)


def _change(before: int | None, after: int | None) -> str:
    if before is None and after is None:
        return "-"
    if before == after:
        return str(after)
    return f"{'?' if before is None else before} -> {'?' if after is None else after}"


def _figures(model: ModelReport) -> Iterator[str]:
    activations = output.size(model.peak_activation_bytes)
    yield from _wrapped(
        f"{_count(model.parameters)} parameters, {_count(model.macs)} MACs. {model.operators} operators move "
        f"{output.size(model.traffic_bytes)} to and from memory; activations need {activations} at the most."
    )


def _notes(diagnosis: Diagnosis) -> Iterator[str]:
    if any(report.before != report.after for report in diagnosis.backends):
        yield "x -> y: as exported, and after edgekit's rewrites."
    for report in diagnosis.backends:
        if report.note:
            yield from _wrapped(f"{report.name}: {report.note}.")
    for warning in diagnosis.model.warnings:
        yield from _wrapped(f"Note: {warning}")


def _findings(found: Sequence[Finding]) -> Iterator[str]:
    left = _merged([finding for finding in found if finding.rewrite is None])
    mended = _merged([finding for finding in found if finding.rewrite is not None])
    if not left and not mended:
        yield "Nothing found: every operator converts and runs where it should."
        return
    if left:
        yield f"Found ({len(left)})"
        for entry in left:
            yield from _described(entry)
        if any(entry.first.remedy == REST_OUTSIDE for entry in left):
            yield from _wrapped(
                "What is outside the delegate still runs, on the runtime's own kernels; edgekit profile shows what it "
                "costs.",
                "  ",
            )
    if mended:
        yield f"Mended by edgekit, nothing to do ({len(mended)})"
        for entry in mended:
            yield from _described(entry)


def _merged(found: Sequence[Finding]) -> list[_Entry]:
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for finding in found:
        key = (finding.severity, finding.op, finding.modules, finding.rewrite, finding.remedy)
        groups.setdefault(key, []).append(finding)
    return [_Entry(findings=tuple(group)) for group in groups.values()]


def _described(entry: _Entry) -> Iterator[str]:
    first = entry.first
    times = f" x{first.count}" if first.count > 1 else ""
    where = ", ".join(finding.backend for finding in entry.findings if finding.backend)
    head = f"{_VERBS[first.severity]}: {first.op.removesuffix('.default')}{times}"
    yield from _wrapped(f"{head} ({where})" if where else head, "  ", "    ")
    if first.module or first.source:
        yield from _wrapped(_place(first), _INDENT)
    causes = dict.fromkeys(finding.cause for finding in entry.findings)
    for cause in causes:
        names = [finding.backend for finding in entry.findings if finding.cause == cause]
        prefix = f"{', '.join(names)}: " if len(causes) > 1 else ""
        yield from _wrapped(f"{prefix}{_sentence(cause)}{_effect(entry) if len(causes) == 1 else ''}", _INDENT)
    if first.remedy != REST_OUTSIDE:
        yield from _wrapped(f"-> {_remedy(first)}", _INDENT, _INDENT + "   ")


def _effect(entry: _Entry) -> str:
    """What the operators become, and what they cost."""
    finding = entry.first
    text = ""
    parts = [part for part in finding.becomes if not _same_operator(part, finding)]
    if finding.severity in ("splits", "undelegated") and parts:
        more = f" and {len(parts) - _MOST_PARTS} more kinds" if len(parts) > _MOST_PARTS else ""
        text += f" It runs as {', '.join(parts[:_MOST_PARTS])}{more}."
    if finding.partitions:
        text += f" It costs {finding.partitions} partition{'s' if finding.partitions > 1 else ''}."
    return text


def _same_operator(part: str, finding: Finding) -> bool:
    count, _, name = part.partition(" ")
    return name == finding.op and count == str(finding.count)


def _remedy(finding: Finding) -> str:
    if finding.rewrite is None:
        return finding.remedy
    proof = {True: ", proved on this model", False: ", NOT within its bound", None: ", not run"}[finding.proved]
    return f"{finding.rewrite}{proof}"


def _place(finding: Finding) -> str:
    others = len(finding.modules) - 1
    more = f" and {others} more" if others > 0 else ""
    source = f" at {_short(finding.source)}" if finding.source else ""
    if not finding.module:
        return source.strip()
    top, _, kind = finding.module.partition("(top) ")
    return f"in {top or f'the model itself {kind}'}{more}{source}"


def _short(source: str) -> str:
    """``file:line``, relative to the working directory where it is below it, or to where edgekit is installed."""
    path = source.split(" in ")[0]
    package = str(Path(__file__).parents[2])
    for root in (str(Path.cwd()), package):
        if path.startswith(root + "/"):
            return path[len(root) + 1 :]
    return path


def _proofs(diagnosis: Diagnosis) -> Iterator[str]:
    proofs: list[RewriteProof] = [*diagnosis.model.rewrites]
    for report in diagnosis.backends:
        proofs += report.rewrites
    run = [proof for proof in proofs if proof.difference is not None]
    if not run:
        return
    names = ", ".join(dict.fromkeys(proof.name for proof in proofs))
    largest = max(proof.difference or 0.0 for proof in run)
    samples = max(proof.samples for proof in run)
    outside = [proof.name for proof in run if proof.proved is False]
    end = f"OUTSIDE ITS BOUND: {', '.join(outside)}" if outside else "all within their bounds"
    plural = "s" if samples > 1 else ""
    yield ""
    yield from _wrapped(
        f"Rewrites: {names}. Each was run before and after on {samples} golden input{plural}: the output moved by at "
        f"most {largest:.0e} of its largest value, {end}."
    )


def _show_blocks(model: ModelReport) -> None:
    if not model.top_traffic:
        return
    rows = []
    for index in range(max(len(model.top_macs), len(model.top_traffic))):
        row: list[str] = []
        for costs, total, of in ((model.top_macs, model.macs, "macs"), (model.top_traffic, model.traffic_bytes, "")):
            row += _block_cells(costs[index] if index < len(costs) else None, total, bool(of))
        rows.append(row)
    output.console().print()
    heads = [("Most MACs", "left"), ("MACs", "right"), ("share", "right"), ("Most traffic", "left"),
             ("bytes", "right"), ("share", "right")]  # fmt: skip
    output.print_table("Where the work is", heads, rows)


def _block_cells(cost: ModuleCost | None, total: int, macs: bool) -> list[str]:
    if cost is None:
        return ["", "", ""]
    amount = cost.macs if macs else cost.traffic_bytes
    return [cost.module, _count(amount) if macs else output.size(amount), f"{amount / total:.0%}" if total else "-"]


def _verdict(diagnosis: Diagnosis, errors: Mapping[str, EdgekitError]) -> Iterator[str]:
    failing = [report.name for report in diagnosis.backends if report.convertible is False]
    good = [report.name for report in diagnosis.backends if report.convertible is not False]
    rest = _merged([f for f in diagnosis.findings if f.rewrite is None and f.severity != "fails"])
    spec = shlex.quote(diagnosis.model.spec)
    if failing:
        others = f"; {_list(good)} will convert" if good else ""
        text = f"{_list(failing)} will NOT convert{others}."
    elif errors:
        text = next(iter(errors.values())).message
    else:
        found = f", with {len(rest)} finding{'s' if len(rest) > 1 else ''} above" if rest else ""
        text = f"{_list(good)} will convert{found}."
    yield from _wrapped(f"Verdict: {text}")
    if failing and not good:
        yield "Next: change the operators above, then run edgekit doctor again."
    elif not errors or failing:
        yield f"Next: edgekit convert {spec} --to {','.join(good)}{_options(diagnosis)}"


def _options(diagnosis: Diagnosis) -> str:
    precision = diagnosis.backends[0].precision if diagnosis.backends else "fp32"
    return "" if precision == "fp32" else f" --precision {precision}"


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _count(value: int) -> str:
    """1271183360 -> 1.27 G."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return str(value)


def _wrapped(text: str, first: str = "", later: str | None = None) -> list[str]:
    later = first if later is None else later
    return textwrap.wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )
