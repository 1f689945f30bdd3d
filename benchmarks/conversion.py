"""All four formats: one edgekit call against the four official APIs one after another, each in a fresh process.

``python benchmarks/conversion.py [--repeats N] [--models a,b]``. Interleaved: official, edgekit, official, … edgekit's
time includes the golden data and the parity runs, and starts from an empty cache.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from common import EDGEKIT, FORMATS, ROOT, run, spread, table

MODELS = ("mobilenetv2_100", "efficientformer_l1", "mobilenetv4_conv_small")
SUFFIX = {"executorch": ".pte", "litert": ".tflite", "coreml": ".mlpackage", "onnx": ".onnx"}


def official(model: str) -> dict[str, float]:
    """Seconds of each official call."""
    import sys

    with tempfile.TemporaryDirectory() as folder:
        return {
            kind: run(
                [
                    sys.executable,
                    str(ROOT / "benchmarks/official.py"),
                    kind,
                    model,
                    str(Path(folder) / f"m{SUFFIX[kind]}"),
                ],
                {"PYTHONPATH": str(ROOT)},
            ).seconds
            for kind in FORMATS
        }


def edgekit(model: str) -> tuple[float, int, int]:
    """Seconds, peak memory of the whole tree, and the largest single worker's peak."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*EDGEKIT, "convert", f"timm:{model}", "--to", ",".join(FORMATS), "-o", folder, "--json", "--quiet"]
        done = run(command, {"EDGEKIT_CACHE": f"{folder}/cache"}, watch_memory=True)
        artifacts = json.loads(done.output)["artifacts"]
    assert all(a["parity"]["passed"] is not False for a in artifacts) and len(artifacts) == len(FORMATS)
    return done.seconds, done.tree_pss_bytes, max(a["convert_peak_rss_bytes"] for a in artifacts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--models", default=",".join(MODELS))
    options = parser.parse_args()
    rows = []
    for model in options.models.split(","):
        sums, ours, ratios, memory = [], [], [], []
        for _ in range(options.repeats):
            peer = sum(official(model).values())
            seconds, tree, single = edgekit(model)
            sums.append(peer)
            ours.append(seconds)
            ratios.append(seconds / peer)
            memory.append(tree / single)
        rows.append([model, spread(sums, 1), spread(ours, 1), spread(ratios), f"{statistics.median(memory):.2f}"])
    heads = ["model", "four official calls, s", "edgekit, s", "ratio", "peak memory / largest worker"]
    table("Four formats from one call; median (min-max) of interleaved repeats", heads, rows)


if __name__ == "__main__":
    main()
