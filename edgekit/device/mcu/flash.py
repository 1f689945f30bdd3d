"""Put the agent onto a board by its debug probe, with pyOCD (``pip install 'edgekit[flash]'``)."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from edgekit.device.mcu.boards import Board
from edgekit.device.mcu.images import Image
from edgekit.errors import DeviceError, MissingExtraError, UsageError

UF2 = "agent.uf2"  # what the RP2040's own boot loader takes


@dataclass(frozen=True)
class Flashed:
    """What was written, and by which probe."""

    board: str
    probe: str
    file: str
    bytes: int


def check(board: Board) -> None:
    """What can be known before anybody is asked, or looks for a cable.

    Raises:
        UsageError: a board that has nothing to flash.
        MissingExtraError: pyOCD is not installed.
    """
    _target(board)
    _pyocd("core.helpers")


def flash(board: Board, image: Image, *, permitted: bool, probe_id: str | None = None) -> Flashed:
    """Write the agent into the board's flash and start it. The firmware that is there is lost; the store stays.

    Args:
        board: whose chip it is.
        image: the agent for it.
        permitted: that the user agreed to lose what the board runs now.
        probe_id: the probe's serial number, where several are attached.

    Raises:
        UsageError: not permitted, or a board that has nothing to flash.
        MissingExtraError: pyOCD is not installed.
        DeviceError: no such probe, a chip that pyOCD does not know, or writing failed.
    """
    target = _target(board)
    if image.manifest.board != board.name:
        raise UsageError(f"The image is of {image.manifest.board}, not of {board.name}.", where=board.spec,
                         next_step="Take the board's own image.")  # fmt: skip
    if not permitted:
        raise UsageError(f"Flashing replaces the firmware of {board.label}.", where=board.spec,
                         next_step="Say so with --yes.")  # fmt: skip
    path = image.file("hex")
    helpers, programmer = _pyocd("core.helpers"), _pyocd("flash.file_programmer")
    errors = _pyocd("core.exceptions")
    try:
        probe = _probe(board, helpers, probe_id, image)
        with _session(probe, {"target_override": target}) as session:
            programmer.FileProgrammer(session, chip_erase="sector").program(str(path))
            session.target.reset()
    except errors.TargetSupportError as error:
        raise _unknown_target(board) from error
    except errors.Error as error:
        raise DeviceError(
            f"pyOCD could not flash {board.label}: {str(error)[:300]}", where=board.spec,
            next_step="Check the probe's cable and the board's power, then try again.",
        ) from error  # fmt: skip
    return Flashed(board.name, str(probe.unique_id), path.name, path.stat().st_size)


def _target(board: Board) -> str:
    if board.pyocd is None or board.emulated:
        why = "virtual boards start with their agent" if board.emulated else "its profile names no chip for pyOCD"
        raise UsageError(f"{board.spec} has nothing to flash: {why}.", where=board.spec,
                         next_step="edgekit mcu boards lists the boards.")  # fmt: skip
    return board.pyocd.target


def _pyocd(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"pyocd.{name}")
    except ImportError as error:
        raise MissingExtraError("pyOCD is not installed.", where="flash", missing=["pyocd"],
                                next_step="pip install 'edgekit[flash]'") from error  # fmt: skip


def _session(probe: Any, options: dict[str, Any]) -> Any:
    return _pyocd("core.session").Session(probe, options=options)


def _probe(board: Board, helpers: ModuleType, probe_id: str | None, image: Image) -> Any:
    find = helpers.ConnectHelper.get_all_connected_probes
    probes = find(blocking=False, unique_id=probe_id, print_wait_message=False)
    if len(probes) == 1:
        return probes[0]
    ids = [str(probe.unique_id) for probe in probes]
    if probes:
        raise DeviceError(f"Several debug probes are attached: {', '.join(ids)}.", where=board.spec, probes=ids,
                          next_step="Name one with --probe.")  # fmt: skip
    what = f"No debug probe {probe_id!r} is attached." if probe_id else "No debug probe is attached."
    drive = f" Without a probe: hold BOOTSEL while you plug it in, and copy to its drive {image.directory / UF2}."
    raise DeviceError(
        what, where=board.spec, probes=ids,
        next_step="Connect the board's debug USB port (Linux: pyOCD's udev rules must be installed)."
        + (drive if board.name == "rp2040" else ""),
    )  # fmt: skip


def _unknown_target(board: Board) -> DeviceError:
    assert board.pyocd is not None
    return DeviceError(f"pyOCD does not know the chip {board.pyocd.target} yet.", where=board.spec,
                       next_step=f"pyocd pack install {board.pyocd.target}")  # fmt: skip
