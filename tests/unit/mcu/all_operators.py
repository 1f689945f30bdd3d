"""A small model with every operator: its numbers mean nothing, but all of them pass the checks."""

from __future__ import annotations

import numpy as np

from .convolutions import ORDER_CHANNELS, PLAIN, STREAM, Case, Layer
from .packing import Data, Place, pack

ARENA = 8192
_IN, _OUT, _SCRATCH = 0, 1024, 1536
_HALF = {"multiplier": 1 << 30, "shift": -1}


def model() -> bytes:
    """Every kernel of kernels.py once, convolutions once per layout."""
    data = Data()
    records = [*_convolutions(data), *_elementwise(data), *_windows(data), *_rows(data), *_moves(data)]
    return pack(records, bytes(data.content), ARENA, [Place(_IN, (1, 4, 4, 8))], [Place(_OUT, (1, 4, 4, 8))])


def _convolutions(data: Data) -> list[tuple[str, dict[str, int]]]:
    plain, deep = Case(4, 4, 6, 5, 3, 3, seed=1), Case(1, 1, 1400, 5, 1, 1, seed=7)
    grouped = Case(4, 4, 6, 4, 3, 2, groups=2, stride_h=2, seed=2)
    depthwise, wider = Case(4, 4, 8, 8, 3, 3, groups=None, seed=3), Case(4, 4, 3, 6, 3, 3, groups=None, dilation_h=2)
    taps = Case(4, 4, 8, 8, 2, 3, groups=None, stride_w=2, seed=5)
    apart = {"input": _IN, "output": _OUT, "scratch": _SCRATCH}
    in_place = {**apart, "output": _IN}
    made = [
        Layer(plain).record(PLAIN, data, **apart),
        Layer(plain).record(STREAM, data, **apart),
        Layer(deep).record(STREAM, data, **apart),
        Layer(grouped).record(PLAIN, data, **apart),
        Layer(depthwise).record(PLAIN, data, order=ORDER_CHANNELS, **in_place),
        Layer(depthwise).record(STREAM, data, **in_place),
        Layer(taps).record(STREAM, data, **apart),
        Layer(wider).record(PLAIN, data, **apart),
    ]
    assert {(kernel, fields["layout"]) for kernel, fields in made} == {
        ("conv", 0), ("conv", 2), ("conv", 3), ("depthwise", 0), ("depthwise", 2), ("depthwise", 3)
    }  # fmt: skip
    return made


def _array(name: str, *values: int) -> dict[str, int]:
    return {f"{name}_{i}": value for i, value in enumerate(values)}


def _elementwise(data: Data) -> list[tuple[str, dict[str, int]]]:
    constant = data.add(np.arange(8, dtype=np.int8))
    two = {
        "a": _IN, "b": constant, "a_constant": 0, "b_constant": 1, "output": _OUT, **_array("dims", 1, 1, 4, 4, 8),
        **_array("a_strides", 0, 0, 32, 8, 1), **_array("b_strides", 0, 0, 0, 0, 1),
    }  # fmt: skip
    scaled = {
        "a_zp": 3, "a_multiplier": 1 << 30, "a_shift": 0, "b_zp": -5, "b_multiplier": 1 << 30, "b_shift": -2,
        "output_zp": 7, "output_multiplier": 1 << 30, "output_shift": -18,
    }  # fmt: skip
    act = {"act_min": -100, "act_max": 100}
    slopes = {"positive_multiplier": 1 << 30, "positive_shift": 1, "negative_multiplier": 1 << 30, "negative_shift": -6}
    return [
        ("add", {**two, **scaled, **act, "subtract": 0}),
        ("mul", {**two, **_HALF, **act, "a_zp": 3, "b_zp": -5, "output_zp": 7}),
        ("squared_difference", {**two, **scaled}),
        ("minmax", {**two, "maximum": 1}),
        ("prelu", {**two, **slopes, "input_zp": 3, "alpha_zp": 2, "output_zp": 0}),
    ]


def _windows(data: Data) -> list[tuple[str, dict[str, int]]]:
    pool = {
        "input": _IN, "output": _OUT, "in_h": 4, "in_w": 4, "channels": 8, "out_h": 2, "out_w": 2, "k_h": 3, "k_w": 3,
        "stride_h": 2, "stride_w": 2, "pad_top": 0, "pad_left": 1, "act_min": -128, "act_max": 127,
    }  # fmt: skip
    resize = {"input": _IN, "output": _OUT, "in_h": 4, "in_w": 4, "channels": 8, "out_h": 6, "out_w": 3}
    rows, columns = (data.add(np.array(p, np.int32)) for p in ([0, 0, 1, 2, 3, 3], [0, 1, 3]))
    bilinear = {"scale_h": 683, "scale_w": 1365, "offset_h": -170, "offset_w": 170}
    return [
        ("average_pool", pool),
        ("max_pool", pool),
        ("resize_bilinear", {**resize, **bilinear}),
        ("resize_nearest", {**resize, "rows": rows, "columns": columns}),
    ]


def _rows(data: Data) -> list[tuple[str, dict[str, int]]]:
    table = data.add(np.array([2**31 - 1, *(2**30 // i for i in range(1, 256))], np.int32))
    lookup = data.add(np.arange(256, dtype=np.uint8))
    reduction = {
        "input": _IN, "output": _OUT, **_array("kept", 1, 1, 8), **_array("kept_strides", 128, 128, 1),
        **_array("reduced", 1, 4, 4), **_array("reduced_strides", 128, 32, 8),
    }  # fmt: skip
    product = {
        "a": _IN, "b": 256, "a_constant": 0, "b_constant": 0, "output": _OUT, **_array("batches", 1, 2, 3),
        **_array("a_batch_strides", 0, 32, 0), **_array("b_batch_strides", 0, 0, 20), "rows": 4, "depth": 8,
        "columns": 5, "a_row_stride": 8, "a_depth_stride": 1, "b_depth_stride": 5, "b_column_stride": 1, "a_zp": 2,
        "b_zp": -3, "output_zp": 4, **_HALF,
    }  # fmt: skip
    return [
        ("reduce", {**reduction, "input_zp": 1, "output_zp": 2, **_HALF}),
        ("reduce_max", reduction),
        ("softmax", {"input": _IN, "output": _OUT, "rows": 4, "depth": 20, "table": table}),
        ("lookup", {"input": _IN, "output": _OUT, "count": 100, "table": lookup}),
        ("batch_matmul", product),
    ]


def _moves(data: Data) -> list[tuple[str, dict[str, int]]]:
    copy = {
        "input": _IN, "input_constant": 0, "output": _OUT, "bytes": 4, **_array("dims", 1, 1, 2, 3, 4, 5),
        **_array("input_strides", 0, 0, 64, 16, 4, 8), **_array("output_strides", 0, 0, 240, 80, 20, 4),
        "output_start": 8, "input_start": 4, "fill_bytes": 500, "fill_value": -3,
    }  # fmt: skip
    return [("copy", copy), ("fill", {"output": _OUT, "bytes": 77, "value": -1})]
