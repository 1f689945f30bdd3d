"""A bundle for Linux in use, outside the checkout: the native runner, Python and C on a real model."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from adbd import free_port, phone, require
from command import ZOO
from native import build
from PIL import Image

from edgekit.bundle.linux import GENERATOR
from edgekit.bundle.recipe import Content, Member, Part, Recipe
from edgekit.bundle.records import Contract, DeviceRow, Licence, Manifest, Model, Tensor, Variant
from edgekit.bundle.seal import write
from edgekit.bundle.seal.key import generate
from edgekit.convert.convert import convert
from edgekit.convert.parity import compare
from edgekit.convert.request import ConvertRequest
from edgekit.export.inputs import read_image
from edgekit.harness.launch import run_job
from edgekit.harness.state import parse_cpu_model
from edgekit.job import ENGINE_OF_FORMAT, Job
from edgekit.model.request import LoadRequest
from edgekit.records import Preprocess
from edgekit.version import __version__

PREPROCESS = Preprocess(height=32, width=32)
LABELS = tuple(f'class "{index}" ☃' for index in range(10))
KEY = generate("tests")
WIDTH, HEIGHT = 75, 53


@dataclass(frozen=True)
class Made:
    """A bundle that was written, its recipe, and where this machine's ExecuTorch headers are."""

    folder: Path
    recipe: Recipe
    include: Path

    def make(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Build the examples in C."""
        command = ["make", "-s", "-C", str(self.folder / "c"), f"EXECUTORCH_INCLUDE={self.include}", *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program of the bundle from the bundle's folder, without anything of the checkout's."""
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("EDGEKIT", "PYTHON"))}
        return subprocess.run(list(map(str, command)), cwd=self.folder, env=outside, capture_output=True, text=True,
                              timeout=120, check=False)  # fmt: skip

    def python(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, *arguments)

    def variant(self, format_name: str) -> Variant:
        return next(v for v in self.recipe.parts[0].model.variants if v.format == format_name)


@pytest.fixture(scope="module")
def recipe(own_places: Path) -> Recipe:
    """The tiny network as .tflite and .pte with PyTorch's golden outputs; this machine is a measured device."""
    require("g++")
    build("x86_64")
    load = LoadRequest(spec=f"{ZOO}:tiny")
    outcome = convert(
        ConvertRequest(load=load, formats=("executorch", "litert"), cache=str(own_places / "cache")),
        lambda _event: None,
    )
    assert outcome.errors == {}
    golden = outcome.exported.golden
    stacks = [tuple(np.load(path) for path in paths) for paths in (golden.inputs, golden.outputs)]
    contract = Contract(
        inputs=(Tensor(name="x", identifier="x", shape=(1, 3, 32, 32)),),
        outputs=(Tensor(name="output_0", identifier="output_0", shape=(1, 10)),), preprocess=PREPROCESS, labels=LABELS,
    )  # fmt: skip
    members = tuple(
        Member(Variant(id=f"{a.format}_fp32", artifact_sha256=a.sha256, format=a.format, precision=a.precision,
                       bytes=a.bytes, converter=a.converter, parity=a.parity, contract=contract,
                       golden_samples=golden.count, golden_source=golden.source), Path(a.path), *stacks)
        for a in sorted(outcome.artifacts, key=lambda artifact: artifact.format)
    )  # fmt: skip
    cpu = parse_cpu_model(Path("/proc/cpuinfo").read_text())
    row = DeviceRow(device_name=cpu or "unknown", soc=None, variant="litert_fp32", threads=2, p50_ms=0.1,
                    measurement_id="0" * 32)  # fmt: skip
    model = Model(name='Tiny "net"', identifier="tiny", licence=Licence(name="Apache-2.0", source="the tests"),
                  variants=tuple(member.variant for member in members), devices=(row,))  # fmt: skip
    return Recipe("tiny", "tiny", (Part(model, members),), {"abi": "x86_64"})


def sealed(folder: Path, recipe: Recipe, content: Content) -> Made:
    manifest = Manifest(
        target="linux", name=recipe.name, edgekit_version=__version__, options=dict(recipe.options),
        models=tuple(part.model for part in recipe.parts), runtimes=content.runtimes, warnings=content.warnings,
        files=(),
    )  # fmt: skip
    write.write(folder, manifest, content, key=KEY, expected=write.artifacts(recipe))
    import executorch

    return Made(folder, recipe, Path(executorch.__path__[0]) / "include")


