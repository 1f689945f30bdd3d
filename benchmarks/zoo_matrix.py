"""Every zoo model in every format: by edgekit, and by the plain official calls on the same modules.

``python benchmarks/zoo_matrix.py [--models a,b] [--family f,g] [--tools edgekit,official] [--minutes N]``

Resumable: each result is a line of ``--results`` and is not made again (``--redo failed`` repeats what failed,
``--redo all`` everything asked for). Models come in rounds, the smallest of each family first, so that a run that was
stopped early says something about every family. ``--minutes`` ends a run between two models; the table is printed at
the end, or alone with ``--table``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common import EDGEKIT, FORMATS, ROOT, descendants, pss_bytes, table

from edgekit.model import zoo

RESULTS = Path(__file__).parent / "results/zoo_matrix.jsonl"
TOOLS = ("edgekit", "official")
SUFFIX = {"executorch": ".pte", "litert": ".tflite", "coreml": ".mlpackage", "onnx": ".onnx"}
MAX_SECONDS = 1800
MAX_BYTES = 14 << 30


class Done(NamedTuple):
    """How a bounded command ended; ``stopped`` says why it was ended early."""

    code: int
    output: str
    errors: str
    seconds: float
    stopped: str | None


def bounded(command: Sequence[str], environment: dict[str, str]) -> Done:
    """Run a command within MAX_SECONDS and, over its whole process tree, MAX_BYTES."""
    started, stopped = time.monotonic(), None
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=out, stderr=err, start_new_session=True
        )
        while process.poll() is None:
            time.sleep(0.5)
            if time.monotonic() - started > MAX_SECONDS:
                stopped = f"took longer than {MAX_SECONDS} s"
            elif sum(pss_bytes(pid) for pid in descendants(process.pid)) > MAX_BYTES:
                stopped = f"needed more than {MAX_BYTES >> 30} GiB"
            if stopped:
                for pid in descendants(process.pid):
                    os.kill(pid, signal.SIGKILL)
                process.wait()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return Done(process.returncode, texts[0], texts[1], time.monotonic() - started, stopped)


def edgekit(model: str) -> Iterator[dict[str, Any]]:
    """One call for the four formats; ``command_seconds`` is the whole call, parity included."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*EDGEKIT, "convert", f"zoo:{model}", "--to", ",".join(FORMATS), "-o", folder, "--json", "--quiet"]
        done = bounded(command, {"EDGEKIT_CACHE": f"{folder}/cache"})
    document = {} if done.stopped or not done.output else json.loads(done.output)
    artifacts = {a["format"]: a for a in document.get("artifacts", [])}
    failures = {f.get("format"): f["message"] for f in document.get("failures", [])}
    for name in FORMATS:
        row = {"model": model, "tool": "edgekit", "format": name, "command_seconds": round(done.seconds, 2)}
        if name in artifacts:
            a = artifacts[name]
            parity = {
                "parity": a["parity"]["passed"],
                "reason": a["parity"]["reason"],
                "psnr_db": a["parity"]["psnr_db"],
            }
            outside = None if a["undelegated_ops"] is None else sum(op["count"] for op in a["undelegated_ops"])
            yield {
                **row, "converts": True, **parity, "seconds": a["convert_seconds"], "bytes": a["bytes"],
                "partitions": a["partitions"], "undelegated_ops": outside, "rewrites": a["rewrites"],
            }  # fmt: skip
        else:
            error = document.get("error", {}).get("message") or done.stopped or done.errors[-300:]
            yield {**row, "converts": False, "reason": failures.get(name, error)}


def official(model: str) -> Iterator[dict[str, Any]]:
    """Each official call in a process of its own."""
    for name in FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            script = str(ROOT / "benchmarks/official_judged.py")
            path = str(Path(folder) / f"model{SUFFIX[name]}")
            done = bounded([sys.executable, script, name, f"zoo:{model}", path], {"PYTHONPATH": str(ROOT)})
        row = {"model": model, "tool": "official", "format": name, "command_seconds": round(done.seconds, 2)}
        if done.code or done.stopped:
            yield {**row, "converts": False, "reason": done.stopped or done.errors[-300:]}
        else:
            yield {**row, **json.loads(done.output)}


