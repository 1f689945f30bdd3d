"""Whole models against LiteRT's reference kernels: those of the benchmarks where they are, and others made here."""

from __future__ import annotations

import numpy as np
import pytest
from mcu_host import MODELS, lowered
from tflite_maker import random_inputs, reference_outputs
from tiny_networks import autoencoder, ds_cnn, mobilenet_v3, resnet_8

from edgekit.convert.mcu.compile import Compiled, compile_graph
from edgekit.convert.mcu.tflite import parse_tflite
from edgekit.convert.mcu.unpack import unpack
from edgekit.harness.mcu_model import HostModel

from .compiler import needs_compiler

MADE = {"mobilenet_v3": mobilenet_v3, "resnet_8": resnet_8, "ds_cnn": ds_cnn, "autoencoder": autoencoder}
# Name: the arena's bytes that must be reached.
SHARED = {
    "vww_96_int8": 42_000,
    "mobilenetv2_035_144_int8": 260_000,
    "vit_block_49x192_int8": 56_500,
    "vit_block_196x192_int8": 228_500,
}


def assert_bit_equal(content: bytes, *, rounds: int) -> Compiled:
    made = compile_graph(parse_tflite(content, "model"), dsp=False)
    host = HostModel(made.ekm)
    spread = 0.0
    for seed in range(rounds):
        inputs = random_inputs(content, seed)
        for expected, answer in zip(reference_outputs(content, inputs), host.run(inputs), strict=True):
            np.testing.assert_array_equal(answer, expected)
            spread = max(spread, float(expected.astype(np.float64).std()))
    assert spread > 1  # an output that never moves would prove nothing
    return made


def _shared(name: str) -> bytes:
    path = MODELS / f"{name}.tflite"
    if not path.is_file():
        pytest.skip(f"{name} is not in EDGEKIT_MCU_MODELS")
    return path.read_bytes()


@needs_compiler
@pytest.mark.parametrize("name", SHARED)
def test_reference_model_is_bit_equal(name):
    made = assert_bit_equal(_shared(name), rounds=4)
    assert made.plan.optimal
    assert made.plan.arena_bytes <= SHARED[name]


@pytest.mark.parametrize("name", SHARED)
def test_reference_model_compiles_for_dsp(name):
    made = compile_graph(parse_tflite(_shared(name), name), dsp=True)
    packed = unpack(made.ekm)
    assert packed.dsp
    assert packed.arena_bytes == made.plan.arena_bytes
    assert len(packed.operators) == len(made.program.steps)
    assert sum(step.macs for step in made.program.steps) == sum(
        step.macs for step in lowered(_shared(name), dsp=False).steps
    )


@needs_compiler
@pytest.mark.parametrize("name", MADE)
def test_network_is_bit_equal(name):
    content = MADE[name]()
    made = assert_bit_equal(content, rounds=3)
    assert made.plan.optimal
    unpack(compile_graph(parse_tflite(content, name), dsp=True).ekm)


@pytest.mark.parametrize("name", MADE)
def test_compiling_twice_gives_the_same_bytes(name):
    first, second = (compile_graph(parse_tflite(MADE[name](), name), dsp=True).ekm for _ in range(2))
    assert first == second
