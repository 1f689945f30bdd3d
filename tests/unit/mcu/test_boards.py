from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import msgspec.toml
import pytest

from edgekit.device import profiles, toml_folder
from edgekit.device.mcu import boards, ports
from edgekit.device.mcu.boards import Board, find, known, load, shipped
from edgekit.device.mcu.ports import SerialPort, candidates, choose
from edgekit.errors import DeviceError, UsageError

CHECKOUT = Path(boards.__file__).resolve().parents[3]
FILES = sorted((CHECKOUT / "device_profiles/boards").glob("*.toml"))

GOOD = """
name = "mine"
label = "My board"
kind = "board"
core = "cortex-m4"
kernels = "dsp"
clock_hz = 64_000_000
sram_bytes = 262_144
flash_bytes = 1_048_576
store_bytes = 917_504
store_is_flash = true
usb_ids = ["1234:abcd"]
run_by_us = false

[sources]
core = ["https://example.org/chip"]
clock_hz = ["https://example.org/chip"]
sram_bytes = ["https://example.org/chip"]
flash_bytes = ["https://example.org/chip"]
usb_ids = ["read from the board with lsusb"]
"""


@pytest.fixture(autouse=True)
def no_profiles_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_PROFILES", str(tmp_path / "none"))


def written(directory: Path, text: str, name: str = "mine") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


# -- what is shipped ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shipped_file_is_a_board_that_is_found_by_name_and_spec(path: Path) -> None:
    board = load(path)
    assert board in shipped()
    assert msgspec.convert(msgspec.to_builtins(board), Board) == board
    assert find(board.name) == find(board.spec) == find(board.name.replace("_", "-")) == board


def test_the_promised_boards_are_shipped_and_only_the_emulated_ones_are_said_to_have_been_run() -> None:
    assert {board.spec for board in shipped()} == {
        "virtual:cortex-m4", "virtual:cortex-m7", "virtual:cortex-m55", "stm32f746g_disco", "nucleo_h743zi",
        "nrf52840_dk", "rp2040",
    }  # fmt: skip
    assert all(board.run_by_us == board.emulated for board in shipped())
    readme = (CHECKOUT / "device_profiles/README.md").read_text(encoding="utf-8")
    for board in shipped():
        row = next(line for line in readme.splitlines() if f"| `{board.spec.replace('_', '-')}` |" in line)
        assert ("**no**" in row) != board.run_by_us, row


def test_no_board_has_the_name_of_a_phone() -> None:
    assert not {board.name for board in shipped()} & {profile.name for profile in profiles.shipped()}


def test_profiles_and_the_table_of_builds_agree() -> None:
    script = "import board_table as t; print(*(f'{b.name}:{int(b.dsp)}:{b.core[0]}' for b in t.ROWS))"
    said = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT / "mcu", capture_output=True, text=True,
                          check=True).stdout.split()  # fmt: skip
    expected = {f"{b.name}:{int(b.kernels == 'dsp')}:-mcpu={b.core.replace('+', 'plus')}" for b in shipped()}
    assert set(said) == expected


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slip", "meant"), [("stm32f746-disco", "stm32f746g_disco"), ("rp2400", "rp2040"),
                                             ("virtual:cortex-m33", "virtual:cortex-m4")])  # fmt: skip
def test_an_unknown_name_is_refused_with_the_nearest(slip: str, meant: str) -> None:
    with pytest.raises(DeviceError) as caught:
        find(slip)
    if meant.startswith("virtual"):
        assert meant in caught.value.next_step
    else:
        assert meant in caught.value.facts["near"]


def test_a_board_of_the_user_goes_before_a_shipped_one(tmp_path: Path) -> None:
    written(tmp_path / "boards", GOOD.replace('"mine"', '"rp2040"'), "rp2040")
    assert find("rp2040", known(tmp_path / "boards")).label == "My board"
    assert len(known(tmp_path / "boards")) == len(shipped())


