"""The agent's images for every board, and the virtual boards at work in QEMU."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import serial

from edgekit.device.mcu import boards
from edgekit.device.mcu.agent import connect
from edgekit.device.mcu.boards import Board
from edgekit.device.mcu.images import Image, find_image, images_dir
from edgekit.device.mcu.virtual import MACHINES, QEMU, VirtualBoard, profile_of
from edgekit.version import __version__

CHECKOUT = Path(boards.__file__).resolve().parents[3]
CORES = sorted(MACHINES)

for needed in ("arm-none-eabi-gcc", QEMU):
    if shutil.which(needed) is None:
        pytest.skip(f"{needed} is not installed", allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """Every image, where users have them; one that is up to date is left as it is."""
    done = subprocess.run([sys.executable, str(CHECKOUT / "mcu/build_boards.py"), "--all", "--out", str(images_dir())],
                          capture_output=True, text=True, timeout=400)  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def builder() -> Iterator[ModuleType]:
    """mcu/build_boards.py, which is not in the package."""
    sys.path.insert(0, str(CHECKOUT / "mcu"))
    import build_boards

    yield build_boards
    sys.path.remove(str(CHECKOUT / "mcu"))


@pytest.fixture(scope="module")
def probes(builder: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    """For each core an image with mcu/tests/boards/probe.c in the agent's place."""
    made = {}
    for core in CORES:
        home = tmp_path_factory.mktemp(core)
        source = CHECKOUT / "mcu/tests/boards/probe.c"
        elf = builder.link_program(builder.find(profile_of(core)), [source], home / "agent.elf")
        facts = json.loads((images_dir() / profile_of(core) / "manifest.json").read_bytes())
        facts["files"] = {"agent.elf": {"bytes": elf.stat().st_size, "sha256": builder._sha256(elf)}}
        (home / profile_of(core)).mkdir()
        elf.replace(home / profile_of(core) / "agent.elf")
        (home / profile_of(core) / "manifest.json").write_text(json.dumps(facts))
        made[core] = find_image(profile_of(core), home)
    return made


class Line:
    """A probe's serial line."""

    def __init__(self, board: VirtualBoard) -> None:
        self.port = serial.serial_for_url(board.url, timeout=10)

    def ask(self, letter: bytes, ends: bytes = b"\n") -> bytes:
        self.port.write(letter)
        answer = self.port.read_until(ends)
        assert answer.endswith(ends), answer
        return bytes(answer)

    def ask_until_started(self, letter: bytes, wait_s: float = 0.5) -> bytes:
        """What is sent to a board that is just starting may be lost."""
        self.port.timeout, usual = wait_s, self.port.timeout
        answers = (self.port.read_until(b"\n") for _ in range(20) if self.port.write(letter))
        found = next(filter(None, answers))
        self.port.timeout = usual
        return bytes(found)


# -- images ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("board", boards.shipped(), ids=lambda board: board.name)
def test_an_image_fits_the_true_lengths_of_its_board_and_leaves_the_store_alone(board: Board) -> None:
    facts = find_image(board.name).manifest
    assert (facts.sram_bytes, facts.flash_bytes) == (board.sram_bytes, board.flash_bytes)
    assert facts.store_bytes == board.store_bytes
    if board.store_is_flash:
        assert facts.image_bytes <= board.flash_bytes - board.store_bytes
    if board.arena_bytes is None:
        # The linker gives the arena all that is left, but for aligning.
        assert 0 <= board.sram_bytes - (facts.static_bytes + facts.stack_bytes + facts.arena_bytes) < 64
    else:
        assert facts.arena_bytes == board.arena_bytes
    assert facts.static_bytes == facts.data_bytes + facts.bss_bytes
    assert facts.image_bytes == facts.text_bytes + facts.data_bytes


@pytest.mark.parametrize("board", boards.shipped(), ids=lambda board: board.name)
def test_an_image_lies_in_the_memory_of_its_board_and_uses_no_libc(board: Board, builder: ModuleType) -> None:
    image = find_image(board.name)
    elf, store = str(image.file("elf")), image.manifest.store_address
    headers = subprocess.run([builder.tool("readelf"), "-lW", elf], capture_output=True, text=True, check=True).stdout
    loaded = [line.split() for line in headers.splitlines() if line.strip().startswith("LOAD")]
    ends = [int(words[3], 16) + int(words[4], 16) for words in loaded if int(words[4], 16)]
    assert ends and (max(ends) <= store or board.emulated)
    symbols = subprocess.run([builder.tool("nm"), elf], capture_output=True, text=True, check=True).stdout.split()
    assert {"memcpy", "ek_start", "main"} <= set(symbols)
    assert not {"malloc", "_sbrk", "printf", "__libc_init_array", "_exit"} & set(symbols)


