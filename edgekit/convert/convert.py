"""The convert stage: what the cache has is taken from it, the rest is converted in worker processes. No torch."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from edgekit.convert import backend as backends
from edgekit.convert import entries, events
from edgekit.convert import request as keys
from edgekit.convert.cache import Cache, write_failed
from edgekit.convert.launch import Outcome, run_session
from edgekit.convert.request import ConvertRequest
from edgekit.records import Artifact, Exported


def convert(request: ConvertRequest, on_event: Callable[[events.Event], None]) -> Outcome:
    """Artifacts in the order of ``request.formats``; what failed is in ``Outcome.errors`` by format.

    Raises:
        UsageError: an unknown format or precision.
        MissingConverterError: a converter's package is not installed.
        ModelError, ExportError, ParityError: nothing could be converted.
    """
    infos = {name: backends.lookup(name) for name in request.formats}
    for info in infos.values():
        backends.check(info, request.precision)
    cache = Cache(Path(request.cache))
    exported = entries.find_exported(cache, request)
    cached = _cached(cache, exported, request) if exported else {}
    missing = tuple(name for name in request.formats if name not in cached)
    if not missing:
        outcome = Outcome(exported=exported)
    else:
        outcome = run_session(msgspec.structs.replace(request, formats=missing), on_event)
    made = {**cached, **{artifact.format: artifact for artifact in outcome.artifacts}}
    outcome.artifacts = [made[name] for name in request.formats if name in made]
    return outcome


def _cached(cache: Cache, exported: Exported, request: ConvertRequest) -> dict[str, Artifact]:
    """The formats for which both the file and its parity are known."""
    found = {}
    for name in request.formats:
        info = backends.lookup(name)
        calibration = keys.calibration_identity(request, exported, info)
        artifact = entries.find_artifact(cache, exported, info, info.precision(request.precision), calibration)
        settled = entries.settled_parity(cache, artifact, exported, request.check_parity) if artifact else None
        if artifact is not None and settled is not None:
            found[name] = msgspec.structs.replace(artifact, parity=settled)
    return found


def check_output(directory: Path) -> None:
    """Make the output directory and prove that it takes a file, before the minutes of converting.

    Raises:
        UsageError: it can't be made or written.
        ConvertError: the disk is full.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".edgekit-"):
            pass
    except OSError as failure:
        raise write_failed(failure, directory) from failure


def write_files(files: Mapping[str, bytes], directory: Path) -> list[Path]:
    """Write files by their names into an existing directory; each appears there complete or not at all.

    Raises:
        UsageError, ConvertError: the directory can't be written, or is full.
    """
    partials = {directory / name: directory / f".{name}.{os.getpid()}.partial" for name in files}
    try:
        for partial, content in zip(partials.values(), files.values(), strict=True):
            partial.write_bytes(content)
        for final, partial in partials.items():  # files that belong together change together
            os.replace(partial, final)
    except OSError as failure:
        raise write_failed(failure, directory) from failure
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
    return list(partials)


def deliver(artifact: Artifact, directory: Path) -> Artifact:
    """Copy an artifact from the cache into ``directory``; the file appears there complete or not at all.

    Raises:
        UsageError, ConvertError: the directory can't be written, or is full.
    """
    source = Path(artifact.path)
    # The cache may have the file from a model of another name with the same graph and weights.
    name = backends.file_name(artifact.model, backends.lookup(artifact.format), artifact.precision)
    target = directory / name
    partial = directory / f".{name}.{os.getpid()}.partial"
    try:
        if source.is_dir():
            shutil.copytree(source, partial)
            if target.is_dir():
                shutil.rmtree(target)
        else:
            shutil.copyfile(source, partial)
        os.replace(partial, target)
    except OSError as failure:
        raise write_failed(failure, directory) from failure
    finally:
        backends.remove(partial)
    return msgspec.structs.replace(artifact, path=str(target))
