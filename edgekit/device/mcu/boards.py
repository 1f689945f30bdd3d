"""Board profiles: what is known of a microcontroller board before it is attached, one TOML file each.

They lie in the folder ``boards`` of ``device_profiles``, whose README has the grammar. What the agent on an attached
board says of itself goes before its profile.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edgekit import paths
from edgekit.device import toml_folder
from edgekit.device.profiles import Name, Source, Text, nearest
from edgekit.errors import DeviceError
from edgekit.records import Record

FOLDER = "boards"
_WHAT = "board profile"
VIRTUAL = "virtual:"
Memory = Annotated[int, msgspec.Meta(ge=16 * 2**10, le=64 * 2**20)]
UsbId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{4}:[0-9a-f]{4}\Z")]
Target = Annotated[str, msgspec.Meta(min_length=1, max_length=48, pattern=r"^[a-z0-9_]+\Z")]
Core = Literal["cortex-m0+", "cortex-m4", "cortex-m7", "cortex-m55"]


class Pyocd(Record, frozen=True, kw_only=True):
    """What pyOCD calls the chip, and whether it knows it without a further pack."""

    target: Target
    builtin: bool


class Board(Record, frozen=True, kw_only=True):
    """One board. Sizes in bytes.

    ``sram_bytes`` and ``flash_bytes`` are the chip's true lengths; where the arena has a memory of its own, that has
    ``arena_bytes``. ``store_bytes`` is where a model is loaded. ``kernels`` are those its agent is built with.
    ``run_by_us`` is false as long as nobody here has run the agent on such a board.
    """

    name: Name
    label: Text
    kind: Literal["board"]
    core: Core
    kernels: Literal["dsp", "portable"]
    clock_hz: Annotated[int, msgspec.Meta(ge=1_000_000, le=1_000_000_000)]
    sram_bytes: Memory
    flash_bytes: Memory
    store_bytes: Memory
    store_is_flash: bool
    run_by_us: bool
    sources: dict[str, tuple[Source, ...]]
    arena_bytes: Memory | None = None
    emulated: bool = False
    uart: Text | None = None
    baud: Annotated[int, msgspec.Meta(ge=9600, le=3_000_000)] = 921_600
    usb_ids: Annotated[tuple[UsbId, ...], msgspec.Meta(max_length=16)] = ()
    pyocd: Pyocd | None = None

    def __post_init__(self) -> None:
        """Refuse what the types can't: facts without a source, sources without a fact, contradictions."""
        stated = {"core", "clock_hz", "sram_bytes", "flash_bytes"}
        stated |= {name for name in ("uart", "usb_ids", "pyocd") if getattr(self, name)}
        if stated != set(self.sources) or not all(self.sources.values()):
            raise ValueError(f"[sources] must be of {', '.join(sorted(stated))}")
        if self.arena_bytes is not None and self.arena_bytes > self.sram_bytes:
            raise ValueError("the arena is larger than all SRAM")
        if self.store_is_flash and self.store_bytes >= self.flash_bytes:
            raise ValueError("the store leaves no flash for the agent")
        if len(set(self.usb_ids)) != len(self.usb_ids):
            raise ValueError("a USB id is listed twice")
        if (self.core == "cortex-m0+") != (self.kernels == "portable"):
            raise ValueError("the DSP kernels are for Cortex-M4 and later, and those have no others")

    @property
    def spec(self) -> str:
        """How the user names it as a device: its name, or ``virtual:CORE``."""
        return f"{VIRTUAL}{self.core}" if self.emulated else self.name


def load(path: Path) -> Board:
    """The board in the file ``path``. Raises UsageError: see :func:`edgekit.device.toml_folder.load`."""
    return toml_folder.load(path, Board, _WHAT)


@cache
def shipped() -> tuple[Board, ...]:
    """The boards that come with edgekit, by name. Raises DeviceError: they are missing from the installation."""
    return toml_folder.load_shipped(FOLDER, Board, _WHAT)


def known(directory: Path | None = None) -> tuple[Board, ...]:
    """The shipped boards and the user's own, by name; the user's go before shipped ones of the same name.

    Args:
        directory: where the user's are, default ``boards`` in :func:`edgekit.paths.profiles_dir`; it need not exist.

    Raises:
        UsageError: one of the user's can't be used.
    """
    own = toml_folder.load_all(paths.profiles_dir() / FOLDER if directory is None else directory, Board, _WHAT)
    merged = {board.name: board for board in (*shipped(), *own)}
    return tuple(merged[name] for name in sorted(merged))


def find(name: str, boards: Iterable[Board] | None = None) -> Board:
    """The board of that name or spec (``stm32f746g-disco``, ``virtual:cortex-m7``); dashes count as underscores.

    Raises:
        DeviceError: there is none; the nearest names are in the message and in the fact ``near``.
    """
    listed = tuple(known() if boards is None else boards)
    plain = name.replace("-", "_")
    for board in listed:
        if name == board.spec or plain == board.name:
            return board
    near = nearest(name.removeprefix(VIRTUAL), [board.name for board in listed])
    specs = [board.spec for board in listed if board.name in near]
    hint = f"Did you mean {' or '.join(specs)}? " if specs else ""
    raise DeviceError(
        f"There is no board {name[:80]!r}.", where=name[:80], near=specs,
        next_step=f"{hint}The boards are {', '.join(board.spec for board in listed)}.",
    )  # fmt: skip
