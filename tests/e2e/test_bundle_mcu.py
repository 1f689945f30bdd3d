"""C libraries of bundles, built by their own make and CMake for Cortex-M4, M7 and M55, on the virtual boards."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from mcu_host import MODELS

from edgekit.device.mcu.virtual import MACHINES, QEMU, profile_of
from tests import mcu_models
from tests.adbd import require
from tests.mcu_agents import convolutions
from tests.mcu_bundles import DIGITS, PICTURE, library, model
from tests.unit.bundle import made

MCU = Path(__file__).parents[2] / "mcu"
ARM = "arm-none-eabi-gcc"
STRICT = "-O3 -Wall -Wextra -Werror"
CORES = sorted(MACHINES)
VWW = MODELS / "vww_96_int8.tflite"
TIMEOUT_S = 200
# What a zephyr/CMakeLists.txt calls, as Zephyr defines it but for its own flags.
ZEPHYR = """
cmake_minimum_required(VERSION 3.20)
project(zephyr_stand_in C ASM)
macro(zephyr_include_directories)
  include_directories(${ARGN})
endmacro()
macro(zephyr_library_named name)
  set(ZEPHYR_CURRENT_LIBRARY ${name})
  add_library(${name} STATIC "")
endmacro()
macro(zephyr_library_sources)
  target_sources(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endmacro()
macro(zephyr_library_compile_options)
  target_compile_options(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endmacro()
"""


@pytest.fixture(autouse=True)
def programs() -> None:
    require(ARM, QEMU, "cc", "make", "cmake")


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    """mcu/self_tests.py, which is not in the package."""
    sys.path.insert(0, str(MCU))
    import self_tests

    yield self_tests
    sys.path.remove(str(MCU))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models in one library."""
    require("cc")
    folder = tmp_path_factory.mktemp("library")
    parts = (
        model(folder, "digits", mcu_models.small(), labels=DIGITS, preprocess=PICTURE),
        model(folder, "other", convolutions()),
    )
    return library(made.recipe(*parts, name="nets", board=""), folder / "nets")


def call(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr


def by_make(folder: Path, flags: str) -> list[Path]:
    """Self tests and library, for the linker."""
    call("make", "-s", f"ARCH={flags}", "CORE=here", f"CFLAGS={STRICT}", "all", "golden", cwd=folder)
    return [folder / f"build/here/libedgekit_nets{suffix}.a" for suffix in ("_golden", "")]


def by_cmake(folder: Path, flags: str) -> list[Path]:
    """The same as a part of another project, which has the core's flags for C alone."""
    around = folder.parent / "around"
    around.mkdir()
    (around / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.13)\nproject(firmware C)\nadd_subdirectory({folder} nets)\n"
    )
    configure(around, f"-DCMAKE_C_FLAGS={flags} -mthumb -Werror")
    call("cmake", "--build", around / "out", "--target", "edgekit_nets", "edgekit_nets_golden")
    return [around / f"out/nets/libedgekit_nets{suffix}.a" for suffix in ("_golden", "")]


def configure(folder: Path, *flags: str) -> None:
    call("cmake", "-G", "Unix Makefiles", "-S", folder, "-B", folder / "out", "-DCMAKE_SYSTEM_NAME=Generic",
         f"-DCMAKE_C_COMPILER={ARM}", f"-DCMAKE_ASM_COMPILER={ARM}", "-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY",
         "-DCMAKE_C_COMPILER_WORKS=1", "-DCMAKE_ASM_COMPILER_WORKS=1", *flags)  # fmt: skip


def core_flags(tool: ModuleType, core: str) -> str:
    return " ".join(tool.find(profile_of(core)).core)


# CMake only passes on the flags of a core: one is enough.
@pytest.mark.parametrize(("build", "core"), [*((by_make, core) for core in CORES), (by_cmake, "cortex-m4")])
def test_golden_inputs_are_bit_equal_on_every_core(
    build: Callable[[Path, str], list[Path]], core: str, source: Path, tool: ModuleType, tmp_path: Path
) -> None:
    folder = shutil.copytree(source, tmp_path / "nets")
    libraries = build(folder, core_flags(tool, core))
    elf = tool.firmware(core, folder, ("digits", "other"), libraries)
    assert tool.run(core, elf) == {"digits": 0, "other": 0}


def test_a_disturbed_weight_and_a_disturbed_output_are_seen(source: Path, tool: ModuleType, tmp_path: Path) -> None:
    """2: the checksum differs; 3: an output does. The other model is not touched by it."""
    folder = shutil.copytree(source, tmp_path / "nets")
    flags = core_flags(tool, "cortex-m7")
    weights, expected = folder / "src/digits_model.c", folder / "test/digits_golden.c"
    code, test = weights.read_text(), expected.read_text()
    in_weights = re.sub(r"(s2_weights = \{\n +-?\d+, )(-?\d+)", r"\g<1>65536+\2", code, count=1)
    unchecked = in_weights.replace("? EK_OK : EK_DAMAGED", "? EK_OK : EK_OK")
    in_test = re.sub(r"(expected_score\[.*?\{\n +\{\n +)(-?\d+)", r"\g<1>1+\2", test, count=1, flags=re.DOTALL)
    assert len({code, in_weights, unchecked}) == 3 and test != in_test
    found = []
    for now, then in ((in_weights, test), (unchecked, test), (code, in_test)):
        weights.write_text(now)
        expected.write_text(then)
        for name in ("src/digits_model.c.o", "test/digits_golden.c.o"):
            (folder / "build/here" / name).unlink(missing_ok=True)  # make looks at times, which may be the same
        elf = tool.firmware("cortex-m7", folder, ("digits", "other"), by_make(folder, flags))
        found.append(tool.run("cortex-m7", elf))
    assert found == [{"digits": 2, "other": 0}, {"digits": 3, "other": 0}, {"digits": 3, "other": 0}]


def test_as_a_module_of_zephyr(source: Path, tool: ModuleType, tmp_path: Path) -> None:
    """Zephyr itself is not here: its CMake file runs with stand-ins for the functions that it calls."""
    folder = shutil.copytree(source, tmp_path / "nets")
    around = tmp_path / "zephyr"
    around.mkdir()
    (around / "CMakeLists.txt").write_text(
        f"{ZEPHYR}\nadd_subdirectory({folder}/zephyr off)\nset(CONFIG_EDGEKIT_NETS y)\n"
        f"add_subdirectory({folder}/zephyr on)\n"
    )
    flags = f"{core_flags(tool, 'cortex-m7')} -mthumb -ffunction-sections -fdata-sections -Wall -Werror"
    configure(around, f"-DCMAKE_C_FLAGS={flags}", f"-DCMAKE_ASM_FLAGS={flags}")
    call("cmake", "--build", around / "out")
    call("make", "-s", f"ARCH={core_flags(tool, 'cortex-m7')}", "CORE=here", "golden", cwd=folder)
    libraries = [folder / "build/here/libedgekit_nets_golden.a", around / "out/on/libedgekit_nets.a"]
    elf = tool.firmware("cortex-m7", folder, ("digits", "other"), libraries)
    assert tool.run("cortex-m7", elf) == {"digits": 0, "other": 0}


@pytest.mark.skipif(not VWW.is_file(), reason=f"{VWW.name} is not on this machine")
def test_visual_wake_words(tool: ModuleType, tmp_path: Path) -> None:
    part = model(tmp_path, "vww", VWW.read_bytes(), count=1)
    folder = library(made.recipe(part, name="nets", board=""), tmp_path / "nets")
    libraries = by_make(folder, core_flags(tool, "cortex-m7"))
    assert tool.run("cortex-m7", tool.firmware("cortex-m7", folder, ("vww",), libraries)) == {"vww": 0}