@pytest.fixture(scope="module")
def bundle(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The bundle with its examples in C built in it. Not to be changed."""
    require("gcc", "make")
    made = sealed(tmp_path_factory.mktemp("a board") / "tiny", recipe, GENERATOR.content(recipe))
    done = made.make("CXXFLAGS=-O0")
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture
def copy(bundle: Made, tmp_path: Path) -> Made:
    """One to be changed."""
    return Made(Path(shutil.copytree(bundle.folder, tmp_path / "copy")), bundle.recipe, bundle.include)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """picture.png, and the same pixels as picture.rgb beside it."""
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype("uint8")
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    Image.fromarray(pixels).save(path)
    pixels.tofile(path.with_suffix(".rgb"))
    return path


def by_edgekit(made: Made, variant: Variant, picture: Path, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The picture as input, and edgekit's own host run on it."""
    folder.mkdir()
    given = read_image(picture, PREPROCESS, (1, 3, 32, 32))
    np.save(folder / "given.npy", given[None])
    job = Job(
        harness_version=__version__, mode="outputs", engine=ENGINE_OF_FORMAT[variant.format], threads=1,
        artifact=str(next(m.path for m in made.recipe.parts[0].members if m.variant == variant)),
        artifact_sha256=variant.artifact_sha256, inputs=(str(folder / "given.npy"),), outputs_dir=str(folder),
    )  # fmt: skip
    run_job(job)
    return given, np.load(folder / "output_0.npy")[0]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_the_golden_inputs_pass_in_the_native_runner_with_python_alone(bundle: Made) -> None:
    # Isolated and without site-packages, as on a board where nothing is installed.
    done = bundle.python("-I", "-S", "check.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == ["ok      tiny executorch_fp32: 8 samples by runner",
                                        "ok      tiny litert_fp32: 8 samples by runner"]  # fmt: skip
    assert not list(bundle.folder.rglob("__pycache__"))


def test_the_golden_inputs_pass_from_c_and_python(bundle: Made) -> None:
    for how in ("c", "python"):
        done = bundle.python("check.py", "--with", how)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count(f"8 samples by {how}") == 2, done.stdout
    assert not list(bundle.folder.rglob("__pycache__"))


def test_a_wrong_golden_output_is_told(copy: Made) -> None:
    path = copy.folder / "golden/tiny/litert_fp32/output_0.npy"
    stack = np.load(path)
    stack[0, 0, 3] += 0.01
    np.save(path, stack)
    done = copy.python("check.py")
    assert done.returncode == 1
    assert "FAILED  tiny litert_fp32: output 0: max_abs" in done.stdout
    assert "ok      tiny executorch_fp32" in done.stdout


@pytest.mark.parametrize("format_name", ["litert", "executorch"])
def test_python_c_and_edgekit_agree_bit_by_bit_on_a_picture(
    bundle: Made, picture: Path, tmp_path: Path, format_name: str
) -> None:
    variant = bundle.variant(format_name)
    given, wanted = by_edgekit(bundle, variant, picture, tmp_path / "edgekit")
    chosen = ("--variant", variant.id, "--threads", "1")
    shown = set()
    for name, command in {
        "python": (sys.executable, "python/example.py", picture, *chosen, "--save"),
        "runner": (sys.executable, "python/example.py", picture, *chosen, "--runtime", "runner", "--save"),
        "c": ("c/build/example_tiny", *chosen, "--out"),
        # As on a board whose own C library is too old.
        "c with libraries": ("runner/with-libraries", "c/build/example_tiny", *chosen, "--out"),
    }.items():
        kept = tmp_path / name
        kept.mkdir()
        rest = () if command[0] == sys.executable else (picture.with_suffix(".rgb"), WIDTH, HEIGHT)
        done = bundle.run(*command, kept, *rest)
        assert done.returncode == 0, done.stderr
        assert np.array_equal(np.load(kept / "input_0.npy"), given[None]), name
        assert np.array_equal(np.load(kept / "output_0.npy"), wanted[None]), name
        assert (kept / "output_0.npy").read_bytes() == (tmp_path / "python/output_0.npy").read_bytes(), name
        shown.add(done.stdout)
    (text,) = shown
    best = np.argsort(-wanted[0], kind="stable")[:5]
    assert text.splitlines() == [f'Tiny "net", variant {variant.id}, threads: 1'] + [
        f"{wanted[0, index]:12.6g}  {LABELS[index]}" for index in best
    ]


def test_this_device_runs_what_was_measured_best_on_it(bundle: Made, picture: Path) -> None:
    if parse_cpu_model(Path("/proc/cpuinfo").read_text()) is None:
        pytest.skip("this machine's /proc/cpuinfo gives no name")
    for command in ((sys.executable, "python/example.py", picture),
                    ("c/build/example_tiny", picture.with_suffix(".rgb"), WIDTH, HEIGHT)):  # fmt: skip
        done = bundle.run(*command)
        assert done.stdout.splitlines()[0] == 'Tiny "net", variant litert_fp32, threads: 2', done.stderr


@pytest.mark.parametrize("format_name", ["litert", "executorch"])
def test_one_flipped_bit_is_refused_by_all(copy: Made, picture: Path, format_name: str) -> None:
    variant = copy.variant(format_name)
    (path,) = (copy.folder / "models/tiny").glob(f"{variant.id}.*")
    flip(path)
    done = copy.python("check.py", "--variant", variant.id)
    assert done.returncode == 1 and "was changed" in done.stdout
    done = copy.python("python/example.py", picture, "--variant", variant.id)
    assert done.returncode == 1 and "was changed" in done.stderr and "Traceback" not in done.stderr
    done = copy.run("c/build/example_tiny", "--variant", variant.id, picture.with_suffix(".rgb"), WIDTH, HEIGHT)
    assert done.returncode == 1 and "was changed" in done.stderr
    # The runner does not rely on any of these.
    script = ("import sys; sys.path.insert(0, 'python'); import edgekit_runner as e; c = e.read_config(); "
              "v = e.find_model(c)['variants'][int(sys.argv[1])]; "
              "e.run_by_runner(c, e.BUNDLE, v, v['golden']['inputs'], '.', 1)")  # fmt: skip
    done = copy.python("-c", script, str(copy.recipe.parts[0].model.variants.index(variant)))
    assert done.returncode == 1 and "The runner refused: The artifact's sha256" in done.stderr


def test_the_signature_covers_what_python_reads(copy: Made, picture: Path, tmp_path: Path) -> None:
    for name, key in (("right", KEY), ("wrong", generate("other"))):
        (tmp_path / f"{name}.pub").write_bytes(pem(key))
    command = ("python/example.py", picture, "--variant", "litert_fp32", "--public-key")
    done = copy.python(*command, tmp_path / "right.pub")
    assert done.returncode == 0, done.stderr
    done = copy.python(*command, tmp_path / "wrong.pub")
    assert done.returncode == 1 and "not signed by the key" in done.stderr
    done = copy.python(*command, picture)
    assert done.returncode == 1 and "is no public key in PEM" in done.stderr
    wrapper = copy.folder / "runner/with-libraries"
    flip(wrapper)
    done = copy.python("check.py", "--public-key", tmp_path / "right.pub")
    assert done.returncode == 1 and "runner/with-libraries is not the one that was signed" in done.stderr
    flip(wrapper)
    config = copy.folder / "config.json"
    config.write_text(config.read_text().replace('"threads": 2', '"threads": 1'))
    done = copy.python(*command, tmp_path / "right.pub")
    assert done.returncode == 1 and "config.json is not the one that was signed" in done.stderr
    assert copy.python(*command[:-1]).returncode == 0
    flip(copy.folder / "manifest.json")
    done = copy.python("check.py", "--public-key", tmp_path / "right.pub")
    assert done.returncode == 1 and "not signed by the key" in done.stderr


def pem(key: object) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = key.signer.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((), 2, "give a picture, or --tensors"),
        (("a.png", "--tensors", "b.npy"), 2, "give a picture, or --tensors"),
        (("missing.png",), 1, "missing.png can't be read as a picture"),
        (("README.md",), 1, "README.md can't be read as a picture"),
        (("README.md", "--model", "huge"), 1, "There is no model huge; there are: tiny."),
        (("README.md", "--variant", "int1"), 1, "has no variant int1; it has: executorch_fp32, litert_fp32."),
        (("README.md", "--device", "toaster"), 1, "was not measured on a device toaster"),
        (("README.md", "--threads", "0"), 1, "0 threads were asked for"),
        (("README.md", "--runtime", "magic"), 2, "invalid choice: 'magic'"),
        (("--tensors", "README.md"), 1, "A tensor can't be read"),
        (("--tensors", "golden/tiny/litert_fp32/output_0.npy"), 1, "float32 (1, 3, 32, 32), not float32 (1, 10)"),
        (("--tensors", "a.npy", "b.npy"), 1, "A tensor can't be read"),
    ],
)  # fmt: skip
def test_wrong_arguments_of_the_python_example(bundle: Made, arguments: tuple[str, ...], code: int, text: str) -> None:
    if "--variant" not in arguments:
        arguments = (*arguments, "--variant=litert_fp32")
    done = bundle.python("python/example.py", *arguments)
    assert done.returncode == code and text in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((), 2, "usage: example_tiny"),
        (("a.rgb",), 2, "usage: example_tiny"),
        (("a.rgb", "0", "5"), 2, "usage: example_tiny"),
        (("a.rgb", "5", "5x"), 2, "usage: example_tiny"),
        (("--threads", "two", "a.rgb", "5", "5"), 2, "usage: example_tiny"),
        (("--threads",), 2, "usage: example_tiny"),
        (("--speed", "9", "a.rgb", "5", "5"), 2, "usage: example_tiny"),
        (("--tensors",), 2, "usage: example_tiny"),
        (("--tensors", "a.npy", "b.npy"), 2, "usage: example_tiny"),
        (("a.rgb", "5", "5"), 1, "a.rgb can't be read: No such file"),
        (("README.md", "5", "5"), 1, "README.md has not 75 bytes, 5 x 5 pixels of RGB"),
        (("README.md", "20000", "1"), 1, "README.md has not 60000 bytes"),
        (("--variant", "int1", "a.rgb", "5", "5"), 1, 'Tiny "net" has no variant int1 here.'),
        (("--threads", "4096", "a.rgb", "5", "5"), 1, "4096 threads were asked for; 1 to 1024 can be."),
        (("--bundle", "/nowhere", "a.rgb", "5", "5"), 1, "/nowhere/models/tiny/"),
        (("--tensors", "README.md"), 1, "README.md is no plain .npy file."),
        (("--tensors", "golden/tiny/litert_fp32/output_0.npy"), 1, "is no stack of x: it begins with"),
        (("--out", "/nowhere", "--tensors", "golden/tiny/litert_fp32/input_0.npy"), 1, "/nowhere/input_0.npy can't be"),
    ],
)  # fmt: skip
def test_wrong_arguments_of_the_c_example(bundle: Made, arguments: tuple[str, ...], code: int, text: str) -> None:
    done = bundle.run("c/build/example_tiny", *arguments)
    assert done.returncode == code and text in done.stderr, done.stderr


