"""The agent's images for boards, as ``mcu/build_boards.py`` leaves them: one directory a board with a manifest."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edgekit.errors import DeviceError
from edgekit.version import __version__

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 64 * 1024
MAX_FILE_BYTES = 64 * 2**20
Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**32)]
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
FileName = Annotated[str, msgspec.Meta(pattern=r"^agent\.(elf|hex|bin|uf2)\Z")]


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One image file's length and digest."""

    bytes: Bytes
    sha256: Digest


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was built. Sizes in bytes: ``image_bytes`` go to flash, ``static_bytes`` are .data and .bss without arena
    and stack, ``arena_bytes`` is what a model may use, ``store_bytes`` (at ``store_address``) is where it is loaded."""

    schema: Literal[1]
    board: str
    version: str
    sources_sha256: Digest
    compiler: str
    image_bytes: Bytes
    text_bytes: Bytes
    data_bytes: Bytes
    bss_bytes: Bytes
    static_bytes: Bytes
    stack_bytes: Bytes
    arena_bytes: Bytes
    sram_bytes: Bytes
    flash_bytes: Bytes
    store_address: Bytes
    store_bytes: Bytes
    files: dict[FileName, File]


class Image(msgspec.Struct, frozen=True):
    """A board's directory and its manifest."""

    directory: Path
    manifest: Manifest

    def file(self, ending: Literal["elf", "hex", "bin", "uf2"]) -> Path:
        """The image in this format, looked at once more before it is used.

        Raises:
            DeviceError: the board has none, or it is not the one that was built.
        """
        name = f"agent.{ending}"
        path, expected = self.directory / name, self.manifest.files.get(name)
        if expected is None:
            raise _unusable(self.manifest.board, f"there is no {name}", self.directory)
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise _unusable(self.manifest.board, str(error), path) from error
        if hashlib.sha256(data).hexdigest() != expected.sha256:
            raise _unusable(self.manifest.board, "it is not the file that was built", path)
        return path


def images_dir() -> Path:
    """Where the images are: ``EDGEKIT_MCU_AGENTS``, or ``mcu/build`` of the checkout."""
    return Path(os.environ.get("EDGEKIT_MCU_AGENTS") or Path(__file__).resolve().parents[3] / "mcu/build")


def is_built(board: str) -> bool:
    """Whether there is an image for the board; whether it can be used shows when it is."""
    return (images_dir() / board / MANIFEST).is_file()


def find_image(board: str, directory: Path | None = None) -> Image:
    """The agent's image for the board of that name.

    Args:
        board: a board profile's name.
        directory: where the images are, default :func:`images_dir`.

    Raises:
        DeviceError: there is none, it is damaged, or it belongs to another version of edgekit.
    """
    home = (images_dir() if directory is None else directory) / board
    try:
        with (home / MANIFEST).open("rb") as stream:
            raw = stream.read(MAX_MANIFEST_BYTES + 1)
        manifest = msgspec.json.decode(raw[:MAX_MANIFEST_BYTES], type=Manifest)
    except FileNotFoundError as error:
        raise _unusable(board, "it was not built", home / MANIFEST) from error
    except (OSError, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _unusable(board, str(error), home / MANIFEST) from error
    if manifest.board != board:
        raise _unusable(board, f"its manifest is of {manifest.board}", home)
    if manifest.version != __version__:
        raise _unusable(board, f"it is of edgekit {manifest.version}, this is {__version__}", home)
    return Image(home, manifest)


def _unusable(board: str, why: str, where: Path) -> DeviceError:
    return DeviceError(
        f"The agent's image for {board} can't be used: {why}.", where=str(where),
        next_step="In a checkout of edgekit: make agents (Debian: apt install gcc-arm-none-eabi "
        "libnewlib-arm-none-eabi).",
    )  # fmt: skip
