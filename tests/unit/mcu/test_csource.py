"""The C source of a model: compiles cleanly, holds the same records as the packed file, computes the same."""

from __future__ import annotations

import ctypes
import dataclasses
import random
import re
import subprocess

import numpy as np
import pytest

from edgekit.convert.mcu import csource
from edgekit.convert.mcu.compile import compile_file
from edgekit.convert.mcu.csource import c_source, identifier
from edgekit.convert.mcu.kernels import KERNELS
from edgekit.convert.mcu.plan import plan
from edgekit.convert.mcu.steps import Buffer, Endpoint, Plan, Program, Step
from edgekit.errors import ConvertError
from edgekit.harness.mcu_library import host_library
from edgekit.harness.mcu_model import HostModel
from edgekit.paths import mcu_dir
from tests.tflite_maker import Maker, reference_outputs
from tests.unit.mcu.compiler import needs, needs_compiler

FLAGS = ("-std=c11", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-I", str(mcu_dir() / "include"),
         "-I", str(mcu_dir() / "src"))  # fmt: skip
ARM = "arm-none-eabi-gcc"


def build(source, folder, *, extra=""):
    """The source as a loaded library, linked with the runtime; ``extra`` C text sees its static parts."""
    (folder / f"{source.name}.h").write_text(source.header)
    (folder / f"{source.name}.c").write_text(source.code)
    (folder / "all.c").write_text(f'#include "{source.name}.c"\n{extra}\n')
    library, out = host_library(), folder / "model.so"
    subprocess.run(
        ["cc", *FLAGS, "-DEK_HOST_LAYOUTS", "-O1", "-fPIC", "-shared", str(folder / "all.c"), str(library),
         f"-Wl,-rpath,{library.parent}", "-o", str(out)],
        check=True, timeout=120,
    )  # fmt: skip
    return ctypes.CDLL(str(out))


def every_kernel():
    """One step per kernel with numbers of its own in every field."""
    chance = random.Random(1)
    steps = []
    for kernel, row in KERNELS.items():
        fields = {name: chance.choice((chance.randint(-(2**31), 2**31 - 1), -(2**31))) for name in row.fields}
        scratch = 24 if "scratch" in row.fields else 0
        fields.pop("scratch", None)
        if scratch:
            fields["scratch_bytes"] = scratch
        steps.append(Step(f"{len(steps)} {kernel}", kernel, (0,), (1,), scratch, (), fields, {}, {}))
    ends = [Endpoint(name, i, (40,), 0.1, 0, False) for i, name in enumerate(("in", "out"))]
    return Program("every kernel", "", (Buffer("x", 40), Buffer("y", 40)), tuple(steps), (ends[0],), (ends[1],), False)


@needs_compiler
def test_every_kernels_record_is_that_of_the_packed_file(tmp_path):
    program = every_kernel()
    made = plan(program)
    source = c_source(program, made)
    rows = "".join(f"    {{&step_{i}, sizeof step_{i}}},\n" for i in range(len(program.steps)))
    extra = (
        "typedef struct { const void *record; size_t bytes; } row;\n"
        f"static const row rows[] = {{\n{rows}}};\n"
        "const void *record_of(int i);\nconst void *record_of(int i) { return rows[i].record; }\n"
        "size_t bytes_of(int i);\nsize_t bytes_of(int i) { return rows[i].bytes; }"
    )
    library = build(source, tmp_path, extra=extra)
    library.record_of.restype, library.bytes_of.restype = ctypes.c_void_p, ctypes.c_size_t
    for position, number in enumerate(made.order):
        step = program.steps[number]
        values = dict(step.fields)
        if "scratch" in KERNELS[step.kernel].fields:
            values["scratch"] = made.scratch[number]
        packed = KERNELS[step.kernel].pack(values)
        assert ctypes.string_at(library.record_of(position), library.bytes_of(position)) == packed, step.kernel


