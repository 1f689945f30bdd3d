"""Run the golden inputs of a bundle on virtual boards: ``python mcu/self_tests.py BUNDLE [--core cortex-m7]``.

BUNDLE is a folder that ``edgekit bundle --for mcu`` wrote. Its own Makefile compiles it for each core, in a copy; its
self tests run in QEMU behind the boards' start-up code. Prints a line per core and model; ends with 1 if an output
differs in one bit. Needs arm-none-eabi-gcc, make and qemu-system-arm.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from board_table import find
from build import BuildError
from build_boards import link_program

from edgekit.device.mcu.virtual import ICOUNT, MACHINES, QEMU, profile_of

# What a self test answers, beside 0: include/NAME.h has the same.
STATUS = {0: "bit-equal", 1: "bad argument", 2: "damaged", 3: "differs"}
GOLDEN = "_golden.h"
_TIMEOUT_S = 300


def main(arguments: list[str]) -> int:
    """Build, run and tell."""
    parser = argparse.ArgumentParser(description="Run a bundle's golden inputs on virtual boards.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--core", action="append", choices=sorted(MACHINES), help="default: all")
    options = parser.parse_args(arguments)
    worst = 0
    try:
        for core in options.core or sorted(MACHINES):
            with tempfile.TemporaryDirectory(prefix="edgekit-self-tests-") as work:
                found = run_on(core, options.bundle, Path(work))
            for name, status in found.items():
                sys.stdout.write(f"virtual:{core}  {name}  {STATUS.get(status, status)}\n")
            worst = max(worst, *found.values())
    except BuildError as error:
        sys.stderr.write(f"self_tests.py: {error}\n")
        return 2
    return 1 if worst else 0


def run_on(core: str, bundle: Path, work: Path) -> dict[str, int]:
    """Each model's status on one core; ``work`` is an empty folder for what is built.

    Raises:
        BuildError: the folder is no such bundle, or it can't be built or run.
    """
    names = sorted(path.name.removesuffix(GOLDEN) for path in (bundle / "test").glob(f"*{GOLDEN}"))
    if not names:
        raise BuildError(f"{bundle} has no test/NAME{GOLDEN}. Give a folder that edgekit bundle --for mcu wrote.")
    folder = work / "bundle"
    shutil.copytree(bundle, folder, ignore=shutil.ignore_patterns("build"))
    flags = " ".join(find(profile_of(core)).core)
    call(["make", "-s", f"ARCH={flags}", "CORE=here", "all", "golden"], folder)
    # The self tests first: the linker takes from an archive what is missing when it gets there.
    libraries = sorted((folder / "build/here").glob("*.a"), key=lambda path: not path.name.endswith("_golden.a"))
    return run(core, firmware(core, folder, names, libraries))


def firmware(core: str, folder: Path, names: Sequence[str], libraries: Sequence[Path]) -> Path:
    """A program beside ``folder`` that sends one line per model: its name and the status of its self test."""
    lines = "".join(f"    tell(\"{name} \", (char)('0' + (int){name}_self_test()));\n" for name in names)
    includes = "".join(f'#include "{name}{GOLDEN}"\n' for name in names)
    program = folder.parent / f"{'_'.join(names)}_{core}.c"
    program.write_text(
        f'#include "cortex_m.h"\n{includes}'
        "static void tell(const char *text, char status)\n{\n"
        "    while (*text != 0) {\n        ek_board_send((uint8_t)*text++);\n    }\n"
        "    ek_board_send((uint8_t)status);\n    ek_board_send('\\n');\n}\n"
        f"int main(void)\n{{\n    ek_port_init();\n{lines}    return 0;\n}}\n"
    )
    return link_program(find(profile_of(core)), [program], program.with_suffix(".elf"),
                        includes=[folder / "src", folder / "test"], libraries=libraries)  # fmt: skip


def run(core: str, elf: Path) -> dict[str, int]:
    """What each model's self test says; the board resets when it is done, which ends QEMU.

    Raises:
        BuildError: there is no QEMU, or the program says something else.
    """
    command = [QEMU, "-M", MACHINES[core], "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none",
               "-icount", ICOUNT, "-serial", "stdio", "-no-reboot", "-kernel", str(elf)]  # fmt: skip
    said = call(command, elf.parent)
    lines = [line.split() for line in said.splitlines()]
    if not lines or any(len(words) != 2 or not words[1].isdigit() for words in lines):
        raise BuildError(f"the {core} says {said[:200]!r}")
    return {name: int(status) for name, status in lines}


def call(command: Sequence[str], folder: Path) -> str:
    """Run a program in a folder and answer what it prints. Raises BuildError if it fails."""
    if shutil.which(command[0]) is None:
        raise BuildError(f"there is no program {command[0]} on this machine.")
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S,
                              stdin=subprocess.DEVNULL, check=False)  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BuildError(f"{command[0]} did not end within {_TIMEOUT_S} s.") from None
    if done.returncode != 0:
        raise BuildError(f"{command[0]} failed:\n{(done.stdout + done.stderr)[:4000]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
