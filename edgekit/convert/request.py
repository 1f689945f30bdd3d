"""What the user asks a conversion for, and the keys under which its results are kept. No torch."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

from edgekit.convert.backend import BackendInfo, versions
from edgekit.convert.cache import key_of
from edgekit.export import rewrites
from edgekit.model.request import LoadRequest
from edgekit.records import Record, Tolerance
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


class ConvertRequest(Record, frozen=True, kw_only=True):
    """One call of ``convert``, or of ``check``: ``files`` then holds one file per format, to be judged as it is.

    ``jobs`` and ``memory_limit_bytes`` bound what runs side by side. An empty ``precision`` is that of each file.
    """

    load: LoadRequest
    formats: tuple[str, ...]
    precision: str = "fp32"
    golden: GoldenRequest = GoldenRequest()
    check_parity: bool = True
    jobs: int = 2
    memory_limit_bytes: int = 8 << 30
    cache: str = ""
    files: tuple[str, ...] = ()


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
    root = Path(golden.directory)
    files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else []
    listed = [(str(p.relative_to(root)), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return [str(root.resolve()), golden.count, listed]


def artifact_key(exported_sha256: str, info: BackendInfo, precision: str) -> str:
    """Key of a converted file: the program (graph and weights), the recipe and the tools."""
    applied = rewrites.names(None) + rewrites.names(info.name)
    tools = [__version__, _ARTIFACT_RECORD, versions(info)]
    return key_of("artifact", tools, exported_sha256, info.name, precision, info.recipe, applied)


def parity_key(artifact_sha256: str, golden_sha256: str, engine_version: str | None, tolerance: Tolerance) -> str:
    """Key of a parity result: the file, the golden data, the runtime that ran it and the bounds."""
    judged = [__version__, _PARITY_RECORD, engine_version, tolerance]
    return key_of("parity", judged, artifact_sha256, golden_sha256)
