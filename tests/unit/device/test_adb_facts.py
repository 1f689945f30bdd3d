"""What phones say of themselves, in the forms in which Android versions say it, and in hostile ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.device.adb import facts
from edgekit.records import DeviceState

# The form of Android 10 and later (ThermalManagerService.dump); the cached value is older than the HAL's.
THERMAL = """IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 2
Thermal Status: 2
Cached temperatures:
\tTemperature{mValue=99.0, mType=3, mName=VIRTUAL-SKIN, mStatus=0}
HAL Ready: true
HAL connection:
\tThermalHAL AIDL 1  connected: yes
Current temperatures from HAL:
\tTemperature{mValue=31.5, mType=0, mName=BIG, mStatus=0}
\tTemperature{mValue=29.25, mType=3, mName=VIRTUAL-SKIN, mStatus=2}
\tTemperature{mValue=-99.9, mType=5, mName=TYPE_POWER_AMPLIFIER, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}
Temperature static thresholds from HAL:
\tTemperatureThreshold{mType=3, mName=VIRTUAL-SKIN, mHotThrottlingThresholds=[NaN, 39.0], }
"""
BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Max charging current: 500000
  status: 2
  level: 85
  scale: 100
  temperature: 290
"""


def test_thermal_service() -> None:
    status, temperatures = facts.parse_thermal(THERMAL)
    assert status == 2
    assert temperatures == {"cpu BIG": 31.5, "skin VIRTUAL-SKIN": 29.25}


def test_thermal_service_without_hal() -> None:
    text = "Thermal Status: 0\nCached temperatures:\nHAL Ready: false\n"
    assert facts.parse_thermal(text) == (0, {})
    assert facts.parse_thermal("Can't find service: thermalservice\n") == (None, {})


def test_battery() -> None:
    assert facts.parse_battery(BATTERY) == (True, 85.0)
    assert facts.parse_battery(BATTERY.replace("USB powered: true", "USB powered: false")) == (False, 85.0)
    assert facts.parse_battery("") == (None, None)


@pytest.mark.parametrize(
    ("text", "on"),
    [
        ("  mWakefulness=Awake\nDisplay Power: state=ON\n", True),
        ("  mWakefulness=Asleep\nDisplay Power: state=OFF\n", False),
        ("  mWakefulness=Dozing\n", False),
        ("", None),
    ],
)
def test_screen(text: str, on: bool | None) -> None:
    assert facts.parse_screen(text) is on


def test_zones_in_millidegrees_and_in_degrees() -> None:
    text = "31500 cpu-0-0\n42 battery\n-40000 off\n0 dead\n\n999999999 hot\nrubbish\n"
    assert facts.parse_zones(text) == {"cpu-0-0": 31.5, "battery": 42.0}


def test_clocks() -> None:
    text = "300000 1800000 sched_pixel\n500000 2850000 sched_pixel\n"
    assert facts.parse_clocks(text) == ((300000, 500000), (1800000, 2850000), "sched_pixel")
    # A core that is silent makes the whole row unknown: frequencies go by core.
    assert facts.parse_clocks("300000 1800000 x\n 2850000 x\n")[0] is None
    assert facts.parse_clocks("") == (None, None, None)


def test_properties() -> None:
    text = "[ro.product.model]: [Pixel 7]\n[a b]: [no]\n[ro.multi]: [one\ntwo]\n[ro.empty]: []\nrubbish\n"
    assert facts.parse_properties(text) == {"ro.product.model": "Pixel 7", "ro.empty": ""}


def test_identity() -> None:
    parts = {
        "props": "[ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a]\n[ro.boot.qemu]: [1]\n",
        "machine": "aarch64\n", "memory": "MemTotal:  7654321 kB\n", "cores": "0 1800000\n4 2850000\n5 \nx 1\n",
    }  # fmt: skip
    found = facts.parse_identity(parts)
    assert (found.abi, found.emulated, found.ram_bytes) == ("arm64-v8a", True, 7654321 * 1024)
    assert (found.cores, found.max_khz) == (3, {0: 1800000, 4: 2850000})


def test_identity_of_a_linux_board_without_properties() -> None:
    found = facts.parse_identity({"machine": "aarch64\n"})
    assert (found.abi, found.emulated, found.text("ro.product.model")) == ("arm64-v8a", False, None)


def test_escape_sequences_of_a_name_are_not_shown() -> None:
    found = facts.parse_identity({"props": "[ro.product.model]: [\x1b]0;owned\x07Pixel]\n"})
    assert found.text("ro.product.model") == "?]0;owned?Pixel"


def test_sections_need_their_end() -> None:
    text = "m props\n[a]: [b]\nm memory\nMemTotal: 1 kB\nm end\n"
    assert facts.sections(text, "m") == {"props": "[a]: [b]", "memory": "MemTotal: 1 kB", "end": ""}
    assert facts.sections(text.replace("m end\n", ""), "m") == {}


def test_a_device_can_not_begin_a_section() -> None:
    text = "r4nd props\n[x]: [y]\nm thermal\nThermal Status: 0\nr4nd end\n"
    assert set(facts.sections(text, "r4nd")) == {"props", "end"}


def test_state_names_what_is_missing() -> None:
    state = facts.parse_state({"thermal": THERMAL, "battery": BATTERY, "load": "0.50 0.4 0.3 1/200 99\n"})
    assert (state.thermal_status, state.charging, state.battery_percent, state.load_1min) == (2, True, 85.0, 0.5)
    assert state.missing == ("frequencies_khz", "governor", "max_frequencies_khz", "screen_on", "steal_ms",
                             "throttle_count")  # fmt: skip


def test_merged_keeps_what_the_harness_saw_itself() -> None:
    seen = DeviceState(load_1min=1.5, governor="schedutil", missing=("charging", "cold page cache"))
    merged = facts.merged(seen, DeviceState(load_1min=9.0, charging=True, thermal_status=0))
    assert (merged.load_1min, merged.governor, merged.charging, merged.thermal_status) == (1.5, "schedutil", True, 0)
    assert "charging" not in merged.missing
    assert "cold page cache" in merged.missing


@given(st.dictionaries(st.sampled_from(["thermal", "battery", "screen", "zones", "clocks", "load"]), st.text()))
def test_no_text_breaks_the_state(parts: dict[str, str]) -> None:
    facts.parse_state(parts)


@given(st.dictionaries(st.sampled_from(["props", "machine", "memory", "cores"]), st.text()))
def test_no_text_breaks_the_identity(parts: dict[str, str]) -> None:
    found = facts.parse_identity(parts)
    assert found.abi is None or found.abi.isprintable()
