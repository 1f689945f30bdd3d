"""Compile the runner and its engines against unpacked wheels, and find every library that they need."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from common import HERE, BuildError, Target, output_of

SOURCES = HERE / "src"
RUNNER = "runner"
# The parts of each binary. The runner itself knows no runtime: each is a shared object that it loads on demand.
PARTS: dict[str, tuple[str, ...]] = {
    RUNNER: ("main", "read_job", "encode", "json", "sha256", "files", "npy", "state", "memory", "loop", "modes",
             "engines"),
    "libedgekit_executorch.so": ("executorch_engine", "executorch_tracer"),
    "libedgekit_litert.so": ("litert_engine", "litert_api", "litert_profile"),
}  # fmt: skip
# What an engine loads by name while it runs, which no header of it tells.
LOADED_LATER = {"libedgekit_litert.so": ("libLiteRt.so",)}
_FLAGS = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-fstack-protector-strong",
          "-D_FORTIFY_SOURCE=2")  # fmt: skip
_LINK = ("-Wl,-rpath,$ORIGIN", "-Wl,-z,relro,-z,now", "-Wl,--no-undefined", "-s")
# What executorch's CMake package asks of those who compile against it.
_EXECUTORCH_MACROS = ("-DC10_USING_CUSTOM_GENERATED_MACROS", "-DET_EVENT_TRACER_ENABLED")
_EXECUTORCH_LIBRARIES = ("-lexecutorch", "-Wl,--no-as-needed", "-lexecutorch_backend_xnnpack",
                         "-lexecutorch_kernels_optimized", "-lexecutorch_kernels_quantized",
                         "-lexecutorch_threadpool")  # fmt: skip
_NEEDED = re.compile(r"\(NEEDED\).*\[(?P<name>[^\]/]+)\]")


@dataclass(frozen=True)
class Facts:
    """What is compiled in: the harness version and the runtimes' versions."""

    version: str
    engines: dict[str, str]


def compiler_version(target: Target) -> str:
    """The first line of the compiler's own description.

    Raises:
        BuildError: there is no compiler for the target.
    """
    try:
        return output_of([target.tool("g++"), "--version"]).splitlines()[0]
    except BuildError as error:
        raise BuildError(f"{error} Install it: apt-get install {target.compiler_package} (or g++ for this machine)."
                         ) from error  # fmt: skip


def compile_all(target: Target, facts: Facts, wheels: Path, work: Path, out: Path, jobs: int) -> None:
    """Compile every binary into ``out``. Warnings are errors; the wheels' headers are system headers."""
    objects = work / "objects"
    objects.mkdir()
    include = wheels / "executorch/include"
    common = [target.tool("g++"), *_FLAGS, f"-ffile-prefix-map={SOURCES}=src", f"-ffile-prefix-map={wheels}=wheels",
              f'-DEDGEKIT_VERSION="{facts.version}"', f'-DEDGEKIT_ABI="{target.abi}"',
              *(f'-DEDGEKIT_{name.upper()}="{version}"' for name, version in facts.engines.items())]  # fmt: skip
    executorch = [*_EXECUTORCH_MACROS, "-isystem", str(include), "-isystem",
                  str(include / "executorch/runtime/core/portable_type/c10")]  # fmt: skip

    def one(part: str) -> None:
        extra = executorch if part.startswith("executorch_") else []
        output_of([*common, *extra, "-c", str(SOURCES / f"{part}.cpp"), "-o", str(objects / f"{part}.o")])

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        list(pool.map(one, [part for parts in PARTS.values() for part in parts]))
    for binary, parts in PARTS.items():
        kind = ["-pie"] if binary == RUNNER else ["-shared", f"-Wl,-soname,{binary}"]
        libraries = [f"-L{wheels / 'executorch/lib'}", *_EXECUTORCH_LIBRARIES] if "executorch" in binary else ["-ldl"]
        output_of([target.tool("g++"), *kind, *_LINK, *(str(objects / f"{part}.o") for part in parts), *libraries,
                   "-o", str(out / binary)])  # fmt: skip


def add_libraries(target: Target, wheels: Path, out: Path) -> dict[str, str | None]:
    """Copy every library that the binaries in ``out`` need, and those need, beside them, and the loader.

    Answers every file with the engine that it is needed for, None for the runner's own files.

    Raises:
        BuildError: a library is neither in the wheels nor in the compiler's search path.
    """
    owners: dict[str, str | None] = {RUNNER: None, target.loader: None}
    _copy(target, target.loader, wheels, out)
    _close(target, RUNNER, None, wheels, out, owners)
    for binary in PARTS:
        if binary != RUNNER:
            engine = binary.removeprefix("libedgekit_").removesuffix(".so")
            owners[binary] = engine
            _close(target, binary, engine, wheels, out, owners)
    return owners


def _close(target: Target, first: str, engine: str | None, wheels: Path, out: Path, owners: dict[str, str | None]
           ) -> None:  # fmt: skip
    todo = [first]
    while todo:
        name = todo.pop()
        for needed in (*_needed(target, out / name), *LOADED_LATER.get(name, ())):
            if needed in owners and owners[needed] in (None, engine):
                continue
            # What both engines need belongs to the runner: it is always there.
            owners[needed] = None if needed in owners else engine
            _copy(target, needed, wheels, out)
            todo.append(needed)


def _needed(target: Target, path: Path) -> Iterable[str]:
    text = output_of([target.tool("readelf"), "--dynamic", "--wide", str(path)])
    return [match["name"] for match in _NEEDED.finditer(text)]


def _copy(target: Target, name: str, wheels: Path, out: Path) -> None:
    for folder in ("executorch/lib", "ai_edge_litert"):
        if (wheels / folder / name).is_file():
            shutil.copyfile(wheels / folder / name, out / name)
            return
    found = Path(output_of([target.tool("g++"), f"-print-file-name={name}"]).strip())
    if not found.is_absolute() or not found.is_file():
        raise BuildError(f"{name} is needed, but neither in the wheels nor where {target.tool('g++')} looks.")
    shutil.copyfile(found, out / name)
