"""Opening models, sound and damaged, and the C tests under sanitizers."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit.convert.mcu.kernels import KERNELS
from edgekit.errors import DeviceError, ModelError, RuntimeCrashError, UsageError
from edgekit.harness import mcu_library
from edgekit.harness.mcu_model import HostModel
from edgekit.paths import mcu_dir

from .all_operators import ARENA as ALL_ARENA
from .all_operators import model
from .compiler import needs_compiler
from .convolutions import PLAIN, Case, Layer
from .packing import ALIGN, CRC_AT, HEADER_BYTES, sealed

pytestmark = needs_compiler

BUILD = Path(__file__).parents[3] / "mcu/build.py"
NOT_A_MODEL, OTHER_VERSION, DAMAGED, BAD_OPERATOR, NO_OPERATOR = 1, 2, 3, 4, 5
# Where the header's numbers are.
ARENA, OPERATORS, OPERATORS_AT, INPUTS, TENSORS_AT, DATA_AT, DATA_BYTES, NAMES_AT, NAMES_BYTES = (
    48, 52, 56, 60, 68, 72, 76, 80, 84,
)  # fmt: skip


@pytest.fixture(scope="module")
def c_tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C tests, built with sanitizers."""
    out = tmp_path_factory.mktemp("mcu")
    command = [sys.executable, str(BUILD), "--target", "host", "--sanitize", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def run_c(program: Path, *arguments: str) -> Any:
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def number(file: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", file, at)[0])


def with_number(file: bytes, at: int, value: int) -> bytes:
    """The file with one number changed and a checksum that fits."""
    made = bytearray(file)
    struct.pack_into("<I", made, at, value & 0xFFFFFFFF)
    return sealed(made)


def refused(file: bytes) -> tuple[int, int | None]:
    """Status and operator of the refusal."""
    with pytest.raises(ModelError) as caught:
        HostModel(file)
    assert caught.value.next_step
    return caught.value.facts["status"], caught.value.facts["operator"]


def test_describes_what_it_takes_and_gives() -> None:
    opened = HostModel(model())
    assert (opened.name, opened.arena_bytes) == ("test", ALL_ARENA)
    assert set(opened.operators) == set(KERNELS)
    assert opened.inputs[0].shape == opened.outputs[0].shape == (1, 4, 4, 8)
    assert (opened.inputs[0].scale, opened.inputs[0].zero_point, opened.inputs[0].float_outside) == (0.5, 3, False)


def test_answers_the_same_twice_and_operator_by_operator() -> None:
    layer = Layer(Case(5, 6, 3, 4, 3, 3, seed=5))
    opened = HostModel(layer.ekm(PLAIN))
    (first,) = opened.run([layer.inputs])
    (second,) = opened.run([layer.inputs])
    np.testing.assert_array_equal(first, second)
    ((index, name, arena),) = opened.steps([layer.inputs])
    place = opened.outputs[0]
    assert (index, name) == (0, "conv")
    np.testing.assert_array_equal(arena[place.offset : place.offset + place.bytes], first.reshape(-1))
    assert not arena.flags.writeable


def test_a_file_that_is_no_model_is_refused() -> None:
    file = model()
    assert refused(b"")[0] == refused(file[:50])[0] == DAMAGED
    assert refused(b"TFL3" + file[4:])[0] == NOT_A_MODEL
    assert refused(with_number(file, 4, 2))[0] == OTHER_VERSION
    assert refused(with_number(file, 4, 0x00020001))[0] == OTHER_VERSION  # a flag that this runtime does not know


def test_every_changed_byte_is_noticed() -> None:
    file = model()
    for at in np.random.default_rng(1).integers(CRC_AT, len(file), 200):
        changed = bytearray(file)
        changed[at] ^= 0x10
        with pytest.raises(ModelError):
            HostModel(bytes(changed))


@pytest.mark.parametrize("cut", [1, 100, 3000])
def test_a_cut_file_is_refused(cut: int) -> None:
    assert refused(model()[:-cut])[0] == DAMAGED


def _tensor(word: int) -> Callable[[bytes], int]:
    return lambda file: number(file, TENSORS_AT) + 4 * word


@pytest.mark.parametrize(
    ("at", "value", "status"),
    [
        (lambda _: 8, 0xFFFFFFF0, DAMAGED),
        (lambda _: OPERATORS, 0x40000000, DAMAGED),
        (lambda _: OPERATORS_AT, 98, DAMAGED),
        (lambda _: INPUTS, 0xFFFFFFFF, DAMAGED),
        (lambda _: TENSORS_AT, 0xFFFFFFF0, DAMAGED),
        (lambda _: DATA_AT, 8, DAMAGED),
        (lambda _: DATA_BYTES, 0xFFFFFFFF, DAMAGED),
        (lambda _: NAMES_BYTES, 3, DAMAGED),
        (lambda _: NAMES_BYTES, 0, DAMAGED),
        (lambda _: NAMES_AT, 0x7FFFFFFF, DAMAGED),
        (lambda _: ARENA, 0xFFFFFFFF, DAMAGED),
        (_tensor(0), ALL_ARENA - 127, DAMAGED),  # leaves the arena
        (_tensor(1), 127, DAMAGED),  # dims say 128
        (_tensor(2), 0x7FC00000, DAMAGED),  # a scale that is no number
        (_tensor(2), 0, DAMAGED),
        (_tensor(3), 128, DAMAGED),
        (_tensor(5), 7, DAMAGED),
        (_tensor(7), 0, DAMAGED),
    ],
)
def test_numbers_that_leave_the_file_or_the_arena_are_refused(at: Any, value: int, status: int) -> None:
    file = model()
    assert refused(with_number(file, at(file), value)) == (status, None)


def test_the_refused_operator_is_named() -> None:
    file = model()
    records = [number(file, HEADER_BYTES + 4 * i) for i in range(number(file, OPERATORS))]
    assert refused(with_number(file, records[2] + 4, -1)) == (BAD_OPERATOR, 2)
    assert refused(with_number(file, records[3], number(file, records[3]) + 90)) == (NO_OPERATOR, 3)
    assert refused(with_number(file, records[1], number(file, records[1]) + (4 << 16))) == (BAD_OPERATOR, 1)
    assert refused(with_number(file, HEADER_BYTES + 4, 0x7FFFFFFC)) == (DAMAGED, 1)


def test_a_multiplier_or_shift_in_the_data_is_checked() -> None:
    file = Layer(Case(4, 4, 2, 2, 3, 3, seed=6)).ekm(PLAIN)
    record = number(file, HEADER_BYTES)
    for name, value in (("shift", 31), ("shift", -32), ("multiplier", -1)):
        field = number(file, record + 4 + 4 * KERNELS["conv"].fields.index(name))
        assert refused(with_number(file, number(file, DATA_AT) + field + 4, value)) == (BAD_OPERATOR, 0)


def test_inputs_that_do_not_fit_are_refused() -> None:
    opened = HostModel(model())
    for inputs in ([], [np.zeros((1, 4, 4, 7), np.int8)], [np.zeros((1, 4, 4, 8), np.uint8)]):
        with pytest.raises(UsageError):
            opened.run(inputs)


def test_a_write_outside_the_arena_is_noticed() -> None:
    opened = HostModel(model())
    opened._memory[-1] ^= 1  # as a kernel that writes too far would
    with pytest.raises(RuntimeCrashError, match="outside the arena"):
        opened.run([np.zeros((1, 4, 4, 8), np.int8)])


def test_without_a_compiler_the_error_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="no C compiler") as caught:
        mcu_library.host_library()
    assert "gcc" in caught.value.next_step


def test_sources_that_do_not_compile_are_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    false = tmp_path / "cc"
    false.write_text('#!/bin/sh\necho "cc: out of ideas" >&2\nexit 1\n')
    false.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="out of ideas"):
        mcu_library.host_library()
    assert not list((mcu_library.cache_dir() / "mcu").glob(".build-*"))


