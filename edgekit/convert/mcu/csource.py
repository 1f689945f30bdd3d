"""Program and plan → C source: a header and one file that run the model on ``mcu/src`` without a packed file.

Weights are const arrays of one struct, so that the records hold offsets into it; every step is a const record and one
call, so that the linker keeps only the operators that the model uses (``-ffunction-sections -fdata-sections
-Wl,--gc-sections``). Nothing is checked at run time: the records come from this compiler. In a library
(``edgekit bundle --for mcu``) they may be checked once, against what flash does to them.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekit.convert.mcu import csource_library
from edgekit.convert.mcu.kernels import KERNELS
from edgekit.convert.mcu.pack import ALIGN, step_name
from edgekit.convert.mcu.steps import Endpoint, Plan, Program, Step
from edgekit.errors import ConvertError

MAX_IDENTIFIER = 40
_KEYWORDS = (
    " auto break case char const continue default do double else enum extern float for "
    "goto if inline int long register restrict return short signed sizeof static struct switch "
    "typedef union unsigned void volatile while bool true false main asm and or not "
    "xor class new delete this template namespace operator private public protected "
)
_C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t"}
# The header and record type of kernels whose own names are not theirs.
_HEADERS = {"average_pool": "pool", "max_pool": "pool", "reduce_max": "reduce", "resize_bilinear": "resize",
            "resize_nearest": "resize"}  # fmt: skip
_TYPES = {"average_pool": "pool", "max_pool": "pool"}
# Kernels that begin with a struct called geometry, by the last field in it.
_GEOMETRY = {"add": "b_strides_4", "mul": "b_strides_4", "squared_difference": "b_strides_4",
             "minmax": "b_strides_4", "prelu": "b_strides_4", "reduce": "reduced_strides_2",
             "reduce_max": "reduced_strides_2"}  # fmt: skip
# The variants of mcu/src/operators.h; a test holds the two together.
_VARIANTS = {"dsp": ("conv", "depthwise", "add", "batch_matmul"), "host": ("conv", "depthwise")}


@dataclass(frozen=True)
class Source:
    """Two files: ``name`` is the stem of both and the prefix of everything they define."""

    name: str
    header: str
    code: str


def c_source(program: Program, plan: Plan, *, library: str | None = None) -> Source:
    """The C source of a planned program; the same text for the same arguments.

    Args:
        program: what to write.
        plan: its order and arena.
        library: the name in a library that has the runtime in ``csource_library.RUNTIME``; the default is made from
            the program's. The arena is the caller's then, and ``NAME_check()`` tells whether the flash is intact.

    Raises:
        ConvertError: a step's numbers do not fit its record.
    """
    name = identifier(program.name) if library is None else library
    alone = library is None
    return Source(name, _header(program, plan, name, alone=alone), _code(program, plan, name, alone=alone))


def identifier(name: str) -> str:
    """A lower-case C identifier made from any text; never empty, a keyword, or one that is reserved or taken."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower())[:MAX_IDENTIFIER].strip("_")
    if not plain or plain[0].isdigit() or f" {plain} " in _KEYWORDS or plain.startswith("ek_") or plain == "ek":
        return f"model_{plain}".rstrip("_")
    return plain


def _comment(text: str) -> str:
    """Text that can't end a comment or a line."""
    return re.sub(r"[^A-Za-z0-9 ._:,;+=()-]", "_", text)[:120]


