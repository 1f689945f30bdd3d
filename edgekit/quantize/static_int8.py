"""The stock int8 recipe: every operator with int8 weights (one scale per output channel) and int8 activations.

The ranges are the least and the largest value over all calibration samples. ai-edge-quantizer by itself takes a moving
average (0.95 of the old) over the samples, so that the first ones decide and the result depends on their order: a
trained digits network kept 30.7 dB with it and 46.8 dB with the extremes (128 samples, judged on 360 others). Inputs
and outputs become int8 too, unless an input or output has nothing to do with any quantised operator.

:func:`quantise` imports LiteRT and the quantiser and belongs into a worker process.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import ConvertError, MissingConverterError, UsageError
from edgekit.harness.content import sha256_of
from edgekit.quantize.calibration import Calibration
from edgekit.records import Record

PACKAGES = ("ai-edge-quantizer", "ai-edge-litert")
# Changes whenever the same file and data would come out as another file; part of the cache's keys.
RECIPE = "static int8, weights per channel, extremes 1"
_IMPORTS = ("ai_edge_quantizer", "ai_edge_litert")
_FLOAT_TYPES = ("FLOAT32", "FLOAT16", "BFLOAT16", "FLOAT64")
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
# So many are named in a message; the record has them all.
_SHOWN = 5


class Boundary(Record, frozen=True, kw_only=True):
    """One input or output of a quantised file: real = ``scale`` * (stored - ``zero_point``).

    ``shape`` includes the batch. ``scale`` and ``zero_point`` are null where ``dtype`` is no quantised type.
    ``edgekit.harness.int8_tensors`` goes from floats to stored values and back.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


class FloatOperator(Record, frozen=True, kw_only=True):
    """An operator that computes in floats. ``number`` is its place in the file, ``output`` its first output's name."""

    op: str
    number: int
    output: str
    shape: tuple[int, ...]


class QuantiseResult(Record, frozen=True, kw_only=True):
    """An int8 file and what it was made with.

    ``operators`` counts the file's operators by name. ``warnings`` are sentences that have to reach the user.
    """

    schema: int = 1
    path: str
    sha256: str
    bytes: int
    recipe: str
    tool: str
    calibration_sha256: str
    calibration_source: str
    calibration_count: int
    inputs: tuple[Boundary, ...]
    outputs: tuple[Boundary, ...]
    operators: dict[str, int]
    float_operators: tuple[FloatOperator, ...] = ()
    warnings: tuple[str, ...] = ()


