"""The DSP kernels on QEMU's Cortex-M4, M7 and M55, byte by byte against a naive reference."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mcu_kernel_cases import NAMED, Geometry, add_case, anything, case_of, matmul_case

MCU = Path(__file__).parents[2] / "mcu"
MACHINES = {
    "mps2-an386": ("cortex-m4", "mps2.ld", 0x40000000, 1 << 20),
    "mps2-an500": ("cortex-m7", "mps2.ld", 0x40000000, 1 << 20),
    "mps3-an547": ("cortex-m55", "mps3.ld", 0x58000000, 1 << 17),
}
Build = Callable[[str, bytes], Path]
RANDOM_CASES = 100
OTHERS = 30

for needed in ("arm-none-eabi-gcc", "qemu-system-arm"):
    if shutil.which(needed) is None:
        pytest.skip(f"{needed} is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Makes the test program of a machine and cases; the objects of a machine are compiled once."""
    folder = tmp_path_factory.mktemp("kernels")
    here = MCU / "tests" / "kernels"
    sources = [*here.glob("*.c"), *(MCU / "src").glob("*.c"), *(MCU / "src" / "dsp").glob("*.[cS]")]

    def make(machine: str, cases: bytes) -> Path:
        core, script, timer, arena_bytes = MACHINES[machine]
        work = folder / machine
        flags = [
            "arm-none-eabi-gcc", "-std=c11", "-O3", "-Wall", "-Wextra", "-Werror", f"-mcpu={core}", "-mthumb",
            "-mfloat-abi=soft", "-ffunction-sections", "-DEK_DSP", f"-DTIMER={timer:#x}u",
            f"-DARENA_BYTES={arena_bytes}", f'-DCASES="{work / "cases.bin"}"', f"-I{MCU / 'include'}",
        ]  # fmt: skip
        if not work.exists():
            work.mkdir()
            subprocess.run([*flags, "-c", *sources], check=True, timeout=100, cwd=work)
        (work / "cases.bin").write_bytes(cases)
        link = ["-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments", "-nostartfiles", "--specs=nosys.specs"]
        made = [here / "cases.S", *work.glob("*.o"), "-T", here / script, "-o", work / "kernels.elf"]
        subprocess.run([*flags, *link, *made], check=True, timeout=100)
        return work / "kernels.elf"

    return make


def run(machine: str, program: Path) -> tuple[int, list[str]]:
    """Exit code and printed lines; counts are of instructions."""
    command = [
        "qemu-system-arm", "-M", machine, "-display", "none", "-monitor", "none", "-serial", "none",
        "-semihosting-config", "enable=on,target=native", "-icount", "shift=6,align=off,sleep=off",
        "-kernel", program,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    return done.returncode, (done.stdout + done.stderr).splitlines()


@pytest.mark.parametrize("machine", MACHINES)
def test_kernels_agree_with_the_reference(machine: str, build: Build) -> None:
    layers = [*NAMED, *(anything(seed) for seed in range(RANDOM_CASES))]
    cases = b"".join(case_of(layer, seed) for seed, layer in enumerate(layers))
    cases += b"".join(make(seed) for make in (add_case, matmul_case) for seed in range(OTHERS))
    code, lines = run(machine, build(machine, cases))
    assert [line for line in lines[:-1] if not line.endswith("ok")] == []  # numbers are those of the cases
    assert len(lines) == len(layers) + 2 * OTHERS + 1
    assert lines[-1] == "end"
    assert code == 0


def test_a_wrong_byte_is_seen(build: Build) -> None:
    """The program compares: an expected output that is off by one in its last byte fails its case."""
    case = bytearray(case_of(NAMED[1], 0))
    case[-1] ^= 1
    code, lines = run("mps2-an500", build("mps2-an500", bytes(case)))
    assert code == 1
    assert "differs" in lines[0]


def test_instructions_per_product(build: Build) -> None:
    """Counts on the Cortex-M7, which do not vary: what the kernels were written for."""
    budgets = (
        (Geometry("pointwise", 12, 12, 64, 64), 0.93),
        (Geometry("pointwise, deep", 3, 3, 256, 256), 0.85),
        (Geometry("3x3", 16, 16, 32, 32, k=(3, 3), pad=(1, 1, 1, 1)), 0.86),
        (Geometry("stem", 96, 96, 3, 8, k=(3, 3), stride=(2, 2), pad=(0, 0, 1, 1)), 1.7),
        (Geometry("depthwise", 24, 24, 32, 32, k=(3, 3), pad=(1, 1, 1, 1), depthwise=True), 2.2),
        (Geometry("stride 2", 24, 24, 32, 32, k=(3, 3), stride=(2, 2), pad=(0, 0, 1, 1), depthwise=True), 3.6),
    )
    cases = b"".join(case_of(layer, seed) for seed, (layer, _) in enumerate(budgets))
    code, lines = run("mps2-an500", build("mps2-an500", cases))
    assert code == 0
    for line, (layer, budget) in zip(lines, budgets, strict=False):
        products = layer.side(0) * layer.side(1) * layer.out_c * layer.k[0] * layer.k[1]
        products *= 1 if layer.depthwise else layer.in_c
        assert int(line.split()[1]) / products < budget, f"{layer.name}: {line}"