@pytest.mark.parametrize("board", [b for b in boards.shipped() if b.store_is_flash], ids=lambda board: board.name)
def test_a_store_in_flash_is_whole_erase_blocks(board: Board, builder: ModuleType) -> None:
    """The agent and the host take it that blocks lie at multiples of their size, from the store's first byte on."""
    image = find_image(board.name)
    elf, facts = str(image.file("elf")), image.manifest
    lines = subprocess.run([builder.tool("nm"), elf], capture_output=True, text=True, check=True).stdout.splitlines()
    at = {words[2]: int(words[0], 16) for words in map(str.split, lines) if len(words) == 3}
    start = at["ek_ld_vectors"] - (256 if board.name == "rp2040" else 0)  # of the image; ek_board is 15 words
    words = struct.unpack_from("<15I", image.file("bin").read_bytes(), at["ek_port_board"] - start)
    assert words[10:13] == (facts.store_address, facts.store_bytes, 1)
    write, erase = words[13:]
    assert 32 % write == 0 and erase >= 4096 and erase & (erase - 1) == 0
    assert facts.store_address % erase == facts.store_bytes % erase == 0


def test_no_image_has_vector_instructions(builder: ModuleType) -> None:
    """The kernels' own tests do not cover what a compiler makes of them for the M55 (board_table.py)."""
    elf = str(find_image("virtual_cortex_m55").file("elf"))
    code = subprocess.run([builder.tool("objdump"), "-d", elf], capture_output=True, text=True, check=True).stdout
    assert "smlad" in code and re.search(r"\bq[0-7]\b", code) is None


def test_the_picos_image_begins_with_a_sealed_second_stage_and_then_the_vectors(builder: ModuleType) -> None:
    import board_images

    image = find_image("rp2040").file("bin").read_bytes()
    assert int.from_bytes(image[252:256], "little") == board_images.crc32_mpeg2(image[:252])
    stack, reset = (int.from_bytes(image[at : at + 4], "little") for at in (256, 260))
    assert stack == 0x20000000 + find_image("rp2040").manifest.stack_bytes
    assert 0x10000100 < reset < 0x10000000 + len(image) and reset % 2 == 1
    assert board_images.uf2(image) == find_image("rp2040").file("uf2").read_bytes()


