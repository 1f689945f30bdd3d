"""Build the agent for this machine: ``python mcu/build_agent.py [--sanitize] [--fuzz] [--out DIR]``.

Gives ``DIR/edgekit-mcu-agent``, the resident agent over a pty, TCP or its standard input and output; with ``--fuzz``
the program ``DIR/fuzz_agent``, always with sanitizers. Prints the path of what it built.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from pathlib import Path

from build import COMPILER, HERE, BuildError, link

SANITIZE = ("-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
AGENT = "edgekit-mcu-agent"
FUZZ = "fuzz_agent"


def main(arguments: list[str]) -> int:
    """Build and print the path of the result."""
    parser = argparse.ArgumentParser(description="Build the agent for this machine.")
    parser.add_argument("--out", type=Path, default=HERE / "build" / "host")
    parser.add_argument("--sanitize", action="store_true")
    parser.add_argument("--fuzz", action="store_true", help="the fuzzer instead of the agent")
    options = parser.parse_args(arguments)
    out = options.out.resolve()
    try:
        made = build_fuzzer(out) if options.fuzz else build_host_agent(out, sanitize=options.sanitize)
    except BuildError as error:
        sys.stderr.write(f"build_agent.py: {error}\n")
        return 1
    sys.stdout.write(f"{made}\n")
    return 0


def build_host_agent(out: Path, *, sanitize: bool = False, version: str | None = None, flash: bool = False) -> Path:
    """The agent as a program of this machine.

    Args:
        out: the folder for it.
        sanitize: with the address and undefined-behaviour sanitizers.
        version: what it says that it belongs to; edgekit's own by default.
        flash: its store behaves as flash does.

    Raises:
        BuildError: no compiler, or the sources don't compile.
    """
    flags = (*(SANITIZE if sanitize else ("-O2",)), *identity_flags(version), *(("-DEK_HOST_FLASH",) if flash else ()))
    # The host's main takes arguments; the agent's own is for boards.
    agent = [source for source in agent_sources() if source.name != "main.c"]
    sources = [*agent, *runtime_sources(), *sorted((HERE / "boards/host").glob("*.c"))]
    return link(COMPILER, (*flags, "-I", str(HERE / "agent")), sources, out / AGENT)


def build_fuzzer(out: Path) -> Path:
    """The fuzzer of ``mcu/tests/agent``: agent and runtime in one process, under sanitizers.

    Raises:
        BuildError: no compiler, or the sources don't compile.
    """
    sources = [*(s for s in agent_sources() if s.name != "main.c"), *runtime_sources()]
    flags = (*SANITIZE, *identity_flags(None), "-I", str(HERE / "agent"))
    return link(COMPILER, flags, [*sources, HERE / "tests/agent/fuzz_agent.c"], out / FUZZ)


def build_wire(out: Path) -> Path:
    """The program ``wire`` that encodes and decodes frames for the tests of the wire bytes.

    Raises:
        BuildError: no compiler, or the sources don't compile.
    """
    sources = [*(HERE / "agent" / name for name in ("cobs.c", "frames.c", "sha256.c")), HERE / "src/crc32.c"]
    return link(COMPILER, (*SANITIZE, "-I", str(HERE / "agent")), [*sources, HERE / "tests/agent/wire.c"], out / "wire")


def agent_sources() -> list[Path]:
    """The agent's C files, ``main.c`` (the whole program of a board) among them."""
    return sorted((HERE / "agent").glob("*.c"))


def runtime_sources() -> list[Path]:
    """The runtime's C files with the portable kernels."""
    return sorted((HERE / "src").glob("*.c"))


def identity_flags(version: str | None = None) -> tuple[str, ...]:
    """What every build of the agent must be compiled with: edgekit's version and a hash of the C sources."""
    return (f'-DEK_AGENT_VERSION="{version or edgekit_version()}"', f'-DEK_BUILD_HASH="{build_hash()}"')


def edgekit_version() -> str:
    """The version of the checkout, read without importing it."""
    text = (HERE.parent / "edgekit/version.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"\\]+)"$', text, re.MULTILINE)
    if found is None:
        raise BuildError("edgekit/version.py states no version.")
    return found.group(1)


def build_hash() -> str:
    """16 hexadecimal digits that change with any C source or header of runtime, agent and boards."""
    digest = hashlib.sha256()
    files = [p for folder in ("include", "src", "agent", "boards") for p in (HERE / folder).rglob("*") if p.is_file()]
    for path in sorted(p for p in files if p.suffix in {".c", ".h", ".S", ".s", ".ld"}):
        digest.update(f"{path.relative_to(HERE).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
