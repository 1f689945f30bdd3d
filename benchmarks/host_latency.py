"""edgekit's p50 on ``host`` against the runtime's own loop on the same file, in interleaved fresh processes.

The peers: LiteRT's own benchmark tool from its wheel; for ExecuTorch and ONNX Runtime, whose wheels bring none, a bare
loop as their documentation shows (``--loop`` below), nothing else in it.

``python benchmarks/host_latency.py [--pairs N] [--model SPEC]``
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import EDGEKIT, run, spread, table

RUNS, WARMUP = 150, 60
FILES = {"executorch": "pte", "litert": "tflite", "onnx": "onnx"}


def loop_executorch(path: str) -> list[float]:
    import torch
    from executorch.extension.pybindings import portable_lib

    portable_lib._unsafe_reset_threadpool(1)
    module = portable_lib._load_for_executorch(path)
    inputs = (torch.randn(1, 3, 224, 224),)
    for _ in range(WARMUP):
        module.forward(inputs)
    samples = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        module.forward(inputs)
        samples.append(time.perf_counter() - begin)
    return samples


def loop_onnx(path: str) -> list[float]:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feeds = {session.get_inputs()[0].name: np.random.randn(1, 3, 224, 224).astype("float32")}
    for _ in range(WARMUP):
        session.run(None, feeds)
    samples = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        session.run(None, feeds)
        samples.append(time.perf_counter() - begin)
    return samples


def peer_ms(kind: str, path: Path) -> float:
    """The median of the runtime's own loop in a fresh process, in milliseconds."""
    if kind == "litert":
        with tempfile.NamedTemporaryFile(suffix=".json") as result:
            tool = [sys.executable, "-m", "ai_edge_litert.tools.benchmark_litert_model", f"--model={path}"]
            flags = [f"--num_runs={RUNS}", f"--warmup_runs={WARMUP}", "--num_threads=1", f"--result_json={result.name}"]
            subprocess.run([*tool, *flags], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            # The tool rounds its own median to 0.01 ms.
            return float(_find(json.loads(Path(result.name).read_text()), "median_ms"))
    answer = subprocess.run(
        [sys.executable, __file__, "--loop", kind, str(path)], check=True, capture_output=True, text=True
    ).stdout
    return statistics.median(json.loads(answer.splitlines()[-1])) * 1e3


def _find(node: object, key: str) -> float:
    if isinstance(node, dict):
        if key in node:
            return float(node[key])
        found = [value for child in node.values() for value in [_find(child, key)] if value == value]
        return found[0] if found else float("nan")
    return float("nan")


def edgekit_ms(path: Path, folder: str) -> tuple[float, int]:
    """p50 of one cold repeat of ``edgekit deploy`` in milliseconds, and the harness's own time per run in ns."""
    command = [*EDGEKIT, "deploy", str(path), "--repeats", "1", "--runs", str(RUNS), "--json", "--quiet"]
    environment = {"EDGEKIT_CACHE": folder, "EDGEKIT_STORE": f"sqlite:///{folder}/store.sqlite"}
    measurement = json.loads(run(command, environment).output)["deployments"][0]["measurement"]
    return measurement["p50_ms"], measurement["overhead_ns"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--model", default="timm:mobilenetv2_100")
    parser.add_argument("--loop", nargs=2, metavar=("FORMAT", "FILE"))
    options = parser.parse_args()
    if options.loop:
        print(json.dumps({"executorch": loop_executorch, "onnx": loop_onnx}[options.loop[0]](options.loop[1])))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        run([*EDGEKIT, "convert", options.model, "--to", ",".join(FILES), "-o", folder, "--quiet"],
            {"EDGEKIT_CACHE": folder})  # fmt: skip
        for kind, suffix in FILES.items():
            (path,) = Path(folder).glob(f"*.{suffix}")
            ours, theirs, overhead = [], [], []
            for _ in range(options.pairs):
                theirs.append(peer_ms(kind, path))
                p50, per_run = edgekit_ms(path, folder)
                ours.append(p50)
                overhead.append(per_run)
            ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
            rows.append([kind, spread(theirs), spread(ours), spread(ratios, 3), f"{statistics.median(overhead):.0f}"])
    heads = ["format", "runtime's own loop, ms", "edgekit p50, ms", "ratio, pair by pair", "harness per run, ns"]
    table(f"{options.model} on host, 1 thread; median (min-max) of interleaved pairs", heads, rows)


if __name__ == "__main__":
    main()
