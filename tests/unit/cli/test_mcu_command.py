"""``edgekit mcu``: what it tells, what it refuses and with which exit code, and that nothing half-done is left."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from edgekit.cli.main import main
from edgekit.convert.mcu import picture
from edgekit.convert.mcu.compile import compile_file
from edgekit.convert.mcu.csource import c_source
from edgekit.convert.mcu.plan import plan
from edgekit.convert.mcu.planning.report import portable_layers
from edgekit.device.mcu.boards import find
from edgekit.device.mcu.ports import SerialPort, choose
from edgekit.errors import DeviceError
from edgekit.harness.mcu_library import host_library
from edgekit.paths import mcu_dir
from edgekit.version import __version__
from tests.tflite_maker import Maker, reference_outputs
from tests.unit.mcu import networks
from tests.unit.mcu.compiler import needs, needs_compiler

BOARD = "stm32f746g_disco"
ROOM = {"static_bytes": 1000, "stack_bytes": 2000, "arena_bytes": 30_000, "sram_bytes": 40_000, "image_bytes": 5000,
        "store_bytes": 50_000}  # fmt: skip


def model_bytes(*, multiplier: int = 2) -> bytes:
    """A convolution to 8 channels, then a depthwise one: the DSP kernels do it with a multiplier of 1 only."""
    rng = np.random.default_rng(0)
    maker = Maker()
    x = maker.input((1, 8, 8, 3), scale=0.02, zero_point=-5)
    for kind, channels, shape, axis in (
        ("CONV_2D", 8, (8, 3, 3, 3), 0),
        ("DEPTHWISE_CONV_2D", 8 * multiplier, (1, 3, 3, 8 * multiplier), 3),
    ):
        scales = [0.005] * channels
        w = maker.constant(rng.integers(-127, 128, shape).astype(np.int8), scale=scales, axis=axis)
        b = maker.constant(np.zeros(channels, np.int32), scale=[0.0001] * channels)
        made = maker.tensor((1, 8, 8, channels), scale=0.05, zero_point=3)
        options = {"depth_multiplier": multiplier} if axis else {}
        maker.operator(kind, [x, w, b], [made], padding="SAME", stride_h=1, stride_w=1, **options)
        x = made
    maker.output(x)
    return maker.build()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.tflite"
    path.write_bytes(model_bytes())
    return path


@pytest.fixture(autouse=True)
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of agents' images that has none yet."""
    folder = tmp_path / "agents"
    monkeypatch.setenv("EDGEKIT_MCU_AGENTS", str(folder))
    return folder


def built(folder: Path, board: str = BOARD, **changes: int) -> None:
    """The manifest of an image for ``board``."""
    zero = dict.fromkeys(("text_bytes", "data_bytes", "bss_bytes", "flash_bytes", "store_address"), 0)
    facts: dict[str, Any] = {"schema": 1, "board": board, "version": __version__, "sources_sha256": "0" * 64,
                             "compiler": "gcc 12", "files": {}, **zero, **ROOM, **changes}  # fmt: skip
    (folder / board).mkdir(parents=True)
    (folder / board / "manifest.json").write_text(json.dumps(facts))


