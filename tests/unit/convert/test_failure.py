"""The texts are what the converters really raise, shortened in the middle only."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import zoo
from torch import nn

from edgekit.convert.failure import translate
from edgekit.errors import ConvertError
from edgekit.export import provenance

EXECUTORCH = """
Operator torch._ops.aten._linalg_svd.default is not in Core ATen opset (https://pytorch.org/docs/stable/ir.html)."
There are a few things to try:
1. You can proceed with `to_edge(compile_config=EdgeCompileConfig(_core_aten_ops_exception_list=[torch.ops.aten.x]))`.
"""
EXECUTORCH_DTYPES = """These operators are taking Tensor inputs with mismatched dtypes:

Operator: <EdgeOpOverload: aten.abs.default>: schema = aten::abs(Tensor self) -> Tensor with args: {'self': complex64}
stack trace: None
"""
LITERT = """Lowering not found: aten._linalg_svd.default

While executing %_linalg_svd : [num_users=1] = call_function[target=torch.ops.aten._linalg_svd.default](args = (%mean,))
Original traceback:
None
"""
LITERT_REASON = """Only 1D FFT on the last dimension is currently supported.

While executing %_fft_r2c : [num_users=1] = call_function[target=torch.ops.aten._fft_r2c.default](args = (%mean, [2]))
Original traceback:
None
"""
COREML = "Unsupported fx node linalg_svdvals, kind linalg_svdvals"
COREML_CONVERT = "PyTorch convert function for op 'linalg_svdvals' not implemented."
ONNX = """Failed to convert the exported program to an ONNX model. \x1b[96mThis is step 3/3\x1b[0m. Next steps:
- If there is a missing ONNX function, implement it and register it to the registry.

## Exception summary

<class 'torch.onnx._internal.exporter._errors.DispatchError'>: No ONNX function found for \
<OpOverload(op='aten._linalg_svd', overload='default')>. Failure message: No decompositions registered
⬆️
"""
ONNX_RENAMED = "No ONNX function found for <OpOverload(op='prims.bessel_j0', overload='default')>. Failure message: No"


class Net(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.conv, self.part = nn.Conv2d(3, 4, 3, padding=1), Part(function)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.part(self.conv(x))


class Part(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def translated(error: BaseException, module: nn.Module, name: str = "onnx") -> ConvertError:
    program = torch.export.export(module.eval(), zoo.EXAMPLE, strict=False)
    origins = provenance.collect(program)
    provenance.strip(program)
    return translate(error, name, program, origins)


@pytest.fixture(scope="module")
def svd() -> nn.Module:
    module: nn.Module = zoo.lacks_operator()[0]
    return module


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (EXECUTORCH, "Operator torch._ops.aten._linalg_svd.default is not in Core ATen opset"),
        (LITERT, "Lowering not found: aten._linalg_svd.default"),
        (COREML, "Unsupported fx node linalg_svdvals"),
        (COREML_CONVERT, "PyTorch convert function for op 'linalg_svdvals' not implemented."),
        (ONNX, "No ONNX function found for <OpOverload(op='aten._linalg_svd'"),
    ],
)
def test_an_operator_that_is_lacking_is_named_with_its_place(svd: nn.Module, text: str, cause: str) -> None:
    error = translated(RuntimeError(text), svd, "litert")
    assert (error.code, error.kind) == (11, "convert")
    assert error.message.startswith(f"litert could not convert the operator aten.linalg_svdvals.default: {cause}")
    assert error.where.startswith(f"aten.linalg_svdvals.default in spectrum (Spectrum) at {zoo.__file__}:")
    assert error.facts["module"] == "spectrum (Spectrum)"
    line = int(error.facts["source"].split(":")[1].split()[0])
    with open(zoo.__file__) as source:
        assert "torch.linalg.svdvals" in source.readlines()[line - 1]
    assert "\x1b" not in error.message and "\n" not in error.message
    assert "--to" in error.next_step


def test_the_reason_is_the_converters_sentence_not_the_note_below_it() -> None:
    error = translated(NotImplementedError(LITERT_REASON), Net(lambda x: torch.fft.rfft2(x).abs()))
    assert error.facts["op"] == "aten.fft_rfft2.default"
    assert error.facts["cause"] == "Only 1D FFT on the last dimension is currently supported."


def test_an_operator_that_is_not_lacking_is_not_said_to_be() -> None:
    error = translated(RuntimeError(EXECUTORCH_DTYPES), Net(lambda x: torch.fft.rfft2(x).abs()))
    assert error.facts["op"] == "aten.abs.default"
    assert "no conversion" not in error.message and "complex64" in error.message


def test_an_operator_under_another_name_is_found_if_there_is_only_one() -> None:
    error = translated(RuntimeError(ONNX_RENAMED), Net(torch.special.bessel_j0))
    assert error.facts["op"] == "aten.special_bessel_j0.default"
    assert "op" not in translated(RuntimeError("op 'd' not implemented"), Net(torch.relu)).facts


def test_control_flow_is_named() -> None:
    assert translated(RuntimeError("Lowering not found: cond"), zoo.Branches(2.0)).facts["op"] == "cond"


def test_the_cause_of_the_cause_is_searched_too(svd: nn.Module) -> None:
    try:
        try:
            raise RuntimeError(COREML)
        except RuntimeError as inner:
            raise ValueError("it did not work") from inner
    except ValueError as outer:
        assert translated(outer, svd).facts["op"] == "aten.linalg_svdvals.default"


@pytest.mark.parametrize(
    "text", ["", "the disk is on fire\nand more", "x" * 100_000, "aten.relu.default", "op of aten."]
)
def test_any_other_text_is_quoted_in_one_line(svd: nn.Module, text: str) -> None:
    error = translated(KeyError() if not text else RuntimeError(text), svd)
    assert error.where == "onnx" and "op" not in error.facts
    assert "\n" not in error.message and len(error.message) < 600
    assert (text.splitlines() or ["KeyError"])[0][:300] in error.message
    assert "--traceback" in error.next_step


def test_a_chain_without_end_ends(svd: nn.Module) -> None:
    first, second = ValueError("one"), ValueError("two")
    first.__cause__, second.__cause__ = second, first
    assert translated(first, svd).message.endswith("one")
