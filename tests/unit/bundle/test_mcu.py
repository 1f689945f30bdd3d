"""The C library of bundles: what is in it, what is refused, and what it computes on this machine."""

from __future__ import annotations

import ctypes
import dataclasses
import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.bundle.c_text import comment, float32, string
from edgekit.bundle.mcu import GENERATOR, runtime
from edgekit.bundle.recipe import Part, Recipe
from edgekit.bundle.records import Quantisation
from edgekit.convert.mcu.kernels import KERNELS
from edgekit.errors import BundleError, UsageError
from edgekit.harness.int8_tensors import dequantise, quantise
from edgekit.paths import mcu_dir
from tests import mcu_bundles, mcu_models
from tests.mcu_agents import convolutions, others
from tests.mcu_bundles import DIGITS, PICTURE, library, model, named
from tests.tflite_maker import Maker
from tests.unit.bundle import made
from tests.unit.mcu.compiler import needs, needs_compiler

STRICT = ("-std=c11", "-pedantic", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Werror")
ARM = "arm-none-eabi-gcc"
needs_arm = needs(ARM, "Arm compiler")
TEXTS = ("README.md", "library.json", "library.properties", "zephyr/Kconfig", "CMakeLists.txt", "Makefile")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Part:
    folder = tmp_path_factory.mktemp("digits")
    return model(folder, "digits", mcu_models.small(), labels=DIGITS, preprocess=PICTURE)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Part:
    return model(tmp_path_factory.mktemp("other"), "other net", convolutions())


@pytest.fixture(scope="module")
def built(digits: Part, other: Part, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of two models."""
    return library(made.recipe(digits, other, name="Two Nets", board=""), tmp_path_factory.mktemp("built"))


def changed(part: Part, **changes: object) -> Part:
    """With another contract."""
    one = part.members[0]
    contract = msgspec.structs.replace(one.variant.contract, **changes)
    variant = msgspec.structs.replace(one.variant, contract=contract)
    return Part(msgspec.structs.replace(part.model, variants=(variant,)), (dataclasses.replace(one, variant=variant),))


def host_test(folder: Path) -> subprocess.CompletedProcess[str]:
    # Without optimisation: half the time.
    return subprocess.run(["make", "-s", "host-test", "CFLAGS=-O0 -Wall -Wextra -Werror"], cwd=folder,
                          capture_output=True, text=True, timeout=100)  # fmt: skip


# -- what it computes --------------------------------------------------------------------------------------------------


@needs_compiler
def test_golden_inputs_on_this_machine_and_every_disturbance_is_seen(built: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built, tmp_path / "library")
    done = host_test(folder)
    assert (done.returncode, done.stdout) == (0, "digits: bit-equal\nother_net: bit-equal\n"), done.stderr
    weights = folder / "src/digits_model.c"
    code = weights.read_text()

    def failing(path: Path, pattern: str, replacement: str) -> None:
        text = path.read_text()
        disturbed, count = re.subn(pattern, replacement, text, count=1, flags=re.DOTALL)
        assert count == 1
        path.write_text(disturbed)
        done = host_test(folder)
        assert (done.returncode != 0, done.stdout) == (True, "digits: FAILED\nother_net: bit-equal\n"), done.stderr
        path.write_text(text)

    # One bit of one weight, of one record; then a weight without the checksum; then what is expected.
    failing(weights, r"(s2_weights = \{\n +)(-?\d+)", r"\g<1>1+\2")
    failing(weights, r"(\.act_max = )127", r"\g<1>126")
    weights.write_text(code.replace("? EK_OK : EK_DAMAGED", "? EK_OK : EK_OK"))
    failing(weights, r"(s2_weights = \{\n +-?\d+, )(-?\d+)", r"\g<1>256*1024+\2")
    weights.write_text(code)
    test = folder / "test/digits_golden.c"
    failing(test, r"(expected_score\[.*?\{\n +\{\n +)(-?\d+)", r"\g<1>1+\2")
    failing(test, r"(from_picture\[.*?\{\n +)(-?\d+)", r"\g<1>1+\2")
    assert host_test(folder).returncode == 0


@pytest.fixture(scope="module")
def loaded(built: Path, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The library as one of this machine, without a warning of any kind."""
    out = tmp_path_factory.mktemp("loaded") / "library.so"
    (out.parent / "helpers.c").write_text(
        '#include "digits.h"\n'
        "int8_t stored(float value, float scale, int32_t zero_point);\n"
        "int8_t stored(float value, float scale, int32_t zero_point)\n"
        "{ return edgekit_quantise(value, scale, zero_point); }\n"
        "float real(int8_t value, float scale, int32_t zero_point);\n"
        "float real(int8_t value, float scale, int32_t zero_point)\n"
        "{ return edgekit_dequantise(value, scale, zero_point); }\n"
    )
    sources = [*built.glob("src/*.c"), *built.glob("src/edgekit_runtime/**/*.c"), built / "test/host_tiles.c"]
    # Preprocessing brings headers of another directory's style: no conversions there.
    strict = [one for one in sources if one.name != "ek_preprocess.c" and "dsp" not in one.parts]
    include = ["-I", str(built / "src"), "-I", str(built / "src/edgekit_runtime/dsp"), "-DEDGEKIT_HOST_TEST"]
    subprocess.run(["cc", *STRICT, *include, "-fsyntax-only", *map(str, strict)], check=True, timeout=100)
    plain = ["cc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", *include, "-fPIC", "-shared"]
    helpers = out.parent / "helpers.c"
    subprocess.run([*plain, *map(str, sources), str(helpers), "-o", str(out)], check=True, timeout=100)
    return ctypes.CDLL(str(out))


@needs_compiler
def test_arguments_are_checked_and_the_arena_is_enough(built: Path, loaded: ctypes.CDLL, digits: Part) -> None:
    header = (built / "src/digits.h").read_text()
    size = int(re.search(r"DIGITS_ARENA_BYTES (\d+)", header)[1])
    memory = np.full(size + 64, 0x5A, np.uint8)
    start = -memory.ctypes.data % 16 + 16
    run, pointer = loaded.digits_invoke_in, ctypes.c_void_p
    run.argtypes = [pointer, ctypes.c_size_t, pointer, pointer]
    one = digits.members[0]
    x = np.ascontiguousarray(one.golden_inputs[0][1])
    y = np.zeros(10, np.int8)
    arena = memory.ctypes.data + start
    for refused in ((None, size), (arena + 8, size), (arena, size - 1)):
        assert run(*refused, x.ctypes.data, y.ctypes.data) == 1
    assert run(arena, size, x.ctypes.data, y.ctypes.data) == 0
    assert y.tolist() == one.golden_outputs[0][1].reshape(-1).tolist()
    assert (memory[:start] == 0x5A).all() and (memory[start + size :] == 0x5A).all()
    # Without copies: the input is put where the header says, the output is read there.
    at_in, at_out = (int(re.search(rf"{name}_OFFSET (\d+)", header)[1]) for name in ("INPUT_IMAGE", "OUTPUT_SCORE"))
    memory[start : start + size] = 0
    memory[start + at_in : start + at_in + x.size] = x.reshape(-1).view(np.uint8)
    assert run(arena, size, None, None) == 0
    assert memory[start + at_out :][:10].view(np.int8).tolist() == y.tolist()


def channels_first() -> bytes:
    """As an export of PyTorch begins: the image is transposed first."""
    maker = Maker()
    image = maker.input((1, 4, 6, 6), scale=0.05, zero_point=-3)
    last = maker.tensor((1, 6, 6, 4), scale=0.05, zero_point=-3)
    maker.operator("TRANSPOSE", [image, maker.constant(np.array([0, 2, 3, 1], np.int32))], [last])
    weights = np.random.default_rng(2).integers(-127, 128, (5, 3, 3, 4), np.int8)
    w = maker.constant(weights, scale=[0.01] * 5, axis=0)
    b = maker.constant(np.arange(5, dtype=np.int32) * 100, scale=[0.0005] * 5)
    scores = maker.tensor((1, 4, 4, 5), scale=0.1, zero_point=4)
    maker.operator("CONV_2D", [last, w, b], [scores], padding="VALID", stride_h=1, stride_w=1)
    maker.output(scores)
    return maker.build()


@needs_compiler
def test_a_model_from_pytorch_takes_channels_last(tmp_path: Path) -> None:
    """What the conversion transposes is the caller's order; for a file that was int8 the file's own order stays."""
    path = tmp_path / "model.tflite"
    path.write_bytes(channels_first())
    for from_float, dims in ((True, "{1, 6, 6, 4}"), (False, "{1, 4, 6, 6}")):
        one = mcu_bundles.member(path, from_float=from_float)
        folder = library(made.recipe(made.part("net", [one]), board=""), tmp_path / dims)
        assert f"NET_INPUT_IMAGE_DIMS {dims}" in (folder / "src/net.h").read_text()
        assert ("ek_copy_portable" in (folder / "src/net_model.c").read_text()) != from_float
        assert host_test(folder).stdout == "net: bit-equal\n"


def two_and_two() -> bytes:
    """Two inputs of several ranks, two outputs; one output is used on."""
    maker = Maker()
    left, right = maker.input((1, 4, 4, 6), scale=0.05, zero_point=-3), maker.input((1, 6), scale=0.04, zero_point=1)
    both = maker.tensor((1, 4, 4, 6), scale=0.08, zero_point=4)
    maker.operator("ADD", [left, right], [both], fused_activation_function="NONE")
    most = maker.tensor((1, 1, 1, 6), scale=0.08, zero_point=4)
    maker.operator("MAX_POOL_2D", [both], [most], padding="VALID", stride_h=4, stride_w=4, filter_height=4,
                   filter_width=4)  # fmt: skip
    maker.output(both)
    maker.output(most)
    return maker.build()


@needs_compiler
def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    folder = library(made.recipe(model(tmp_path, "pair", two_and_two()), board=""), tmp_path / "library")
    header = (folder / "src/pair.h").read_text()
    declared = "const int8_t *input_image, const int8_t *input_image_1, int8_t *output_score, int8_t *output_score_1"
    assert f"pair_invoke({declared});" in header and "PAIR_OUTPUT_SCORE_1_DIMS {1, 1, 1, 6}" in header
    assert host_test(folder).stdout == "pair: bit-equal\n"
    test = folder / "test/pair_golden.c"
    text = re.sub(
        r"(expected_score_1\[.*?\{\n +\{\n +)(-?\d+)", r"\g<1>1+\2", test.read_text(), count=1, flags=re.DOTALL
    )
    test.write_text(text)
    (folder / "build/host/test/pair_golden.c.o").unlink()  # make looks at times, which may be the same
    assert host_test(folder).stdout == "pair: FAILED\n"


@needs_compiler
def test_labels_and_pictures(loaded: ctypes.CDLL) -> None:
    assert [one.decode() for one in (ctypes.c_char_p * 10).in_dll(loaded, "digits_labels")] == list(DIGITS)
    scratch = loaded.digits_preprocess_scratch_bytes
    scratch.restype, scratch.argtypes = ctypes.c_size_t, [ctypes.c_uint32, ctypes.c_uint32]
    assert scratch(0, 5) == 0 and scratch(37, 29) > 0


@needs_compiler
def test_the_golden_pictures_scratch_is_enough(built: Path, loaded: ctypes.CDLL) -> None:
    loaded.digits_preprocess_scratch_bytes.restype = ctypes.c_size_t
    text = (built / "test/digits_golden.c").read_text()
    assert int(re.search(r"scratch\[(\d+)\]", text)[1]) >= loaded.digits_preprocess_scratch_bytes(37, 29)


@needs_compiler
@pytest.mark.parametrize("scale, zero_point", [(0.018658, -14), (1 / 256, -128), (0.5, 127), (3e-39, 3), (1e30, 0)])
def test_numbers_round_as_litert_rounds_them(loaded: ctypes.CDLL, scale: float, zero_point: int) -> None:
    for function in (loaded.stored, loaded.real):
        function.argtypes = [ctypes.c_float if function is loaded.stored else ctypes.c_int8, ctypes.c_float,
                             ctypes.c_int32]  # fmt: skip
    loaded.stored.restype, loaded.real.restype = ctypes.c_int8, ctypes.c_float
    scale = float(np.float32(scale))
    halves = (np.arange(-300, 300, dtype=np.float32) + np.float32(0.5)) * np.float32(scale)
    near = [np.nextafter(halves, np.float32(side)) for side in (-np.inf, np.inf)]
    special = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45], np.float32)
    values = np.concatenate([halves, *near, np.random.default_rng(1).normal(0, 90, 999).astype("f4") * scale, special])
    with np.errstate(all="ignore"):
        expected = quantise(values, scale, zero_point)
    assert [loaded.stored(float(value), scale, zero_point) for value in values] == expected.tolist()
    stored = np.arange(-128, 128, dtype=np.int8)
    reals = [loaded.real(int(value), scale, zero_point) for value in stored]
    assert np.array_equal(np.float32(reals), dequantise(stored, scale, zero_point))


