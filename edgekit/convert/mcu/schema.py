"""Numbers of LiteRT's schema: names of its built-in operators, types and options.

Field numbers are those of ``schema.fbs`` (``ai_edge_litert/schema_py_generated.py`` is made from it; a test holds the
two together). They never change: the schema is kept compatible.
"""

from __future__ import annotations

from typing import Any

from edgekit.convert.files.flat import Table
from edgekit.errors import ConvertError

_NAMES = """
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM
MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS
SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND
SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN
EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2
GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG
SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT
UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU
SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE
MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5
SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO
RFFT2D CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL
CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE
RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX
UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD
STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP STABLEHLO_CONCATENATE
STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS
STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE
STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH
STABLEHLO_SCATTER STABLEHLO_COMPARE STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE
STABLEHLO_PAD STABLEHLO_IOTA STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE
STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE
STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT STABLEHLO_CASE
"""
OPERATORS: tuple[str, ...] = tuple(_NAMES.split())
CUSTOM = OPERATORS.index("CUSTOM")

TENSOR_TYPES: tuple[str, ...] = (
    "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8", "float64",
    "complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16", "int2", "uint4",
    "float8_e4m3fn", "float8_e5m2",
)  # fmt: skip
# Those that numpy has too, so that constants of them can be read.
READABLE = frozenset(("float32", "float16", "int32", "uint8", "int64", "bool", "int16", "int8", "float64"))

_ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")
_ENUMERATIONS: dict[str, tuple[str, ...]] = {
    "padding": ("SAME", "VALID"),
    "fused_activation_function": _ACTIVATIONS,
    "mode": ("REFLECT", "SYMMETRIC"),
    "weights_format": ("DEFAULT", "SHUFFLED4x16INT8"),
}
MAX_OPTION_ENTRIES = 64

# Per option: its name in the schema, the number of its field, and what it is: "int", "bool", "float", "ints" or "enum"
# (with the names of _ENUMERATIONS). A number after a colon is the default, which is 0 otherwise.
_Option = tuple[str, int, str]
_ACTIVATION: _Option = ("fused_activation_function", 0, "enum")
_POOL: tuple[_Option, ...] = (
    ("padding", 0, "enum"), ("stride_w", 1, "int"), ("stride_h", 2, "int"), ("filter_width", 3, "int"),
    ("filter_height", 4, "int"), ("fused_activation_function", 5, "enum"),
)  # fmt: skip
_REDUCER: tuple[_Option, ...] = (("keep_dims", 0, "bool"),)
_SPLITS: tuple[_Option, ...] = (("num_splits", 0, "int"),)
_BLOCK: tuple[_Option, ...] = (("block_size", 0, "int"),)

OPTIONS: dict[str, tuple[_Option, ...]] = {
    "CONV_2D": (
        ("padding", 0, "enum"), ("stride_w", 1, "int"), ("stride_h", 2, "int"),
        ("fused_activation_function", 3, "enum"), ("dilation_w_factor", 4, "int:1"), ("dilation_h_factor", 5, "int:1"),
    ),
    "DEPTHWISE_CONV_2D": (
        ("padding", 0, "enum"), ("stride_w", 1, "int"), ("stride_h", 2, "int"), ("depth_multiplier", 3, "int"),
        ("fused_activation_function", 4, "enum"), ("dilation_w_factor", 5, "int:1"), ("dilation_h_factor", 6, "int:1"),
    ),
    "FULLY_CONNECTED": (_ACTIVATION, ("weights_format", 1, "enum"), ("keep_num_dims", 2, "bool")),
    "ADD": (_ACTIVATION,), "SUB": (_ACTIVATION,), "MUL": (_ACTIVATION,), "DIV": (_ACTIVATION,),
    "AVERAGE_POOL_2D": _POOL, "MAX_POOL_2D": _POOL, "L2_POOL_2D": _POOL,
    "MEAN": _REDUCER, "SUM": _REDUCER, "REDUCE_MAX": _REDUCER, "REDUCE_MIN": _REDUCER,
    "MIRROR_PAD": (("mode", 0, "enum"),),
    "CONCATENATION": (("axis", 0, "int"), ("fused_activation_function", 1, "enum")),
    "STRIDED_SLICE": (
        ("begin_mask", 0, "int"), ("end_mask", 1, "int"), ("ellipsis_mask", 2, "int"), ("new_axis_mask", 3, "int"),
        ("shrink_axis_mask", 4, "int"), ("offset", 5, "bool"),
    ),
    "SPLIT": _SPLITS, "SPLIT_V": _SPLITS,
    "PACK": (("values_count", 0, "int"), ("axis", 1, "int")),
    "UNPACK": (("num", 0, "int"), ("axis", 1, "int")),
    "RESHAPE": (("new_shape", 0, "ints"),), "SQUEEZE": (("squeeze_dims", 0, "ints"),),
    "RESIZE_BILINEAR": (("align_corners", 2, "bool"), ("half_pixel_centers", 3, "bool")),
    "RESIZE_NEAREST_NEIGHBOR": (("align_corners", 0, "bool"), ("half_pixel_centers", 1, "bool")),
    "SOFTMAX": (("beta", 0, "float"),), "LEAKY_RELU": (("alpha", 0, "float"),),
    "BATCH_MATMUL": (("adj_x", 0, "bool"), ("adj_y", 1, "bool")), "GELU": (("approximate", 0, "bool"),),
    "SPACE_TO_DEPTH": _BLOCK, "DEPTH_TO_SPACE": _BLOCK,
}  # fmt: skip


def read_options(kind: str, table: Table | None, place: str) -> dict[str, Any]:
    """The options of an operator by name; those that the file leaves out have their defaults.

    Raises:
        ConvertError: an enumeration's number has no name, or a list is too long.
    """
    return {name: _value(name, field, sort, table, place) for name, field, sort in OPTIONS.get(kind, ())}


def _value(name: str, field: int, sort: str, table: Table | None, place: str) -> Any:
    sort, _, default = sort.partition(":")
    if sort == "float":
        return 0.0 if table is None else table.real(field)
    if sort == "bool":
        return bool(table.number(field, "<B")) if table is not None else False
    if sort == "int":
        return int(default or 0) if table is None else table.number(field, default=int(default or 0))
    if sort == "enum":
        return _enumeration(name, 0 if table is None else table.number(field, "<b"), place)
    if table is not None and table.count(field) > MAX_OPTION_ENTRIES:
        raise _unreadable(f"its option {name} has {table.count(field)} entries", place)
    return () if table is None else tuple(table.vector(field, "i4").tolist())


def _enumeration(name: str, number: int, place: str) -> str:
    names = _ENUMERATIONS[name]
    if not 0 <= number < len(names):
        raise _unreadable(f"its option {name} is {number}, which means nothing", place)
    return names[number]


def _unreadable(what: str, place: str) -> ConvertError:
    return ConvertError(
        f"An operator can't be read: {what}.",
        where=place,
        next_step="Convert the model again, with a LiteRT converter that edgekit knows.",
        format="mcu",
    )
