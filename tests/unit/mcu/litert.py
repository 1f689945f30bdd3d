"""One-operator .tflite models through the compiler and the C runtime, held against LiteRT's reference kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgekit.convert.mcu.compile import Compiled, compile_graph
from edgekit.convert.mcu.tflite import parse_tflite
from edgekit.harness.mcu_model import HostModel
from tests.tflite_maker import Maker, random_inputs, reference_outputs


def compiled(content: bytes, *, dsp: bool = False) -> Compiled:
    """The model, compiled with its memory planned."""
    return compile_graph(parse_tflite(content, "test"), dsp=dsp)


def check_equal(content: bytes, inputs: Sequence[Sequence[Any]] | None = None, *, rounds: int = 2) -> Compiled:
    """The C runtime's outputs are LiteRT's, bit for bit, on the given inputs or ``rounds`` random ones."""
    made = compiled(content)
    host = HostModel(made.ekm)
    for values in inputs or [random_inputs(content, seed) for seed in range(rounds)]:
        expected = reference_outputs(content, values)
        answered = host.run(values)
        assert len(answered) == len(expected)
        for own, reference in zip(answered, expected, strict=True):
            np.testing.assert_array_equal(own, reference)
    return made


def unary(
    kind: str, shape: Sequence[int], source: tuple[float, int], target: tuple[float, int], **options: Any
) -> bytes:
    """A model of one operator with one input; (scale, zero point) of input and output."""
    maker = Maker()
    read = maker.input(shape, *source)
    made = maker.tensor(shape, *target)
    maker.operator(kind, [read], [made], **options)
    maker.output(made)
    return maker.build()
