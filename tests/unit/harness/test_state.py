from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.harness import state

STAT = """cpu  21648 0 2221 163703 524 0 56 8 0 0
cpu0 1020 0 455 92432 66 0 35 3 0 0
ctxt 12345
"""
MEMINFO = "MemTotal:       24684096 kB\nMemFree:        18000000 kB\n"
X86 = "processor\t: 0\nmodel name\t: Intel(R)  Xeon(R) Processor\nflags\t: fpu\n"
ARM = "processor\t: 0\nBogoMIPS\t: 38.40\nCPU implementer\t: 0x41\n\nHardware\t: Google Tensor G2\n"


def test_parsers_of_proc() -> None:
    assert state.parse_steal_ms(STAT, 100) == 80.0
    assert state.parse_steal_ms("cpu  1 2 3 4 5 6 7\n", 100) is None
    assert state.parse_load("0.28 0.16 0.14 4/93 3883\n") == 0.28
    assert state.parse_cpu_model(X86) == "Intel(R) Xeon(R) Processor"
    assert state.parse_cpu_model(ARM) == "Google Tensor G2"
    assert state.parse_memory_bytes(MEMINFO, "MemTotal") == 24684096 * 1024
    assert state.parse_os_release('NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n') == (
        "Debian GNU/Linux 12 (bookworm)"
    )


@pytest.mark.parametrize("text", [None, "", "garbage", "cpu", "cpu a b c d e f g h\n"])
def test_text_that_is_not_there_or_not_understood_tells_nothing(text: str | None) -> None:
    assert state.parse_steal_ms(text, 100) is None
    assert state.parse_load(text) is None
    assert state.parse_int(text) is None
    assert state.parse_cpu_model(text) is None
    assert state.parse_memory_bytes(text, "MemTotal") is None
    assert state.parse_os_release(text) is None


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_a_machine_that_tells_everything(tmp_path: Path) -> None:
    cpu, zone, supply = "sys/devices/system/cpu", "sys/class/thermal", "sys/class/power_supply"
    write(tmp_path, {
        "proc/stat": STAT, "proc/loadavg": "1.50 0 0 1/1 1\n", f"{cpu}/online": "0-2\n",
        **{f"{cpu}/cpu{i}/cpufreq/scaling_cur_freq": f"{i}00\n" for i in (2, 10, 0)},
        **{f"{cpu}/cpu{i}/cpufreq/cpuinfo_max_freq": f"{i}000\n" for i in (2, 10, 0)},
        **{f"{cpu}/cpu{i}/cpufreq/scaling_governor": "schedutil\n" for i in (2, 10, 0)},
        f"{cpu}/cpu0/thermal_throttle/core_throttle_count": "3\n",
        f"{cpu}/cpu2/thermal_throttle/package_throttle_count": "4\n",
        f"{zone}/thermal_zone0/type": "x86_pkg_temp\n", f"{zone}/thermal_zone0/temp": "41500\n",
        f"{zone}/thermal_zone1/type": "x86_pkg_temp\n", f"{zone}/thermal_zone1/temp": "39000\n",
        f"{zone}/thermal_zone2/type": "broken\n", f"{zone}/thermal_zone2/temp": "-274000\n",
        f"{supply}/BAT0/type": "Battery\n", f"{supply}/BAT0/status": "Discharging\n", f"{supply}/BAT0/capacity": "80\n",
    })  # fmt: skip
    found = state.read_state(tmp_path)
    assert found.frequencies_khz == (0, 200, 1000), "cores in the order of their numbers"
    assert found.max_frequencies_khz == (0, 2000, 10000)
    assert found.governor == "schedutil"
    assert found.temperatures_c == {"x86_pkg_temp": 41.5, "x86_pkg_temp (thermal_zone1)": 39.0}
    assert (found.throttle_count, found.load_1min, found.steal_ms) == (7, 1.5, 80.0)
    assert (found.charging, found.battery_percent) == (False, 80.0)
    assert found.missing == ("screen_on", "thermal_status")
    assert state.max_frequencies_khz(tmp_path) == {0: 0, 2: 2000, 10: 10000}


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    found = state.read_state(tmp_path)
    assert set(found.missing) == set(found.__struct_fields__) - {"missing"}
    assert found.temperatures_c is None and found.throttle_count is None


def test_a_core_that_does_not_tell_makes_the_list_unknown(tmp_path: Path) -> None:
    cpu = "sys/devices/system/cpu"
    write(tmp_path, {f"{cpu}/cpu0/cpufreq/scaling_cur_freq": "100\n", f"{cpu}/cpu1/topology/core_id": "1\n"})
    assert state.read_state(tmp_path).frequencies_khz is None
