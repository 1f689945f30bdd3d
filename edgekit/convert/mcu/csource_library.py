"""What C source has in a library (``edgekit bundle --for mcu``), which brings the runtime along, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Where the library has mcu/src, as its sources name it; mcu/include/edgekit is "edgekit" there too.
RUNTIME = "edgekit_runtime"


@dataclass(frozen=True)
class Checked:
    """What the source has to check: the constants' members, per step its operator, and the CRC-32 of all of it."""

    members: Sequence[str]
    operators: Sequence[str]
    crc32: int


def build_note(name: str) -> list[str]:
    """The header's comment on how to build, as lines."""
    return [
        " *",
        f" * A part of this library; what programs use is in {name.removesuffix('_model')}.h. Called by it alone.",
    ]


def declarations(name: str) -> list[str]:
    """The functions that other source has not."""
    return [
        "/* EK_OK, or that constants or records are not what edgekit wrote: flash that was overwritten or has aged. */",
        f"ek_status {name}_check(void);",
    ]


def core_gate(*, dsp: bool) -> Iterator[str]:
    """That the compiler builds for a core that the weights are for. The C test on the host brings src/dsp in C."""
    if dsp:
        yield "#if !defined(__ARM_FEATURE_DSP) && !defined(EDGEKIT_HOST_TEST)"
        yield '#error "for cores with the DSP extension (Cortex-M4, M7, M33, M55): give the compiler the core (-mcpu)"'
        yield "#endif"
        yield ""


def check(name: str, checked: Checked) -> Iterator[str]:
    """The function ``NAME_check``. The CRC-32 is that of constants and then records, each without its padding."""
    yield f"ek_status {name}_check(void)"
    yield "{"
    rows = [f"{{data.{member}, sizeof data.{member}}}" for member in checked.members]
    yield from _table("const void *bytes;", "uint32_t count;", "constants", rows)
    rows = [f"{{&step_{i}, &{operator}}}" for i, operator in enumerate(checked.operators)]
    yield from _table("const void *record;", "const ek_operator *kernel;", "steps", rows)
    data = "sizeof data, (const uint8_t *)&data" if checked.members else "0, NULL"
    yield f"    static const ek_limits limits = {{{name.upper()}_ARENA_BYTES, {data}}};"
    yield "    uint32_t crc = 0;"
    if checked.members:
        yield "    for (uint32_t i = 0; i < sizeof constants / sizeof constants[0]; i++) {"
        yield "        crc = ek_crc32(crc, constants[i].bytes, constants[i].count);"
        yield "    }"
    if checked.operators:
        yield "    for (uint32_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {"
        yield "        crc = ek_crc32(crc, steps[i].record, steps[i].kernel->bytes);"
        yield "    }"
    yield f"    ek_status status = crc == 0x{checked.crc32:08x}u ? EK_OK : EK_DAMAGED;"
    if checked.operators:
        yield "    for (uint32_t i = 0; i < sizeof steps / sizeof steps[0] && status == EK_OK; i++) {"
        yield "        status = steps[i].kernel->check(steps[i].record, &limits);"
        yield "    }"
    else:
        yield "    (void)limits;"
    yield "    return status;"
    yield "}"


def _table(first: str, second: str, name: str, rows: Sequence[str]) -> Iterator[str]:
    if rows:
        yield "    static const struct {"
        yield f"        {first}"
        yield f"        {second}"
        yield f"    }} {name}[] = {{"
        yield from (f"        {row}," for row in rows)
        yield "    };"
