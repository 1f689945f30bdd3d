"""The runner's parts that need no runtime, under ASan and UBSan, and beside their Python counterparts."""

from __future__ import annotations

import hashlib
import io
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit.harness.loop import timed_loop
from edgekit.harness.state import read_state
from edgekit.job import Envelope, JobResult
from edgekit.records import Plan

from .conftest import ROOT, RUNNER

GOLDEN = ROOT / "tests/golden"
PARTS = ("json", "read_job", "encode", "sha256", "files", "npy", "state", "memory", "loop", "modes", "litert_profile")
FLAGS = ("-std=c++17", "-O0", "-g1", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined",
         "-fno-sanitize-recover=all")  # fmt: skip


@pytest.fixture(scope="session")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """The test binary; answers what it prints."""
    program = tmp_path_factory.mktemp("unit") / "unit"
    sources = [str(Path(__file__).with_name("unit.cpp")), *(str(RUNNER / "src" / f"{part}.cpp") for part in PARTS)]
    command = ["g++", *FLAGS, f"-I{RUNNER / 'src'}", *sources, "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert built.returncode == 0, built.stderr[-5000:]

    def run(*arguments: str, code: int = 0) -> bytes:
        done = subprocess.run([str(program), *arguments], capture_output=True, timeout=120, check=False)
        assert done.returncode == code, (done.stdout + done.stderr).decode(errors="replace")
        assert b"runtime error" not in done.stderr
        return done.stdout

    return run


def result_of(answer: bytes) -> JobResult:
    envelope = msgspec.json.decode(answer, type=Envelope)
    assert envelope.result is not None
    return envelope.result


def test_the_parts_pass_their_own_checks(unit: Callable[..., bytes]) -> None:
    assert unit() == b"0 failures\n"


@pytest.mark.parametrize("name", ["job.json", "result.json"])
def test_golden_documents_are_read_and_written_byte_by_byte(unit: Callable[..., bytes], name: str) -> None:
    assert unit("reencode", str(GOLDEN / name)) == (GOLDEN / name).read_bytes()


def test_an_answer_is_encoded_to_the_golden_bytes(unit: Callable[..., bytes]) -> None:
    assert unit("golden-result", "-") == (GOLDEN / "result.json").read_bytes()


def test_the_golden_job_is_understood(unit: Callable[..., bytes]) -> None:
    found = result_of(unit("job", str(GOLDEN / "job.json")))
    assert found.note == "/data/local/tmp/edgekit/mobilenetv2_xnnpack_fp32.pte"


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 65, 119, 120, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_digests_are_hashlibs(unit: Callable[..., bytes], size: int, tmp_path: Path) -> None:
    content = np.random.default_rng(size).bytes(size)
    (tmp_path / "file").write_bytes(content)
    assert unit("sha256", str(tmp_path / "file")).decode() == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
                                   "float16", "float32", "float64"])  # fmt: skip
