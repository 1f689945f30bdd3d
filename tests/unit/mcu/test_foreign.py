"""An int8 .tflite made elsewhere: compiled, held against LiteRT's reference kernels, kept in the cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from mcu_agents import convolutions, others
from mcu_models import in_float
from tflite_maker import reference_outputs
from tiny_networks import Network

from edgekit.convert.cache import Cache
from edgekit.convert.mcu import compile as compiling
from edgekit.convert.mcu import foreign
from edgekit.convert.mcu.exact import differences
from edgekit.convert.mcu.foreign import CompiledFile, compile_foreign, for_portable_kernels
from edgekit.convert.mcu.unpack import unpack
from edgekit.convert.request import GoldenRequest
from edgekit.device.foreign import artifact_at
from edgekit.errors import ConvertError, EdgekitError, UsageError
from edgekit.harness.content import sha256_of
from edgekit.records import Parity

from .compiler import needs_compiler
from .tampering import with_other_weights

pytestmark = needs_compiler
GOLDEN = GoldenRequest(count=3)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "net.tflite"
    made.write_bytes(convolutions())
    return made


def loaded(made: CompiledFile) -> tuple[list[Any], list[Any]]:
    return [np.load(name) for name in made.inputs], [np.load(name) for name in made.expected]


@pytest.mark.parametrize("dsp", [False, True])
def test_a_file_is_compiled_and_found_bit_equal(path: Path, cache: Cache, dsp: bool) -> None:
    made = compile_foreign(path, cache, GOLDEN, dsp=dsp)
    artifact = made.artifact
    assert (artifact.format, artifact.precision, artifact.model, artifact.exported_sha256) == (
        "mcu",
        "int8",
        "net",
        None,
    )
    assert (artifact.parity.passed, artifact.parity.bit_equal, artifact.parity.samples) == (True, True, 3)
    assert artifact.sha256 == sha256_of(Path(artifact.path)) and artifact.bytes == Path(artifact.path).stat().st_size
    (inputs,), (expected,) = loaded(made)
    for given, answer in zip(inputs, expected, strict=True):
        np.testing.assert_array_equal(reference_outputs(path.read_bytes(), [given])[0], answer)
    assert expected.std() > 1


def test_generated_inputs_span_int8(path: Path, cache: Cache) -> None:
    (inputs,), _ = loaded(compile_foreign(path, cache, GOLDEN, dsp=False))
    assert inputs.dtype == np.int8 and inputs.shape == (3, 1, 6, 6, 4)
    assert int(inputs.max()) - int(inputs.min()) > 127


def test_a_second_time_it_comes_from_the_cache(path: Path, cache: Cache) -> None:
    first = compile_foreign(path, cache, GOLDEN, dsp=False)
    second = compile_foreign(path, cache, GOLDEN, dsp=False)
    assert (first.artifact.cached, second.artifact.cached) == (False, True)
    assert (first.artifact.sha256, first.inputs, first.expected) == (
        second.artifact.sha256,
        second.inputs,
        second.expected,
    )


@pytest.mark.parametrize("change", ["content", "kernels", "inputs"])
def test_whatever_the_result_depends_on_makes_it_anew(path: Path, cache: Cache, change: str) -> None:
    compile_foreign(path, cache, GOLDEN, dsp=False)
    if change == "content":
        path.write_bytes(others())
    golden = GoldenRequest(count=3, seed=1) if change == "inputs" else GOLDEN
    assert not compile_foreign(path, cache, golden, dsp=change == "kernels").artifact.cached


def test_a_cache_entry_that_was_changed_is_made_again(path: Path, cache: Cache) -> None:
    first = compile_foreign(path, cache, GOLDEN, dsp=False)
    file = Path(first.artifact.path)
    good = file.read_bytes()
    file.write_bytes(with_other_weights(good))
    again = compile_foreign(path, cache, GOLDEN, dsp=False)
    assert not again.artifact.cached and file.read_bytes() == good


def test_golden_inputs_of_the_users_own(path: Path, cache: Cache, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    values = np.random.default_rng(4).normal(0, 2, (2, 1, 6, 6, 4)).astype(np.float32)
    for number, value in enumerate(values):
        np.save(own / f"{number}.npy", value)
    made = compile_foreign(path, cache, GoldenRequest(directory=str(own)), dsp=False)
    (inputs,), _ = loaded(made)
    assert made.artifact.parity.bit_equal is True
    # By the model's own scale and zero point, halves away from zero.
    ratio = (values / np.float32(0.05)).astype(np.float64)
    expected = np.clip(np.trunc(ratio + np.copysign(0.5, ratio)) - 3, -128, 127)
    np.testing.assert_array_equal(inputs, expected.astype(np.int8))


def test_golden_inputs_that_do_not_fit_are_refused(path: Path, cache: Cache, tmp_path: Path) -> None:
    np.save(tmp_path / "0.npy", np.zeros((1, 4, 6, 6), np.float32))
    with pytest.raises(UsageError, match=r"0\.npy"):
        compile_foreign(path, cache, GoldenRequest(directory=str(tmp_path)), dsp=False)
    assert not list((cache.root / "mcu").iterdir())


def test_a_float_model_is_refused_with_how_to_quantise_it(tmp_path: Path, cache: Cache) -> None:
    path = tmp_path / "float.tflite"
    path.write_bytes(in_float())
    with pytest.raises(ConvertError, match="it is a float model") as raised:
        compile_foreign(path, cache, GOLDEN, dsp=False)
    assert "--calibration" in raised.value.next_step
    assert not list((cache.root / "mcu").iterdir()), "nothing half-made is kept"


def test_what_is_no_tflite_is_refused(tmp_path: Path, cache: Cache) -> None:
    path = tmp_path / "text.tflite"
    path.write_text("no model")
    with pytest.raises(EdgekitError) as raised:
        compile_foreign(path, cache, GOLDEN, dsp=False)
    assert raised.value.code in (10, 11)


def test_a_compiler_that_errs_is_caught(path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model is known that is compiled wrongly, so the compiler is made to err."""

    def erring(*arguments: Any, **options: Any) -> compiling.Compiled:
        made = compiling.compile_file(*arguments, **options)
        return replace(made, ekm=with_other_weights(made.ekm))

    monkeypatch.setattr(foreign, "compile_file", erring)
    parity = compile_foreign(path, cache, GOLDEN, dsp=False).artifact.parity
    assert (parity.passed, parity.bit_equal) == (False, False)
    assert parity.reason is not None and "differ: sample 1 of 3, output 0: " in parity.reason


