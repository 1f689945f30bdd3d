"""The C, Kotlin and Swift of bundles turn pictures into the same bits as Pillow does."""

from __future__ import annotations

import ctypes
import json
import random
import re
import shutil
import struct
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from edgekit.bundle import preprocessing
from edgekit.bundle.preprocessing import Interpolation, Steps, steps_of
from edgekit.bundle.records import Quantisation, Tensor
from edgekit.bundle.template import ASSETS, asset
from edgekit.export.inputs import preprocess_image
from edgekit.harness.int8_tensors import quantise
from edgekit.records import Preprocess
from tests.adbd import require
from tests.swift import swift

HERE = Path(__file__).parent / "preprocessing"
CORES = ASSETS / "preprocess"
GOLDEN = Path(__file__).parents[1] / "golden/preprocess.json"
INTERPOLATIONS: tuple[Interpolation, ...] = ("nearest", "bilinear", "box", "bicubic")
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"]
RANDOM_CASES = 250


@dataclass(frozen=True)
class Case:
    steps: Steps
    rgb: npt.NDArray[np.uint8]
    sha256: str

    def packed(self, number: int) -> bytes:
        """The case as the programs read it: eleven uint32, the statistics, the int8 table if any, the pixels."""
        steps, (height, width, _) = self.steps, self.rgb.shape
        header = struct.pack(
            "<11I", steps.channels, steps.height, steps.width, steps.channels_last, steps.base_height,
            steps.base_width, INTERPOLATIONS.index(steps.interpolation), steps.quantisation is not None, width, height,
            number % 5,
        )  # fmt: skip
        table = preprocessing.normalised(steps).tobytes() if steps.quantisation else b""
        return header + np.array([*steps.mean, *steps.std], "<f4").tobytes() + table + self.rgb.tobytes()

    def taken(self, results: bytes, at: int) -> tuple[str, int]:
        """The digest of this case's part of the results, which begins at ``at``, and where that ends."""
        itemsize = 1 if self.steps.quantisation else 4
        end = at + self.steps.channels * self.steps.height * self.steps.width * itemsize
        return sha256(results[at:end]).hexdigest(), end


def golden_cases() -> list[Case]:
    cases = []
    for row in json.loads(GOLDEN.read_text())["cases"]:
        rgb = preprocessing.picture(**row["picture"])
        assert sha256(rgb.tobytes()).hexdigest() == row["picture_sha256"]
        cases.append(Case(msgspec.convert(row["steps"], Steps), rgb, row["sha256"]))
    return cases


