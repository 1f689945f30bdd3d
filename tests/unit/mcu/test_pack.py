"""Packed models: what is written, that it is always the same, and that a damaged one is refused."""

from __future__ import annotations

import random
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest

from edgekit.convert.mcu.kernels import KERNELS
from edgekit.convert.mcu.pack import ALIGN, CRC_FROM, HEADER, pack, step_name
from edgekit.convert.mcu.steps import Buffer, Endpoint, Plan, Program, Step
from edgekit.convert.mcu.unpack import unpack
from edgekit.errors import ConvertError, ModelError
from edgekit.harness.mcu_model import HostModel

from .compiler import needs_compiler

SHA = "ab" * 32
CONV = KERNELS["conv"].fields


def fields(out_c):
    """A 1x1 convolution over three pixels."""
    window = dict.fromkeys(("in_h", "out_h", "k_h", "k_w", "stride_h", "stride_w", "dilation_h", "dilation_w"), 1)
    return {
        **window, "in_w": 3, "in_c": 4, "out_w": 3, "out_c": out_c, "pad_top": 0, "pad_left": 0, "groups": 1,
        "input_zp": 1, "output_zp": -2, "act_min": -128, "act_max": 127, "layout": 0, "rounding": 0,
        "scratch_bytes": 24,
    }  # fmt: skip


def step(name, read, write, weights, *, scratch=24):
    data = {
        "weights": weights, "bias": np.zeros(4, np.int32), "multiplier": np.full(4, 2**30, np.int32),
        "shift": np.full(4, -3, np.int32),
    }  # fmt: skip
    offsets = {"input": read, "output": write}
    return Step(name, "conv", (read,), (write,), scratch, (), fields(4), offsets, data, macs=48)


def program(*, dsp=False):
    weights = np.arange(16, dtype=np.int8)
    buffers = (Buffer("x", 12), Buffer("y", 12), Buffer("z", 12))
    steps = (step("0 CONV_2D first/layer", 0, 1, weights), step("1 CONV_2D second", 1, 2, weights + 1, scratch=0))
    steps = (steps[0], replace(steps[1], fields={**steps[1].fields, "scratch_bytes": 0}))
    inputs = (Endpoint("image", 0, (1, 3, 4), 0.5, 3, True),)
    outputs = (Endpoint("scores", 2, (1, 12), 0.25, -1, False),)
    return Program("net", SHA, buffers, steps, inputs, outputs, dsp)


PLAN = Plan(
    order=(0, 1), offsets=(0, 16, 32), scratch=(48, 0), arena_bytes=80, lower_bound_bytes=80, peak_step=0, seconds=0.0
)


def test_everything_comes_back():
    packed = unpack(pack(program(), PLAN))
    assert (packed.name, packed.source_sha256, packed.dsp, packed.arena_bytes) == ("net", SHA, False, 80)
    (read,), (made,) = packed.inputs, packed.outputs
    assert (read.offset, read.bytes, read.scale, read.zero_point, read.float_outside) == (0, 12, 0.5, 3, True)
    assert (made.offset, made.shape, made.float_outside) == (32, (1, 12), False)
    first, second = packed.operators
    assert (first.name, first.kind, first.kernel) == ("0 CONV_2D", 1, "conv")
    assert {name: first.fields[name] for name in ("input", "output", "scratch", "scratch_bytes")} == {
        "input": 0, "output": 16, "scratch": 48, "scratch_bytes": 24,
    }  # fmt: skip
    assert (second.fields["scratch"], second.fields["output_zp"]) == (0, -2)
    assert tuple(first.fields) == CONV
    assert packed.peak_operator == "0 CONV_2D"


def test_an_order_of_axes_comes_back():
    made = program()
    moved = replace(made.inputs[0], shape=(1, 3, 4, 1), axes=(0, 2, 3, 1))
    packed = unpack(pack(replace(made, inputs=(moved,)), PLAN))
    assert packed.inputs[0].axes == (0, 2, 3, 1)
    assert packed.outputs[0].axes == (0, 1)


@needs_compiler
def test_axes_that_are_no_order_are_refused():
    content = bytearray(pack(program(), PLAN))
    at = HEADER.unpack_from(content)[11] + 44
    struct.pack_into("<i", content, at, 0x110)
    struct.pack_into("<I", content, 12, zlib.crc32(bytes(content[CRC_FROM:])))
    with pytest.raises(ModelError, match="axes"):
        unpack(bytes(content))
    with pytest.raises(ModelError):
        HostModel(bytes(content))


