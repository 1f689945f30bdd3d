"""The verified native runner as the part of a bundle: which of its files, how it starts, what they need."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.bundle.linux import third_party
from edgekit.bundle.recipe import Recipe
from edgekit.bundle.template import asset
from edgekit.device.runner_files import ABIS, PLACE, Bundle, BundleFile, find_bundle
from edgekit.errors import BundleError, DeviceError, UsageError
from edgekit.job import ENGINE_OF_FORMAT, NATIVE_ENGINES, Engine
from edgekit.version import __version__

FOLDER = "runner"
# The libraries of the runtimes lie apart from the C library: a program that finds them by their folder must not find
# another C library than the one it was started with.
RUNTIME = f"{FOLDER}/runtime"
COMMAND = (f"{FOLDER}/with-libraries", f"{FOLDER}/runner")
_SYMBOL = {kind: re.compile(kind.encode() + rb"_(\d+(?:\.\d+)+)") for kind in ("GLIBC", "GLIBCXX")}


@dataclass(frozen=True)
class Native:
    """What of a built runner a bundle takes: ``files`` are those that its ``engines`` (with versions) need.

    ``needs`` is what the runtimes ask of a system's own C and C++ libraries, ``GLIBC`` and ``GLIBCXX`` -> version.
    """

    bundle: Bundle
    engines: dict[Engine, str]
    files: tuple[BundleFile, ...]
    needs: dict[str, str]
    compiler: str

    def place(self, file: BundleFile) -> str:
        """Where a file of the runner goes in the bundle."""
        return f"{RUNTIME if third_party.is_runtime(file.name) else FOLDER}/{file.name}"


def find(recipe: Recipe) -> Native | None:
    """The runner for the recipe's ABI with the engines that its variants need; null if none of them is native.

    Raises:
        UsageError: there is no such ABI.
        BundleError: the runner is not built, was changed, or lacks an engine.
    """
    abi = recipe.options.get("abi", ABIS[0])
    if abi not in ABIS:
        raise UsageError(f"There is no ABI {abi}.", where="abi", next_step=f"Use one of: {', '.join(ABIS)}.")
    wanted = sorted({engine for engine in _engines(recipe) if engine in NATIVE_ENGINES})
    if not wanted:
        return None
    try:
        bundle = find_bundle(abi)
    except DeviceError as error:
        raise BundleError(
            f"A bundle for Linux holds the native runner: {error.message}", where=error.where,
            next_step=f"{error.next_step} (or make runner, for both processors); if edgekit is installed elsewhere, "
            "set EDGEKIT_RUNNER to the checkout's android_harness/runner/build.",
        ) from error  # fmt: skip
    missing = [engine for engine in wanted if engine not in bundle.engines]
    if missing:
        message = f"The native runner for {abi} was built without {', '.join(missing)}."
        raise BundleError(message, where=str(bundle.folder), next_step="Build it again: make runner.")
    return _native(bundle, wanted)


def _native(bundle: Bundle, wanted: list[Engine]) -> Native:
    loader = bundle.command[0]
    if bundle.command != (loader, "--library-path", PLACE, f"{PLACE}/runner"):
        message = f"The native runner is started in a way that edgekit {__version__} does not know: {bundle.command}."
        raise BundleError(message, where=str(bundle.folder), next_step="Build it again: make runner.")
    files = tuple(file for file in bundle.files if file.engine is None or file.engine in wanted)
    manifest: dict[str, Any] = json.loads((bundle.folder / "manifest.json").read_bytes())
    runtimes = [file for file in files if third_party.is_runtime(file.name)]
    needs = {kind: version for kind in _SYMBOL if (version := _newest(kind, runtimes))}
    return Native(bundle, {engine: bundle.engines[engine] for engine in wanted}, files, needs, manifest["compiler"])


def contents(native: Native) -> dict[str, bytes | Path]:
    """The runner's files and the script that starts it; all of them are executables."""
    files: dict[str, bytes | Path] = {native.place(file): file.path for file in native.files}
    files[COMMAND[0]] = asset("linux/with-libraries", LOADER=native.bundle.command[0])
    return files


def _engines(recipe: Recipe) -> list[Engine]:
    return [ENGINE_OF_FORMAT[member.variant.format] for part in recipe.parts for member in part.members]


def _newest(kind: str, files: list[BundleFile]) -> str | None:
    """The newest version of a symbol set, as libraries name those that they need."""
    found = {match.decode() for file in files for match in _SYMBOL[kind].findall(file.path.read_bytes())}
    return max(found, key=lambda text: [int(part) for part in text.split(".")], default=None)