def small_model():
    """Convolution, depthwise, a residual addition, pooling, a classifier and softmax."""
    rng = np.random.default_rng(0)
    maker = Maker()
    x = maker.input((1, 12, 12, 3), scale=0.02, zero_point=-5)

    def weighted(kind, read, shape, weights, axis, **options):
        channels = shape[-1]
        scales = rng.uniform(0.004, 0.01, channels).tolist()
        w = maker.constant(rng.integers(-127, 128, weights).astype(np.int8), scale=scales, axis=axis)
        b = maker.constant(rng.integers(-2000, 2000, channels).astype(np.int32), scale=[0.0005] * channels)
        made = maker.tensor(shape, scale=0.05, zero_point=3)
        maker.operator(kind, [read, w, b], [made], **options)
        return made

    a = weighted("CONV_2D", x, (1, 6, 6, 8), (8, 3, 3, 3), 0, padding="SAME", stride_h=2, stride_w=2)
    b = weighted("DEPTHWISE_CONV_2D", a, (1, 6, 6, 8), (1, 3, 3, 8), 3, padding="SAME", depth_multiplier=1)
    c = weighted("CONV_2D", b, (1, 6, 6, 8), (8, 1, 1, 8), 0, padding="SAME")
    d = maker.tensor((1, 6, 6, 8), scale=0.06, zero_point=-2)
    maker.operator("ADD", [a, c], [d], fused_activation_function="NONE")
    e = maker.tensor((1, 1, 1, 8), scale=0.06, zero_point=-2)
    maker.operator(
        "AVERAGE_POOL_2D", [d], [e], padding="VALID", stride_h=6, stride_w=6, filter_height=6, filter_width=6
    )
    f = weighted("CONV_2D", e, (1, 1, 1, 5), (5, 1, 1, 8), 0, padding="VALID")
    g = maker.tensor((1, 1, 1, 5), scale=1 / 256, zero_point=-128)
    maker.operator("SOFTMAX", [f], [g], beta=1.0)
    maker.output(g)
    return maker.build()


@pytest.fixture(scope="module")
def content():
    return small_model()


@pytest.fixture
def compiled(content, tmp_path):
    (tmp_path / "small.tflite").write_bytes(content)

    def run(*, dsp):
        return compile_file(tmp_path / "small.tflite", dsp=dsp, name='Small model: 12x12 */ "x"\n')

    return run


@needs_compiler
@pytest.mark.parametrize("dsp", [False, True])
def test_computes_what_the_packed_file_and_litert_compute(compiled, content, tmp_path, dsp):
    model = compiled(dsp=dsp)
    source = c_source(model.program, model.plan)
    library = build(source, tmp_path)
    host = HostModel(model.ekm)
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(20):
        x = rng.integers(-128, 128, (1, 12, 12, 3), dtype=np.int8)
        y = np.full(5, 99, np.int8)
        run = getattr(library, f"{source.name}_run")
        run(x.ctypes.data_as(ctypes.c_void_p), y.ctypes.data_as(ctypes.c_void_p))
        (expected,) = reference_outputs(content, [x])
        assert y.tolist() == expected.reshape(-1).tolist() == host.run([x])[0].reshape(-1).tolist()
        seen.add(tuple(y.tolist()))
    assert len(seen) > 5


@needs_compiler
def test_the_callers_arena_is_enough_and_endpoints_may_stay_in_it(compiled, tmp_path):
    model = compiled(dsp=False)
    source = c_source(model.program, model.plan)
    library = build(source, tmp_path)
    run = getattr(library, f"{source.name}_run_in")
    memory = np.full(model.plan.arena_bytes + 2 * 64 + 16, 0x5A, np.uint8)
    start = -memory.ctypes.data % 16 + 64
    arena = memory[start : start + model.plan.arena_bytes]
    x = np.random.default_rng(4).integers(-128, 128, (1, 12, 12, 3), dtype=np.int8)
    at_in, at_out = (int(re.search(rf"_{kind}_0_OFFSET (\d+)", source.header)[1]) for kind in ("INPUT", "OUTPUT"))
    arena[at_in : at_in + x.size] = x.reshape(-1).view(np.uint8)
    run(ctypes.c_void_p(arena.ctypes.data), None, None)
    assert arena[at_out : at_out + 5].view(np.int8).tolist() == HostModel(model.ekm).run([x])[0].reshape(-1).tolist()
    assert (memory[:start] == 0x5A).all() and (memory[start + model.plan.arena_bytes :] == 0x5A).all()


