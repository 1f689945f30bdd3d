"""``edgekit check --budget FILE``: the gate for CI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.cli import options, output
from edgekit.cli.convert import failures
from edgekit.errors import EdgekitError, UntrustworthyError, UsageError

_WORDS = {"ok": "ok", "same-file": "same file", "regressed": "REGRESSED", "over-budget": "over budget",
          "undecided": "can't tell", "not-checked": "not checked"}  # fmt: skip
_HEADS = [("Quantity", "left"), ("Baseline", "right"), ("Now", "right"), ("Change (95%)", "right"),
          ("Allowed", "right"), ("Result", "left")]  # fmt: skip


def command(budget_file: str, *, as_json: bool, quiet: bool, traceback: bool, given: dict[str, Any]) -> int:
    """Check every model of the budget, or set its baseline; answers the exit code."""
    from edgekit.cli.progress import ProgressView
    from edgekit.device.resolve import open_device
    from edgekit.gate import budget, run
    from edgekit.store.store import Store

    asked = budget.read(Path(budget_file))
    if given["markdown"] is not None:
        _append(Path(given["markdown"]), "")  # refused now, and not after the minutes of measuring
    with Store.open() as store, ProgressView(quiet) as progress:
        session = run.Session(
            budget=asked,
            device=open_device(asked.device, progress.say, asked.engine),
            store=store,
            on_event=progress.on_event,
            say=progress.say,
            resources=_resources(given),
            wait_s=given["wait_s"],
        )
        if given["set_baseline"]:
            made = run.set_baseline(session)
        else:
            checked = run.check(session)
    if given["set_baseline"]:
        return _show_baseline(made, asked, as_json)
    if given["strict"] and checked.undecided and not checked.errors:
        name, line = checked.undecided[0]
        checked.errors[name] = _undecided(name, line)
    return _show(checked, asked, as_json=as_json, markdown=given["markdown"], traceback=traceback)


def _resources(given: dict[str, Any]) -> Any:
    from edgekit.gate.candidate import Resources

    limit = (
        options.parse_size(given["memory_limit"]) if given["memory_limit"] else options.free_memory_bytes() * 6 // 10
    )
    return Resources(given["jobs"] or options.cores(), limit)


def _undecided(name: str, line: Any) -> UntrustworthyError:
    return UntrustworthyError(
        f"{name}: {line.quantity} could not be decided.", where=f"model {name}",
        next_step="Let the machine come to rest and check again, or widen the tolerance; without --strict it passes.",
    )  # fmt: skip


def exit_code(errors: dict[str, EdgekitError]) -> int:
    """What broke goes before what is worse, and that before what can't be compared."""
    codes = [error.code for error in errors.values()]
    broken = [code for code in codes if code > 2]
    return broken[0] if broken else min(codes, default=0)


def _show(checked: Any, asked: Any, *, as_json: bool, markdown: str | None, traceback: bool) -> int:
    if markdown is not None:
        try:
            _append(Path(markdown), markdown_text(checked, exit_code(checked.errors)))
        except UsageError as unwritable:  # what was found is shown all the same
            checked.errors["--markdown"] = unwritable
    code = exit_code(checked.errors)
    if as_json:
        output.document(_plain(checked, asked, code))
    else:
        for report in checked.models:
            show_model(report, asked.device)
        for note in checked.notes:
            output.console().print(f"Note: {note}", soft_wrap=True)
    for error in checked.errors.values():
        output.report(error, traceback)
    return code


def _plain(checked: Any, asked: Any, code: int) -> dict[str, Any]:
    models = []
    for report in checked.models:
        fields = output.plain(report)
        models.append({**fields, "same_file": report.same_file, "passed": not report.failing})
    names = tuple(checked.errors)
    first = [name for name in names if checked.errors[name].code == code]
    ordered = {name: checked.errors[name] for name in [*first, *(n for n in names if n not in first)]}
    return {"passed": code == 0, "device": asked.device, "budget": asked.path, "models": models,
            "notes": list(checked.notes), **failures(ordered, tuple(ordered), key="model")}  # fmt: skip


def show_model(report: Any, device: str) -> None:
    """One model's table, then a sentence for every line that needs one."""
    a = report.artifact
    title = f"{report.name}: {a.format} {a.precision} on {device}"
    console = output.print_table(title, _HEADS, [cells(line) for line in report.lines])
    if report.same_file:
        console.print("The file is the baseline's, byte by byte: its speed can't have changed.", soft_wrap=True)
    for text in (*sentences(report), *report.notes):
        console.print(text, soft_wrap=True)
    if report.measurements:
        kept = ", ".join(name[:8] for name in report.measurements)
        console.print(f"Kept as {kept} (edgekit results).", soft_wrap=True)


