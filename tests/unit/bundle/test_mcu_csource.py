"""The check that C source has in a library: checksum and records of every kernel, as the compiler lays them out."""

from __future__ import annotations

import ctypes
import dataclasses
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgekit.convert.mcu.csource import Source, c_source
from edgekit.convert.mcu.plan import plan
from edgekit.convert.mcu.steps import Buffer, Endpoint, Program, Step
from edgekit.harness.mcu_library import host_library
from edgekit.paths import mcu_dir
from tests.unit.mcu.compiler import needs_compiler
from tests.unit.mcu.test_csource import every_kernel

EK_OK, EK_DAMAGED, EK_BAD_OPERATOR, EK_NO_OPERATOR = 0, 3, 4, 5


def status(source: Source, folder: Path, code: str | None = None) -> int:
    """What the check answers on this machine."""
    folder.mkdir(exist_ok=True)
    (folder / f"{source.name}.h").write_text(source.header)
    (folder / f"{source.name}.c").write_text(source.code if code is None else code)
    runtime = folder / "edgekit_runtime"
    if not runtime.exists():
        runtime.symlink_to(mcu_dir() / "src")
    library, out = host_library(), folder / f"check{len(list(folder.glob('*.so')))}.so"
    subprocess.run(
        ["cc", "-std=c11", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-I", str(mcu_dir() / "include"),
         "-I", str(folder), "-fPIC", "-shared", str(folder / f"{source.name}.c"), str(library),
         f"-Wl,-rpath,{library.parent}", "-o", str(out)],
        check=True, timeout=60,
    )  # fmt: skip
    return int(getattr(ctypes.CDLL(str(out)), f"{source.name}_check")())


@needs_compiler
def test_every_kernels_record_is_summed_as_it_lies_in_memory(tmp_path: Path) -> None:
    """The records are full of random numbers: the checksum is right, and then the first record is refused: its
    layout is none."""
    program = every_kernel()
    source = c_source(program, plan(program), library="every_model")
    assert status(source, tmp_path / "whole") == EK_NO_OPERATOR
    number = next(line for line in source.code.splitlines() if "crc == 0x" in line)
    wrong = source.code.replace(number, number.replace("crc == 0x", "crc == 1u + 0x"))
    assert status(source, tmp_path / "wrong", wrong) == EK_DAMAGED


def looked_up(table: np.ndarray) -> Program:
    """One look-up in a table, which is data."""
    fields = {"count": 40}
    step = Step("0 LOGISTIC", "lookup", (0,), (1,), 0, (), fields, {"input": 0, "output": 1}, {"table": table})
    ends = [Endpoint(name, i, (40,), 0.1, 0, False) for i, name in enumerate(("in", "out"))]
    buffers = (Buffer("x", 40), Buffer("y", 40))
    return Program("looked up", "", buffers, (step,), (ends[0],), (ends[1],), False)


@needs_compiler
@pytest.mark.parametrize("disturbed", [False, True])
def test_data_is_summed_as_it_lies_in_memory(tmp_path: Path, disturbed: bool) -> None:
    program = looked_up(np.arange(-128, 128, dtype=np.int8))
    source = c_source(program, plan(program), library="looked_model")
    code = source.code.replace(" -77,", " -78,") if disturbed else source.code
    assert (code != source.code) == disturbed
    assert status(source, tmp_path / "one", code) == (EK_DAMAGED if disturbed else EK_OK)


@needs_compiler
def test_a_record_that_leaves_the_arena_is_refused_although_its_sum_is_right(tmp_path: Path) -> None:
    program = looked_up(np.arange(-128, 128, dtype=np.int8))
    far = dataclasses.replace(program.steps[0], fields={"count": 4000})
    source = c_source(dataclasses.replace(program, steps=(far,)), plan(program), library="far_model")
    assert status(source, tmp_path / "far") == EK_BAD_OPERATOR


@needs_compiler
def test_a_program_without_steps_is_intact(tmp_path: Path) -> None:
    end = Endpoint("x", 0, (4,), 0.1, 0, False)
    program = Program("nothing", "", (Buffer("x", 4),), (), (end,), (end,), False)
    source = c_source(program, plan(program), library="nothing_model")
    assert status(source, tmp_path / "nothing") == EK_OK