def random_case(source: random.Random) -> Case:
    """Any steps and a picture of any shape within 100 000 pixels, with what Pillow makes of it."""
    channels, last = source.choice((1, 3)), source.random() < 0.5
    height, width = (source.choice((2, 4, 16, 31, source.randint(4, 70))) for _ in "hw")
    quantisation = Quantisation(scale=source.uniform(0.001, 0.05), zero_point=source.randint(-128, 127))
    quantised = source.random() < 0.3
    tensor = Tensor(
        name="x", identifier="x", shape=(1, height, width, channels) if last else (1, channels, height, width),
        dtype="int8" if quantised else "float32", quantisation=quantisation if quantised else None,
    )  # fmt: skip
    preprocess = Preprocess(
        height=1, width=1, interpolation=source.choice(INTERPOLATIONS),
        crop_fraction=source.choice((1.0, 0.875, 0.9, 1.3, 0.2, source.uniform(0.2, 1.0))),
        mean=tuple(source.uniform(0, 1) for _ in range(3)), std=tuple(source.uniform(0.1, 1) for _ in range(3)),
    )  # fmt: skip
    across = source.choice((1, 2, width, source.randint(1, 100), source.randint(1, 1000)))
    down = min(source.choice((1, 3, height, source.randint(1, 100), source.randint(1, 1000))), 100_000 // across)
    rgb = preprocessing.picture(across, down, source.getrandbits(32))
    if source.random() < 0.3:  # the hardest edges: bicubic weights leave 0..255 by most
        rgb = (rgb // 128 * 255).astype(np.uint8)
    made: npt.NDArray[Any] = preprocess_image(Image.fromarray(rgb), preprocess, tensor.shape)
    if quantised:
        made = quantise(made, quantisation.scale, quantisation.zero_point)
    return Case(steps_of(preprocess, tensor), rgb, sha256(made.tobytes()).hexdigest())


def extreme_cases() -> list[Case]:
    """Pictures as long as they may be, and steps of the same size; Pillow's method in numpy says what is expected."""
    shapes = [(1, 16384, 5, 7), (16384, 1, 5, 7), (3, 16384, 4, 16384), (16384, 2, 16384, 4), (1, 1, 4, 16384)]
    made = []
    for height, width, to_height, to_width in shapes:
        steps = Steps(
            channels=3, height=to_height, width=to_width, channels_last=True, base_height=min(to_height, 9),
            base_width=min(to_width, 9), interpolation="bicubic", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0),
        )  # fmt: skip
        rgb = preprocessing.picture(width, height, seed=height)
        made.append(Case(steps, rgb, sha256(preprocessing.apply(steps, rgb).tobytes()).hexdigest()))
    return made


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    source = random.Random(7)
    return [*golden_cases(), *extreme_cases(), *(random_case(source) for _ in range(RANDOM_CASES))]


@pytest.fixture(scope="module")
def float_cases(cases: list[Case]) -> list[Case]:
    return [case for case in cases if case.steps.quantisation is None]


def write(cases: Iterable[Case], path: Path) -> None:
    path.write_bytes(b"".join(case.packed(number) for number, case in enumerate(cases)))


def compare(cases: list[Case], results: bytes) -> None:
    at, wrong = 0, []
    for case in cases:
        digest, at = case.taken(results, at)
        if digest != case.sha256:
            wrong.append((case.steps, case.rgb.shape))
    assert wrong == []
    assert at == len(results)


def compiled(folder: Path, *flags: str) -> Path:
    program = folder / "run"
    sources = [HERE / "run.c", CORES / "ek_preprocess.c"]
    subprocess.run(["gcc", "-std=c11", "-I", CORES, *flags, *sources, "-o", program], check=True, timeout=100)
    return program


@pytest.mark.parametrize(
    "flags",
    [[*STRICT, "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"], [*STRICT, "-O3"]],
    ids=["sanitized", "optimised"],
)
def test_c(flags: list[str], cases: list[Case], tmp_path: Path) -> None:
    require("gcc")
    write(cases, tmp_path / "cases")
    command = [compiled(tmp_path, *flags), tmp_path / "cases", tmp_path / "results"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    compare(cases, (tmp_path / "results").read_bytes())


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4", "cortex-m7", "cortex-m55"])
def test_c_for_microcontrollers_needs_nothing_but_arithmetic(core: str, tmp_path: Path) -> None:
    require("arm-none-eabi-gcc", "arm-none-eabi-nm")
    flags = [f"-mcpu={core}", "-mthumb", "-O2", "-ffreestanding", "-Wconversion", "-Wno-sign-conversion", *STRICT]
    made = tmp_path / "ek_preprocess.o"
    command = ["arm-none-eabi-gcc", *flags, "-c", CORES / "ek_preprocess.c", "-o", made]
    subprocess.run(command, check=True, timeout=100)
    listed = subprocess.run(["arm-none-eabi-nm", "-u", made], capture_output=True, text=True, check=True, timeout=100)
    others = {line.split()[-1] for line in listed.stdout.splitlines()}
    assert {name for name in others if not name.startswith("__aeabi_")} <= {"memcpy", "memset"}


@pytest.mark.parametrize(
    ("machine", "flags"),
    [
        ("mps2-an386", ["-mcpu=cortex-m4", "-mfloat-abi=soft"]),  # every float and double is software
        ("mps2-an500", ["-mcpu=cortex-m7", "-mfloat-abi=hard", "-mfpu=fpv5-d16"]),  # both are the processor's
    ],
)
def test_c_on_boards(machine: str, flags: list[str], cases: list[Case], tmp_path: Path) -> None:
    require("arm-none-eabi-gcc", "qemu-system-arm")
    sources = [HERE / "run.c", HERE / "board.c", CORES / "ek_preprocess.c"]
    link = ["--specs=rdimon.specs", "-Wl,--no-warn-rwx-segments", "-T", HERE / "board.ld", "-I", CORES]
    compiler = ["arm-none-eabi-gcc", "-mthumb", "-O2", *STRICT]
    subprocess.run([*compiler, *flags, *link, *sources, "-o", tmp_path / "run.elf"], check=True, timeout=100)
    chosen = [case for case in cases if case.rgb.size < 30_000 and case.steps.height * case.steps.width < 4_000]
    assert len(chosen) > 100
    write(chosen, tmp_path / "cases")
    command = [
        "qemu-system-arm", "-M", machine, "-display", "none", "-monitor", "none", "-serial", "none",
        "-semihosting-config", "enable=on,target=native,arg=run,arg=cases,arg=results", "-kernel", "run.elf",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    compare(chosen, (tmp_path / "results").read_bytes())


def fused(source: Path, folder: Path) -> list[str]:
    """The fused multiply-adds that the compiler makes of it if nobody forbids them."""
    made = folder / "fused.o"
    command = ["aarch64-linux-gnu-gcc", "-O3", "-ffp-contract=fast", "-I", CORES, "-c", source, "-o", made]
    subprocess.run(command, check=True, timeout=100)
    command = ["aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", made]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout
    return re.findall(r"\b(?:fn?madd|fn?msub|fml[as])\b", listed)


def test_c_is_never_fused(tmp_path: Path) -> None:
    """Were the flag forgotten, the file itself still keeps products and sums apart."""
    require("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-objdump")
    without = tmp_path / "without.c"
    text = (CORES / "ek_preprocess.c").read_text()
    without.write_text(text.replace('#pragma GCC optimize("fp-contract=off")', ""))
    assert fused(without, tmp_path)
    assert fused(CORES / "ek_preprocess.c", tmp_path) == []


def test_c_refuses_to_be_compiled_with_fast_math(tmp_path: Path) -> None:
    require("gcc")
    command = ["gcc", "-ffast-math", "-c", CORES / "ek_preprocess.c", "-o", tmp_path / "x.o"]
    assert "changes results" in subprocess.run(command, capture_output=True, text=True, timeout=100).stderr


class CSteps(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("channels", "height", "width")),
        ("channels_last", ctypes.c_bool),
        *((name, ctypes.c_uint32) for name in ("base_height", "base_width", "interpolation")),
        *((name, ctypes.c_void_p) for name in ("mean", "std", "table")),
    ]


NULL, BAD_STEPS, BAD_SIZE, BAD_STRIDE, TOO_SMALL = range(1, 6)


def test_c_refuses_bad_arguments_by_status(tmp_path: Path) -> None:
    require("gcc")
    made = tmp_path / "core.so"
    command = ["gcc", *STRICT, "-shared", "-fPIC", CORES / "ek_preprocess.c", "-o", made]
    subprocess.run(command, check=True, timeout=100)
    library = ctypes.CDLL(str(made))
    size = library.ek_preprocess_scratch_bytes
    size.restype = ctypes.c_size_t
    one, rgb, out = (ctypes.c_float * 1)(1.0), (ctypes.c_uint8 * 300)(), (ctypes.c_float * 16)()
    scratch, address = (ctypes.c_uint8 * 4096)(), ctypes.addressof(one)
    good = {"channels": 1, "height": 4, "width": 4, "base_height": 4, "base_width": 4, "mean": address, "std": address}

    def call(across: int = 10, down: int = 10, stride: int = 30, given: int = 4096, **changes: Any) -> int:
        pointers = {"rgb": rgb, "scratch": scratch, "out": out}
        pointers |= {name: changes.pop(name) for name in pointers if name in changes}
        steps = ctypes.byref(CSteps(**(good | changes)))
        status: int = library.ek_preprocess(
            steps, pointers["rgb"], across, down, ctypes.c_size_t(stride), pointers["scratch"], ctypes.c_size_t(given),
            pointers["out"],
        )  # fmt: skip
        assert (size(steps, across, down) == 0) == (status in (BAD_STEPS, BAD_SIZE))
        return status

    assert call() == 0
    assert [call(rgb=None), call(scratch=None), call(out=None), call(mean=None), call(std=None)] == [NULL] * 5
    assert library.ek_preprocess(None, rgb, 10, 10, ctypes.c_size_t(30), scratch, ctypes.c_size_t(4096), out) == NULL
    assert size(None, 10, 10) == 0
    for name in ("channels", "height", "width", "base_height", "base_width", "interpolation"):
        assert [call(**{name: value}) for value in (99_999, 2**32 - 1)] == [BAD_STEPS] * 2, name
    assert [call(**{name: 0}) for name in ("channels", "height", "base_width")] == [BAD_STEPS] * 3
    sizes = [(0, 10), (10, 0), (16385, 1), (1, 16385), (2**32 - 1, 2**32 - 1)]
    assert [call(*size_of_picture) for size_of_picture in sizes] == [BAD_SIZE] * 5
    assert [call(stride=29), call(stride=2**64 - 1), call(stride=2**61)] == [BAD_STRIDE] * 3
    needed = size(ctypes.byref(CSteps(**good)), 10, 10)
    assert [call(given=needed - 1), call(given=0), call(given=needed)] == [TOO_SMALL, TOO_SMALL, 0]


def test_kotlin(float_cases: list[Case], tmp_path: Path) -> None:
    require("kotlinc", "java")
    core, classes = tmp_path / "Preprocessing.kt", tmp_path / "classes"
    runtime = Path(str(shutil.which("kotlinc"))).resolve().parents[1] / "lib/kotlin-stdlib.jar"
    core.write_bytes(asset("preprocess/Preprocessing.kt", PACKAGE="edgekit.preprocessing"))
    command = ["kotlinc", "-Werror", "-no-reflect", core, HERE / "Run.kt", "-d", classes]
    made = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert made.returncode == 0, made.stderr
    write(float_cases, tmp_path / "cases")
    command = ["java", "-cp", f"{classes}:{runtime}", "RunKt", tmp_path / "cases", tmp_path / "results"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    compare(float_cases, (tmp_path / "results").read_bytes())


def test_swift(float_cases: list[Case], tmp_path: Path) -> None:
    toolchain = swift()
    for source in (CORES / "Preprocessing.swift", HERE / "main.swift"):
        shutil.copy(source, tmp_path)
    write(float_cases, tmp_path / "cases")
    sources = ["/package/Preprocessing.swift", "/package/main.swift"]
    build = ["swiftc", "-swift-version", "6", "-warnings-as-errors", "-O", *sources, "-o", "/package/run"]
    for command in (build, ["/package/run", "/package/cases", "/package/results"]):
        done = toolchain.run(tmp_path, *command)
        assert done.returncode == 0, done.stdout
    compare(float_cases, (tmp_path / "results").read_bytes())
