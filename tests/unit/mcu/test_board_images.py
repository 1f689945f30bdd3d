from __future__ import annotations

import hashlib
import importlib.util
import json
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from edgekit.device.mcu import virtual
from edgekit.device.mcu.boards import find
from edgekit.device.mcu.flash import flash
from edgekit.device.mcu.images import Image, find_image
from edgekit.device.mcu.virtual import VirtualBoard
from edgekit.errors import DeviceError, EdgekitError, MissingExtraError, UsageError
from edgekit.version import __version__

MCU = Path(virtual.__file__).resolve().parents[3] / "mcu"
SIZES = ("image_bytes", "text_bytes", "data_bytes", "bss_bytes", "static_bytes", "stack_bytes", "arena_bytes",
         "sram_bytes", "flash_bytes", "store_address", "store_bytes")  # fmt: skip


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Any:
    """mcu/board_images.py, which is not in the package."""
    monkeypatch.syspath_prepend(str(MCU))
    spec = importlib.util.spec_from_file_location("board_images", MCU / "board_images.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made(directory: Path, name: str = "stm32f746g_disco", **changes: Any) -> Path:
    """An image's directory with a manifest that is right except for ``changes``."""
    home = directory / name
    home.mkdir(parents=True, exist_ok=True)
    (home / "agent.hex").write_bytes(b":00000001FF\n")
    facts = {"schema": 1, "board": name, "version": __version__, "sources_sha256": "0" * 64, "compiler": "gcc 12",
             **dict.fromkeys(SIZES, 1000)}  # fmt: skip
    facts["files"] = {"agent.hex": {"bytes": 12, "sha256": hashlib.sha256(b":00000001FF\n").hexdigest()}}
    (home / "manifest.json").write_text(json.dumps({**facts, **changes}))
    return directory


# -- the RP2040's formats ----------------------------------------------------------------------------------------------


def test_the_second_stage_ends_with_the_boot_roms_checksum(builder: Any) -> None:
    assert builder.crc32_mpeg2(b"123456789") == 0x0376E6E7, "the published check value of CRC-32/MPEG-2"
    sealed = builder.boot2_sealed(b"\x01\x02")
    assert len(sealed) == 256 and sealed[:252] == b"\x01\x02" + bytes(250)
    assert struct.unpack("<I", sealed[252:]) == (builder.crc32_mpeg2(sealed[:252]),)
    assert builder.boot2_sealed(sealed[:252] + bytes(4)) == sealed
    for bad in (bytes(257), bytes(252) + b"\1\0\0\0"):
        with pytest.raises(builder.BuildError):
            builder.boot2_sealed(bad)


def test_a_uf2_file_has_whole_numbered_blocks_at_rising_addresses(builder: Any) -> None:
    image = bytes(range(256)) + b"end"
    blocks = builder.uf2(image)
    assert len(blocks) == 2 * 512
    for number in range(2):
        block = blocks[number * 512 : number * 512 + 512]
        head = struct.unpack("<8I", block[:32])
        assert head == (0x0A324655, 0x9E5D5157, 0x2000, 0x10000000 + 256 * number, 256, number, 2, 0xE48BFF56)
        assert block[32 : 32 + 256] == image[256 * number : 256 * number + 256].ljust(256, b"\0")
        assert block[508:] == struct.pack("<I", 0x0AB16F30)


# -- finding an image --------------------------------------------------------------------------------------------------


def test_an_image_is_found_with_its_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_MCU_AGENTS", str(made(tmp_path)))
    image = find_image("stm32f746g_disco")
    assert image.file("hex") == tmp_path / "stm32f746g_disco/agent.hex"
    with pytest.raises(DeviceError, match=r"no agent\.elf"):
        image.file("elf")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": "0.0.1"}, "0.0.1"),
        ({"board": "rp2040"}, "manifest is of rp2040"),
        ({"schema": 2}, "schema"),
        ({"arena_bytes": -1}, "arena_bytes"),
        ({"files": {"../agent.elf": {"bytes": 1, "sha256": "0" * 64}}}, "files"),
        ({"surplus": 1}, "surplus"),
    ],
)
def test_an_image_that_is_not_this_versions_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DeviceError) as caught:
        find_image("stm32f746g_disco", made(tmp_path, **changes))
    assert said in caught.value.message and "make agents" in caught.value.next_step


def test_an_image_that_was_changed_afterwards_is_refused(tmp_path: Path) -> None:
    image = find_image("stm32f746g_disco", made(tmp_path))
    (tmp_path / "stm32f746g_disco/agent.hex").write_bytes(b":00000001FE\n")
    with pytest.raises(DeviceError, match="not the file that was built"):
        image.file("hex")


# -- starting and flashing ---------------------------------------------------------------------------------------------


def test_a_virtual_board_that_can_not_start_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DeviceError, match="no virtual board 'cortex-m3'"):
        VirtualBoard("cortex-m3")
    monkeypatch.setenv("EDGEKIT_MCU_AGENTS", str(tmp_path))
    with pytest.raises(DeviceError) as caught:
        VirtualBoard("cortex-m7")
    assert "make agents" in caught.value.next_step
    image = find_image("virtual_cortex_m7", made(tmp_path, "virtual_cortex_m7"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="is not installed") as caught:
        VirtualBoard("cortex-m7", image)
    assert caught.value.facts["missing"] == ["qemu-system-arm"]


def refused(kind: type[EdgekitError], board: str, image: Image, *, permitted: bool) -> str:
    with pytest.raises(kind) as caught:
        flash(find(board), image, permitted=permitted)
    return f"{caught.value.message} {caught.value.next_step}"


def test_flashing_needs_permission_the_right_image_a_probe_and_pyocd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = find_image("stm32f746g_disco", made(tmp_path))
    assert "--yes" in refused(UsageError, "stm32f746g_disco", image, permitted=False)
    assert "not of rp2040" in refused(UsageError, "rp2040", image, permitted=True)
    assert "nothing to flash" in refused(UsageError, "virtual:cortex-m7", image, permitted=True)
    monkeypatch.setitem(sys.modules, "pyocd", None)
    for name in [name for name in sys.modules if name.startswith("pyocd.")]:
        monkeypatch.delitem(sys.modules, name)
    assert "edgekit[flash]" in refused(MissingExtraError, "stm32f746g_disco", image, permitted=True)


def test_flashing_without_a_probe_says_so(tmp_path: Path) -> None:
    pytest.importorskip("pyocd", reason="the extra flash is not installed")
    image = find_image("rp2040", made(tmp_path, "rp2040"))
    with pytest.raises(DeviceError, match="No debug probe 'nobody'") as caught:
        flash(find("rp2040"), image, permitted=True, probe_id="nobody")
    assert "BOOTSEL" in caught.value.next_step
