"""``kernels.py`` and the C headers say the same: struct by struct, field by field."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest

from edgekit.convert.mcu.kernels import KERNELS
from edgekit.harness.mcu_library import host_library
from edgekit.paths import mcu_dir

from .compiler import needs_compiler

_OPERATOR = re.compile(r"const ek_operator ek_(\w+)_portable = \{(EK_OP_\w+),\s*sizeof\((ek_\w+)\)")


def _without_comments(path: Path) -> str:
    return re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)


def _headers() -> str:
    return "\n".join(_without_comments(path) for path in sorted((mcu_dir() / "include/edgekit").glob("*.h")))


def _structs(text: str) -> dict[str, str]:
    return {name: body for body, name in re.findall(r"typedef struct \{(.*?)\} (\w+);", text, re.DOTALL)}


def _fields(struct: str, structs: dict[str, str], constants: dict[str, int]) -> list[str]:
    """The int32 fields of a record, arrays and nested structs written out; anything else in it is an error."""
    made: list[str] = []
    for declaration in filter(None, (part.strip() for part in structs[struct].split(";"))):
        kind, names = declaration.split(None, 1)
        if kind in structs and kind != "ek_op_head":
            made += _fields(kind, structs, constants)
            continue
        assert kind in ("int32_t", "ek_op_head"), declaration
        if kind == "ek_op_head":
            assert not made
            continue
        for name in names.split(","):
            array = re.fullmatch(r"(\w+)\[(\w+)\]", name.strip())
            count = constants.get(array[2]) if array else None
            made += [f"{array[1]}_{i}" for i in range(count or int(array[2]))] if array else [name.strip()]
    return made


def _operators() -> dict[str, tuple[str, str]]:
    """Kernel's name -> its EK_OP_ name and its record's struct, from the C sources."""
    texts = [path.read_text() for path in sorted((mcu_dir() / "src").glob("op_*.c"))]
    return {name: (kind, struct) for text in texts for name, kind, struct in _OPERATOR.findall(text)}


def test_every_operator_is_on_both_sides() -> None:
    assert set(_operators()) == set(KERNELS)


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_record_agrees_with_its_struct(name: str) -> None:
    text = _headers()
    constants = {key: int(value) for key, value in re.findall(r"#define (EK_\w+) (\d+)\s", text)}
    kinds = {key: int(value) for key, value in re.findall(r"(EK_OP_\w+) = (\d+)", text)}
    kind, struct = _operators()[name]
    assert kinds[kind] == KERNELS[name].kind
    assert _fields(struct, _structs(text), constants) == list(KERNELS[name].fields)


class _Operator(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_uint16), ("bytes", ctypes.c_uint16)]


@needs_compiler
def test_the_compiler_makes_records_of_the_same_size() -> None:
    library = ctypes.CDLL(str(host_library()))
    count = ctypes.c_uint32.in_dll(library, "ek_operator_count").value
    table = (ctypes.POINTER(_Operator) * count).in_dll(library, "ek_operators")
    sizes = {entry.contents.kind: entry.contents.bytes for entry in table}
    assert len(sizes) == count
    assert sizes == {kernel.kind: 4 + 4 * len(kernel.fields) for kernel in KERNELS.values()}