# -- what is in it -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def every_object(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[set[str], set[str]]]:
    """What each object of the runtime for the Cortex-M7 defines and needs, by its source."""
    folder = tmp_path_factory.mktemp("objects")
    root = mcu_dir()
    sources = [*sorted(root.glob("src/*.c")), *sorted(root.glob("src/dsp/*.[cS]"))]
    subprocess.run([ARM, "-std=c11", "-O1", "-mcpu=cortex-m7", "-mthumb", "-I", str(root / "include"), "-c",
                    *map(str, sources)], check=True, timeout=100, cwd=folder)  # fmt: skip
    made_of = {}
    for source in sources:
        lines = subprocess.run(["arm-none-eabi-nm", str(folder / f"{source.stem}.o")], capture_output=True, text=True,
                               check=True, timeout=60).stdout.splitlines()  # fmt: skip
        words = [line.split()[-2:] for line in lines if not line.split()[-1].startswith("$")]
        defines, needs = ({name for kind, name in words if (kind == "U") == wanted} for wanted in (False, True))
        made_of[source.relative_to(root).as_posix()] = defines, needs - {"memcpy", "memset"}
    return made_of


@needs_arm
@pytest.mark.parametrize("dsp", [True, False])
def test_only_what_kernels_need_is_in_and_nothing_can_be_left_out(every_object: dict, dsp: bool) -> None:
    """For every kernel and every pair of kernels: all symbols are found, and every object is there for one of them."""
    for kernels in [*((kernel,) for kernel in KERNELS), *itertools.combinations(KERNELS, 2)]:
        files = runtime.needed(mcu_dir(), kernels, dsp=dsp)
        chosen = {name for name in every_object if runtime.place(name) in files}
        assert len(chosen) == sum(name.endswith((".c", ".S")) for name in files)
        asked = {f"ek_{kernel}_{'dsp' if dsp and kernel in runtime._DSP else 'portable'}" for kernel in kernels}
        wanted = asked | {"ek_crc32"} | {need for name in chosen for need in every_object[name][1]}
        assert wanted <= {symbol for name in chosen for symbol in every_object[name][0]}
        assert all(every_object[name][0] & wanted for name in chosen), kernels