def test_an_unknown_board_is_refused_with_the_nearest_name() -> None:
    done = subprocess.run([sys.executable, str(CHECKOUT / "mcu/build_boards.py"), "--board", "stm32f746-disco"],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 1 and "stm32f746g_disco" in done.stderr and "Traceback" not in done.stderr


def test_an_image_that_is_up_to_date_is_not_built_again(builder: ModuleType) -> None:
    builder.build(builder.find("virtual_cortex_m7"), images_dir())
    began = time.monotonic()
    made, done = builder.build(builder.find("virtual-cortex-m7"), images_dir())
    assert not done and made == images_dir() / "virtual_cortex_m7"
    assert time.monotonic() - began < 5


def test_a_copy_of_the_checkout_elsewhere_gives_the_same_bytes(tmp_path: Path) -> None:
    copy, name = tmp_path / "a copy", "rp2040"
    shutil.copytree(CHECKOUT / "mcu", copy / "mcu", ignore=shutil.ignore_patterns("build", "__pycache__"))
    (copy / "edgekit").mkdir()
    shutil.copy(CHECKOUT / "edgekit/version.py", copy / "edgekit")
    command = [sys.executable, str(copy / "mcu/build_boards.py"), "--board", name]
    made = Path(subprocess.run(command, capture_output=True, text=True, timeout=200, check=True).stdout.strip())
    assert made == copy / "mcu/build" / name
    for file in sorted(path.name for path in made.iterdir()):
        content = (made / file).read_bytes()
        assert content == (images_dir() / name / file).read_bytes(), file
        assert str(tmp_path).encode() not in content and str(CHECKOUT).encode() not in content, file


def test_without_the_cross_compiler_the_build_says_what_to_install(tmp_path: Path) -> None:
    command = [sys.executable, str(CHECKOUT / "mcu/build_boards.py"), "--all", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={"PATH": str(tmp_path)})
    assert done.returncode == 1 and done.stdout == "" and not (tmp_path / "out").exists()
    assert "arm-none-eabi-gcc is not installed" in done.stderr and "apt install gcc-arm-none-eabi" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_headers_of_newlib_the_build_says_what_to_install(tmp_path: Path) -> None:
    """The compiler is its own package, so it may be there without them."""
    gcc = tmp_path / "arm-none-eabi-gcc"
    said = "agent.c:3:10: fatal error: string.h: No such file or directory"
    gcc.write_text(f'#!/bin/sh\ncase "$*" in *--version*) echo gcc 12;; *) echo "{said}" >&2; exit 1;; esac\n')
    gcc.chmod(0o755)
    command = [sys.executable, str(CHECKOUT / "mcu/build_boards.py"), "--board", "rp2040", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={"PATH": f"{tmp_path}:/bin"})
    assert done.returncode == 1 and "libnewlib-arm-none-eabi" in done.stderr


# -- the virtual boards ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("core", CORES)
def test_the_agent_on_a_virtual_board_says_who_it_is(core: str) -> None:
    profile = boards.find(f"virtual:{core}")
    with VirtualBoard(core) as board:
        agent = connect(board.url)
        who = agent.identity
        assert (who.board, who.core, who.version, who.counts) == (profile.name, core, __version__, "instructions")
        assert (who.sram_bytes, who.store_bytes, who.kernels) == (profile.sram_bytes, profile.store_bytes, "dsp")
        built = board.image.manifest
        assert (who.arena_bytes, who.static_bytes) == (built.arena_bytes, built.static_bytes)
        blob = os.urandom(3001)
        assert agent.load(blob).sent_bytes == len(blob)
        assert agent.load(blob).sent_bytes == 0
        assert 0 < agent.memory().stack_bytes < built.stack_bytes / 2
        assert agent.memory().lost_bytes == 0
        agent.close()
    assert not alive(board.pid)


def test_a_preloaded_store_is_found_and_not_sent(tmp_path: Path) -> None:
    blob = os.urandom(200_000)
    (tmp_path / "model, 1.ekm").write_bytes(blob)
    with VirtualBoard("cortex-m7", preloaded=tmp_path / "model, 1.ekm") as board:
        agent = connect(board.url)
        assert agent.load(blob).sent_bytes == 0
        agent.close()


@pytest.mark.parametrize("core", CORES)
def test_instructions_are_counted_exactly_and_repeatably(core: str, probes: dict[str, Image]) -> None:
    said = []
    for _ in range(2):
        with VirtualBoard(core, probes[core]) as board:
            line = Line(board)
            for pause in (0, 0.01, 0.05):  # what the host does meanwhile must not count
                time.sleep(pause)
                said.append([int(word) for word in line.ask(b"c").split()[-51:]])
    counts = said[0]
    assert all(other == counts for other in said)
    assert counts[:50] == [counts[0] + 2 * more for more in range(50)]
    assert counts[50] - counts[0] == 2 * 999_999


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("fault", [b"f", b"u", b"o"])
def test_a_fault_is_reported_between_two_zeros_and_the_board_starts_again(
    core: str, fault: bytes, probes: dict[str, Image]
) -> None:
    with VirtualBoard(core, probes[core]) as board:
        line = Line(board)
        assert [line.ask_until_started(b"d", wait_s=5), line.ask(b"d")] == [b"1000 \n", b"1001 \n"]
        assert line.ask(fault, b"\0") == b"\0"
        report = line.ask(b"", b"\0")
        assert report.startswith(b"FAULT cfsr=") and (b" pc=" in report or b" sp=" in report)
        assert line.ask_until_started(b"d") == b"1000 \n", "it was started anew"


@pytest.mark.parametrize("core", CORES)
def test_the_stack_is_measured_by_painting(core: str, probes: dict[str, Image]) -> None:
    with VirtualBoard(core, probes[core]) as board:
        before, after, static = (int(word) for word in Line(board).ask(b"s").split()[-3:])
    assert 0 < before < 400 and 3000 < after < 3400
    assert 4 <= static < 200


def test_a_board_that_waits_takes_no_processor_time(probes: dict[str, Image]) -> None:
    with VirtualBoard("cortex-m7", probes["cortex-m7"]) as board:
        Line(board).ask(b"s")
        time.sleep(0.2)
        used = cpu_ticks(board.pid)
        time.sleep(0.5)
        assert cpu_ticks(board.pid) - used <= 5, "in hundredths of a second"


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_virtual_board_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = ("import sys, time; from edgekit.device.mcu.virtual import VirtualBoard; "
              "b = VirtualBoard('cortex-m4'); print(b.pid, flush=True); time.sleep(60)")  # fmt: skip
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    assert alive(pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    ends = time.monotonic() + 5
    while alive(pid) and time.monotonic() < ends:
        time.sleep(0.02)
    assert not alive(pid)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def test_an_image_that_qemu_refuses_is_told_in_its_words(probes: dict[str, Image], tmp_path: Path) -> None:
    facts: dict[str, Any] = json.loads((probes["cortex-m7"].directory / "manifest.json").read_bytes())
    home = tmp_path / "virtual_cortex_m7"
    home.mkdir()
    (home / "agent.elf").write_bytes(b"\x7fELF" + bytes(100))
    facts["files"]["agent.elf"]["sha256"] = hashlib.sha256(b"\x7fELF" + bytes(100)).hexdigest()
    (home / "manifest.json").write_text(json.dumps(facts))
    with VirtualBoard("cortex-m7", find_image("virtual_cortex_m7", tmp_path)) as board:
        ends = time.monotonic() + 10
        while board.failure() is None and time.monotonic() < ends:
            time.sleep(0.02)
        failure = board.failure()
        assert failure is not None and "qemu: fatal: Lockup" in failure.message