@pytest.mark.parametrize(
    ("change", "to", "said"),
    [
        ('name = "mine"', 'name = "other"', "not the file's"),
        ("run_by_us = false", "", "run_by_us"),
        ('kind = "board"', 'kind = "phone"', "kind"),
        ('core = "cortex-m4"', 'core = "cortex-m0+"', "DSP"),
        ("store_bytes = 917_504", "store_bytes = 1_048_576", "leaves no flash"),
        ("sram_bytes = 262_144", "sram_bytes = 262_144\narena_bytes = 300_000", "larger than all SRAM"),
        ('usb_ids = ["1234:abcd"]', 'usb_ids = ["1234:ABCD"]', "usb_ids"),
        ('usb_ids = ["1234:abcd"]', 'usb_ids = ["1234:abcd", "1234:abcd"]', "listed twice"),
        ('clock_hz = ["https://example.org/chip"]\n', "", "[sources]"),
        ("[sources]", '[sources]\nuart = ["https://example.org/chip"]', "[sources]"),
        ("run_by_us = false", "run_by_us = false\nspeed = 3", "speed"),
    ],
)
def test_a_file_that_breaks_the_grammar_is_refused_with_the_reason(
    tmp_path: Path, change: str, to: str, said: str
) -> None:
    load(written(tmp_path, GOOD))
    assert change in GOOD
    with pytest.raises(UsageError) as caught:
        load(written(tmp_path, GOOD.replace(change, to)))
    assert said in caught.value.message


def test_a_file_that_is_too_large_or_no_toml_is_refused(tmp_path: Path) -> None:
    for text in (GOOD + "#" * toml_folder.MAX_BYTES, "name = ", "\0"):
        with pytest.raises(UsageError):
            load(written(tmp_path, text))


# -- ports -------------------------------------------------------------------------------------------------------------

STLINK = SerialPort("/dev/ttyACM0", "0483:374b", "066A", "STM32 STLink")
OTHER_STLINK = SerialPort("/dev/ttyACM1", "0483:374b", "0667", "STM32 STLink")
JLINK = SerialPort("/dev/ttyACM2", "1366:1015", "683", "J-Link")
BUILT_IN = SerialPort("/dev/ttyS0")


def test_the_port_of_a_board_is_found_by_its_usb_ids() -> None:
    listed = (BUILT_IN, STLINK, JLINK)
    assert choose(find("stm32f746g_disco"), listed) == STLINK
    assert choose(find("nrf52840-dk"), listed) == JLINK


def test_several_ports_that_fit_are_not_guessed_between() -> None:
    with pytest.raises(DeviceError) as caught:
        choose(find("nucleo_h743zi"), (STLINK, BUILT_IN, OTHER_STLINK))
    assert caught.value.facts["ports"] == ["/dev/ttyACM0", "/dev/ttyACM1"]
    assert "serial:/dev/ttyACM1" in caught.value.next_step


@pytest.mark.parametrize("spec", ["rp2040", "virtual:cortex-m7"])
def test_no_port_that_fits_is_an_error_even_if_ports_without_usb_are_there(spec: str) -> None:
    with pytest.raises(DeviceError, match="No serial port"):
        choose(find(spec), (BUILT_IN, STLINK))


def test_the_listing_names_every_board_that_a_port_may_be() -> None:
    found = candidates(shipped(), (BUILT_IN, STLINK))
    assert [(port.name, sorted(board.name for board in fit)) for port, fit in found] == [
        ("/dev/ttyACM0", ["nucleo_h743zi", "stm32f746g_disco"])
    ]


def test_what_a_device_says_of_itself_is_made_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    from serial.tools import list_ports
    from serial.tools.list_ports_common import ListPortInfo

    port = ListPortInfo("/dev/ttyACM7", skip_link_detection=True)
    port.vid, port.pid, port.serial_number, port.description = 0x483, 0x374B, "a\x1b[2Jb", "x" * 500
    monkeypatch.setattr(list_ports, "comports", lambda: [port])
    (seen,) = ports.attached()
    assert (seen.usb_id, seen.serial_number, len(seen.what)) == ("0483:374b", "a?[2Jb", ports.MAX_TEXT)