@needs_arm
def test_without_any_one_file_it_does_not_compile(built: Path, tmp_path: Path) -> None:
    """Headers of the library, one at a time; the test above has what the linker would miss."""
    folder = shutil.copytree(built, tmp_path / "library")
    sources = [*folder.glob("src/**/*.c"), *folder.glob("test/*_golden.c")]
    command = [ARM, "-std=c11", "-mcpu=cortex-m7", "-I", str(folder / "src"), "-I", str(folder / "test"), "-E",
               *map(str, sources), "-o", "/dev/null"]  # fmt: skip

    def compiles() -> bool:
        return all(
            subprocess.run([*command[:8], str(one), "-o", "/dev/null"], capture_output=True, timeout=60).returncode == 0
            for one in sources
        )

    assert compiles()
    headers = [*folder.glob("src/**/*.h"), *folder.glob("test/*.h")]
    assert len(headers) > 15
    for header in headers:
        away = header.rename(header.with_suffix(".away"))
        assert not compiles(), header
        away.rename(header)


@needs_arm
def test_as_arduino_compiles_it(built: Path, tmp_path: Path) -> None:
    """Every source under src with that folder alone to include from, and no flags of its own."""
    sources = sorted([*built.glob("src/**/*.c"), *built.glob("src/**/*.S")])
    flags = ["-std=gnu11", "-Os", "-Wall", "-Wextra", "-Werror", "-mcpu=cortex-m4", "-mthumb", "-I", str(built / "src")]
    subprocess.run([ARM, *flags, "-c", *map(str, sources)], check=True, timeout=100, cwd=tmp_path)
    properties = dict(
        line.split("=", 1) for line in (built / "library.properties").read_text().splitlines() if line.strip()
    )
    assert properties["name"] == "two_nets" and re.fullmatch(r"\d+\.\d+\.\d+", properties["version"])
    assert all((built / "src" / name).is_file() for name in properties["includes"].split(","))
    assert {"author", "maintainer", "sentence", "paragraph", "category", "architectures"} <= set(properties)
    # Without the core the weights are refused.
    refused = subprocess.run([ARM, "-I", str(built / "src"), "-mcpu=cortex-m3", "-c", str(built / "src/digits_model.c"),
                              "-o", str(tmp_path / "x.o")], capture_output=True, text=True, timeout=60)  # fmt: skip
    assert refused.returncode != 0 and "give the compiler the core (-mcpu)" in refused.stderr


