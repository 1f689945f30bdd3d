"""Build the agent for boards: ``python mcu/build_boards.py --board NAME | --all [--out DIR]``.

``DIR/NAME`` then has ``agent.elf`` and what can be flashed (``agent.hex``, ``agent.bin``, for the Pico ``agent.uf2``),
and ``manifest.json`` with versions, sizes and digests. A build whose sources, version and compiler have not changed is
left as it is. Needs ``arm-none-eabi-gcc`` and newlib's headers (Debian: gcc-arm-none-eabi, libnewlib-arm-none-eabi).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from board_images import boot2_sealed, uf2
from board_table import BOARDS, BOARDS_DIR, COMMON_C, Board, find
from build import COMMON, HERE, BuildError
from build_agent import agent_sources, edgekit_version, identity_flags, runtime_sources

PREFIX = "arm-none-eabi-"
MANIFEST = "manifest.json"
_TIMEOUT_S = 300
_INSTALL = ("Debian: apt install gcc-arm-none-eabi libnewlib-arm-none-eabi. Elsewhere: the Arm GNU toolchain for "
            "arm-none-eabi, with its bin folder on the PATH.")  # fmt: skip
_Group = tuple[str, str, list[Path]]  # name, optimisation, sources
_C = (
    *COMMON, "-mthumb", "-g", "-ffreestanding", "-ffunction-sections", "-fdata-sections", "-fno-common",
    "-fno-tree-loop-distribute-patterns", "-ffile-prefix-map=" + str(HERE) + "=mcu",
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Build, and print one directory a line."""
    parser = argparse.ArgumentParser(description="Build the agent for boards.")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--board", help="one of " + ", ".join(BOARDS))
    which.add_argument("--all", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "build", help="default: mcu/build")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as shared:
        return _build_all(options, Path(shared))


def _build_all(options: argparse.Namespace, shared: Path) -> int:
    try:
        for board in BOARDS.values() if options.all else [find(options.board)]:
            begin = time.monotonic()
            made, built = build(board, options.out.resolve(), shared)
            sys.stderr.write(f"{_summary(made)}, {f'{time.monotonic() - begin:.1f} s' if built else 'unchanged'}\n")
            sys.stdout.write(f"{made}\n")
    except BuildError as error:
        sys.stderr.write(f"build_boards.py: {error}\n")
        return 1
    return 0


def build(board: Board, out: Path, shared: Path | None = None) -> tuple[Path, bool]:
    """The board's directory under ``out``, and whether anything had to be done for it.

    Args:
        board: what to build.
        out: where the boards' directories are.
        shared: keeps what boards with the same core have in common from one call to the next.

    Raises:
        BuildError: no compiler, or the sources don't compile or don't fit.
    """
    compiler = _run([tool("gcc"), "--version"]).splitlines()[0]
    made, sources = out / board.name, sources_sha256(board)
    if _is_built(made, sources, compiler):
        return made, False
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{board.name}-", dir=out) as work:
        done = Path(work) / "done"
        done.mkdir()
        _link(board, _compile(board, _agent_groups(board), Path(work), shared), done / "agent.elf")
        _add_images(board, done, Path(work))
        facts = {"schema": 1, "board": board.name, "version": edgekit_version(), "sources_sha256": sources,
                 "compiler": compiler, **_sizes(done / "agent.elf"), "files": _files(done)}  # fmt: skip
        (done / MANIFEST).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        if made.exists():
            made.replace(Path(work) / "old")
        done.replace(made)
    return made, True


def tool(name: str) -> str:
    """The path of a program of the cross toolchain. Raises BuildError if it is not installed."""
    found = shutil.which(PREFIX + name)
    if found is None:
        raise BuildError(f"{PREFIX}{name} is not installed. {_INSTALL}")
    return found


def kernel_sources(board: Board) -> list[Path]:
    """The runtime's files for this core."""
    return [*runtime_sources(), *(sorted((HERE / "src/dsp").glob("*.[cS]")) if board.dsp else ())]


def board_sources(board: Board) -> list[Path]:
    """The board's own files and its share of ``boards/common``."""
    common = [BOARDS_DIR / "common" / name for name in (*COMMON_C, *board.common)]
    return [*common, *sorted((BOARDS_DIR / board.folder).glob("*.c"))]