def in_rounds(entries: Sequence[zoo.Entry]) -> list[zoo.Entry]:
    """The smallest model of every family, then the second smallest of each, and so on."""
    families: dict[str, list[zoo.Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda e: (e.macs or 0, e.name)):
        families[entry.family].append(entry)
    ranked = [(rank, entry.macs or 0, entry.name, entry) for f in families.values() for rank, entry in enumerate(f)]
    return [entry for *_, entry in sorted(ranked, key=lambda row: row[:3])]


def read(path: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Results by model, tool and format; a later line replaces an earlier one."""
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines if line.strip()]
    return {(row["model"], row["tool"], row["format"]): row for row in rows}


def needed(results: dict[tuple[str, str, str], dict[str, Any]], model: str, tool: str, redo: str) -> bool:
    """Whether this model still has to be converted by this tool."""
    rows = [results.get((model, tool, name)) for name in FORMATS]
    if redo == "all" or None in rows:
        return True
    return redo == "failed" and not all(row and row.get("parity") for row in rows)


def work(options: argparse.Namespace, entries: Sequence[zoo.Entry]) -> None:
    """Make what is missing, one model at a time; each row is on disk before the next begins."""
    results, ends = read(options.results), time.monotonic() + 60 * options.minutes
    options.results.parent.mkdir(parents=True, exist_ok=True)
    for entry in in_rounds(entries):
        for tool in options.tools.split(","):
            if time.monotonic() > ends:
                return
            if not needed(results, entry.name, tool, options.redo):
                continue
            made = list({"edgekit": edgekit, "official": official}[tool](entry.name))
            with options.results.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in made)
            words = [f"{row['format']} {verdict(row)}" for row in made]
            print(f"{entry.name} by {tool}: {', '.join(words)}", file=sys.stderr, flush=True)


def verdict(row: dict[str, Any] | None) -> str:
    """One cell of the table."""
    if row is None:
        return "-"
    if not row["converts"]:
        return "fails"
    return {True: "ok", False: "WRONG", None: "unchecked"}[row["parity"]]


def show(results: dict[tuple[str, str, str], dict[str, Any]], entries: Sequence[zoo.Entry]) -> None:
    """Totals per tool and format, then one row per model: edgekit / official."""
    totals = []
    for tool in TOOLS:
        for name in FORMATS:
            rows = [row for e in entries if (row := results.get((e.name, tool, name))) is not None]
            right = sum(verdict(row) == "ok" for row in rows)
            wrong = sum(verdict(row) == "WRONG" for row in rows)
            totals.append(
                [tool, name, str(len(rows)), str(sum(row["converts"] for row in rows)), str(right), str(wrong)]
            )
    table("Totals", ("tool", "format", "tried", "converted", "at parity", "silently wrong"), totals)
    lines = []
    for entry in entries:
        cells = []
        for name in FORMATS:
            ours, theirs = (results.get((entry.name, tool, name)) for tool in TOOLS)
            cells.append(f"{figures(ours)} / {figures(theirs)}")
        lines.append([entry.name, *cells])
    head = "Each cell: edgekit / official: parity, seconds, MB, delegate partitions+undelegated operators"
    table(head, ("model", *FORMATS), lines)


def figures(row: dict[str, Any] | None) -> str:
    """``ok 5.1 s 13.9 MB 1+0``."""
    if row is None or not row["converts"]:
        return verdict(row)
    words = [verdict(row), f"{row['seconds']:.1f} s", f"{row['bytes'] / 1e6:.1f} MB"]
    if row.get("partitions") is not None:
        words.append(f"{row['partitions']}+{row['undelegated_ops']}")
    return " ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="")
    parser.add_argument("--family", default="")
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--redo", choices=("none", "failed", "all"), default="none")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="print what there is and stop")
    options = parser.parse_args()
    models, families = (set(filter(None, text.split(","))) for text in (options.models, options.family))
    entries = [
        e for e in zoo.available() if (not models or e.name in models) and (not families or e.family in families)
    ]
    if not options.table:
        work(options, entries)
    show(read(options.results), entries)


if __name__ == "__main__":
    main()