@needs_arm
def test_headers_are_cplusplus(built: Path, tmp_path: Path) -> None:
    (tmp_path / "x.cpp").write_text('#include "digits.h"\n#include "other_net.h"\n#include "digits_golden.h"\n'
                                    "int8_t x = digits_quantise_input_image(0.5f);\n")  # fmt: skip
    subprocess.run([ARM, "-x", "c++", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-I", str(built / "src"), "-I",
                    str(built / "test"), str(tmp_path / "x.cpp")], check=True, timeout=60)  # fmt: skip


@needs_arm
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"])
def test_make_knows_the_cores(built: Path, tmp_path: Path, core: str) -> None:
    """Without ARCH. The assembly is for the core, too; and the static arena can be left out."""
    folder = shutil.copytree(built, tmp_path / "library")
    names = ("src/digits.c", "src/edgekit_runtime/dsp/conv_tile.S")
    objects = [f"{tmp_path}/elsewhere/{core}/{name}.o" for name in names]
    make = ["make", "-s", f"CORE={core}", f"BUILD={tmp_path}/elsewhere"]
    subprocess.run([*make, *objects], cwd=folder, check=True, timeout=60)
    assert not (folder / "build").exists()
    sizes = [subprocess.run(["arm-none-eabi-size", name], cwd=folder, capture_output=True, text=True, check=True,
                            timeout=60).stdout.splitlines()[1].split() for name in objects]  # fmt: skip
    assert int(sizes[0][2]) >= 1344 and int(sizes[1][0]) > 1000
    without = [
        "CFLAGS=-O1 -Wall -Wextra -Werror -DDIGITS_CALLERS_ARENA",
        objects[0],
        f"{tmp_path}/elsewhere/{core}/test/digits_golden.c.o",
    ]
    subprocess.run([*make, "-B", *without], cwd=folder, check=True, timeout=60)
    size = subprocess.run(["arm-none-eabi-size", objects[0]], cwd=folder, capture_output=True, text=True, check=True,
                          timeout=60).stdout.splitlines()[1].split()  # fmt: skip
    assert int(size[2]) == 0


