"""Build the native runner: ``python android_harness/runner/build.py --abi x86_64|arm64-v8a [--out DIR]``.

The runtimes come from the wheels on PyPI, pinned by sha256 in ``pins/``. The result is the directory ``DIR/ABI`` with
the runner, its engines, every library that they need down to the C library and its loader, and ``manifest.json``. A
build whose sources, pins and compiler have not changed is left as it is. Needs g++ (for another machine the cross
compiler), binutils and pip, and nothing else beyond Python.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import HERE, TARGETS, BuildError, Target, sha256_of
from compile import RUNNER, Facts, add_libraries, compile_all, compiler_version
from wheels import fetch, pins_of, unpack

MANIFEST = "manifest.json"
_VERSION_FILE = HERE.parents[1] / "edgekit/version.py"
_ENGINE_OF_WHEEL = {"executorch": "executorch", "ai-edge-litert": "litert"}


def main(arguments: list[str]) -> int:
    """Build, and print the directory of the bundle."""
    parser = argparse.ArgumentParser(description="Build the native measurement runner.")
    parser.add_argument("--abi", required=True, choices=sorted(TARGETS))
    parser.add_argument("--out", type=Path, default=HERE / "build", help="default: android_harness/runner/build")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="compilers at a time")
    options = parser.parse_args(arguments)
    begin = time.monotonic()
    try:
        bundle, built = build(TARGETS[options.abi], options.out.resolve(), max(1, options.jobs))
    except BuildError as error:
        sys.stderr.write(f"build.py: {error}\n")
        return 1
    how = f"built in {time.monotonic() - begin:.1f} s" if built else "unchanged"
    size = sum(path.stat().st_size for path in bundle.iterdir() if path.is_file())
    sys.stderr.write(f"{options.abi}: {how}, {size / 1e6:.1f} MB\n")
    sys.stdout.write(f"{bundle}\n")
    return 0


def build(target: Target, out: Path, jobs: int) -> tuple[Path, bool]:
    """The bundle's directory, and whether anything had to be done for it.

    Raises:
        BuildError: no compiler, no wheels, or the sources don't compile.
    """
    bundle = out / target.abi
    source, compiler = source_digest(target), compiler_version(target)
    out.mkdir(parents=True, exist_ok=True)
    with (out / f".{target.abi}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_built(bundle, source, compiler):
            return bundle, False
        with tempfile.TemporaryDirectory(prefix=f".{target.abi}-", dir=out) as name:
            made = _make(target, source, compiler, Path(name), jobs)
            if bundle.exists():
                bundle.replace(Path(name) / "old")
            made.replace(bundle)
    return bundle, True


def source_digest(target: Target) -> str:
    """One digest over the files that decide what a build gives: sources, this builder, pins and version.

    ``edgekit/device/runner_files.py`` computes the same one, to refuse a build of older sources.
    """
    files = [*sorted((HERE / "src").iterdir()), *sorted(HERE.glob("*.py")), target.pins, _VERSION_FILE]
    return hashlib.sha256("".join(f"{path.name} {sha256_of(path)}\n" for path in files).encode()).hexdigest()


def is_built(bundle: Path, source: str, compiler: str) -> bool:
    """Whether the directory holds a whole build of these sources by this compiler."""
    try:
        manifest = json.loads((bundle / MANIFEST).read_bytes())
        return (manifest["source"], manifest["compiler"]) == (source, compiler) and all(
            sha256_of(bundle / entry["name"]) == entry["sha256"] for entry in manifest["files"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def harness_version() -> str:
    """``__version__`` of edgekit, read without importing it."""
    match = re.search(r'^__version__ = "([0-9A-Za-z.+-]+)"$', _VERSION_FILE.read_text(), re.MULTILINE)
    if match is None:
        raise BuildError(f"{_VERSION_FILE} states no __version__.")
    return match[1]


def _make(target: Target, source: str, compiler: str, work: Path, jobs: int) -> Path:
    wheels, out = work / "wheels", work / "bundle"
    out.mkdir()
    for wheel in fetch(target):
        unpack(wheel, wheels)
    facts = Facts(harness_version(), {_ENGINE_OF_WHEEL[pin.name]: pin.version for pin in pins_of(target)})
    compile_all(target, facts, wheels, work, out, jobs)
    owners = add_libraries(target, wheels, out)
    for name in owners:
        (out / name).chmod(0o755)
    _add_licences(wheels, out)
    manifest = {**_manifest(target, facts, owners, out), "source": source, "compiler": compiler}
    (out / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    return out


def _manifest(target: Target, facts: Facts, owners: dict[str, str | None], out: Path) -> dict[str, Any]:
    # Started by the loader that lies beside it: a phone's own C library is another one. {bundle} stands for the
    # bundle's directory, wherever that is on the device.
    return {
        "schema": 1,
        "abi": target.abi,
        "harness_version": facts.version,
        "engines": facts.engines,
        "command": [target.loader, "--library-path", "{bundle}", "{bundle}/" + RUNNER],
        "files": [
            {"name": name, "bytes": (out / name).stat().st_size, "sha256": sha256_of(out / name), "engine": owner}
            for name, owner in sorted(owners.items())
        ],
    }


def _add_licences(wheels: Path, out: Path) -> None:
    # Whoever passes a bundle on passes these on; a device does not need them, so the manifest does not list them.
    licences = out / "licences"
    licences.mkdir()
    for path in sorted(wheels.glob("*.dist-info/**/LICENSE")):
        shutil.copyfile(path, licences / f"{path.relative_to(wheels).parts[0].removesuffix('.dist-info')}.txt")
    for package in ("libc6", "libstdc++6"):
        text = Path(f"/usr/share/doc/{package}/copyright")
        if text.is_file():
            shutil.copyfile(text, licences / f"{package}.txt")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
