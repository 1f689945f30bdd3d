"""What runs a converted file for parity: its own runtime, or an evaluator where that runtime exists elsewhere only.

Reading this module imports neither a runtime nor torch.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.convert import sources
from edgekit.harness.engines import table
from edgekit.harness.engines.base import runtime_call
from edgekit.harness.engines.create import create as create_engine
from edgekit.job import ENGINE_OF_FORMAT
from edgekit.version import __version__


@dataclass(frozen=True)
class Evaluator:
    """A stand-in for a runtime: ``module`` has ``load(path)``, whose result has ``run(inputs)``."""

    name: str
    module: str
    folder: str


EVALUATORS: dict[str, Evaluator] = {
    "coreml": Evaluator(name="edgekit's reference evaluator", module="edgekit.convert.mil.evaluate", folder="mil"),
}


def evaluator_of(format_name: str) -> str | None:
    """The name of what judges files of this format in place of their runtime, or null."""
    return EVALUATORS[format_name].name if format_name in EVALUATORS else None


def hindrance(format_name: str) -> str | None:
    """Why files of this format can't be run here, or null if they can."""
    engine = ENGINE_OF_FORMAT.get(format_name)
    if engine is not None:
        return None if table.is_installed(engine) else f"the runtime {engine} is not installed"
    return None if format_name in EVALUATORS else f"no runtime for {format_name} files on this system"


def version(format_name: str) -> str | None:
    """What a parity result depends on besides the file: the runtime's version, or the evaluator's and its kernels'."""
    engine = ENGINE_OF_FORMAT.get(format_name)
    if engine is not None:
        if engine == "edgekit-mcu":
            return f"{__version__}, {sources.runtime_sha256()}"
        return table.runtime_version(engine) if table.is_installed(engine) else None
    if format_name not in EVALUATORS:
        return None
    return f"{sources.evaluator_sha256(EVALUATORS[format_name].folder)}, torch {importlib.metadata.version('torch')}"


def outputs(format_name: str, path: Path, inputs: Sequence[Any]) -> list[Any]:
    """Run the file on every sample, on one thread, in this process.

    Args:
        format_name: a format without a hindrance.
        path: the converted file.
        inputs: one stack per input, with a leading axis over the samples.

    Returns:
        One stack per output, with the same leading axis.

    Raises:
        RuntimeCrashError: the runtime or evaluator refused the file; NotEvaluated if it only can't tell.
    """
    if format_name in EVALUATORS:
        program = importlib.import_module(EVALUATORS[format_name].module).load(path)
        rows = [program.run([stack[index] for stack in inputs]) for index in range(len(inputs[0]))]
    else:
        runner = create_engine(ENGINE_OF_FORMAT[format_name])
        runner.load(path, threads=1)
        rows = []
        for index in range(len(inputs[0])):
            runner.bind([np.ascontiguousarray(stack[index]) for stack in inputs])
            with runtime_call("run the model", path):
                runner.run()
            rows.append([np.array(value, copy=True) for value in runner.outputs()])
    return [np.stack([row[k] for row in rows]) for k in range(len(rows[0]))]
