"""Operators that move bytes, and resizing, against LiteRT's reference kernels, bit for bit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgekit.errors import ConvertError
from tests.tflite_maker import Maker, random_inputs
from tests.unit.mcu.compiler import needs_compiler
from tests.unit.mcu.litert import check_equal, compiled

pytestmark = needs_compiler

Q = (0.05, -3)


def model(kind, shapes, outputs, constants=(), *, first=0, **options):
    """One operator; its constants come after its int8 inputs, with ``first`` before them."""
    maker = Maker()
    reads = [maker.input(shape, *Q) for shape in shapes]
    more = [
        maker.constant(np.asarray(values), *(Q if np.asarray(values).dtype == np.int8 else ())) for values in constants
    ]
    made = [maker.tensor(shape, *Q) for shape in outputs]
    maker.operator(kind, more + reads if first else reads + more, made, **options)
    maker.output(*made)
    return maker.build()


def ints(*values):
    return np.array(values, np.int32)


SLICES = [
    ((1, 6, 5, 4), (0, 2, 1, 0), (1, 3, 2, 4)),
    ((1, 6, 5, 40), (0, 0, 0, 7), (1, 6, 5, 20)),
    ((1, 49, 3, 192), (0, 0, 1, 0), (1, 49, 1, 192)),
    ((3, 1, 7), (1, 0, 2), (-1, 1, -1)),
]


@pytest.mark.parametrize(("shape", "begin", "size"), SLICES)
def test_slice(shape, begin, size):
    output = [n - b if s == -1 else s for n, b, s in zip(shape, begin, size, strict=True)]
    made = check_equal(model("SLICE", [shape], [output], [ints(*begin), ints(*size)]))
    assert made.program.steps[0].overlaps[0].distance == 0
    assert made.plan.arena_bytes <= np.prod(shape) + 4


def test_slice_of_everything():
    check_equal(model("SLICE", [(1, 9)], [(1, 9)], [ints(0, 0), ints(1, 9)]))


STRIDED = [
    ((1, 6, 5, 4), (0, 1, 0, 1), (1, 6, 5, 4), (1, 2, 3, 1), {}),
    ((1, 6, 5, 4), (0, -4, 0, 0), (1, -1, 5, -1), (1, 1, 1, 2), {}),
    ((1, 6, 5, 4), (0, 3, 2, 1), (0, 0, 0, 0), (1, 1, 2, 1), {"begin_mask": 1, "end_mask": 15}),
    ((1, 6, 5, 4), (0, 3, 0, 0), (1, 4, 5, 4), (1, 1, 1, 1), {"shrink_axis_mask": 2}),
    ((1, 6, 5, 4), (0, 3), (1, 99), (1, 1), {"shrink_axis_mask": 1}),
    ((1, 6, 5), (-9, 1, 0), (9, 3, 5), (1, 1, 1), {}),
]


@pytest.mark.parametrize(("shape", "begin", "end", "strides", "masks"), STRIDED)
def test_strided_slice(shape, begin, end, strides, masks):
    rank = len(begin)
    index = []
    for axis in range(rank):
        if masks.get("shrink_axis_mask", 0) >> axis & 1:
            index.append(begin[axis])
        else:
            first = None if masks.get("begin_mask", 0) >> axis & 1 else begin[axis]
            last = None if masks.get("end_mask", 0) >> axis & 1 else end[axis]
            index.append(slice(first, last, strides[axis]))
    output = np.zeros(shape)[tuple(index)].shape
    check_equal(model("STRIDED_SLICE", [shape], [output], [ints(*begin), ints(*end), ints(*strides)], **masks))


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_transpose(order):
    check_equal(turned((2, 3, 4, 5), order), rounds=1)


def turned(shape, order):
    """A TRANSPOSE between two RESHAPE, so that no model input or output has a batch."""
    maker = Maker()
    size = int(np.prod(shape))
    read, made = maker.input((1, size), *Q), maker.tensor((1, size), *Q)
    inner, outer = maker.tensor(shape, *Q), maker.tensor([shape[a] for a in order], *Q)
    maker.operator("RESHAPE", [read, maker.constant(ints(*shape))], [inner], new_shape=list(shape))
    maker.operator("TRANSPOSE", [inner, maker.constant(ints(*order))], [outer])
    maker.operator("RESHAPE", [outer, maker.constant(ints(1, size))], [made], new_shape=[1, size])
    maker.output(made)
    return maker.build()


@pytest.mark.parametrize(
    ("shape", "order"),
    [((1, 49, 3, 64), (0, 2, 1, 3)), ((1, 49, 3, 3, 8), (3, 0, 2, 1, 4)), ((1, 2, 3, 2, 3, 2), (0, 5, 3, 1, 4, 2)),
     ((7, 9), (1, 0)), ((1, 1, 6), (2, 0, 1))],
)  # fmt: skip
def test_transpose_of_other_ranks(shape, order):
    check_equal(turned(shape, order))


@pytest.mark.parametrize(("axis", "sizes"), [(3, (4, 1, 7)), (1, (2, 3)), (-1, (16, 16)), (2, (1, 1, 1, 1)), (0, (1,))])
def test_concatenation(axis, sizes):
    shapes = [[n if a != axis % 4 else size for a, n in enumerate((1, 6, 5, 4))] for size in sizes]
    output = [n if a != axis % 4 else sum(sizes) for a, n in enumerate((1, 6, 5, 4))]
    check_equal(model("CONCATENATION", shapes, [output], axis=axis, fused_activation_function="NONE"))


def test_concatenation_with_a_constant():
    values = np.arange(24, dtype=np.int8).reshape(1, 6, 1, 4)
    content = model("CONCATENATION", [(1, 6, 5, 4)], [(1, 6, 6, 4)], [values], axis=2, fused_activation_function="NONE")
    check_equal(content)


@pytest.mark.parametrize(("axis", "parts"), [(3, 4), (1, 2), (-1, 2), (2, 5)])
def test_split(axis, parts):
    shape = (1, 6, 5, 4)
    output = [n if a != axis % 4 else n // parts for a, n in enumerate(shape)]
    check_equal(model("SPLIT", [shape], [output] * parts, [ints(axis).reshape(())], first=1, num_splits=parts))


def test_split_v():
    outputs = [(1, 6, 5, n) for n in (1, 4, 2)]
    check_equal(model("SPLIT_V", [(1, 6, 5, 7)], outputs, [ints(1, 4, 2), ints(3).reshape(())], num_splits=3))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_pack_and_unpack(axis):
    shape = [1, 4, 5]
    whole = list(np.stack([np.zeros(shape)] * 3, axis).shape)
    if axis:  # along 0 it would be a batch
        check_equal(model("PACK", [shape] * 3, [whole], values_count=3, axis=axis))
        check_equal(model("UNPACK", [whole], [shape] * 3, num=3, axis=axis))
    check_equal(model("PACK", [[4, 5]] * 3, [[3, 4, 5]], values_count=3, axis=0))
    check_equal(model("UNPACK", [[3, 4, 5]], [[4, 5]] * 3, num=3, axis=0))


@pytest.mark.parametrize("margins", [[[0, 0], [1, 2], [3, 0], [0, 0]], [[0, 0], [0, 0], [0, 0], [2, 5]], [[0, 0]] * 4])
def test_pad(margins):
    output = [n + sum(m) for n, m in zip((1, 6, 5, 4), margins, strict=True)]
    check_equal(model("PAD", [(1, 6, 5, 4)], [output], [np.array(margins, np.int32)]))
    check_equal(model("PADV2", [(1, 6, 5, 4)], [output], [np.array(margins, np.int32), np.array([77], np.int8)]))


@pytest.mark.parametrize("block", [2, 3])
def test_blocks(block):
    small, large = (1, 4, 5, 3 * block * block), (1, 4 * block, 5 * block, 3)
    check_equal(model("SPACE_TO_DEPTH", [large], [small], block_size=block))
    check_equal(model("DEPTH_TO_SPACE", [small], [large], block_size=block))


@pytest.mark.parametrize(("shape", "times"), [((1, 3, 4), (1, 2, 3)), ((1, 5), (1, 4)), ((2, 3, 2), (2, 1, 2))])
def test_tile(shape, times):
    output = [n * t for n, t in zip(shape, times, strict=True)]
    check_equal(model("TILE", [shape], [output], [ints(*times)]))


@pytest.mark.parametrize(("shape", "output"), [((1, 3, 1), (1, 3, 4)), ((5,), (1, 4, 5)), ((1, 6, 1, 2), (1, 6, 7, 2))])
def test_broadcast_to(shape, output):
    check_equal(model("BROADCAST_TO", [shape], [output], [ints(*output)]))


def test_fill():
    # Joined to an input: LiteRT makes the filled tensor before it runs.
    maker = Maker()
    x, filled, made = maker.input((1, 4, 5), *Q), maker.tensor((1, 4, 3), *Q), maker.tensor((1, 4, 8), *Q)
    maker.operator("FILL", [maker.constant(ints(1, 4, 3)), maker.constant(np.array(-77, np.int8), *Q)], [filled])
    maker.operator("CONCATENATION", [x, filled], [made], axis=2, fused_activation_function="NONE")
    maker.output(made)
    check_equal(maker.build())


SIZES = [((4, 5), (8, 10)), ((7, 3), (3, 11)), ((1, 6), (4, 6)), ((5, 5), (1, 2)), ((3, 3), (7, 13))]


def test_resize_options_and_geometry():
    for kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        for corners, centres in ((False, False), (True, False), (False, True), (True, True)):
            if kind == "RESIZE_BILINEAR" and corners and centres:
                continue  # LiteRT refuses it too
            for size, out in SIZES:
                check_equal(
                    model(kind, [(1, *size, 3)], [(1, *out, 3)], [ints(*out)], align_corners=corners,
                          half_pixel_centers=centres), rounds=1,
                )  # fmt: skip


def test_resizing_that_reads_outside_is_refused():
    with pytest.raises(ConvertError, match="reads outside"):
        compiled(
            model("RESIZE_BILINEAR", [(1, 3, 3, 1)], [(1, 682, 3, 1)], [ints(682, 3)], align_corners=False,
                  half_pixel_centers=False)
        )  # fmt: skip


def test_other_scales_are_refused():
    maker = Maker()
    read, made = maker.input((1, 4), 0.1), maker.tensor((1, 2), 0.2)
    maker.operator("SLICE", [read, maker.constant(ints(0, 1)), maker.constant(ints(1, 2))], [made])
    maker.output(made)
    with pytest.raises(ConvertError, match="differ in scale"):
        compiled(maker.build())


@pytest.mark.parametrize("kind", ["SLICE", "STRIDED_SLICE"])
def test_cuts_outside_the_input_are_refused(kind):
    constants = [ints(0, 3), ints(1, 9)] + ([ints(1, 1)] if kind == "STRIDED_SLICE" else [])
    with pytest.raises(ConvertError, match="it cuts"):
        compiled(model(kind, [(1, 4)], [(1, 9)], constants))


def test_a_chain_of_copies_in_one_arena():
    # Split, transposed parts, joined again: the planner lays the pieces over each other.
    maker = Maker()
    x = maker.input((1, 8, 6, 4), *Q)
    parts = [maker.tensor((1, 8, 3, 4), *Q) for _ in range(2)]
    maker.operator("SPLIT", [maker.constant(ints(2).reshape(())), x], parts, num_splits=2)
    turned = [maker.tensor((1, 3, 8, 4), *Q) for _ in range(2)]
    order = maker.constant(ints(0, 2, 1, 3))
    for part, to in zip(parts, turned, strict=True):
        maker.operator("TRANSPOSE", [part, order], [to])
    joined = maker.tensor((1, 6, 8, 4), *Q)
    maker.operator("CONCATENATION", turned[::-1], [joined], axis=1, fused_activation_function="NONE")
    cut = maker.tensor((1, 6, 4, 2), *Q)
    bounds = [maker.constant(ints(*values)) for values in ((0, 0, 1, 0), (1, 6, 8, 4), (1, 1, 2, 2))]
    maker.operator("STRIDED_SLICE", [joined, *bounds], [cut])
    maker.output(cut)
    content = maker.build()
    check_equal(content, [random_inputs(content, seed) for seed in range(3)])