@needs(ARM, "Arm compiler")
def test_the_linker_keeps_only_the_operators_used(compiled, tmp_path):
    model = compiled(dsp=False)
    source = c_source(model.program, model.plan)
    (tmp_path / f"{source.name}.h").write_text(source.header)
    (tmp_path / f"{source.name}.c").write_text(source.code)
    (tmp_path / "main.c").write_text(
        f'#include "{source.name}.h"\nint8_t in[432], out[5];\n'
        f"int main(void) {{ {source.name}_run(in, out); return out[0]; }}\n"
    )
    sources = [tmp_path / "main.c", tmp_path / f"{source.name}.c", *sorted((mcu_dir() / "src").glob("*.c"))]
    subprocess.run(
        [ARM, "-mcpu=cortex-m4", "-mthumb", "-Os", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections",
         "--specs=nosys.specs", *FLAGS[:1], *FLAGS[-4:], *map(str, sources), "-o", str(tmp_path / "out.elf")],
        check=True, timeout=120, capture_output=True,
    )  # fmt: skip
    symbols = subprocess.run(
        ["arm-none-eabi-nm", str(tmp_path / "out.elf")], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    kept = set(re.findall(r" ek_(\w+)_portable$", symbols, re.M))
    assert kept == {step.kernel for step in model.program.steps} and "max_pool" not in kept
    assert not re.search(r" (ek_open|ek_crc32|malloc|printf)$", symbols, re.M)


def test_every_variant_of_the_runtime_is_known():
    text = (mcu_dir() / "src/operators.h").read_text()
    found = {variant: set(re.findall(rf" ek_(\w+)_{variant};", text)) for variant in ("dsp", "host")}
    assert found == {variant: set(kernels) for variant, kernels in csource._VARIANTS.items()}
    assert set(re.findall(r" ek_(\w+)_portable;", text)) == set(KERNELS)


@needs_compiler
def test_weights_for_the_dsp_kernels_do_not_compile_without_them(compiled, tmp_path):
    model = compiled(dsp=True)
    source = c_source(model.program, model.plan)
    (tmp_path / f"{source.name}.h").write_text(source.header)
    (tmp_path / f"{source.name}.c").write_text(source.code)
    refused = subprocess.run(
        ["cc", *FLAGS, "-c", str(tmp_path / f"{source.name}.c"), "-o", str(tmp_path / "x.o")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert refused.returncode != 0 and "define EK_DSP" in refused.stderr


@pytest.mark.parametrize(
    "name, expected",
    [
        ("vww_96_int8", "vww_96_int8"), ("MobileNet V2 (0.35)", "mobilenet_v2_0_35"), ("", "model"),
        ("7up", "model_7up"), ("int", "model_int"), ("ek_run", "model_ek_run"), ("__x__", "x"),
        ("ünïcode", "n_code"), ("*/ #define x", "define_x"), ("a" * 200, "a" * 40), ("\n\\\n", "model"),
        ("../../etc/passwd", "etc_passwd"),
    ],
)  # fmt: skip
def test_identifiers(name, expected):
    assert identifier(name) == expected


def test_macros_tell_how_values_are_stored(compiled):
    model = compiled(dsp=False)
    header = c_source(model.program, model.plan).header
    macros = dict(re.findall(r"#define SMALL_MODEL_12X12_X_(\w+) (.+)", header))
    assert macros["ARENA_BYTES"] == str(model.plan.arena_bytes)
    assert macros["INPUT_0_DIMS"] == "{1, 12, 12, 3}" and macros["INPUT_0_ZERO_POINT"] == "(-5)"
    assert np.float32(macros["INPUT_0_SCALE"].rstrip("f")) == np.float32(0.02)
    assert macros["OUTPUT_0_SCALE"] == "0.00390625f" and macros["OUTPUT_0_BYTES"] == "5"


def test_the_same_model_gives_the_same_text(compiled):
    first, second = (compiled(dsp=True) for _ in range(2))
    assert c_source(first.program, first.plan) == c_source(second.program, second.plan)
    assert max(map(len, c_source(first.program, first.plan).code.splitlines())) <= 160


@pytest.mark.parametrize(
    "change, fault",
    [
        (lambda f: f.pop("count"), r"fields that differ: \['count'\]"),
        (lambda f: f.update(extra=1), r"fields that differ: \['extra'\]"),
        (lambda f: f.update(count=2**31), "no int32"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(change, fault):
    fields = {"count": 40, "input": 0, "output": 0, "table": 0}
    change(fields)
    program = every_kernel()
    step = Step("0 LOGISTIC", "lookup", (0,), (1,), 0, (), fields, {}, {})
    made = Plan((0,), (0, 0), (0,), 40, 40, 0, 0.0)
    with pytest.raises(ConvertError, match=fault):
        c_source(dataclasses.replace(program, steps=(step,)), made)


def test_data_of_a_type_without_a_name_in_c_is_refused():
    program = every_kernel()
    step = Step("0 LOGISTIC", "lookup", (0,), (1,), 0, (), {"count": 40, "input": 0, "output": 0}, {},
                {"table": np.zeros(256, np.float64)})  # fmt: skip
    with pytest.raises(ConvertError, match="float64"):
        c_source(dataclasses.replace(program, steps=(step,)), Plan((0,), (0, 0), (0,), 40, 40, 0, 0.0))
