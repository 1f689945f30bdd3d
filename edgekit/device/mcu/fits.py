"""Whether a board has the memory and the kernels for a packed model."""

from __future__ import annotations

from edgekit.convert.mcu.unpack import Packed
from edgekit.device.mcu.answers import Identity
from edgekit.errors import DeviceError, RegressedError


def check_fits(packed: Packed, ekm_bytes: int, identity: Identity) -> None:
    """Refuse a model that the board has no memory or kernels for, before anything is sent.

    Raises:
        RegressedError: arena or store is too small; the operator that needs the most is named.
        DeviceError: its weights are laid out for kernels that the board does not have.
    """
    if packed.dsp and identity.kernels == "portable":
        raise DeviceError(
            f"{packed.name} is packed for the DSP kernels; {identity.board} has the portable ones.", where=packed.name,
            next_step=f"Pack it for this board and deploy the .ekm: edgekit mcu compile MODEL --board {identity.board}",
        )  # fmt: skip
    if packed.arena_bytes > identity.arena_bytes:
        raise RegressedError(
            f"{packed.name} needs an arena of {packed.arena_bytes:,} bytes; {identity.board} has "
            f"{identity.arena_bytes:,}.",
            where=packed.peak_operator or packed.name,
            next_step="Take a smaller model or input; edgekit mcu plan shows what takes the room.",
            arena_bytes=packed.arena_bytes, available_bytes=identity.arena_bytes, peak_operator=packed.peak_operator,
        )  # fmt: skip
    if ekm_bytes > identity.store_bytes:
        raise RegressedError(
            f"{packed.name} has {ekm_bytes:,} bytes; {identity.board} has room for {identity.store_bytes:,}.",
            where=packed.name, next_step="Take a smaller model; most of it is weights.",
            model_bytes=ekm_bytes, available_bytes=identity.store_bytes,
        )  # fmt: skip
