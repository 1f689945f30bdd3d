"""Build the microcontroller runtime: ``python mcu/build.py --target host [--sanitize] [--out DIR]``.

``host`` gives ``DIR/libedgekit_mcu.so``, the portable runtime for this machine; with ``--sanitize`` the C tests of
``mcu/tests`` as the program ``DIR/mcu_tests`` under the address and undefined-behaviour sanitizers. Prints the path of
what it built. Needs a C compiler called ``cc`` and nothing beyond Python.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMPILER = "cc"
LIBRARY = "libedgekit_mcu.so"
TESTS = "mcu_tests"
# What every target is compiled with.
COMMON = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-I", str(HERE / "include"), "-I", str(HERE / "src"))
HOST = ("-DEK_HOST_LAYOUTS",)  # with host/dsp_layouts.c: this machine runs what boards with the DSP extension run
_SANITIZE = (
    "-D_POSIX_C_SOURCE=200809L",
    "-O1",
    "-g",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
)
_TIMEOUT_S = 300


class BuildError(Exception):
    """What could not be built, and what to do about it."""


def main(arguments: list[str]) -> int:
    """Build one target and print the path of the result."""
    parser = argparse.ArgumentParser(description="Build the microcontroller runtime.")
    parser.add_argument("--target", required=True, choices=["host"])
    parser.add_argument("--out", type=Path, help="default: mcu/build/TARGET")
    parser.add_argument("--sanitize", action="store_true", help="build the C tests, with sanitizers")
    options = parser.parse_args(arguments)
    out = (options.out or HERE / "build" / options.target).resolve()
    try:
        made = build_host(out, sanitize=options.sanitize)
    except BuildError as error:
        sys.stderr.write(f"build.py: {error}\n")
        return 1
    sys.stdout.write(f"{made}\n")
    return 0


def build_host(out: Path, *, sanitize: bool = False) -> Path:
    """The shared library for this machine, or the C tests with sanitizers. An older one stays until this one is whole.

    Raises:
        BuildError: no compiler, or the sources don't compile.
    """
    sources = [*sorted((HERE / "src").glob("*.c")), HERE / "host/dsp_layouts.c"]
    if sanitize:
        return link(COMPILER, (*HOST, *_SANITIZE), [*sources, *sorted((HERE / "tests").glob("*.c"))], out / TESTS)
    return link(COMPILER, (*HOST, "-O3", "-fPIC", "-shared"), [*sources, HERE / "host/library.c"], out / LIBRARY)


def link(compiler: str, flags: tuple[str, ...], sources: list[Path], result: Path) -> Path:
    """Compile and link in one call; ``result`` appears whole or not at all.

    Raises:
        BuildError: no such compiler, or the sources don't compile.
    """
    program = shutil.which(compiler)
    if program is None:
        raise BuildError(f"there is no C compiler called {compiler}. Install one (Debian: apt install gcc).")
    result.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=result.parent) as work:
        made = Path(work) / result.name
        command = [program, *COMMON, *flags, *map(str, sources), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise BuildError(f"{compiler} failed:\n{done.stderr[:4000]}")
        os.replace(made, result)
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