def test_a_part_that_is_missing_is_named(copy: Made, picture: Path) -> None:
    runtime = copy.folder / "runner/runtime/libLiteRt.so"
    raw = (picture.with_suffix(".rgb"), WIDTH, HEIGHT)
    runtime.write_bytes(b"no library")
    done = copy.run("c/build/example_tiny", "--variant", "litert_fp32", *raw)
    assert done.returncode == 1 and "LiteRT can't be loaded" in done.stderr
    (copy.folder / "runner/with-libraries").chmod(0o644)
    done = copy.python("check.py", "--variant", "litert_fp32")
    assert done.returncode == 1 and "can't be started" in done.stdout and "mode" in done.stdout
    (copy.folder / "config.json").write_text("{")
    done = copy.python("check.py")
    assert done.returncode == 1 and "config.json is damaged" in done.stderr


def test_without_executorchs_headers_the_build_says_what_to_do(copy: Made, picture: Path) -> None:
    copy.make("clean")
    done = copy.make("EXECUTORCH_INCLUDE=/nowhere")
    assert done.returncode != 0 and "headers are not in '/nowhere'" in done.stderr
    done = copy.make("EXECUTORCH_INCLUDE=/nowhere", "WITHOUT_EXECUTORCH=1")
    assert done.returncode == 0, done.stderr
    raw = (picture.with_suffix(".rgb"), WIDTH, HEIGHT)
    done = copy.run("c/build/example_tiny", "--variant", "executorch_fp32", *raw)
    assert done.returncode == 1 and "built without executorch" in done.stderr
    assert copy.run("c/build/example_tiny", "--variant", "litert_fp32", *raw).returncode == 0