@pytest.mark.parametrize("shape", [(1,), (3, 1, 3, 8, 8), (100000, 2), (2, 1, 1, 1, 1, 1, 1, 1)])
def test_npy_files_are_numpys(unit: Callable[..., bytes], dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    whole = io.BytesIO()
    np.save(whole, values)
    (tmp_path / "x.npy").write_bytes(whole.getvalue())
    assert unit("npy", str(tmp_path / "x.npy")) == whole.getvalue()


@pytest.mark.parametrize("version", [(2, 0), (3, 0)])
def test_later_versions_of_the_format_are_read(
    unit: Callable[..., bytes], version: tuple[int, int], tmp_path: Path
) -> None:
    values = np.arange(12, dtype="float32").reshape(3, 4)
    with (tmp_path / "x.npy").open("wb") as stream:
        np.lib.format.write_array(stream, values, version=version)
    assert unit("npy", str(tmp_path / "x.npy")).endswith(values.tobytes())


def spoiled(kind: str) -> bytes:
    whole = io.BytesIO()
    np.save(whole, np.zeros((2, 3), "float32"))
    content = whole.getvalue()
    return {
        "empty": b"", "magic": b"PK" + content[2:], "no header": content[:9], "cut header": content[:60],
        "cut data": content[:-1], "version": content[:6] + b"\x09" + content[7:],
        "long header": content[:6] + b"\x02\x00\xff\xff\xff\x7f" + content[12:],
        "huge": content.replace(b"(2, 3), }", b"(2, 3000000000000, 3000000), }"),
        "scalar": content.replace(b"(2, 3)", b"()    "),
    }[kind]  # fmt: skip


@pytest.mark.parametrize("kind", ["empty", "magic", "no header", "cut header", "cut data", "version", "long header",
                                  "huge", "scalar"])  # fmt: skip
def test_spoiled_npy_files_are_refused(unit: Callable[..., bytes], kind: str, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(spoiled(kind))
    assert unit("npy", str(tmp_path / "x.npy"), code=3).startswith(b"usage: ")


def test_what_is_not_a_plain_array_is_refused(unit: Callable[..., bytes], tmp_path: Path) -> None:
    for name, values in (("object", np.array([{}], dtype=object)), ("record", np.zeros(2, "f4,i4")),
                         ("big", np.zeros(2, ">f4")), ("text", np.array(["a"])), ("complex", np.zeros(2, "c8")),
                         ("fortran", np.asfortranarray(np.zeros((2, 3), "f4")))):  # fmt: skip
        np.save(tmp_path / f"{name}.npy", values, allow_pickle=True)
        assert unit("npy", str(tmp_path / f"{name}.npy"), code=3).startswith(b"usage: The inputs can't be read"), name


PLANS: dict[str, tuple[Plan, int, list[int]]] = {
    "settles": (Plan(warmup_min_seconds=0.001, min_seconds=0.01), 5000, [*range(900_000, 500_000, -9_000), 500_000]),
    "never settles": (Plan(warmup_max_seconds=0.05, min_seconds=0.0), 5000, [10**6 + i * i * 9000 for i in range(999)]),
    "times out": (Plan(warmup_max_seconds=1.0, max_seconds=0.004, min_runs=100), 5000, [1_000_000]),
    "fills up": (Plan(warmup_min_seconds=0.0, min_seconds=10.0), 60, [1_000]),
    "few runs": (Plan(warmup_min_runs=0, warmup_min_seconds=0.0, min_runs=0, min_seconds=0.0), 60, [7, 8, 9]),
    "wanders": (Plan(warmup_min_runs=3, min_runs=200, min_seconds=0.3), 5000,
                [700_000 + (i * 7919) % 90_001 for i in range(400)]),
    "endless": (Plan(warmup_max_seconds=1e200, min_seconds=1e200, max_seconds=1e200, min_runs=2**62), 50, [5]),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANS)
def test_the_loop_decides_as_pythons(unit: Callable[..., bytes], name: str, tmp_path: Path) -> None:
    plan, most, durations = PLANS[name]
    numbers: list[Any] = [plan.warmup_min_runs, plan.warmup_min_seconds, plan.warmup_max_seconds, plan.min_runs,
                          plan.min_seconds, plan.max_seconds, most, *durations]  # fmt: skip
    (tmp_path / "loop").write_text(" ".join(map(repr, numbers)))
    found = result_of(unit("loop", str(tmp_path / "loop")))
    now, runs = [0], [0]

    def run() -> None:
        now[0] += durations[min(runs[0], len(durations) - 1)]
        runs[0] += 1

    wanted = timed_loop(run, plan, lambda: now[0], max_samples=most)
    assert (found.warmup_ns, found.warmup_stable) == (wanted.warmup_ns, wanted.warmup_stable)
    assert (found.samples_ns, found.timed_out, found.note) == (wanted.samples_ns, wanted.timed_out, wanted.note)


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


CPU, POWER, ZONE = "sys/devices/system/cpu", "sys/class/power_supply", "sys/class/thermal"
PHONE = {
    **{f"{CPU}/cpu{i}/cpufreq/scaling_cur_freq": f"{300000 + i}\n" for i in range(12)},
    **{f"{CPU}/cpu{i}/cpufreq/cpuinfo_max_freq": f"{2000000 + i}\n" for i in range(12)},
    **{f"{CPU}/cpu{i}/cpufreq/scaling_governor": "sched_pixel\n" if i < 9 else "schedutil\n" for i in range(12)},
    f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "3\n", f"{CPU}/cpu1/thermal_throttle/core_throttle_count": "4",
    f"{CPU}/cpufreq/policy0": "x", f"{CPU}/cpuidle/x": "x",
    f"{ZONE}/thermal_zone0/type": "soc\n", f"{ZONE}/thermal_zone0/temp": "34500\n",
    f"{ZONE}/thermal_zone2/type": "soc\n", f"{ZONE}/thermal_zone2/temp": "29001\n",
    f"{ZONE}/thermal_zone10/type": "skin\n", f"{ZONE}/thermal_zone10/temp": "-40000\n",
    f"{ZONE}/thermal_zone11/temp": "31000\n", f"{ZONE}/thermal_zone12/temp": "soon\n",
    f"{POWER}/battery/type": "Battery\n", f"{POWER}/battery/status": "Discharging\n",
    f"{POWER}/battery/capacity": "81\n", f"{POWER}/usb/type": "USB\n", f"{POWER}/usb/online": "1\n",
    "proc/loadavg": "0.42 0.30 0.20 1/900 1234\n",
    "proc/stat": "cpu0 1 2 3 4 5 6 7 8\ncpu  10 20 30 40 50 60 70 1234 0 0\n",
}  # fmt: skip
MACHINES: dict[str, dict[str, str]] = {
    "phone": PHONE,
    "nothing told": {"proc/x": ""},
    "one clock missing": {k: v for k, v in PHONE.items() if "cpu7/cpufreq/scaling_cur_freq" not in k},
    "nonsense": dict.fromkeys(PHONE, "\x00\xff nonsense 12x\n"),
    "old kernel": {"proc/stat": "cpu  10 20 30 40 50 60 70\n", "proc/loadavg": "\n", f"{POWER}/b/type": "Battery"},
}


@pytest.mark.parametrize("name", MACHINES)
def test_the_machines_state_is_read_as_python_reads_it(unit: Callable[..., bytes], name: str, tmp_path: Path) -> None:
    root = tree(tmp_path, MACHINES[name])
    assert result_of(unit("state", str(root))).state_before == read_state(root)
