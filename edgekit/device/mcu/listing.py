"""Which microcontroller boards there are, told without opening a port or loading what runs models."""

from __future__ import annotations

import shutil

from edgekit.device import lease
from edgekit.device.mcu import boards, images, ports
from edgekit.device.mcu.boards import Board
from edgekit.job import Engine
from edgekit.records import DeviceInfo

ENGINE: Engine = "edgekit-mcu"
QEMU = "qemu-system-arm"


def describe(spec: str, board: Board, transport: str) -> DeviceInfo:
    """The board as its profile describes it."""
    held = lease.holder(spec)
    return DeviceInfo(
        spec=spec,
        name=board.label,
        profile=board.name,
        transport=transport,
        state="ready" if held is None else "busy",
        abi=board.core,
        ram_bytes=board.sram_bytes,
        cores=1,
        emulated=board.emulated,
        lease=None if held is None else str(held),
        engines=(ENGINE,),
    )


def list_boards() -> list[DeviceInfo]:
    """The virtual boards whose agent is built, and the serial ports that may be boards."""
    known = boards.known()
    found = []
    if shutil.which(QEMU) is not None:
        built = (board for board in known if board.emulated and images.is_built(board.name))
        found += [describe(board.spec, board, "virtual") for board in built]
    for port, fitting in ports.candidates(known, ports.attached()):
        names = " or ".join(board.label for board in fitting)
        found.append(
            DeviceInfo(
                spec=f"{ports.SERIAL}{port.name}", name=f"{port.what or port.usb_id}: maybe {names}", profile=None,
                transport="serial", state="unknown", engines=(ENGINE,),
            )
        )  # fmt: skip
    return found
