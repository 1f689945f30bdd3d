"""What the user asks a conversion for, and the keys under which its results are kept. No torch."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

from edgekit.convert.backend import BackendInfo, versions
from edgekit.convert.cache import key_of
from edgekit.convert.sources import compiler_sha256
from edgekit.export import rewrites
from edgekit.model.request import LoadRequest
from edgekit.quantize.calibration import DEFAULT_LIMIT
from edgekit.quantize.static_int8 import RECIPE
from edgekit.records import Exported, Record, Tolerance
from edgekit.version import __version__

# Packages that take part in loading and exporting a model.
_MODEL_PACKAGES = ("torch", "torchvision", "timm", "safetensors")
DEFAULT_GOLDEN_COUNT = 8
# Raised when what is kept beside a converted file, or said of its parity, changes: then it is made again.
_ARTIFACT_RECORD = 2
_PARITY_RECORD = 2


class GoldenRequest(Record, frozen=True, kw_only=True):
    """Which inputs parity is judged on: a directory of the user's own, or ``count`` seeded natural ones."""

    directory: str | None = None
    count: int = DEFAULT_GOLDEN_COUNT
    seed: int = 0


SYNTHETIC = "synthetic"


class CalibrationRequest(Record, frozen=True, kw_only=True):
    """What quantised formats are calibrated on: a folder, .npy or .npz, of which at most ``limit`` samples are used.

    Generated inputs stand in where ``source`` is ``SYNTHETIC``, or is null and the weights are random; the artifact
    says so.
    """

    source: str | None = None
    limit: int = DEFAULT_LIMIT


class ConvertRequest(Record, frozen=True, kw_only=True):
    """One call of ``convert``, or of ``check``: ``files`` then holds one file per format, to be judged as it is.

    ``jobs`` and ``memory_limit_bytes`` bound what runs side by side. An empty ``precision`` is each format's usual one,
    or that of each file.
    """

    load: LoadRequest
    formats: tuple[str, ...]
    precision: str = ""
    golden: GoldenRequest = GoldenRequest()
    check_parity: bool = True
    jobs: int = 2
    memory_limit_bytes: int = 8 << 30
    cache: str = ""
    files: tuple[str, ...] = ()
    calibration: CalibrationRequest = CalibrationRequest()


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def source_key(request: ConvertRequest) -> str:
    """Key of the exported program and its golden data; the files it was read from are checked besides it."""
    environment = {name: _installed(name) for name in _MODEL_PACKAGES}
    golden = _golden_identity(request.golden)
    return key_of(
        "source", __version__, platform.python_version(), environment, request.load, golden, request.check_parity
    )


def _golden_identity(golden: GoldenRequest) -> list[object]:
    if golden.directory is None:
        return [golden.count, golden.seed]
    return [*_files_identity(Path(golden.directory)), golden.count]


def _files_identity(root: Path) -> list[object]:
    files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root] if root.is_file() else []
    listed = [(str(p.relative_to(root)), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return [str(root.resolve()), listed]


def calibration_identity(request: ConvertRequest, exported: Exported, info: BackendInfo) -> str:
    """What a quantised file depends on besides the program: calibration and compiler; empty for other formats."""
    if not info.calibrated:
        return ""
    asked = request.calibration
    data = _files_identity(Path(asked.source)) if asked.source not in (None, SYNTHETIC) else [SYNTHETIC]
    return key_of("calibration", RECIPE, compiler_sha256(), asked.limit, data, exported.preprocess)


def artifact_key(exported_sha256: str, info: BackendInfo, precision: str, calibration: str = "") -> str:
    """Key of a converted file: the program (graph and weights), the recipe, the tools and the calibration."""
    applied = rewrites.names(None) + rewrites.names(info.rewrites_of or info.name)
    tools = [__version__, _ARTIFACT_RECORD, versions(info)]
    return key_of("artifact", tools, exported_sha256, info.name, precision, info.recipe, applied, calibration)


def parity_key(artifact_sha256: str, golden_sha256: str, engine_version: str | None, tolerance: Tolerance) -> str:
    """Key of a parity result: the file, the golden data, the runtime that ran it and the bounds."""
    judged = [__version__, _PARITY_RECORD, engine_version, tolerance]
    return key_of("parity", judged, artifact_sha256, golden_sha256)
