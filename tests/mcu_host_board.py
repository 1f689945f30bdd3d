"""The agent on this machine as a board that edgekit knows: its profile, as a user would write one."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit.device.mcu.boards import FOLDER, Board

# The sizes are those of mcu/boards/host/port.c; a core without the DSP extension, as its kernels are the portable ones.
TOML = """\
name = "host"
label = "This machine"
kind = "board"
core = "cortex-m0+"
kernels = "portable"
clock_hz = 1_000_000_000
sram_bytes = 4_194_304
flash_bytes = 16_777_216
store_bytes = 15_728_640
store_is_flash = false
run_by_us = true

[sources]
core = ["mcu/boards/host/port.c"]
clock_hz = ["mcu/boards/host/port.c"]
sram_bytes = ["mcu/boards/host/port.c"]
flash_bytes = ["mcu/boards/host/port.c"]
"""
HOST = msgspec.toml.decode(TOML, type=Board)


def write_profile(home: Path) -> dict[str, str]:
    """Put the profile where a user's own lie, in ``home``; the environment that makes edgekit look there."""
    (home / FOLDER).mkdir(parents=True)
    (home / FOLDER / f"{HOST.name}.toml").write_text(TOML)
    return {"EDGEKIT_PROFILES": str(home)}
