"""Small int8 .tflite models, made tensor by tensor, and what LiteRT's reference kernels answer for them.

    maker = Maker()
    x = maker.input((1, 8, 8, 4), scale=0.05, zero_point=-3)
    w = maker.constant(weights, scale=[0.01] * 8, axis=0)          # int8, per channel
    b = maker.constant(bias, scale=[0.0005] * 8)                   # int32
    y = maker.tensor((1, 8, 8, 8), scale=0.1, zero_point=4)
    maker.operator("CONV_2D", [x, w, b], [y], padding="SAME", stride_h=1, stride_w=1, fused_activation_function="RELU")
    maker.output(y)
    content = maker.build()
    (answer,) = reference_outputs(content, [np.zeros((1, 8, 8, 4), np.int8)])

Options are those of LiteRT's schema in snake_case; enumerations by their names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

Array = npt.NDArray[Any]

_TYPES = {
    "float32": schema.TensorType.FLOAT32, "float16": schema.TensorType.FLOAT16, "int32": schema.TensorType.INT32,
    "uint8": schema.TensorType.UINT8, "int64": schema.TensorType.INT64, "bool": schema.TensorType.BOOL,
    "int16": schema.TensorType.INT16, "int8": schema.TensorType.INT8, "int4": schema.TensorType.INT4,
}  # fmt: skip

# The options of an operator have a name of their own where they are shared. None: it has none.
_OPTIONS: dict[str, str | None] = {
    "CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions", "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions", "L2_POOL_2D": "Pool2DOptions", "FULLY_CONNECTED": "FullyConnectedOptions",
    "ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions", "DIV": "DivOptions",
    "SQUARED_DIFFERENCE": "SquaredDifferenceOptions", "MINIMUM": "MaximumMinimumOptions",
    "MAXIMUM": "MaximumMinimumOptions", "MEAN": "ReducerOptions", "SUM": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions", "REDUCE_MIN": "ReducerOptions", "PAD": "PadOptions", "PADV2": "PadV2Options",
    "MIRROR_PAD": "MirrorPadOptions", "CONCATENATION": "ConcatenationOptions", "SLICE": "SliceOptions",
    "STRIDED_SLICE": "StridedSliceOptions", "SPLIT": "SplitOptions", "SPLIT_V": "SplitVOptions", "PACK": "PackOptions",
    "UNPACK": "UnpackOptions", "RESHAPE": "ReshapeOptions", "SQUEEZE": "SqueezeOptions",
    "EXPAND_DIMS": "ExpandDimsOptions", "TRANSPOSE": "TransposeOptions", "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions", "SOFTMAX": "SoftmaxOptions", "LOGISTIC": None,
    "TANH": None, "RELU": None, "RELU6": None, "RELU_N1_TO_1": None, "RELU_0_TO_1": None, "PRELU": None, "ELU": None,
    "RSQRT": None, "LEAKY_RELU": "LeakyReluOptions", "HARD_SWISH": "HardSwishOptions", "EXP": "ExpOptions",
    "GELU": "GeluOptions", "QUANTIZE": "QuantizeOptions", "DEQUANTIZE": "DequantizeOptions",
    "BATCH_MATMUL": "BatchMatMulOptions", "SPACE_TO_DEPTH": "SpaceToDepthOptions",
    "DEPTH_TO_SPACE": "DepthToSpaceOptions", "ABS": "AbsOptions", "FLOOR": None, "SIN": None, "LOG": None,
    "TILE": "TileOptions", "BROADCAST_TO": "BroadcastToOptions", "FILL": "FillOptions", "NEG": "NegOptions",
}  # fmt: skip

_ENUMERATIONS = {
    "padding": schema.Padding, "fused_activation_function": schema.ActivationFunctionType,
    "mode": schema.MirrorPadMode, "weights_format": schema.FullyConnectedOptionsWeightsFormat,
}  # fmt: skip
_IDENTIFIER = b"TFL3"


class Maker:
    """One model under construction. Every method that makes a tensor returns its number."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = "made for a test"
        self.model.operatorCodes = []
        self.model.buffers = [schema.BufferT()]  # buffer 0 stays empty: that of computed tensors
        self.graph = schema.SubGraphT()
        self.graph.name = "main"
        self.graph.tensors, self.graph.operators = [], []
        self.graph.inputs, self.graph.outputs = [], []
        self.model.subgraphs = [self.graph]
        self._constants: dict[int, bytes] = {}

    def tensor(
        self,
        shape: Sequence[int],
        scale: float | Sequence[float] | None = None,
        zero_point: int | Sequence[int] = 0,
        *,
        dtype: str = "int8",
        axis: int = 0,
        name: str | None = None,
        buffer: int = 0,
    ) -> int:
        """A computed tensor; without a scale it has no quantisation."""
        tensor = schema.TensorT()
        tensor.shape = [int(size) for size in shape]
        tensor.type = _TYPES[dtype]
        tensor.buffer = buffer
        tensor.name = (name or f"tensor_{len(self.graph.tensors)}").encode()
        tensor.hasRank = True
        if scale is not None:
            tensor.quantization = quantisation(scale, zero_point, axis)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def input(self, shape: Sequence[int], scale: float | None = None, zero_point: int = 0, **more: Any) -> int:
        """An input of the model; ``more`` as for :meth:`tensor`."""
        number = self.tensor(shape, scale, zero_point, **more)
        self.graph.inputs.append(number)
        return number

    def output(self, *numbers: int) -> None:
        """Make these tensors outputs of the model."""
        self.graph.outputs.extend(numbers)

    def constant(
        self,
        values: Any,
        scale: float | Sequence[float] | None = None,
        zero_point: int | Sequence[int] = 0,
        *,
        dtype: str | None = None,
        axis: int = 0,
        name: str | None = None,
    ) -> int:
        """A constant; numpy's dtype counts unless ``dtype`` is given."""
        array = np.asarray(values) if dtype is None else np.asarray(values, dtype)
        self.model.buffers.append(schema.BufferT())
        buffer = len(self.model.buffers) - 1
        self._constants[buffer] = np.ascontiguousarray(array).tobytes()
        return self.tensor(
            array.shape, scale, zero_point, dtype=array.dtype.name, axis=axis, name=name, buffer=buffer
        )  # fmt: skip

    def operator(self, kind: str, inputs: Sequence[int], outputs: Sequence[int], **options: Any) -> None:
        """Append an operator; -1 among the inputs is a tensor left out. Without options it has no options table."""
        made = schema.OperatorT()
        made.opcodeIndex = self._code(kind)
        made.inputs, made.outputs = list(inputs), list(outputs)
        of_kind = _OPTIONS[kind]
        if of_kind is not None:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, of_kind)
            made.builtinOptions = getattr(schema, of_kind + "T")()
        for name, value in options.items():
            field = _camel(name)
            if not hasattr(made.builtinOptions, field):
                raise ValueError(f"{kind} has no option {name}")
            setattr(made.builtinOptions, field, _number(name, value))
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):  # LiteRT divides by them
            for field in ("strideW", "strideH", "dilationWFactor", "dilationHFactor"):
                setattr(made.builtinOptions, field, getattr(made.builtinOptions, field) or 1)
        if kind == "DEPTHWISE_CONV_2D" and "depth_multiplier" not in options:
            in_c, out_c = (self.graph.tensors[t].shape[3] for t in (inputs[0], outputs[0]))
            made.builtinOptions.depthMultiplier = out_c // in_c
        self.graph.operators.append(made)

    def build(self, *, external: bool = False) -> bytes:
        """The file. ``external``: constants behind the flatbuffer, as ai-edge-quantizer 0.10 writes them."""
        for number, content in self._constants.items():
            buffer = self.model.buffers[number]
            # Offset and size must be stated on the first pass so that the second is of the same length.
            buffer.data = None if external else np.frombuffer(content, np.uint8)
            buffer.offset, buffer.size = (2, len(content)) if external and content else (0, 0)
        packed = _pack(self.model)
        if not external:
            return packed
        start = -(-len(packed) // 16) * 16
        tail = bytearray()
        for number, content in self._constants.items():
            if content:
                self.model.buffers[number].offset = start + len(tail)
            tail += content + bytes(-len(content) % 16)
        packed = _pack(self.model)
        return packed + bytes(start - len(packed)) + bytes(tail)

    def _code(self, kind: str) -> int:
        number = getattr(schema.BuiltinOperator, kind)
        for index, code in enumerate(self.model.operatorCodes):
            if code.builtinCode == number:
                return index
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
        code.version = _VERSIONS.get(kind, 2)
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1


# The version of an operator that LiteRT registers int8 under, where it is not 2. The interpreter insists on one between
# the kernel's first and last.
_VERSIONS = {
    "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "MAXIMUM": 2, "MINIMUM": 2, "SQUARED_DIFFERENCE": 2,
    "RESHAPE": 1, "EXPAND_DIMS": 1, "SQUEEZE": 1, "HARD_SWISH": 1, "PRELU": 1, "ELU": 1, "RELU_N1_TO_1": 1,
    "RELU_0_TO_1": 1, "QUANTIZE": 1, "GELU": 1, "SPACE_TO_DEPTH": 2, "EXP": 2, "RSQRT": 2, "BATCH_MATMUL": 2,
    "RESIZE_BILINEAR": 3, "RESIZE_NEAREST_NEIGHBOR": 3, "PACK": 2, "UNPACK": 2, "ABS": 2, "FLOOR": 1, "SIN": 1,
    "LOG": 1, "NEG": 1, "SPLIT": 2, "DEPTH_TO_SPACE": 1, "DIV": 1, "L2_POOL_2D": 1,
}  # fmt: skip


def quantisation(scale: float | Sequence[float], zero_point: int | Sequence[int], axis: int = 0) -> Any:
    """A QuantizationParametersT; one zero point stands for all scales."""
    made = schema.QuantizationParametersT()
    made.scale = [scale] if isinstance(scale, float | int) else [float(value) for value in scale]
    points = [zero_point] * len(made.scale) if isinstance(zero_point, int) else [int(value) for value in zero_point]
    made.zeroPoint, made.quantizedDimension = points, axis
    return made


def reference_outputs(content: bytes, inputs: Sequence[Array]) -> list[Array]:
    """What LiteRT's reference kernels (BUILTIN_REF) answer; inputs and outputs in the model's order and dtypes."""
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    return [np.array(interpreter.get_tensor(detail["index"])) for detail in interpreter.get_output_details()]


def random_inputs(content: bytes, seed: int = 0) -> list[Array]:
    """Random inputs over the whole range of each input's dtype."""
    generator = np.random.default_rng(seed)
    made: list[Array] = []
    for detail in Interpreter(model_content=content).get_input_details():
        if np.issubdtype(detail["dtype"], np.floating):
            made.append(generator.normal(size=detail["shape"]).astype(detail["dtype"]))
        else:
            limits = np.iinfo(detail["dtype"])
            made.append(generator.integers(limits.min, limits.max + 1, detail["shape"]).astype(detail["dtype"]))
    return made


def edited(content: bytes, change: Callable[[Any], None]) -> bytes:
    """The model after ``change`` was applied to its ModelT; lists are numpy arrays that must be replaced as a whole."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    change(model)
    return _pack(model)


def _pack(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _number(name: str, value: Any) -> Any:
    return getattr(_ENUMERATIONS[name], value) if name in _ENUMERATIONS and isinstance(value, str) else value
