"""The agent's typed errors as exceptions; the numbers are EK_... of ``mcu/agent/frames.h``."""

from __future__ import annotations

import struct

from edgekit.device.mcu.frames import Kind
from edgekit.errors import DeviceError, EdgekitError, LinkLostError, RuntimeCrashError, UsageError

_FORM = struct.Struct("<HHI")
_FLASH = "Put this edgekit's agent on the board: edgekit mcu flash --board BOARD."
_AGAIN = "Run the command again."

BAD_REQUEST, UNKNOWN_REQUEST, NO_SESSION, OTHER_PROTOCOL, OUTSIDE_STORE, NOT_LOADING = 1, 2, 3, 4, 5, 6
STORE_FAILED, DIGEST_DIFFERS, NO_MODEL, NOT_OPEN, NO_INPUTS, OUT_OF_RANGE = 7, 8, 9, 10, 11, 12

# error -> (exception, what failed, next step)
_MEANING: dict[int, tuple[type[EdgekitError], str, str]] = {
    BAD_REQUEST: (DeviceError, "it does not understand the request", _FLASH),
    UNKNOWN_REQUEST: (DeviceError, "it does not know the request", _FLASH),
    NO_SESSION: (LinkLostError, "it was started again, or another host took over", _AGAIN),
    OTHER_PROTOCOL: (DeviceError, "it speaks version {detail} of the protocol", _FLASH),
    OUTSIDE_STORE: (DeviceError, "it stores at most {detail} bytes",
                    "Take a smaller model, or a board with more memory."),
    NOT_LOADING: (DeviceError, "the data does not go on where {detail} bytes have arrived", _AGAIN),
    STORE_FAILED: (DeviceError, "its memory can't be written (error {detail} of the board)",
                   "Try again; if it stays, the flash may be worn out or protected."),
    DIGEST_DIFFERS: (DeviceError, "what it stored is not what was sent", "Try again; if it stays, its memory is bad."),
    NO_MODEL: (UsageError, "no model is loaded", "Load a model first."),
    NOT_OPEN: (RuntimeCrashError, "no model is open", "Load and open the model again: the board was started again."),
    NO_INPUTS: (UsageError, "inputs are missing or of another size than its {detail} bytes",
                "Give every input, as the model declares it."),
    OUT_OF_RANGE: (UsageError, "a number is over its limit, {detail}", "Ask for less."),
}  # fmt: skip


def error(payload: bytes, kind: Kind, name: str) -> EdgekitError:
    """The exception for the content of an ERROR frame that answers a request of this kind."""
    if len(payload) != _FORM.size:
        return DeviceError(f"The agent at {name} gave a malformed error to {kind.name}.", where=name, next_step=_FLASH)
    code, _, detail = _FORM.unpack(payload)
    if code not in _MEANING:
        return DeviceError(
            f"The agent at {name} refused {kind.name} with the unknown error {code}.", where=name, next_step=_FLASH
        )
    make, what, next_step = _MEANING[code]
    message = f"The agent at {name} refused {kind.name}: {what.format(detail=detail)}."
    return make(message, where=name, next_step=next_step, agent_error=code, detail=detail)
