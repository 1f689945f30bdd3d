"""The real quantiser on small networks that the LiteRT backend converted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from torch import nn

from edgekit.convert import parity
from edgekit.convert.files.tflite import Tflite
from edgekit.errors import ConvertError, MissingConverterError, UsageError
from edgekit.export.golden import golden_outputs
from edgekit.export.inputs import golden_inputs
from edgekit.harness.content import sha256_of
from edgekit.harness.int8_tensors import dequantise
from edgekit.harness.int8_tensors import quantise as to_int8
from edgekit.model.load import Model
from edgekit.quantize import static_int8
from edgekit.quantize.calibration import Calibration, load_calibration
from edgekit.quantize.static_int8 import Boundary, QuantiseResult, quantise, require_integers
from edgekit.records import Tolerance

from .nets import MANY, residual, to_tflite, weighted_sum

# Measured: 37.0 dB and cosine 0.9993 as it should be, 29.7 dB and 0.9949 with one layer's weights a tenth too small.
CLOSE = Tolerance(precision="int8", max_abs=0.1, cosine=0.998, psnr_db=33.0, top1_agreement=1.0)


class Case:
    """A network, its float file, and the int8 one made of it."""

    def __init__(self, model: Model, folder: Path, name: str) -> None:
        self.model = model
        self.float_file = to_tflite(model, folder / f"{name}.tflite")
        self.calibration = load_calibration(model.inputs, None)
        self.result = quantise(self.float_file, self.calibration, folder / f"{name}_int8.tflite")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(residual(), tmp_path_factory.mktemp("int8"), "relu")


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(residual(nn.LeakyReLU), tmp_path_factory.mktemp("leaky"), "leaky")


def run(result: QuantiseResult, inputs: list[Any]) -> list[Any]:
    """The int8 file on stacked float inputs, by LiteRT's reference kernels."""
    interpreter = Interpreter(result.path, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    slots, ends = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for sample in zip(*inputs, strict=True):
        for slot, boundary, value in zip(slots, result.inputs, sample, strict=True):
            interpreter.set_tensor(slot["index"], stored(value, boundary))
        interpreter.invoke()
        rows.append([real(interpreter.get_tensor(e["index"]), b) for e, b in zip(ends, result.outputs, strict=True)])
    return [np.stack([row[k] for row in rows]) for k in range(len(ends))]


def stored(values: Any, boundary: Boundary) -> Any:
    assert boundary.scale is not None and boundary.zero_point is not None
    return to_int8(values, boundary.scale, boundary.zero_point)


def real(values: Any, boundary: Boundary) -> Any:
    assert boundary.scale is not None and boundary.zero_point is not None
    return dequantise(values, boundary.scale, boundary.zero_point)


def figures(case: Case, module: nn.Module) -> dict[str, Any]:
    inputs, _ = golden_inputs(case.model.inputs, directory=None, preprocess=None)
    (reference,) = golden_outputs(module, inputs)
    (actual,) = run(case.result, inputs)
    return parity.figures(actual, reference, CLOSE)


def test_it_computes_what_the_model_computes_on_inputs_that_it_never_saw(case: Case) -> None:
    assert case.model.module is not None
    found = figures(case, case.model.module)
    assert parity.within(found, CLOSE), found


def test_a_model_with_one_disturbed_layer_is_told_apart(case: Case) -> None:
    other = residual().module
    assert other is not None
    with torch.no_grad():
        other.get_submodule("point").weight.mul_(0.9)
    assert not parity.within(figures(case, other), CLOSE)


def test_everything_in_the_file_is_an_integer(case: Case) -> None:
    result, file = case.result, Tflite(Path(case.result.path))
    assert {str(tensor.dtype) for tensor in file.tensors} <= {"int8", "int32"}
    assert result.float_operators == ()
    require_integers(result)
    assert [(b.dtype, b.shape) for b in result.inputs] == [("int8", (1, 3, 32, 32))]
    assert [(b.dtype, b.shape) for b in result.outputs] == [("int8", (1, 10))]
    assert result.operators["CONV_2D"] == 2
    assert sum(result.operators.values()) == len(file.operators)


def test_the_record_names_the_file_and_what_it_was_made_with(case: Case) -> None:
    result = case.result
    assert (result.sha256, result.bytes) == (sha256_of(Path(result.path)), Path(result.path).stat().st_size)
    assert result.calibration_sha256 == case.calibration.sha256
    assert result.calibration_count == case.calibration.count == 32
    assert "ai-edge-quantizer 0.10" in result.tool
    assert msgspec.json.decode(msgspec.json.encode(result), type=QuantiseResult) == result


def test_synthetic_calibration_is_said(case: Case) -> None:
    (warning,) = case.result.warnings
    assert "32 synthetic inputs" in warning


def test_the_order_of_the_samples_does_not_matter(case: Case, tmp_path: Path) -> None:
    given = case.calibration
    turned = Calibration(tuple(array[::-1] for array in given.inputs), given.sha256, given.source, given.synthetic)
    assert quantise(case.float_file, turned, tmp_path / "turned.tflite").sha256 == case.result.sha256


def test_the_ranges_cover_the_extremes(case: Case) -> None:
    (array,), (boundary,) = case.calibration.inputs, case.result.inputs
    assert boundary.scale is not None and boundary.zero_point is not None
    reached = [(limit - boundary.zero_point) * boundary.scale for limit in (-128, 127)]
    assert reached[0] <= array.min() + boundary.scale and reached[1] >= array.max() - boundary.scale


def test_operators_left_in_float_are_named_with_their_places(leaky: Case) -> None:
    (found,) = leaky.result.float_operators
    assert (found.op, found.shape) == ("LEAKY_RELU", (1, 16, 16, 16))
    assert "LEAKY_RELU" in leaky.result.warnings[1]
    with pytest.raises(ConvertError, match=rf"1 LEAKY_RELU \(operator {found.number} making 1x16x16x16\)") as caught:
        require_integers(leaky.result)
    assert caught.value.facts["float_operators"] == [
        {"op": "LEAKY_RELU", "number": found.number, "output": found.output, "shape": [1, 16, 16, 16]}
    ]


def test_many_inputs_keep_their_order(tmp_path: Path) -> None:
    model = weighted_sum()
    generator = np.random.default_rng(0)
    arrays = tuple(
        generator.uniform(-1, 1, (16, 1, 8)).astype(np.float32) * 2.0 ** (number - 4) for number in range(MANY)
    )
    path = to_tflite(model, tmp_path / "sum.tflite")
    result = quantise(path, Calibration(arrays, "", "", False), tmp_path / "sum_int8.tflite")
    steps = [boundary.scale for boundary in result.inputs]
    wanted = [float(np.ptp(array)) / 255 for array in arrays]
    np.testing.assert_allclose(np.array(steps, dtype=np.float64), wanted, rtol=0.02)
    assert result.warnings == ()


def test_data_for_another_model_is_refused(case: Case, tmp_path: Path) -> None:
    other = Calibration((np.zeros((2, 1, 3, 16, 16), np.float32),), "", "", False)
    with pytest.raises(UsageError, match=r"\(1, 3, 16, 16\).*\(1, 3, 32, 32\)"):
        quantise(case.float_file, other, tmp_path / "out.tflite")
    with pytest.raises(UsageError, match="has 1 inputs; the calibration data has 2 arrays"):
        quantise(case.float_file, Calibration(other.inputs * 2, "", "", False), tmp_path / "out.tflite")
    with pytest.raises(UsageError, match="float64"):
        wide = case.calibration.inputs[0].astype(np.float64)
        quantise(case.float_file, Calibration((wide,), "", "", False), tmp_path / "out.tflite")
    assert not (tmp_path / "out.tflite").exists()


@pytest.mark.parametrize("content", [b"", b"no model at all", b"\x1c\0\0\0TFL3" + b"\xff" * 64])
def test_what_is_no_model_is_refused(case: Case, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.tflite"
    path.write_bytes(content)
    with pytest.raises(ConvertError, match=r"bad\.tflite can't be read as a LiteRT model"):
        quantise(path, case.calibration, tmp_path / "out.tflite")
    with pytest.raises(ConvertError, match=r"none\.tflite can't be read"):
        quantise(tmp_path / "none.tflite", case.calibration, tmp_path / "out.tflite")


def test_an_int8_model_is_not_quantised_again(case: Case, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is int8 of shape"):
        quantise(Path(case.result.path), case.calibration, tmp_path / "out.tflite")


def test_the_boundary_rounds_as_litert_does(leaky: Case) -> None:
    """The file's own QUANTIZE and DEQUANTIZE, run by LiteRT, against ours."""
    interpreter = Interpreter(
        leaky.result.path,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    ops = {op["op_name"]: op for op in interpreter._get_ops_details()}
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    seen = 0
    for sample in leaky.calibration.inputs[0]:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], stored(sample, leaky.result.inputs[0]))
        interpreter.invoke()
        for name in ("QUANTIZE", "DEQUANTIZE"):
            (source,), (target,) = ops[name]["inputs"], ops[name]["outputs"]
            before, after = interpreter.get_tensor(source), interpreter.get_tensor(target)
            scale, zero_point = details[target if name == "QUANTIZE" else source]["quantization"]
            convert = to_int8 if name == "QUANTIZE" else dequantise
            ours = convert(before, scale, zero_point)
            np.testing.assert_array_equal(ours, after)
            seen += after.size
    assert seen == 2 * 32 * 16 * 16 * 16


def test_a_missing_quantiser_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(static_int8, "_IMPORTS", ("ai_edge_quantizer_of_nobody",))
    with pytest.raises(MissingConverterError, match="ai_edge_quantizer_of_nobody") as caught:
        quantise(tmp_path / "x.tflite", Calibration((), "", "", False), tmp_path / "y.tflite")
    assert "pip install" in caught.value.next_step