def test_build_files_name_every_source(built: Path) -> None:
    sources = {path.relative_to(built).as_posix() for path in built.glob("src/**/*.[cS]")}
    assert set(re.findall(r"^    (src/\S+)", (built / "CMakeLists.txt").read_text(), re.M)) == sources
    assert set(re.findall(r"^    (src/\S+)", (built / "Makefile").read_text(), re.M)) == sources
    zephyr = (built / "zephyr/CMakeLists.txt").read_text()
    assert set(re.findall(r"/\.\./(src/\S+\.[cS])", zephyr)) == sources
    document = json.loads((built / "library.json").read_text())
    assert (document["name"], document["build"]["srcDir"]) == ("two_nets", "src")
    assert [(built / "src" / name).is_file() for name in document["headers"]] == [True, True]
    module = (built / "zephyr/module.yml").read_text()
    assert module == "name: edgekit_two_nets\nbuild:\n  cmake: zephyr\n  kconfig: zephyr/Kconfig\n"
    assert "config EDGEKIT_TWO_NETS\n" in (built / "zephyr/Kconfig").read_text()
    assert "Apache License" in (built / "LICENSE").read_text()


def test_no_text_line_is_long_and_no_place_is_left(built: Path) -> None:
    for name in (
        *TEXTS,
        "src/digits.h",
        "src/digits.c",
        "test/digits_golden.c",
        "test/main.c",
        "src/edgekit/quantise.h",
    ):
        text = (built / name).read_text()
        assert not re.search(r"@[A-Z_]+@", text), name
        assert max(map(len, text.splitlines())) <= 120, name


