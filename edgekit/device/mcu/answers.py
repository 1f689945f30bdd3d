"""What the agent's answers say: pure parsers of bytes from outside. See mcu/agent/PROTOCOL.md."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Literal

Unit = Literal["cycles", "instructions", "nanoseconds"]
COUNTS: dict[int, Unit | None] = {0: None, 1: "cycles", 2: "instructions", 3: "nanoseconds"}
_IDENTITY = struct.Struct("<14I")
# Names are shown to people, within commands to copy, so they have no character that means something to a shell.
_NAME = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")

# EK_ of mcu/include/edgekit/model.h
MODEL_STATUS = {
    1: "it is no packed model",
    2: "it is of another format version",
    3: "it is damaged",
    4: "an operator's numbers contradict each other",
    5: "this agent does not have an operator, or weight layout, that it needs",
    6: "the board's arena is too small for it",
    7: "it is not aligned",
}


class MalformedError(Exception):
    """An answer that is none."""


@dataclass(frozen=True)
class Identity:
    """Who answers. ``counts`` is the unit of counter * counter_mul / counter_div, None if the board counts nothing.

    ``store_erase_bytes``: blobs must not share a block of so many bytes. ``kernels``: ``portable`` or ``dsp``.
    """

    version: str
    build_hash: str
    board: str
    core: str
    kernels: str
    clock_hz: int
    counts: Unit | None
    counter_mul: int
    counter_div: int
    sram_bytes: int
    flash_bytes: int
    arena_bytes: int
    store_bytes: int
    store_is_flash: bool
    store_write_bytes: int
    store_erase_bytes: int
    static_bytes: int
    window: int
    bulk_bytes: int

    def count(self, counter: int) -> float:
        """A counter's difference in the unit of ``counts``."""
        return counter * self.counter_mul / self.counter_div


@dataclass(frozen=True)
class Opened:
    """A model that the board has checked and can run."""

    operators: int
    inputs: int
    outputs: int
    arena_bytes: int
    input_bytes: int
    output_bytes: int


@dataclass(frozen=True)
class Memory:
    """Bytes of the board's RAM. ``stack_bytes`` is the high-water mark since the last repaint; None: not told."""

    static_bytes: int
    model_arena_bytes: int
    arena_bytes: int
    stack_bytes: int | None
    lost_bytes: int


def identity(payload: bytes) -> Identity:
    """Parse the answer to IDENTIFY. Raises MalformedError."""
    if len(payload) < _IDENTITY.size:
        raise MalformedError("identify")
    numbers = _IDENTITY.unpack_from(payload)
    window, bulk, flags, clock, counts, mul, div, sram, flash, arena, store, write, erase, static = numbers
    texts = payload[_IDENTITY.size :].split(b"\0")
    if len(texts) != 5 or texts[4] or not all(_NAME.fullmatch(text) for text in texts[:4]):
        raise MalformedError("identify")
    if (
        counts not in COUNTS
        or not div
        or (COUNTS[counts] == "cycles" and not clock)
        or not 1 <= window <= 64
        or not 32 <= bulk <= 992
        or bulk % 32
    ):
        raise MalformedError("identify")
    version, build_hash, board, core = (text.decode("ascii") for text in texts[:4])
    return Identity(
        version=version, build_hash=build_hash, board=board, core=core, kernels="dsp" if flags & 1 else "portable",
        clock_hz=clock, counts=COUNTS[counts], counter_mul=mul, counter_div=div, sram_bytes=sram, flash_bytes=flash,
        arena_bytes=arena, store_bytes=store, store_is_flash=bool(flags & 2), store_write_bytes=write,
        store_erase_bytes=erase, static_bytes=static, window=window, bulk_bytes=bulk,
    )  # fmt: skip


def opened(payload: bytes) -> tuple[int, int | None, Opened]:
    """(ek_status, the refused operator's number, the model) from the answer to OPEN. Raises MalformedError."""
    status, operator, *facts = numbers(payload, 8)
    return status, None if operator == 0xFFFFFFFF else operator, Opened(*facts)


def memory(payload: bytes) -> Memory:
    """Parse the answer to MEMORY. Raises MalformedError."""
    static, model, arena, stack, lost = numbers(payload, 5)
    return Memory(static, model, arena, stack or None, lost)


def bench(payload: bytes, runs: int) -> tuple[int, list[int]]:
    """(overhead, counters) from the answer to BENCH. Raises MalformedError."""
    overhead, count, *counters = numbers(payload, 2 + runs)
    if count != runs:
        raise MalformedError("bench")
    return overhead, counters


def profile(payload: bytes) -> tuple[int, int, list[int]]:
    """(overhead, operators of the model, counters) from the answer to PROFILE. Raises MalformedError."""
    if len(payload) < 12:
        raise MalformedError("profile")
    overhead, operators, count, *counters = numbers(payload, len(payload) // 4)
    if count != len(counters):
        raise MalformedError("profile")
    return overhead, operators, counters


def numbers(payload: bytes, count: int) -> list[int]:
    """Exactly so many 32-bit numbers. Raises MalformedError."""
    if len(payload) != 4 * count:
        raise MalformedError(f"{len(payload)} bytes instead of {4 * count}")
    return list(struct.unpack(f"<{count}I", payload))
