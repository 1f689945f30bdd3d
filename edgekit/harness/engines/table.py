"""The runtimes that the host harness can drive, as one literal table. Reading it imports none of them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from edgekit.job import Engine


@dataclass(frozen=True)
class EngineEntry:
    """Where one runtime is driven from, and which pip package brings it."""

    module: str
    requires: str
    distribution: str
    extra: str


ENGINES: dict[Engine, EngineEntry] = {
    "executorch": EngineEntry("edgekit.harness.engines.executorch", "executorch", "executorch", "executorch"),
    "litert": EngineEntry("edgekit.harness.engines.litert", "ai_edge_litert", "ai-edge-litert", "litert"),
    "onnxruntime": EngineEntry("edgekit.harness.engines.onnxruntime", "onnxruntime", "onnxruntime", "onnx"),
}


def is_installed(engine: Engine) -> bool:
    """Whether the runtime's package is there, found without importing it."""
    return importlib.util.find_spec(ENGINES[engine].requires) is not None


def installed() -> tuple[Engine, ...]:
    """The runtimes that are installed here, in the table's order."""
    return tuple(engine for engine in ENGINES if is_installed(engine))


def runtime_version(engine: Engine) -> str:
    """The installed version of the runtime's package."""
    from importlib import metadata  # 10 ms, which `edgekit devices` does not need

    return metadata.version(ENGINES[engine].distribution)