def sources_sha256(board: Board) -> str:
    """Changes with every file that decides what a build gives, with the flags and the version."""
    folders = (HERE / "include", HERE / "src", HERE / "agent", BOARDS_DIR)
    files = [*(path for folder in folders for path in folder.rglob("*") if path.is_file()), *HERE.glob("*.py")]
    digest = hashlib.sha256(repr((board, edgekit_version())).encode())
    for path in sorted(files):
        digest.update(f"{path.relative_to(HERE).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _is_built(made: Path, sources: str, compiler: str) -> bool:
    try:
        facts = json.loads((made / MANIFEST).read_bytes())
        same = (facts["sources_sha256"], facts["compiler"]) == (sources, compiler)
        return same and all(_sha256(made / name) == entry["sha256"] for name, entry in facts["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def link_program(
    board: Board, sources: Sequence[Path], result: Path, *, includes: Sequence[Path] = (),
    libraries: Sequence[Path] = (),
) -> Path:  # fmt: skip
    """Another program for the board in the agent's place, such as a test of the board itself; an ELF file.

    Args:
        board: what it is for.
        sources: the program; the board's own files come on top.
        result: the ELF file.
        includes: further folders with headers.
        libraries: archives to link with it, compiled for the board's core.

    Raises:
        BuildError: no compiler, or the sources don't compile or don't fit.
    """
    with tempfile.TemporaryDirectory(prefix=".program-", dir=result.parent) as work:
        groups = (("program", "-Os", list(sources)), ("board", "-Os", board_sources(board)))
        objects = _compile(board, groups, Path(work), includes=includes)
        _link(board, [*objects, *libraries], result)
    return result


def _agent_groups(board: Board) -> tuple[_Group, ...]:
    """Kernels for speed, all else for size."""
    return (("kernels", "-O3", kernel_sources(board)), ("agent", "-Os", agent_sources()),
            ("board", "-Os", board_sources(board)))  # fmt: skip


def _compile(
    board: Board, groups: Sequence[_Group], work: Path, shared: Path | None = None, *, includes: Sequence[Path] = ()
) -> list[Path]:
    """The object files; groups keep files of one name apart. Only the group ``board`` knows which board it is."""
    flags = [*_C, *board.core, *(["-DEK_DSP"] if board.dsp else []), "-I", str(HERE / "agent"), *identity_flags()]
    flags += [word for folder in includes for word in ("-I", str(folder))]
    own = ["-I", str(BOARDS_DIR / "common"), "-I", str(BOARDS_DIR / board.folder)]
    own += [f"-D{name}" for name in board.defines]
    objects: list[Path] = []
    for name, level, sources in groups:
        common = shared is not None and name in ("kernels", "agent")
        folder = (shared if shared is not None and common else work) / f"{name}{''.join(board.core)}"
        if not folder.exists():
            folder.mkdir()
            # No path of this machine gets into an image; the assembler wants to be told by itself.
            hidden = [f"-Wa,--debug-prefix-map={path}={name}" for path, name in ((HERE, "mcu"), (folder, "build"))]
            options = [*flags, *([] if common else own), level, f"-ffile-prefix-map={folder}=build", *hidden]
            _run([tool("gcc"), *options, "-c", *map(str, sources)], folder)
        objects += sorted(folder.glob("*.o"))
    return objects


def _link(board: Board, objects: Sequence[Path], result: Path) -> None:
    script = BOARDS_DIR / board.folder / board.script
    _run([tool("gcc"), "-mthumb", *board.core, "-nostdlib", "-Wl,--gc-sections", "-Wl,--fatal-warnings",
          "-Wl,--no-warn-rwx-segments", "-L", str(BOARDS_DIR / "common"), "-T", str(script), *map(str, objects),
          "-lgcc", "-o", str(result)])  # fmt: skip


def _add_images(board: Board, done: Path, work: Path) -> None:
    elf = done / "agent.elf"
    if board.boot2:
        raw, sealed = work / "boot2.raw", work / "boot2.bin"
        _run([tool("objcopy"), "-O", "binary", "-j", ".boot2", str(elf), str(raw)])
        sealed.write_bytes(boot2_sealed(raw.read_bytes()))
        _run([tool("objcopy"), "--update-section", f".boot2={sealed}", str(elf)])
    _run([tool("objcopy"), "-O", "ihex", str(elf), str(done / "agent.hex")])
    _run([tool("objcopy"), "-O", "binary", str(elf), str(done / "agent.bin")])
    if "uf2" in board.formats:
        (done / "agent.uf2").write_bytes(uf2((done / "agent.bin").read_bytes()))


def _sizes(elf: Path) -> dict[str, int]:
    """Sizes in bytes by the linker's symbols: what each means stands in sections.ld."""
    lines = (line.split() for line in _run([tool("nm"), str(elf)]).splitlines())
    at = {words[2]: int(words[0], 16) for words in lines if len(words) == 3 and words[2].startswith("ek_ld_")}
    data, bss = at["ek_ld_data_end"] - at["ek_ld_data"], at["ek_ld_bss_end"] - at["ek_ld_bss"]
    image = elf.with_suffix(".bin").stat().st_size
    return {
        "image_bytes": image, "text_bytes": image - data, "data_bytes": data, "bss_bytes": bss,
        "static_bytes": data + bss, "stack_bytes": at["ek_ld_stack_bytes"], "arena_bytes": at["ek_ld_arena_bytes"],
        "sram_bytes": at["ek_ld_sram_bytes"], "flash_bytes": at["ek_ld_flash_bytes"],
        "store_address": at["ek_ld_store"], "store_bytes": at["ek_ld_store_bytes"],
    }  # fmt: skip


def _files(done: Path) -> dict[str, Any]:
    return {path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in sorted(done.iterdir())}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _summary(made: Path) -> str:
    facts = json.loads((made / MANIFEST).read_bytes())
    return (f"{facts['board']}: image {facts['image_bytes']} B, static {facts['static_bytes']} B, "
            f"stack {facts['stack_bytes']} B, arena {facts['arena_bytes']} B")  # fmt: skip


def _run(command: list[str], folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode != 0:
        missing = "fatal error: string.h" in done.stderr  # newlib's headers are a package of their own
        advice = f"\nnewlib's headers are not installed. {_INSTALL}" if missing else ""
        raise BuildError(f"{Path(command[0]).name} failed:\n{done.stderr[:4000]}{advice}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