def _header(program: Program, plan: Plan, name: str, *, alone: bool) -> str:
    big = name.upper()
    lines = [
        f"/* {_comment(program.name)}, compiled by edgekit.",
        f" * sha256 of the source model: {program.source_sha256 or 'unknown'}",
        *(_how_to_build(program, name) if alone else csource_library.build_note(name)),
        " */",
        f"#ifndef {big}_H",
        f"#define {big}_H",
        "",
        "#include <stdint.h>",
        *([] if alone else ["", '#include "edgekit/model.h"']),
        "",
        f"#define {big}_ARENA_BYTES {plan.arena_bytes}",
        f"#define {big}_ARENA_ALIGN {ALIGN}",
        "",
        *(line for kind, _, end in _endpoints(program) for line in _end_macros(big, kind, end, plan)),
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        f"/* One inference in `arena`: {big}_ARENA_BYTES bytes, {ALIGN}-byte aligned, yours afterwards. Inputs and",
        " * outputs are int8, dense, as the macros above say; NULL for an input that already lies in the arena at its",
        " * OFFSET (inputs don't survive a run), and for an output that is to be read there. */",
        f"void {name}_run_in(uint8_t *arena, {_parameters(program)});",
        "",
        *(_static_declaration(program, name) if alone else csource_library.declarations(name)),
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def _static_declaration(program: Program, name: str) -> list[str]:
    big = name.upper()
    return [
        f"/* The same in a static arena. Not reentrant. Define {big}_CALLERS_ARENA to be without it. */",
        f"#ifndef {big}_CALLERS_ARENA",
        f"void {name}_run({_parameters(program)});",
        "#endif",
    ]


def _how_to_build(program: Program, name: str) -> list[str]:
    """Which files and flags, as lines of a comment: no ``*.c`` after a slash, that would begin another."""
    if program.dsp:
        cores = [
            " *   every .c and .S in mcu/src/dsp, and -D EK_DSP for all files: the weights are for cores with the DSP",
            " *     extension (Cortex-M4, M7, M33, M55)",
        ]
    else:
        cores = [
            " *   (cores with the DSP extension, Cortex-M4, M7, M33 and M55, run it faster if it is compiled for one,",
            " *     with --board)",
        ]
    return [
        " *",
        " * To build, with mcu as it is in edgekit's checkout (edgekit/_mcu where it is installed):",
        f" *   {name}.c and every .c in mcu/src, with -std=c11 -O3 -I mcu/include -I mcu/src",
        *cores,
        " *   -ffunction-sections -fdata-sections -Wl,--gc-sections, to leave out the operators that no model uses.",
        " * Of the C library memcpy and memset are needed. Nothing is allocated; about 1 KB of stack is used.",
    ]


def _endpoints(program: Program) -> Iterator[tuple[str, str, Endpoint]]:
    """(INPUT_0, input_0, endpoint) and so on."""
    for kind, ends in (("input", program.inputs), ("output", program.outputs)):
        for number, end in enumerate(ends):
            yield f"{kind.upper()}_{number}", f"{kind}_{number}", end


def _end_macros(big: str, kind: str, end: Endpoint, plan: Plan) -> list[str]:
    notes = ["float32 in the source model"] if end.float_outside else []
    if end.axes and end.axes != tuple(range(len(end.axes))):
        notes.append(f"its axes are the source model's {', '.join(map(str, end.axes))}")
    return [
        f"/* {'; '.join([_comment(end.name) + ': real = SCALE * (stored - ZERO_POINT)', *notes])} */",
        f"#define {big}_{kind}_BYTES {_end_bytes(end)}",
        f"#define {big}_{kind}_DIMS {{{', '.join(map(str, end.shape)) or '1'}}}",
        f"#define {big}_{kind}_OFFSET {plan.offsets[end.buffer]}",
        f"#define {big}_{kind}_SCALE {_float(end.scale)}",
        f"#define {big}_{kind}_ZERO_POINT ({end.zero_point})",
        "",
    ]


def _end_bytes(end: Endpoint) -> int:
    return int(np.prod(end.shape, dtype=np.int64))


def _float(value: float) -> str:
    """A C constant that reads back as the same float32."""
    text = f"{np.float32(value):.9g}"
    return f"{text}f" if re.search("[.e]", text) else f"{text}.0f"


def _parameters(program: Program) -> str:
    return ", ".join(
        f"{'const ' if name.startswith('input') else ''}int8_t *{name}" for _, name, _ in _endpoints(program)
    )


def _code(program: Program, plan: Plan, name: str, *, alone: bool) -> str:
    constants = _Constants()
    written = [
        _record(program.steps[number], position, plan, number, constants) for position, number in enumerate(plan.order)
    ]
    used = sorted({step.kernel for step in program.steps}, key=lambda kernel: KERNELS[kernel].kind)
    data = "(const uint8_t *)&data" if constants.lines else "NULL"
    runtime = "" if alone else f"{csource_library.RUNTIME}/"
    lines = [
        f"/* {_comment(program.name)}, compiled by edgekit.",
        f" * {name}.h tells how to build it. Weights are for {'the DSP' if program.dsp else 'portable'} kernels. */",
        f'#include "{name}.h"',
        "",
        "#include <stddef.h>",
        "#include <string.h>",
        "",
        *sorted({f'#include "edgekit/op_{_HEADERS.get(kernel, kernel)}.h"' for kernel in used}),
        f'#include "{runtime}operators.h"',
        "",
        *_kernel_lines(used, dsp=program.dsp, alone=alone),
        *constants.struct(),
        *(line for _, record in written for line in record),
        f"void {name}_run_in(uint8_t *arena, {_parameters(program)})",
        "{",
        *_body(program, plan, name, data),
        "}",
        "",
        *(_static_run(program, name) if alone else _check(program, plan, name, constants, [raw for raw, _ in written])),
    ]
    return "\n".join(lines) + "\n"


def _check(program: Program, plan: Plan, name: str, constants: _Constants, records: list[bytes]) -> Iterator[str]:
    kernels = [program.steps[number].kernel for number in plan.order]
    operators = [f"ek_{kernel}_{variant(kernel, dsp=program.dsp)}" for kernel in kernels]
    crc = 0
    for piece in (*constants.members.values(), *records):
        crc = zlib.crc32(piece, crc)
    return csource_library.check(name, csource_library.Checked(list(constants.members), operators, crc))


def variant(kernel: str, *, dsp: bool) -> str:
    """Which of the variants in ``mcu/src/operators.h`` runs it on a core: ``dsp`` or ``portable``."""
    return "dsp" if dsp and kernel in _VARIANTS["dsp"] else "portable"


def _kernel_lines(used: list[str], *, dsp: bool, alone: bool) -> Iterator[str]:
    """Per kernel: that its record is as long as this compiler takes it to be, and the function to call."""
    for kernel in used:
        row = KERNELS[kernel]
        yield (
            f"_Static_assert(sizeof(ek_{_TYPES.get(kernel, kernel)}) == {4 + 4 * len(row.fields)} && "
            f'EK_OP_{kernel.upper()} == {row.kind}, "mcu/include is of another version of edgekit");'
        )
    if not alone:
        yield ""
        yield from csource_library.core_gate(dsp=dsp)
        yield from (_run_macro(kernel, variant(kernel, dsp=dsp)) for kernel in used)
        yield ""
        return
    varied = [kernel for kernel in used if kernel in _VARIANTS["dsp"] + _VARIANTS["host"]]
    if varied:
        yield from _variant_lines(varied, dsp=dsp)
    yield from (_run_macro(kernel, "portable") for kernel in used if kernel not in varied)
    yield ""


def _variant_lines(varied: list[str], *, dsp: bool) -> Iterator[str]:
    for condition, variant in (("#if defined(EK_DSP)", "dsp"), ("#elif defined(EK_HOST_LAYOUTS)", "host")):
        yield condition
        yield from (_run_macro(kernel, variant if kernel in _VARIANTS[variant] else "portable") for kernel in varied)
    yield "#else"
    if dsp:
        yield '#error "weights for cores with the DSP extension: define EK_DSP, or compile the model for another core"'
    yield from (_run_macro(kernel, "portable") for kernel in varied)
    yield "#endif"


def _run_macro(kernel: str, variant: str) -> str:
    return f"#define RUN_{kernel.upper()} ek_{kernel}_{variant}.run"


class _Constants:
    """The struct of weights and tables; equal arrays are stored once."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.members: dict[str, bytes] = {}  # as they lie in memory
        self.offsets: dict[str, int] = {}
        self._known: dict[tuple[str, bytes], str] = {}
        self._end = 0

    def add(self, name: str, values: npt.NDArray[np.generic], step: Step) -> str:
        """The member that holds ``values``."""
        flat = np.ascontiguousarray(values).reshape(-1)
        kind = flat.dtype.name
        if kind not in _C_TYPES or not flat.size:
            raise _misfit(step, f"data of type {kind} and shape {values.shape}")
        key = kind, flat.tobytes()
        if key not in self._known:
            self._known[key] = name
            self.members[name] = flat.astype(flat.dtype.newbyteorder("<")).tobytes()
            self.offsets[name] = self._end
            self._end += -(-flat.nbytes // ALIGN) * ALIGN
            self.lines.append((f"    _Alignas({ALIGN}) {_C_TYPES[kind]} {name}[{flat.size}];", _array_text(name, flat)))
        return self._known[key]

    def struct(self) -> list[str]:
        """Its definition."""
        if not self.lines:
            return []
        members, values = zip(*self.lines, strict=True)
        return ["struct constants {", *members, "};", "", "static const struct constants data = {", *values, "};", ""]


def _array_text(name: str, flat: npt.NDArray[np.generic]) -> str:
    """``.name = {…},`` in lines of up to 120 characters. The least int32 can't be written as one C constant."""
    least = np.iinfo(np.int32).min
    texts = ["(-2147483647 - 1)" if value == least else str(value) for value in flat.tolist()]
    lines, line = [f"    .{name} = {{"], " " * 7
    for text in texts:
        if len(line) + len(text) + 2 > 120:
            lines.append(line)
            line = " " * 7
        line += f" {text},"
    return "\n".join([*lines, line, "    },"])


def _record(step: Step, position: int, plan: Plan, number: int, constants: _Constants) -> tuple[bytes, list[str]]:
    """The record of one step: its bytes, and a designated initialiser."""
    kernel = KERNELS[step.kernel]
    numbers = {**step.fields}
    numbers.update({field: plan.offsets[buffer] + step.fields.get(field, 0) for field, buffer in step.offsets.items()})
    if "scratch" in kernel.fields:
        numbers["scratch"] = plan.scratch[number] if step.scratch_bytes else 0
        numbers.setdefault("scratch_bytes", step.scratch_bytes)
    values = {field: _integer(value, step) for field, value in numbers.items()}
    for field, piece in step.data.items():
        member = constants.add(f"s{position}_{field}", piece, step)
        numbers[field], values[field] = constants.offsets[member], f"offsetof(struct constants, {member})"
    if set(values) != set(kernel.fields):
        raise _misfit(step, f"fields that differ: {sorted(set(values) ^ set(kernel.fields))}")
    kind = _TYPES.get(step.kernel, step.kernel)
    return kernel.pack(numbers), [
        f"/* {_comment(step.name)} */",
        f"static const ek_{kind} step_{position} = {{",
        f"    .head = {{EK_OP_{step.kernel.upper()}, sizeof(ek_{kind})}},",
        *(f"    {designator} = {values[field]}," for field, designator in _designators(step.kernel)),
        "};",
        "",
    ]


def _designators(kernel: str) -> Iterator[tuple[str, str]]:
    """(field of kernels.py, C designator): ``dims_0`` is ``.dims[0]``, inside the geometry ``.geometry.dims[0]``."""
    inside = kernel in _GEOMETRY
    for field in KERNELS[kernel].fields:
        member = re.sub(r"_(\d+)$", r"[\1]", field)
        yield field, f".geometry.{member}" if inside else f".{member}"
        inside = inside and field != _GEOMETRY[kernel]


def _integer(value: int, step: Step) -> str:
    if not -(2**31) <= value < 2**31:
        raise _misfit(step, f"{value} is no int32")
    return "(-2147483647 - 1)" if value == -(2**31) else str(value)


def _misfit(step: Step, what: str) -> ConvertError:
    return ConvertError(
        f"A step does not fit the record of its kernel {step.kernel}: {what}.",
        where=step.name,
        next_step="This is a fault of edgekit's compiler: report it with the model.",
        format="mcu",
    )


def _body(program: Program, plan: Plan, name: str, data: str) -> Iterator[str]:
    big = name.upper()
    for kind, own, _ in _endpoints(program):
        if own.startswith("input"):
            yield f"    if ({own} != NULL) {{"
            yield f"        memcpy(arena + {big}_{kind}_OFFSET, {own}, {big}_{kind}_BYTES);"
            yield "    }"
    for position, number in enumerate(plan.order):
        step = program.steps[number]
        call = f"    RUN_{step.kernel.upper()}(&step_{position}, arena, {data});"
        yield f"{call} /* {_comment(step_name(step.name))} */"
    for kind, own, _ in _endpoints(program):
        if own.startswith("output"):
            yield f"    if ({own} != NULL) {{"
            yield f"        memcpy({own}, arena + {big}_{kind}_OFFSET, {big}_{kind}_BYTES);"
            yield "    }"


def _static_run(program: Program, name: str) -> Iterator[str]:
    big = name.upper()
    arguments = ", ".join(own for _, own, _ in _endpoints(program))
    yield f"#ifndef {big}_CALLERS_ARENA"
    yield f"static _Alignas({big}_ARENA_ALIGN) uint8_t own_arena[{big}_ARENA_BYTES];"
    yield ""
    yield f"void {name}_run({_parameters(program)})"
    yield "{"
    yield f"    {name}_run_in(own_arena, {arguments});"
    yield "}"
    yield "#endif"
