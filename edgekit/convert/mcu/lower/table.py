"""Which operator is lowered by what. LiteRT's name → Lowering; what is not here can't be compiled."""

from __future__ import annotations

from edgekit.convert.mcu.lower import (
    convolution,
    copies,
    elementwise,
    matmul,
    pooling,
    reductions,
    resizing,
    unary,
)
from edgekit.convert.mcu.lower.context import Lowering
from edgekit.convert.mcu.tables import TABLES

LOWERINGS: dict[str, Lowering] = {
    "CONV_2D": convolution.conv_2d,
    "DEPTHWISE_CONV_2D": convolution.depthwise_conv_2d,
    "FULLY_CONNECTED": convolution.fully_connected,
    "ADD": elementwise.add,
    "SUB": elementwise.sub,
    "MUL": elementwise.mul,
    "SQUARED_DIFFERENCE": elementwise.squared_difference,
    "MINIMUM": elementwise.minimum,
    "MAXIMUM": elementwise.maximum,
    "PRELU": elementwise.prelu,
    "AVERAGE_POOL_2D": pooling.average_pool,
    "MAX_POOL_2D": pooling.max_pool,
    "MEAN": reductions.mean,
    "REDUCE_MAX": reductions.reduce_max,
    "SOFTMAX": unary.softmax,
    **dict.fromkeys(TABLES, unary.lookup),
    "SLICE": copies.slice_,
    "STRIDED_SLICE": copies.strided_slice,
    "TRANSPOSE": copies.transpose,
    "CONCATENATION": copies.concatenation,
    "SPLIT": copies.split,
    "SPLIT_V": copies.split_v,
    "PACK": copies.pack,
    "UNPACK": copies.unpack,
    "PAD": copies.pad,
    "PADV2": copies.pad,
    "SPACE_TO_DEPTH": copies.space_to_depth,
    "DEPTH_TO_SPACE": copies.depth_to_space,
    "TILE": copies.tile,
    "BROADCAST_TO": copies.broadcast_to,
    "FILL": copies.fill,
    "RESIZE_BILINEAR": resizing.resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": resizing.resize_nearest,
    "BATCH_MATMUL": matmul.batch_matmul,
}