def test_the_same_recipe_gives_the_same_bytes(digits: Part, other: Part) -> None:
    first, second = (GENERATOR.content(made.recipe(digits, other, board="")) for _ in range(2))
    assert list(first.files) == sorted(first.files) and first == second


# -- boards ------------------------------------------------------------------------------------------------------------


@needs_compiler
def test_a_board_without_the_dsp_extension_gets_portable_kernels(tmp_path: Path) -> None:
    path = tmp_path / "plain.tflite"
    path.write_bytes(others())
    recipe = made.recipe(made.part("plain", [mcu_bundles.member(path, dsp=False)]), board="rp2040")
    folder = library(recipe, tmp_path / "library")
    assert not list(folder.glob("src/**/*.S")) and "ASM" not in (folder / "CMakeLists.txt").read_text()
    assert host_test(folder).stdout == "plain: bit-equal\n"
    if shutil.which(ARM):
        subprocess.run(["make", "-s", "golden", "all", "CFLAGS=-O1 -Wall -Wextra -Werror"], cwd=folder, check=True,
                       timeout=100)  # fmt: skip
        assert (folder / "build/cortex-m0plus/libedgekit_demo.a").is_file()


def test_a_board_that_is_too_small_is_said(tmp_path: Path) -> None:
    large = model(tmp_path, "large", mcu_models.wide(160), count=1)
    (warning,) = GENERATOR.content(made.recipe(large, board="nrf52840-dk")).warnings
    assert "large needs an arena of" in warning and "has 262144" in warning


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_an_unknown_board_is_a_usage_error(digits: Part) -> None:
    with pytest.raises(UsageError, match="no board"):
        GENERATOR.check(made.recipe(digits, board="stm32"))


@pytest.mark.parametrize(
    "change, fault",
    [
        ({"labels": ("one",)}, "1 labels for an output of 10"),
        ({"inputs": ()}, "no input or no output"),
        ({"preprocess": msgspec.structs.replace(PICTURE, interpolation="lanczos")}, "lanczos"),
    ],
)  # fmt: skip
def test_contracts_that_make_no_library(digits: Part, change: dict[str, object], fault: str) -> None:
    with pytest.raises(BundleError, match=fault):
        GENERATOR.check(made.recipe(changed(digits, **change), board=""))


