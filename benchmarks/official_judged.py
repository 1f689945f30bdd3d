"""One official converter on a model that edgekit loads, judged by edgekit's parity; prints one JSON object.

``python benchmarks/official_judged.py FORMAT MODEL OUTPUT``. The module, its weights and the golden inputs are
those of ``edgekit convert MODEL``; the tolerance is that of the precision in which the file holds its weights (Core
ML's default is float16); ``seconds`` is the official call alone, its own export included.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from official import convert

from edgekit.convert import judge, parity
from edgekit.convert.files.constants import precision_of
from edgekit.export.export import example_tensors
from edgekit.export.golden import golden_outputs
from edgekit.export.inputs import golden_inputs
from edgekit.harness.content import bytes_of
from edgekit.model.load import load
from edgekit.model.request import LoadRequest


def main() -> None:
    kind, spec, path = sys.argv[1:]
    # Converters print to standard output; the answer must stay alone there.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answer.write(json.dumps(attempt(kind, spec, Path(path))))


def attempt(kind: str, spec: str, path: Path) -> dict[str, Any]:
    """Convert and judge; the converter's failure is part of the answer."""
    torch.set_num_threads(1)
    model = load(LoadRequest(spec=spec))
    assert model.module is not None
    inputs, _ = golden_inputs(model.inputs, directory=None, preprocess=model.preprocess)
    reference = golden_outputs(model.module, inputs)
    started = time.monotonic()
    try:
        convert(kind, model.module, example_tensors(model.inputs), str(path))
    except Exception as failure:  # noqa: BLE001 - the converters raise anything; what it was goes into the table
        return {"converts": False, "reason": f"{type(failure).__name__}: {failure}"[:300]}
    made = {"converts": True, "seconds": time.monotonic() - started, "bytes": bytes_of(path)}
    try:
        found = parity.compare(judge.outputs(kind, path, inputs), reference, precision_of(kind, path))
    except Exception as failure:  # noqa: BLE001 - a file that its own runtime refuses is of no use
        return {**made, "parity": False, "reason": f"{type(failure).__name__}: {failure}"[:300]}
    return {**made, "parity": found.passed, "reason": found.reason}


if __name__ == "__main__":
    main()