# Opens, runs and closes every variant several times, side by side too, and closes what never opened.
_LOOP = """
#include <stdio.h>
#include <string.h>
#include "model_tiny.h"
int main(int count, char **arguments)
{
    static float x[TINY_INPUT_X_COUNT], first[TINY_OUTPUT_OUTPUT_0_COUNT], second[TINY_OUTPUT_OUTPUT_0_COUNT];
    struct tiny a, b;
    for (size_t i = 0; i < TINY_INPUT_X_COUNT; i++) x[i] = (float)(i % 7) / 7;
    for (int i = 0; i < 3 * (count - 2); i++) {
        const char *variant = arguments[2 + i % (count - 2)];
        if (tiny_open(&a, arguments[1], variant, 1) || tiny_run(&a, x, first)) return 1;
        if (tiny_open(&b, arguments[1], variant, 1) || tiny_run(&b, x, second)) return 2;
        if (memcmp(first, second, sizeof first) || tiny_run(&a, x, second)) return 3;
        tiny_close(&a);
        if (memcmp(first, second, sizeof first) || tiny_run(&b, x, NULL) != EK_WRONG_ARGUMENT) return 4;
        tiny_close(&b);
        if (tiny_open(&a, "/nowhere", variant, 1) != EK_NO_FILE || !*ek_last_error()) return 5;
        tiny_close(&a);
    }
    puts("done");
    return 0;
}
"""