class Ran:
    """One command line: exit code, and what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
        capsys.readouterr()
        self.code = main(["mcu", *map(str, arguments)])
        self.out, self.err = capsys.readouterr()

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def test_a_plan_tells_sram_flash_the_verdict_and_the_peak(model: Path, images: Path, capsys: Any) -> None:
    built(images)
    ran = Ran(capsys, "plan", model, "--board", BOARD)
    assert ran.code == 0 and ran.err == ""
    compiled = compile_file(model, dsp=True)
    arena, size = compiled.plan.arena_bytes, len(compiled.ekm)
    for text in (f"small on {BOARD}: it fits", f"SRAM   {arena + 3000:,} of 40,000 bytes: static 1,000",
                 f"+ arena {arena:,}", "stack 2,000 (reserved)", f"agent 5,000 + model {size:,}", "Peak ",
                 "1 DEPTHWISE_CONV_2D", "output of 0 CONV_2D"):  # fmt: skip
        assert text in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_layers_without_a_dsp_kernel_are_named_with_the_reason(model: Path, images: Path, capsys: Any) -> None:
    built(images)
    built(images, "rp2040")
    told = Ran(capsys, "plan", model, "--board", BOARD).out
    assert "1 layer has no DSP kernel" in told and "a depth multiplier of 2" in told
    (layer,) = Ran(capsys, "plan", model, "--board", BOARD, "--json").document["plan"]["portable_layers"]
    assert layer["operator"].startswith("1 DEPTHWISE_CONV_2D") and layer["macs"] == 8 * 8 * 9 * 16
    other = Ran(capsys, "plan", model, "--board", "rp2040", "--json").document["plan"]
    assert other["kernels"] == "portable" and other["portable_layers"] == []
    assert "DSP" not in Ran(capsys, "plan", model, "--board", "rp2040").out
    model.write_bytes(model_bytes(multiplier=1))
    assert portable_layers(compile_file(model, dsp=True).program) == ()


def test_json_is_one_document_with_units(model: Path, images: Path, tmp_path: Path, capsys: Any) -> None:
    built(images)
    drawing = tmp_path / "arena.SVG"
    told = Ran(capsys, "plan", model, "--board", BOARD, "--json", "--picture", drawing).document["plan"]
    assert told["fits"] is True and told["arena_available_bytes"] == 30_000 and told["picture"] == str(drawing)
    assert told["sram_bytes"] == told["static_bytes"] + told["arena_bytes"] + told["stack_reserved_bytes"]
    assert told["flash_bytes"] == told["agent_bytes"] + told["model_bytes"]
    assert {"name", "made_by", "offset_bytes", "bytes"} == set(told["peak"]["buffers"][0])
    assert drawing.read_text().startswith("<svg")
    told = Ran(capsys, "plan", model, "--json").document["plan"]
    assert told["fits"] is None and told["sram_bytes"] is None and told["picture"] is None


@pytest.mark.parametrize("short", [{"arena_bytes": 500}, {"store_bytes": 500}])
def test_over_the_boards_memory_is_exit_1_and_writes_no_model(
    model: Path, images: Path, tmp_path: Path, capsys: Any, short: dict[str, int]
) -> None:
    built(images, **short)
    ran = Ran(capsys, "plan", model, "--board", BOARD)
    assert ran.code == 1 and "it does NOT fit" in ran.out and "than stm32f746g_disco has" in ran.err
    document = Ran(capsys, "plan", model, "--board", BOARD, "--json").document
    assert document["plan"]["fits"] is False and document["error"]["code"] == 1
    assert Ran(capsys, "compile", model, "--board", BOARD, "-o", tmp_path / "out").code == 1
    assert list((tmp_path / "out").iterdir()) == []
    # Firmware of one's own does not carry the agent.
    assert Ran(capsys, "compile", model, "--board", BOARD, "--c-source", "-o", tmp_path / "out").code == 0


def test_a_board_whose_agent_is_not_built(model: Path, tmp_path: Path, capsys: Any) -> None:
    ran = Ran(capsys, "plan", model, "--board", BOARD)
    assert ran.code == 13 and "it was not built" in ran.err
    assert "make agents" in ran.err and "Without --board" in ran.err
    compiled = Ran(capsys, "compile", model, "--board", "rp2040", "-o", tmp_path / "out", "--json").document
    assert compiled["kernels"] == "portable"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--to", "litert"), 2, "--to litert is not for microcontrollers"),
        (("--to", "mcu,onnx"), 2, "--to mcu,onnx is not for microcontrollers"),
        (("--precision", "fp32"), 2, "--precision fp32"),
        (("--board", "stm32f746"), 13, "Did you mean stm32f746g_disco"),
        (("--picture", "x.png"), 2, "End the name with .svg or .html"),
        (("--picture", "/proc/nowhere/x.svg"), 2, "with --picture"),
    ],
)
def test_a_wrong_request_is_refused_in_words_and_in_json(
    model: Path, capsys: Any, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ran = Ran(capsys, "plan", model, *arguments)
    assert (ran.code, ran.out) == (code, "") and said in ran.err and "  next:  " in ran.err
    error = Ran(capsys, "plan", model, *arguments, "--json").document["error"]
    assert error["code"] == code and error["next_step"]


def test_to_mcu_and_int8_are_no_mistake(model: Path, capsys: Any) -> None:
    assert Ran(capsys, "plan", model, "--to", "mcu", "--precision", "int8").code == 0


def test_compiling_tells_what_to_build_with(model: Path, tmp_path: Path, capsys: Any) -> None:
    ran = Ran(capsys, "compile", model, "--c-source", "-o", tmp_path / "out")
    assert ran.code == 0 and "constants in flash" in ran.out and "the runtime is" in ran.out
    header = (tmp_path / "out/small.h").read_text()
    assert "every .c and .S in mcu/src/dsp, and -D EK_DSP" in header and "-I mcu/include -I mcu/src" in header
    document = Ran(capsys, "compile", model, "--c-source", "-o", tmp_path / "out", "--json").document
    assert {Path(file["path"]).name for file in document["files"]} == {"small.c", "small.h"}
    assert (Path(document["runtime"]) / "include/edgekit/runtime.h").is_file() and document["constants_bytes"] > 0
    Ran(capsys, "compile", model, "--c-source", "--board", "rp2040", "-o", tmp_path / "portable")
    assert "EK_DSP" not in (tmp_path / "portable/small.h").read_text()


def test_the_header_tells_the_order_of_the_axes(model: Path) -> None:
    compiled = compile_file(model, dsp=False)
    (end,) = compiled.program.inputs
    for axes, said in (((0, 2, 3, 1), True), ((0, 1, 2, 3), False), ((), False)):
        ends = (dataclasses.replace(end, axes=axes),)
        header = c_source(dataclasses.replace(compiled.program, inputs=ends), compiled.plan).header
        assert ("its axes are the source model's 0, 2, 3, 1" in header) is said
        assert "/*" not in header.split("*/")[0][2:], "a comment in a comment"


@needs_compiler
@needs("c++", "C++ compiler")
def test_two_models_link_into_one_program_of_cpp(model: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    model.with_name("other.tflite").write_bytes(model_bytes(multiplier=1))
    for name in ("small", "other"):
        assert Ran(capsys, "compile", model.with_name(f"{name}.tflite"), "--c-source", "-o", out).code == 0
    (out / "main.cpp").write_text(
        '#include "small.h"\n#include "other.h"\n#include <cstdio>\n'
        "static int8_t in[SMALL_INPUT_0_BYTES], one[SMALL_OUTPUT_0_BYTES], two[OTHER_OUTPUT_0_BYTES];\n"
        "int main() {\n"
        "    small_run(in, one);\n    other_run(in, two);\n"
        '    for (int8_t value : one) { std::printf("%d ", value); }\n'
        '    for (int8_t value : two) { std::printf("%d ", value); }\n'
        "}\n"
    )
    noisy = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror")
    here = ("-I", str(mcu_dir() / "include"), "-I", str(mcu_dir() / "src"), "-DEK_HOST_LAYOUTS")
    library = host_library()
    for command in (
        ["cc", "-std=c11", *noisy, *here, "-c", "small.c", "other.c"],
        ["c++", "-std=c++11", *noisy, "main.cpp", "small.o", "other.o", str(library), f"-Wl,-rpath,{library.parent}",
         "-o", "both"],
    ):  # fmt: skip
        subprocess.run(command, cwd=out, check=True, timeout=120)
    said = subprocess.run([str(out / "both")], check=True, timeout=60, capture_output=True, text=True).stdout
    expected = [reference_outputs(model_bytes(multiplier=m), [np.zeros((1, 8, 8, 3), np.int8)])[0] for m in (2, 1)]
    assert said.split() == [str(value) for stack in expected for value in stack.reshape(-1).tolist()]


def test_names_in_the_picture_keep_off_the_hatching() -> None:
    program = networks.mobilenet_v2()
    drawn = ElementTree.fromstring(picture.svg(program, plan(program)))
    svg = "{http://www.w3.org/2000/svg}"
    hatched = [
        [float(rect.get(key, "nan")) for key in ("x", "y", "width", "height")]
        for rect in drawn.iter(f"{svg}rect")
        if rect.get("fill") == "url(#shared)" and rect.find(f"{svg}title") is not None
    ]
    names = [text for text in drawn.iter(f"{svg}text") if text.get("paint-order")]
    assert len(hatched) > 10 and len(names) > 10
    for name in names:
        x, y = float(name.get("x", "nan")), float(name.get("y", "nan"))
        over = [box for box in hatched if box[0] < x < box[0] + box[2] and box[1] < y < box[1] + box[3]]
        assert not over, name.text


def test_a_file_that_stands_in_the_way_leaves_no_header_without_its_code(
    model: Path, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "out/small.c").mkdir(parents=True)
    assert Ran(capsys, "compile", model, "--c-source", "-o", tmp_path / "out").code == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["small.c"]


def test_boards_are_named_as_they_are_given(images: Path, capsys: Any) -> None:
    built(images)
    listed = {board["spec"]: board for board in Ran(capsys, "boards", "--json").document["boards"]}
    assert listed[BOARD]["image_built"] and not listed["rp2040"]["image_built"]
    assert listed["virtual:cortex-m7"]["name"] == "virtual_cortex_m7" and listed[BOARD]["sram_bytes"] == 327_680
    told = Ran(capsys, "boards").out
    assert "virtual:cortex-m7" in told and " 320 " in told and "SRAM KiB" in told


def test_a_board_behind_an_adapter_is_reached_by_a_port_that_is_there() -> None:
    ports = (SerialPort("/dev/ttyS0"), SerialPort("/dev/ttyUSB3", "0403:6001", "A1", "FT232R"))
    for listed, said in ((ports, "--device serial:/dev/ttyUSB3"), (ports[:1], "--device serial:/dev/ttyACM0")):
        with pytest.raises(DeviceError) as caught:
            choose(find("rp2040"), listed)
        assert said in caught.value.next_step
        assert ("/dev/ttyUSB3" in caught.value.message) is (listed is ports) and "ttyS0" not in caught.value.message


def test_flashing_a_virtual_board_is_refused_before_anyone_is_asked(capsys: Any) -> None:
    for extra in ((), ("--yes",), ("--json",)):
        ran = Ran(capsys, "flash", "--board", "virtual:cortex-m7", *extra)
        assert ran.code == 2 and "nothing to flash" in ran.err


def test_flashing_asks_only_where_someone_can_answer(
    images: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(images, "rp2040")
    monkeypatch.setattr("edgekit.device.mcu.flash._pyocd", lambda name: sys)  # as if it were installed
    monkeypatch.setattr("edgekit.device.mcu.flash.flash", lambda *given, **more: pytest.fail("it flashed"))
    ran = Ran(capsys, "flash", "--board", "rp2040")
    assert ran.code == 2 and "nobody can be asked" in ran.err and "--yes" in ran.err
    assert Ran(capsys, "flash", "--board", "rp2040", "--json").document["error"]["where"] == "--yes"
    monkeypatch.setattr("edgekit.cli.mcu._interactive", lambda: True)
    monkeypatch.setattr("click.confirm", lambda *given, **more: False)
    ran = Ran(capsys, "flash", "--board", "rp2040")
    assert ran.code == 2 and "Nothing was flashed." in ran.err