def check_installed() -> None:
    """Refuse early, without importing anything heavy.

    Raises:
        MissingConverterError: a package is not installed; the message names the pip command.
    """
    missing = [name for name in _IMPORTS if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingConverterError(
            f"Quantising needs the package{'s' if len(missing) > 1 else ''} {', '.join(missing)}.",
            where="int8",
            next_step='pip install "edgekit[litert]"',
            missing=missing,
        )


def versions() -> dict[str, str]:
    """Versions of the packages that decide the quantised file."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def quantise(float_tflite: Path, calibration: Calibration, out: Path) -> QuantiseResult:
    """Write the int8 model of a float one to ``out``.

    Args:
        float_tflite: a .tflite with one signature and static shapes, as edgekit's LiteRT backend writes it.
        calibration: the model's inputs, in its order.
        out: the file to write; its folder exists.

    Raises:
        MissingConverterError: the quantiser is not installed.
        UsageError: the calibration data does not fit the file's inputs.
        ConvertError: the file can't be read, or the quantiser refuses it.
    """
    check_installed()
    model = _read(float_tflite)
    samples = _samples(model, calibration, str(float_tflite))
    content = _quantised(float_tflite, samples)
    out.write_bytes(content)
    made = _read(out)
    floats = tuple(_float_operators(made))
    warnings = [calibration.warning, _float_warning(floats)]
    return QuantiseResult(
        path=str(out),
        sha256=sha256_of(out),
        bytes=len(content),
        recipe=RECIPE,
        tool=", ".join(f"{name} {version}" for name, version in versions().items()),
        calibration_sha256=calibration.sha256,
        calibration_source=calibration.source,
        calibration_count=calibration.count,
        inputs=tuple(_boundary(made, number) for number in made.subgraphs[0].inputs),
        outputs=tuple(_boundary(made, number) for number in made.subgraphs[0].outputs),
        operators=dict(Counter(name for name, *_ in _operators(made)).most_common()),
        float_operators=floats,
        warnings=tuple(warning for warning in warnings if warning is not None),
    )


def require_integers(result: QuantiseResult) -> None:
    """Refuse a file in which anything is left in floats, for targets that have integer kernels only.

    Raises:
        ConvertError: it names the operators and their places.
    """
    outside = [b.name for b in (*result.inputs, *result.outputs) if np.dtype(b.dtype).kind == "f"]
    if not result.float_operators and not outside:
        return
    found = _named(result.float_operators) if result.float_operators else f"inputs or outputs {', '.join(outside)}"
    raise ConvertError(
        f"The int8 quantiser left in float: {found}.",
        where=result.float_operators[0].op if result.float_operators else outside[0],
        next_step="Replace these operators in the model by ones with int8 kernels (ReLU, ReLU6, hard-swish, sigmoid, "
        "pooling, convolutions, linear layers), or move them out of it.",
        float_operators=[
            {"op": f.op, "number": f.number, "output": f.output, "shape": list(f.shape)} for f in result.float_operators
        ],
    )


def _read(path: Path) -> Any:
    """The file as the schema's objects; weights behind the flatbuffer included."""
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils

    try:
        model: Any = tfl_flatbuffer_utils.read_model(str(path))
        if not model.subgraphs or not model.signatureDefs:
            raise ValueError("it has no graph with a signature")
    except Exception as failure:  # flatbuffers' readers raise anything on damaged bytes
        raise ConvertError(
            f"{path} can't be read as a LiteRT model: {_first_line(failure)}.",
            where=str(path),
            next_step="Give a .tflite as edgekit convert --to litert writes it.",
        ) from failure
    return model


def _samples(model: Any, calibration: Calibration, where: str) -> dict[str, list[dict[str, Any]]]:
    """The calibration data as the quantiser takes it: by signature and input name, one dictionary per sample."""
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    # In the order of the model's inputs, which is not that of the names: args_10 sorts before args_2.
    numbers = list(graph.inputs)
    names = [_text(i.name) for i in sorted(signature.inputs, key=lambda item: numbers.index(item.tensorIndex))]
    if len(names) != len(calibration.inputs):
        raise UsageError(
            f"The model has {len(names)} inputs; the calibration data has {len(calibration.inputs)} arrays.",
            where=where,
            next_step="Give one array per input, in the model's order.",
        )
    for number, name, array in zip(numbers, names, calibration.inputs, strict=True):
        wanted = _boundary(model, number)
        if array.shape[1:] != wanted.shape or array.dtype != np.dtype(wanted.dtype):
            raise UsageError(
                f"The calibration samples are {array.dtype} of shape {array.shape[1:]}; input {name} of the model is "
                f"{wanted.dtype} of shape {wanted.shape}.",
                where=where,
                next_step="Load the calibration data for this model's inputs.",
            )
    rows = [
        {name: array[index] for name, array in zip(names, calibration.inputs, strict=True)}
        for index in range(calibration.count)
    ]
    return {_text(signature.signatureKey): rows}


def _quantised(float_tflite: Path, samples: dict[str, list[dict[str, Any]]]) -> bytes:
    from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    stock = recipe.static_wi8_ai8()
    rules = recipe_manager.RecipeManager()
    rules.load_quantization_recipe(stock)
    try:
        # Quantizer.calibrate can't be told how samples are combined, the calibrator behind it can.
        ranges = calibrator.Calibrator(str(float_tflite), num_threads=1, qsv_update_func=qsv_utils.min_max_update)
        ranges.calibrate(samples, rules)
        made = quantizer.Quantizer(str(float_tflite), stock).quantize(
            ranges.get_model_qsvs(), enable_progress_bar=False, enable_progress_report=False
        )
    except (OSError, MemoryError):
        raise
    except Exception as failure:  # quantisers raise anything; it leaves as a typed error
        raise ConvertError(
            f"ai-edge-quantizer refuses the model: {_first_line(failure)}.",
            where=str(float_tflite),
            next_step="The operator it names has no int8 form; replace it, or keep the model in float.",
        ) from failure
    if made.quantized_model is None:
        raise ConvertError("ai-edge-quantizer returned nothing.", where=str(float_tflite))
    return bytes(made.quantized_model)


def _operators(model: Any) -> Iterator[tuple[str, int, Any, Any]]:
    """Name, number, object and graph of every operator, over all graphs: an operator may call others as its body."""
    names = _enumeration("BuiltinOperator")
    for graph in model.subgraphs:
        for number, operator in enumerate(graph.operators):
            yield names.get(model.operatorCodes[operator.opcodeIndex].builtinCode, "CUSTOM"), number, operator, graph


def _float_operators(model: Any) -> Iterator[FloatOperator]:
    """The operators with a float operand, QUANTIZE and DEQUANTIZE around them apart."""
    types = _enumeration("TensorType")
    for op, number, operator, graph in _operators(model):
        operands = [graph.tensors[i] for i in (*_list(operator.inputs), *_list(operator.outputs)) if i >= 0]
        if op in _CONVERSIONS or not any(types.get(tensor.type) in _FLOAT_TYPES for tensor in operands):
            continue
        made = graph.tensors[operator.outputs[0]]
        shape = tuple(int(size) for size in _list(made.shape))
        yield FloatOperator(op=op, number=number, output=_text(made.name), shape=shape)


def _float_warning(floats: Sequence[FloatOperator]) -> str | None:
    return f"left in float by the quantiser: {_named(floats)}" if floats else None


def _named(floats: Sequence[FloatOperator]) -> str:
    """ "2 LEAKY_RELU (operator 17 making 1x8x8x16, operator 40 making 1x4x4x32)", the most frequent kind first."""
    kinds = Counter(f.op for f in floats).most_common()
    said = []
    for op, count in kinds:
        places = [f"operator {f.number} making {'x'.join(map(str, f.shape))}" for f in floats if f.op == op]
        more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
        said.append(f"{count} {op} ({', '.join(places[:_SHOWN])}{more})")
    return "; ".join(said)


def _boundary(model: Any, number: int) -> Boundary:
    tensor = model.subgraphs[0].tensors[number]
    dtype = _enumeration("TensorType")[tensor.type].lower()
    quantised = tensor.quantization is not None and len(_list(tensor.quantization.scale)) == 1
    return Boundary(
        name=_text(tensor.name),
        shape=tuple(int(size) for size in _list(tensor.shape)),
        dtype=dtype,
        scale=float(tensor.quantization.scale[0]) if quantised else None,
        zero_point=int(tensor.quantization.zeroPoint[0]) if quantised else None,
    )


def _enumeration(name: str) -> dict[int, str]:
    from ai_edge_litert import schema_py_generated

    members = vars(getattr(schema_py_generated, name))
    return {value: key for key, value in members.items() if isinstance(value, int)}


def _list(values: Any) -> list[Any]:
    """A vector of the schema's objects; an empty one may be None."""
    return [] if values is None else list(values)


def _text(name: bytes | str | None) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""


def _first_line(failure: Exception) -> str:
    lines = str(failure).strip().splitlines()
    return (lines[0] if lines else type(failure).__name__)[:300].rstrip(".")
