"""The DSP operators around their assembly, on this machine under sanitizers: every window, every damaged record."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgekit.convert.mcu.kernels import KERNELS
from tests.mcu_kernel_cases import HEAD_WORDS, NAMED, Geometry, add_case, anything, case_of, damaged, matmul_case

MCU = Path(__file__).parents[3] / "mcu"
RANDOM_CASES = 150
OTHERS = 30
DAMAGED_CASES = 3000

if shutil.which("cc") is None:
    pytest.skip("there is no C compiler called cc", allow_module_level=True)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Makes a program of cases; the objects are compiled once."""
    folder = tmp_path_factory.mktemp("kernels")
    flags = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-DEK_DSP", f"-I{MCU / 'include'}",
             "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-D_POSIX_C_SOURCE=200809L"]  # fmt: skip
    here = MCU / "tests" / "kernels"
    sources = [here / "main.c", here / "host" / "machine.c", *(MCU / "src").glob("*.c"), *(MCU / "src/dsp").glob("*.c")]
    objects = []
    for number, source in enumerate(sources):
        objects.append(folder / f"{number}.o")
        subprocess.run(["cc", *flags, "-c", source, "-o", objects[-1]], check=True, timeout=60)

    def make(cases):
        (folder / "cases.bin").write_bytes(cases)
        linked = [*flags, f'-DCASES="{folder / "cases.bin"}"', "-Wa,--noexecstack", here / "cases.S", *objects]
        subprocess.run(["cc", *linked, "-o", folder / "kernels"], check=True, timeout=60)
        return folder / "kernels"

    return make


def run(program):
    done = subprocess.run([program], capture_output=True, text=True, timeout=100)
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_kernels_agree_with_the_reference(program):
    layers = [*NAMED, *(anything(seed) for seed in range(RANDOM_CASES))]
    cases = b"".join(case_of(layer, seed) for seed, layer in enumerate(layers))
    cases += b"".join(make(seed) for make in (add_case, matmul_case) for seed in range(OTHERS))
    code, lines, errors = run(program(cases))
    assert errors == ""
    assert [line for line in lines[:-1] if not line.endswith("ok")] == []
    assert (code, len(lines), lines[-1]) == (0, len(layers) + 2 * OTHERS + 1, "end")


def test_damaged_records_are_refused_or_do_no_harm(program):
    whole = [case_of(layer, seed) for seed, layer in enumerate((*NAMED, *(anything(s) for s in range(60))))]
    cases = b"".join(damaged(whole[seed % len(whole)], seed) for seed in range(DAMAGED_CASES))
    code, lines, errors = run(program(cases))
    assert errors == ""
    assert (code, len(lines), lines[-1]) == (0, DAMAGED_CASES + 1, "end")
    refused = sum("refused" in line for line in lines)
    assert DAMAGED_CASES * 0.3 < refused < DAMAGED_CASES * 0.95  # neither refuses all nor lets all pass


def test_a_window_far_outside_of_the_image_overflows_nothing(program):
    """A row that is never read lies further away than an int32 reaches."""
    layer = Geometry("far", 3, 8, 260, 260, k=(3, 3), stride=(2, 2), pad=(0, 0, 1, 1), depthwise=True)
    case = bytearray(case_of(layer, 0))
    at = 4 * (HEAD_WORDS + 1 + KERNELS["depthwise"].fields.index("pad_top"))
    assert int.from_bytes(case[at : at + 4], "little") == 0
    case[at : at + 4] = (1048575).to_bytes(4, "little")
    case[20] = 1  # the answer is another one now, and not looked at
    code, lines, errors = run(program(bytes(case)))
    assert (code, errors) == (0, "") and lines[0].endswith("ok")