def test_nothing_leaks_and_nothing_is_read_past_its_end(bundle: Made, tmp_path: Path) -> None:
    (tmp_path / "loop.c").write_text(_LOOP)
    c = bundle.folder / "c"
    names = ["model_tiny.c", "ek_model.c", "ek_sha256.c", "ek_preprocess.c", "ek_litert.c"]
    flags = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{c}"]
    subprocess.run(["gcc", "-std=c11", *flags, "-DEK_WITH_LITERT", tmp_path / "loop.c", *(c / name for name in names),
                    "-ldl", "-lm", "-o", tmp_path / "loop"], check=True)  # fmt: skip
    done = bundle.run(tmp_path / "loop", bundle.folder, "litert_fp32")
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-3000:]


def test_cmake_builds_the_same(bundle: Made, picture: Path, tmp_path: Path) -> None:
    require("cmake")
    facts = (f"-DEXECUTORCH_INCLUDE={bundle.include}", "-DCMAKE_CXX_FLAGS=-O0")
    configure = ["cmake", "-S", bundle.folder / "c", "-B", tmp_path, *facts]
    for command in (configure, ["cmake", "--build", tmp_path]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    for variant in ("litert_fp32", "executorch_fp32"):
        arguments = ("--variant", variant, picture.with_suffix(".rgb"), WIDTH, HEIGHT)
        done = bundle.run(tmp_path / "example_tiny", *arguments)
        assert done.returncode == 0 and done.stdout == bundle.run("c/build/example_tiny", *arguments).stdout, (
            done.stderr
        )


@pytest.fixture(scope="module")
def arm64(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The bundle for arm64 with its examples in C cross-compiled in it."""
    require("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++", "make")
    build("arm64-v8a")
    board = replace(recipe, options={"abi": "arm64-v8a"})
    made = sealed(tmp_path_factory.mktemp("arm64") / "board", board, GENERATOR.content(board))
    done = made.make("CC=aarch64-linux-gnu-gcc", "CXX=aarch64-linux-gnu-g++", "CXXFLAGS=-O0")
    assert done.returncode == 0, done.stderr
    return made


def test_a_bundle_for_another_machine_says_so(arm64: Made) -> None:
    done = arm64.python("check.py")
    assert done.returncode == 1
    assert done.stdout.count("This bundle is for arm64-v8a, this machine is x86_64.") == 2


def test_arm64_runs_the_golden_inputs_inside_a_c_program(arm64: Made, tmp_path: Path) -> None:
    require("adb", "qemu-system-aarch64")
    target = "/data/local/tmp/board"
    with phone() as machine, adb_server() as env:
        address = f"{machine.host}:{machine.port}"

        def adb(*arguments: str | Path) -> str:
            command = ["adb", "-s", address, *map(str, arguments)]
            return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=120).stdout

        subprocess.run(["adb", "connect", address], env=env, check=True, capture_output=True, timeout=60)
        adb("push", arm64.folder, target)
        # That machine has no C library of its own where programs look for it.
        version = adb("shell", f"cd {target} && sh runner/with-libraries runner/runner --version")
        assert f'"{__version__}"' in version
        for variant in arm64.recipe.parts[0].model.variants:
            source = f"golden/tiny/{variant.id}/input_0.npy"
            out = adb("shell", f"cd {target} && sh runner/with-libraries c/build/example_tiny --variant {variant.id} "
                      f"--threads 2 --out . --tensors {source} && echo finished")  # fmt: skip
            assert "finished" in out
            adb("pull", f"{target}/output_0.npy", tmp_path)
            wanted = np.load(arm64.folder / source.replace("input", "output"))
            judged = compare([np.load(tmp_path / "output_0.npy")], [wanted], "fp32")
            assert judged.passed, judged.reason


@contextlib.contextmanager
def adb_server() -> Iterator[dict[str, str]]:
    """The environment of an adb server of the test's own, which ends with the block."""
    env = {**os.environ, "ANDROID_ADB_SERVER_PORT": str(free_port())}
    try:
        yield env
    finally:
        subprocess.run(["adb", "kill-server"], env=env, capture_output=True, timeout=60, check=False)
