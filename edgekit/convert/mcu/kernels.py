"""The Python mirror of the operator records in ``mcu/include/edgekit/op_*.h``: names of int32 fields, in order."""

from __future__ import annotations

import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class Kernel:
    """One operator record: ``kind`` is its EK_OP_ number, ``fields`` its int32 fields after the head."""

    kind: int
    fields: tuple[str, ...]

    def pack(self, values: dict[str, int]) -> bytes:
        """The record's bytes; every field must be given and no other."""
        if set(values) != set(self.fields):
            raise ValueError(f"fields that differ: {sorted(set(values) ^ set(self.fields))}")
        body = struct.pack(f"<{len(self.fields)}i", *(values[name] for name in self.fields))
        return struct.pack("<HH", self.kind, 4 + len(body)) + body


_WINDOW = ("in_h", "in_w", "in_c", "out_h", "out_w", "out_c", "k_h", "k_w", "stride_h", "stride_w", "dilation_h",
           "dilation_w", "pad_top", "pad_left")  # fmt: skip
_MEMORY = ("input", "output", "scratch", "scratch_bytes")
_OUTPUT = ("input_zp", "output_zp", "act_min", "act_max")
_WEIGHTS = ("weights", "bias", "multiplier", "shift")


def _array(name: str, count: int) -> tuple[str, ...]:
    """The fields of ``int32_t name[count]``."""
    return tuple(f"{name}_{i}" for i in range(count))


_BROADCAST = ("a", "b", "a_constant", "b_constant", "output", *_array("dims", 5), *_array("a_strides", 5),
              *_array("b_strides", 5))  # fmt: skip
_SCALED = ("a_zp", "a_multiplier", "a_shift", "b_zp", "b_multiplier", "b_shift", "output_zp", "output_multiplier",
           "output_shift")  # fmt: skip
_POOL = ("input", "output", "in_h", "in_w", "channels", "out_h", "out_w", "k_h", "k_w", "stride_h", "stride_w",
         "pad_top", "pad_left", "act_min", "act_max")  # fmt: skip
_REDUCTION = ("input", "output", *_array("kept", 3), *_array("kept_strides", 3), *_array("reduced", 3),
              *_array("reduced_strides", 3))  # fmt: skip
_COPY = ("input", "input_constant", "output", "bytes", *_array("dims", 6), *_array("input_strides", 6),
         *_array("output_strides", 6), "output_start", "input_start", "fill_bytes", "fill_value")  # fmt: skip
_RESIZE = ("input", "output", "in_h", "in_w", "channels", "out_h", "out_w")
_MATMUL = ("a", "b", "a_constant", "b_constant", "output", *_array("batches", 3), *_array("a_batch_strides", 3),
           *_array("b_batch_strides", 3), "rows", "depth", "columns", "a_row_stride", "a_depth_stride",
           "b_depth_stride", "b_column_stride", "a_zp", "b_zp", "output_zp", "multiplier", "shift")  # fmt: skip
_PRELU = ("input_zp", "alpha_zp", "output_zp", "positive_multiplier", "positive_shift", "negative_multiplier",
          "negative_shift")  # fmt: skip

KERNELS: dict[str, Kernel] = {
    "conv": Kernel(1, (*_MEMORY, *_WINDOW, "groups", *_OUTPUT, "layout", "rounding", *_WEIGHTS)),
    "depthwise": Kernel(2, (*_MEMORY, *_WINDOW, "depth_multiplier", *_OUTPUT, "layout", "order", *_WEIGHTS)),
    "add": Kernel(3, (*_BROADCAST, "subtract", *_SCALED, "act_min", "act_max")),
    "mul": Kernel(4, (*_BROADCAST, "a_zp", "b_zp", "output_zp", "multiplier", "shift", "act_min", "act_max")),
    "squared_difference": Kernel(5, (*_BROADCAST, *_SCALED)),
    "minmax": Kernel(6, (*_BROADCAST, "maximum")),
    "average_pool": Kernel(7, _POOL),
    "max_pool": Kernel(8, _POOL),
    "reduce": Kernel(9, (*_REDUCTION, "input_zp", "output_zp", "multiplier", "shift")),
    "softmax": Kernel(10, ("input", "output", "rows", "depth", "table")),
    "lookup": Kernel(11, ("input", "output", "count", "table")),
    "copy": Kernel(12, _COPY),
    "fill": Kernel(13, ("output", "bytes", "value")),
    "resize_bilinear": Kernel(14, (*_RESIZE, "scale_h", "scale_w", "offset_h", "offset_w")),
    "resize_nearest": Kernel(15, (*_RESIZE, "rows", "columns")),
    "batch_matmul": Kernel(16, _MATMUL),
    "prelu": Kernel(17, (*_BROADCAST, *_PRELU)),
    "reduce_max": Kernel(18, _REDUCTION),
}