def test_other_tensors_than_int8_and_several_variants_are_refused(digits: Part, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no quantised int8"):
        GENERATOR.check(made.simple(tmp_path, "mcu"))
    with pytest.raises(BundleError, match="2 variants"):
        GENERATOR.check(made.recipe(made.part("digits", [*digits.members, *digits.members]), board=""))


@pytest.mark.parametrize("names", [("net", "net"), ("net", "net model"), ("net", "net_input"), ("net", "Net!")])
def test_names_that_clash_in_c_are_refused(digits: Part, other: Part, names: tuple[str, str]) -> None:
    parts = named(digits, names[0]), named(other, names[1])
    if names[1] == "net_input":  # another name, and nothing of the two is the same
        GENERATOR.content(made.recipe(*parts, board=""))
        return
    with pytest.raises(BundleError, match="would both be net"):
        GENERATOR.content(made.recipe(*parts, board=""))


def test_a_header_of_c_is_no_name(digits: Part) -> None:
    with pytest.raises(BundleError, match=r"string\.h, which is C's own"):
        GENERATOR.check(made.recipe(named(digits, "String"), board=""))


def test_a_contract_of_another_file_is_refused(digits: Part) -> None:
    (tensor,) = digits.members[0].variant.contract.outputs
    wrong = msgspec.structs.replace(tensor, quantisation=Quantisation(scale=0.5, zero_point=0))
    with pytest.raises(BundleError, match="not those of its file"):
        GENERATOR.content(made.recipe(changed(digits, outputs=(wrong,)), board=""))


# -- hostile text ------------------------------------------------------------------------------------------------------


@needs_compiler
def test_hostile_names_stay_text(other: Part, tmp_path: Path) -> None:
    labels = tuple(itertools.islice(itertools.cycle(made.HOSTILE), 10))
    one = changed(other, labels=labels)
    (given,) = one.members[0].variant.contract.inputs
    one = changed(one, inputs=(msgspec.structs.replace(given, name=made.HOSTILE[3]),))
    variant = msgspec.structs.replace(one.members[0].variant, golden_source=" ".join(made.HOSTILE))
    member = dataclasses.replace(one.members[0], variant=variant)
    text = " ".join(made.HOSTILE)
    part = made.part(text, [member], licence=made.Licence(name=text, source=text), identifier="hostile")
    recipe = Recipe(name=text, identifier="hostile", parts=(part,), options={"board": ""})
    folder = library(recipe, tmp_path / "library")
    (folder / "test/main.c").write_text(
        '#include "hostile_golden.h"\n#include <stdio.h>\n#include <string.h>\nint main(void)\n{\n'
        "    for (int i = 0; i < HOSTILE_LABELS; i++) {\n"
        "        fwrite(hostile_labels[i], 1, strlen(hostile_labels[i]) + 1, stdout);\n    }\n"
        "    return (int)hostile_self_test();\n}\n"
    )
    done = subprocess.run(["make", "-s", "host-test", "CFLAGS=-O0 -Wall -Wextra -Werror"], cwd=folder,
                          capture_output=True, timeout=100)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(b"\0")[:-1] == [label.encode() for label in labels]
    assert json.loads((folder / "library.json").read_text())["license"] == "Apache-2.0 AND LicenseRef-README"
    assert all(line.startswith(("#", "-", "|", "```")) or "<b>" not in line
               for line in (folder / "README.md").read_text().splitlines())  # fmt: skip


def test_text_as_c() -> None:
    assert string('a"\\?é\n7') == '"a\\042\\134\\077\\303\\251\\0127"'
    assert comment("x */ /* @ \n y") == "x _/ /_ _ _ y".replace("/", "_")
    assert (float32(1.0), float32(0.1), float32(1e-9)) == ("1.0f", "0.1f", "1e-09f")