def test_data_is_aligned_and_equal_pieces_are_stored_once():
    content = pack(program(), PLAN)
    packed = unpack(content)
    first, second = (operator.fields for operator in packed.operators)
    pieces = {first[name] for name in ("weights", "bias", "multiplier", "shift")} | {second["weights"]}
    assert len(pieces) == 5
    assert all(offset % ALIGN == 0 for offset in pieces)
    assert [first[name] for name in ("bias", "multiplier", "shift")] == [
        second[name] for name in ("bias", "multiplier", "shift")
    ]
    assert packed.data_bytes == 5 * 16
    data_at = HEADER.unpack_from(content)[12]
    assert data_at % ALIGN == 0
    weights = content[data_at + second["weights"] : data_at + second["weights"] + 16]
    assert weights == bytes(range(1, 17))


def test_header_is_that_of_the_c_side():
    content = pack(program(dsp=True), PLAN)
    magic, version, flags, size, crc = struct.unpack_from("<4sHHII", content)
    assert (magic, version, flags, size) == (b"EKM1", 1, 1, len(content))
    assert crc == zlib.crc32(content[16:])
    assert content[16:48].hex() == SHA
    assert len(content) % 4 == 0


def test_the_order_is_the_plans():
    steps = unpack(pack(program(), replace(PLAN, order=(1, 0)))).operators
    assert [operator.name for operator in steps] == ["1 CONV_2D", "0 CONV_2D"]
    assert steps[1].fields["scratch"] == 48


def test_the_same_program_gives_the_same_bytes():
    assert pack(program(), PLAN) == pack(program(), PLAN)


@needs_compiler
def test_the_runtime_takes_it():
    model = HostModel(pack(program(), PLAN))
    assert (model.name, model.operators, model.arena_bytes) == ("net", ("0 CONV_2D", "1 CONV_2D"), 80)
    assert model.inputs[0].float_outside
    (answer,) = model.run([np.zeros((1, 3, 4), np.int8)])
    assert answer.shape == (1, 12)


@pytest.mark.parametrize("change", [{"in_h": 2**31}, {"unknown": 1}])
def test_a_step_that_does_not_fit_its_record_is_an_error(change):
    made = program()
    broken = replace(made.steps[0], fields={**made.steps[0].fields, **change})
    with pytest.raises(ConvertError) as caught:
        pack(replace(made, steps=(broken, made.steps[1])), PLAN)
    assert caught.value.where == "0 CONV_2D first/layer"


def test_an_endpoint_larger_than_its_buffer_is_an_error():
    made = program()
    with pytest.raises(ConvertError, match="does not fit its 12 bytes"):
        pack(replace(made, outputs=(replace(made.outputs[0], shape=(1, 13)),)), PLAN)


def test_long_names_are_cut_between_characters():
    made = replace(program(), name="ä" * 100)
    assert unpack(pack(made, PLAN)).name == "ä" * 24
    assert step_name("12 CUSTOM_WITH_A_NAME_THAT_GOES_ON somewhere") == "12 CUSTOM_WITH_A_NAME_TH"


def _with(content, at, value):
    """The file with a header word changed and the checksum made right again."""
    made = bytearray(content)
    struct.pack_into("<I", made, at, value)
    struct.pack_into("<I", made, 12, zlib.crc32(bytes(made[CRC_FROM:])))
    return bytes(made)


@pytest.mark.parametrize("at", range(48, 88, 4), ids=lambda at: f"word {at}")
@pytest.mark.parametrize("value", [0xFFFFFFFF, 0x7FFFFFFF, 1])
def test_header_words_that_lie_are_refused_or_harmless(at, value):
    """With a right checksum, so that only the numbers themselves can give it away."""
    try:
        packed = unpack(_with(pack(program(), PLAN), at, value))
    except ModelError as error:
        assert error.where and error.next_step
    else:
        assert len(packed.operators) <= 2


@pytest.mark.parametrize("content, said", [
    (b"", "0 bytes"), (b"\0" * 200, "no packed microcontroller model"), (pack(program(), PLAN)[:-4], "states"),
    (pack(program(), PLAN).replace(b"EKM1\x01", b"EKM1\x02"), "format version 2"),
])  # fmt: skip
def test_other_files_are_refused(content, said):
    with pytest.raises(ModelError, match=said):
        unpack(content, "x.ekm")


def test_every_flipped_bit_is_found():
    content = pack(program(), PLAN)
    chance = random.Random(0)
    for _ in range(300):
        broken = bytearray(content)
        broken[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        with pytest.raises(ModelError):
            unpack(bytes(broken))


def test_a_hostile_file_with_a_right_checksum_never_crashes_the_reader():
    content = pack(program(), PLAN)
    chance = random.Random(1)
    for _ in range(500):
        broken = bytearray(content)
        for _ in range(chance.choice((1, 3, 9))):
            at = chance.randrange(CRC_FROM, len(content) - 4)
            broken[at : at + 4] = chance.choice((0, 1, 2**31 - 1, 2**32 - 1, chance.getrandbits(32))).to_bytes(
                4, "little"
            )
        struct.pack_into("<I", broken, 12, zlib.crc32(bytes(broken[CRC_FROM:])))
        try:
            unpack(bytes(broken))
        except ModelError as error:
            assert error.message
