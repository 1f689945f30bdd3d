"""Reading and writing the cache's entries as records: exports, golden data, artifacts, parity. No torch.

Kinds: ``sources`` (request -> exported record and the files it depends on), ``programs`` (the .pt2 archive and its
nodes' origins), ``golden``, ``artifacts`` and ``parity``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from edgekit.convert import judge
from edgekit.convert import request as keys
from edgekit.convert.backend import BackendInfo
from edgekit.convert.cache import Cache
from edgekit.convert.parity import TOLERANCES, not_checked
from edgekit.model.dependencies import Dependency, unchanged
from edgekit.records import Artifact, Exported, Parity, Record

_R = TypeVar("_R")


class Source(Record, frozen=True, kw_only=True):
    """An exported model and the files it was made from."""

    schema: int = 1
    exported: Exported
    dependencies: tuple[Dependency, ...]


def read(path: Path, kind: type[_R]) -> _R | None:
    """Decode a record; a file of another version reads as absent."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        return None


def write(path: Path, record: msgspec.Struct) -> None:
    """Encode a record into a file of an entry that is being produced."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))


def find_exported(cache: Cache, request: keys.ConvertRequest) -> Exported | None:
    """The exported model if its files, the tools and the golden data are all unchanged."""
    entry = cache.lookup("sources", keys.source_key(request))
    source = read(entry / "source.json", Source) if entry else None
    if source is None or not unchanged(source.dependencies):
        return None
    golden = cache.lookup("golden", source.exported.golden.sha256)
    return _moved(source.exported, cache, golden) if golden else None


def _moved(exported: Exported, cache: Cache, golden: Path) -> Exported:
    """The record with the paths of today: a cache may be moved, or named by another relative path."""
    record = exported.golden
    files = {
        "inputs": tuple(str(golden / Path(name).name) for name in record.inputs),
        "outputs": tuple(str(golden / Path(name).name) for name in record.outputs),
    }
    return msgspec.structs.replace(
        exported,
        program=str(cache.path("programs", exported.sha256)),
        golden=msgspec.structs.replace(record, **files),
    )


def find_artifact(
    cache: Cache, exported: Exported, info: BackendInfo, precision: str, calibration: str = ""
) -> Artifact | None:
    """The converted file of an earlier call, marked cached, with its parity still undecided."""
    key = keys.artifact_key(exported.sha256, info, precision, calibration)
    entry = cache.lookup("artifacts", key)
    artifact = read(entry / "artifact.json", Artifact) if entry else None
    if entry is None or artifact is None:
        return None
    return msgspec.structs.replace(artifact, path=str(entry / artifact.path), cached=True, model=exported.name)


def exports_with(cache: Cache, sha256: str) -> list[Exported]:
    """The exported models with this fingerprint whose golden data are whole, by their entries' names.

    There are several if one graph with the same weights was exported by several names, or with several golden data.
    """
    found = []
    for path in _mentioning(cache, "sources/*/source.json", sha256):
        source = read(path, Source)
        if source is None or source.exported.sha256 != sha256:
            continue
        golden = cache.lookup("golden", source.exported.golden.sha256)
        if golden is not None:
            found.append(_moved(source.exported, cache, golden))
    return found


def artifacts_with(cache: Cache, *, sha256: str = "", format_name: str = "") -> list[Artifact]:
    """The converted files of a format, or all, whose sha256 begins so; whole ones only.

    Their parity is still undecided. They are in the order of their entries' names.
    """
    found = []
    for path in _mentioning(cache, "artifacts/*/artifact.json", sha256 or format_name):
        artifact = read(path, Artifact)
        if artifact is None or not artifact.sha256.startswith(sha256) or format_name not in ("", artifact.format):
            continue
        if cache.lookup("artifacts", path.parent.name):
            found.append(msgspec.structs.replace(artifact, path=str(path.parent / artifact.path), cached=True))
    return found


def _mentioning(cache: Cache, pattern: str, text: str) -> Iterator[Path]:
    """The files with the text in them: decoding each of thousands takes longer than looking."""
    for path in sorted(cache.root.glob(pattern)):
        if not path.parent.name.startswith("."):  # what a process is making, or has left
            with suppress(OSError):
                if text.encode() in path.read_bytes():
                    yield path


def find_parity(cache: Cache, artifact: Artifact, exported: Exported) -> Parity | None:
    """The parity of this file on this golden data with this runtime or evaluator, if it was judged before."""
    entry = cache.lookup("parity", parity_key(artifact, exported))
    return read(entry / "parity.json", Parity) if entry else None


def settled_parity(cache: Cache, artifact: Artifact, exported: Exported, check: bool) -> Parity | None:
    """The parity if nothing needs to be run for it: it can't be checked here, or it was checked before."""
    if not check:
        return not_checked("turned off with --no-parity", exported.golden)
    hindrance = judge.hindrance(artifact.format)
    if hindrance is not None:
        return not_checked(hindrance, exported.golden)
    return find_parity(cache, artifact, exported)


def parity_outputs(cache: Cache, artifact: Artifact, exported: Exported) -> tuple[Path, ...]:
    """The outputs of the parity run, one stacked .npy per output; empty if there was none."""
    entry = cache.lookup("parity", parity_key(artifact, exported))
    paths = [entry / f"output_{index}.npy" for index in range(len(exported.outputs))] if entry else []
    return tuple(paths) if all(path.is_file() for path in paths) else ()


def parity_key(artifact: Artifact, exported: Exported) -> str:
    """The key of this file's parity on the model's golden data."""
    tolerance = TOLERANCES[artifact.precision]
    return keys.parity_key(artifact.sha256, exported.golden.sha256, judge.version(artifact.format), tolerance)