def test_a_model_with_several_inputs_and_outputs(tmp_path: Path, cache: Cache) -> None:
    net = Network(6)
    a, b = net.input(1, 5, 5, 4), net.input(1, 5, 5, 4)
    path = tmp_path / "two.tflite"
    path.write_bytes(net.build(net.add(a, b), net.conv(a, 3)))
    made = compile_foreign(path, cache, GOLDEN, dsp=True)
    assert (len(made.inputs), len(made.expected)) == (2, 2)
    assert made.artifact.parity.bit_equal is True


def test_a_model_from_pytorch_is_packed_anew_for_portable_kernels(path: Path, cache: Cache, tmp_path: Path) -> None:
    dsp = tmp_path / "net.ekm"
    dsp.write_bytes(compiling.compile_file(path, dsp=True, float_outside=True).ekm)
    before = msgspec.structs.replace(artifact_at(dsp), weights="trained", parity=Parity(passed=True, bit_equal=True))
    made = for_portable_kernels(before, cache)
    packed = unpack(Path(made.path).read_bytes())
    assert unpack(dsp.read_bytes()).dsp and not packed.dsp and packed.inputs[0].float_outside
    assert (made.sha256, made.bytes) == (sha256_of(Path(made.path)), Path(made.path).stat().st_size)
    assert (made.model, made.weights, made.parity) == (before.model, before.weights, before.parity)
    given = [np.random.default_rng(3).normal(0, 2, (3, 1, 6, 6, 4)).astype(np.float32)]
    assert differences(path, Path(made.path).read_bytes(), given) == ""
    assert for_portable_kernels(before, cache) == made