def test_two_may_build_at_the_same_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: mcu_library.host_library(), range(2))
    assert first == second and first.is_file()
    assert [path.name for path in (tmp_path / "mcu").iterdir()] == [first.parent.name]


def test_the_wheel_carries_what_the_library_is_built_from() -> None:
    root = BUILD.parents[1]
    project = msgspec.toml.decode((root / "pyproject.toml").read_bytes())
    carried = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for name in (*mcu_library.SOURCES, "build.py"):
        assert carried[f"mcu/{name}"] == f"edgekit/_mcu/{name}"
        assert (mcu_dir() / name).exists()


def test_damaged_models_never_leave_their_memory(c_tests: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.ekm"
    path.write_bytes(model())
    found = run_c(c_tests, "fuzz", str(path), "1", "20000")
    # Worth something: many were opened and run, and many were refused by the operators' checks and by the tables'.
    assert found["opened"] > 2000
    assert found["refused"][BAD_OPERATOR] > 2000 and found["refused"][DAMAGED] > 2000


def test_edge_geometry_stays_in_memory_and_is_right(c_tests: Path) -> None:
    found = run_c(c_tests, "geometry", "1", "4000")
    assert found["variants"] > 6000


def test_what_only_looks_harmless_is_refused(c_tests: Path) -> None:
    assert run_c(c_tests, "edges")["passed"] == 1 + 17  # of the softmaxes: in place, and all that lie behind


def test_model_is_aligned_and_sized_as_the_format_says() -> None:
    file = model()
    assert number(file, DATA_AT) % ALIGN == 0
    assert number(file, 8) == len(file)
