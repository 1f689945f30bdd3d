"""The runtimes that the host harness can drive, as one literal table. Reading it imports none of them."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass

from edgekit.job import ENGINE_OF_FORMAT, Engine


@dataclass(frozen=True)
class EngineEntry:
    """Where one runtime is driven from, and which pip package brings it; ``program`` must be on the path besides."""

    module: str
    requires: str
    distribution: str
    extra: str
    program: str | None = None


ENGINES: dict[Engine, EngineEntry] = {
    "executorch": EngineEntry("edgekit.harness.engines.executorch", "executorch", "executorch", "executorch"),
    "litert": EngineEntry("edgekit.harness.engines.litert", "ai_edge_litert", "ai-edge-litert", "litert"),
    "onnxruntime": EngineEntry("edgekit.harness.engines.onnxruntime", "onnxruntime", "onnxruntime", "onnx"),
    "edgekit-mcu": EngineEntry("edgekit.harness.engines.mcu", "edgekit", "edgekit", "mcu", program="cc"),
    "litert-reference": EngineEntry(
        "edgekit.harness.engines.litert_reference", "ai_edge_litert", "ai-edge-litert", "litert"
    ),
}


def is_installed(engine: Engine) -> bool:
    """Whether the runtime's package, and program, is there, found without importing it."""
    entry = ENGINES[engine]
    if entry.program is not None and shutil.which(entry.program) is None:
        return False
    return importlib.util.find_spec(entry.requires) is not None


def installed() -> tuple[Engine, ...]:
    """The runtimes of formats that are installed here, in the table's order."""
    return tuple(engine for engine in ENGINES if engine in ENGINE_OF_FORMAT.values() and is_installed(engine))


def runtime_version(engine: Engine) -> str:
    """The installed version of the runtime's package."""
    from importlib import metadata  # 10 ms, which `edgekit devices` does not need

    return metadata.version(ENGINES[engine].distribution)
