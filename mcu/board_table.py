"""Every board that an agent is built for, and how: one literal row each."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from build import BuildError

BOARDS_DIR = Path(__file__).resolve().parent / "boards"
COMMON_C = ("start.c", "stack.c", "memory.c", "write.c")
_M4F = ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")
_M7_SINGLE = ("-mcpu=cortex-m7", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard")
_M7_DOUBLE = ("-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard")


@dataclass(frozen=True)
class Board:
    """One board: its folder under ``boards/``, the core's compiler flags, whether the core has the DSP extension, its
    linker script, and what it takes of ``boards/common``. ``formats`` are the images beside the ELF file."""

    name: str
    folder: str
    core: tuple[str, ...]
    dsp: bool
    script: str = "board.ld"
    common: tuple[str, ...] = ()
    defines: tuple[str, ...] = ()
    formats: tuple[str, ...] = ("hex", "bin")
    boot2: bool = False


# Without the vectors (MVE), for which the kernels are not written: left to the compiler they save 0.02% of the
# instructions of visual wake words and add 1% to a ViT block, and the M55 would run code that no other core tests.
_VIRTUAL_M55 = ("-mcpu=cortex-m55", "-mfloat-abi=hard", "-fno-tree-vectorize")
ROWS = (
    Board("virtual_cortex_m4", "virtual", _M4F, True, "m4.ld", defines=("EK_BOARD_M4",)),
    Board("virtual_cortex_m7", "virtual", _M7_SINGLE, True, "m7.ld", defines=("EK_BOARD_M7",)),
    Board("virtual_cortex_m55", "virtual", _VIRTUAL_M55, True, "m55.ld", defines=("EK_BOARD_M55",)),
    Board("stm32f746g_disco", "stm32f746g_disco", _M7_SINGLE, True, common=("dwt.c", "cache_m7.c")),
    Board("nucleo_h743zi", "nucleo_h743zi", _M7_DOUBLE, True, common=("dwt.c", "cache_m7.c")),
    Board("nrf52840_dk", "nrf52840_dk", _M4F, True, common=("dwt.c",)),
    Board("rp2040", "rp2040", ("-mcpu=cortex-m0plus",), False, formats=("hex", "bin", "uf2"), boot2=True),
)
BOARDS = {row.name: row for row in ROWS}


def find(name: str) -> Board:
    """The board called ``name``; dashes count as underscores. Raises BuildError with the nearest names."""
    board = BOARDS.get(name.replace("-", "_"))
    if board is None:
        near = difflib.get_close_matches(name.replace("-", "_"), BOARDS, n=3) or list(BOARDS)
        raise BuildError(f"there is no board {name[:60]!r}. Did you mean {' or '.join(near)}?")
    return board