def cells(line: Any) -> list[str]:
    """A line of the table."""
    if line.unit == "parity":
        now = "-" if line.now is None else f"{line.now:.1e}"
        return ["parity", "-", now, "-", "-", "passed" if line.result == "ok" else "not checked"]
    allowed = "-"
    if line.limit is not None:
        allowed = f"{'≥' if _more_is_better(line) else '≤'} {figure(line.limit, line.unit)}"
    elif line.tolerance is not None:
        sign = "-" if _more_is_better(line) else "+"
        allowed = sign + (f"{line.tolerance:.4g}" if line.unit == "value" else _percent(line.tolerance, signed=False))
    return [_named(line), figure(line.baseline, line.unit), figure(line.now, line.unit), _change(line), allowed,
            _WORDS[line.result]]  # fmt: skip


def _named(line: Any) -> str:
    """A metric of the user's by its function."""
    return str(line.quantity).rpartition(":")[2]


def _more_is_better(line: Any) -> bool:
    return line.unit in ("share", "value")


def figure(value: float | None, unit: str) -> str:
    """A figure of a line for people."""
    if value is None:
        return "-"
    if unit == "bytes":
        return output.size(round(value))
    if unit == "ms":
        return f"{output.milliseconds(value)} ms"
    if unit == "count":
        return f"{value / 1e6:,.3f} M" if value >= 1e6 else f"{value:,.0f}"
    return f"{value:.2%}" if unit == "share" else f"{value:.4g}"


def _change(line: Any) -> str:
    if line.change is None or line.limit is not None or line.result == "same-file":
        return "-"
    middle, bounds = line.change, line.ci95
    if line.unit == "value":
        return f"{middle:+.4g}"
    if bounds is None or bounds[0] == bounds[1]:
        return _percent(middle)
    return f"{_percent(middle)} ({_percent(bounds[0])}, {_percent(bounds[1])})"


def _percent(share: float, *, signed: bool = True) -> str:
    if share in (float("inf"), float("-inf")):
        return "-"
    text = f"{100 * share:+.{0 if abs(share) >= 1 else 1}f}" if signed else f"{100 * share:.4g}"
    return text + "%"


def sentences(report: Any) -> list[str]:
    """What is behind each line that is not simply ok."""
    made = []
    for line in report.lines:
        kind = f"{_named(line)}: {_WORDS[line.result]}"
        rounds = f", after {line.rounds} rounds" if line.rounds else ""
        if line.passes > 1 and line.failing:
            rounds = f", found twice; the second time by {line.rounds} rounds of its own"
        if line.result == "undecided":
            what = f"the interval holds both sides of {'the limit' if line.limit is not None else 'the tolerance'}"
            made.append(f"{kind}: {what}{rounds}; it passes, --strict fails it.")
        elif line.failing:
            bound = "its limit" if line.limit is not None else "what is tolerated"
            than = "below" if _more_is_better(line) else "above"
            made.append(f"{kind}: {than} {bound}{rounds}.")
        elif line.note:
            made.append(f"{kind}: {line.note}.")
    return made


def markdown_text(checked: Any, code: int) -> str:
    """The same as a page for a CI service's summary."""
    parts = [f"## edgekit: {'passed' if code == 0 else f'failed (exit {code})'}", ""]
    for report in checked.models:
        heads = [head for head, _ in _HEADS]
        sides = ["---:" if side == "right" else "---" for _, side in _HEADS]
        rows = [heads, sides, *(cells(line) for line in report.lines)]
        parts += [f"### {_escaped(report.name)} ({report.artifact.format} {report.artifact.precision})", ""]
        parts += ["| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in rows]
        parts += ["", *(f"- {_escaped(text)}" for text in (*sentences(report), *report.notes)), ""]
    parts += [f"- **{_escaped(name)}**: {_escaped(error.message)} {_escaped(error.next_step)}"
              for name, error in checked.errors.items()]  # fmt: skip
    return "\n".join(parts).rstrip() + "\n"


def _escaped(text: str) -> str:
    for mark, word in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("\n", " ")):
        text = text.replace(mark, word)
    return text


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"The summary can't be written: {error.strerror}.", where=str(path),
                         next_step="Give a file in a folder that can be written.") from error  # fmt: skip


def _show_baseline(made: Any, asked: Any, as_json: bool) -> int:
    if as_json:
        output.document({"baseline": output.plain(made), "folder": asked.baseline})
        return 0
    rows = []
    for entry in made.models:
        m = entry.measurement
        scores = [f"{e.metric} {figure(e.value, 'share' if e.metric.startswith('top') else 'value')}"
                  for e in entry.evaluations]  # fmt: skip
        rows.append([entry.name, f"{entry.artifact.format} {entry.artifact.precision}", output.size(entry.bytes),
                     output.milliseconds(m.p50_ms), output.size(m.peak_rss_bytes),
                     ", ".join(scores) or "-"])  # fmt: skip
    heads = [("Model", "left"), ("File", "left"), ("Size", "right"), ("p50 ms", "right"), ("Peak", "right"),
             ("Accuracy", "left")]  # fmt: skip
    console = output.print_table(f"Baseline on {made.device.spec} ({made.device.name})", heads, rows)
    for entry in made.models:
        if not entry.parity.passed:
            console.print(f"{entry.name}: parity was not checked: {entry.parity.reason}.", soft_wrap=True)
    console.print(f"Kept in {asked.baseline}: commit the folder, or keep it in the CI's cache.", soft_wrap=True)
    return 0
