"""TorchScript files, turned into exported programs by torch's own converter."""

from __future__ import annotations

import os
import re
import warnings

import torch
from torch.export import ExportedProgram

from edgekit.errors import ExportError, ModelError
from edgekit.model import archive, exported_program
from edgekit.model.source import PARSE_ERRORS, Loaded, first_line
from edgekit.records import TensorSpec

SHAPE_HELP = 'Give the shapes of the inputs, batch included, for example --input-shape "1,3,224,224".'

# A conversion that is right differs from the original by rounding only.
_RELATIVE_TOLERANCE = 1e-3

_FILE_CALL = re.compile(rb"\b(?:torch|ops\.aten)\.(save|from_file)\(")
_OPERATOR = re.compile(r"\b(?:aten|prim|quantized|torchvision|[a-z_]\w*)::\w+")


def load(path: str, inputs: tuple[TensorSpec, ...] | None) -> Loaded:
    """Load a TorchScript file and convert it for the given inputs; a TorchScript file itself knows no shapes.

    Raises:
        ModelError: the file is damaged, reads or writes files when it runs, or ``inputs`` is missing.
        ExportError: torch's converter does not know an operator, or its program computes something else.
    """
    _refuse_file_calls(path)
    if inputs is None:
        message = f"{path} is TorchScript, which does not record the shapes of its inputs."
        raise ModelError(message, where=path, next_step=SHAPE_HELP)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            script = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    except PARSE_ERRORS as error:
        raise archive.damaged(path, first_line(error)) from error
    was_training = bool(getattr(script, "training", False))
    if was_training:
        script.eval()
    return Loaded(
        weights=f"file {os.path.basename(path)}",
        program=convert(script.float(), example_tensors(inputs), path),
        inputs=inputs,
        inputs_source="the request",
        warnings=("The TorchScript file was saved in training mode; it was put in eval mode.",) if was_training else (),
    )


def _refuse_file_calls(path: str) -> None:
    """Refuse scripts that call torch.save or torch.from_file: both also run at load time, from ``__setstate__``."""
    try:
        reader = torch._C.PyTorchFileReader(path)
        for name in reader.get_all_records():
            found = _FILE_CALL.search(reader.get_record(name)) if name.endswith(".py") else None
            if found:
                raise exported_program.refuse_file_operator(path, f"aten::{found[1].decode()}")
    except PARSE_ERRORS as error:
        raise archive.damaged(path, first_line(error)) from error


def example_tensors(specs: tuple[TensorSpec, ...], seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Seeded tensors of the given shapes and dtypes: uniform in 0..1, integers and booleans all zero."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for spec in specs:
        dtype = getattr(torch, spec.dtype)
        if dtype.is_floating_point:
            made.append(torch.rand(spec.shape, generator=generator).to(dtype))
        else:
            made.append(torch.zeros(spec.shape, dtype=dtype))
    return tuple(made)


def convert(script: torch.jit.ScriptModule, inputs: tuple[torch.Tensor, ...], path: str) -> ExportedProgram:
    """TorchScript to an exported program with static shapes, checked against the script on ``inputs``.

    Raises:
        ModelError: the script does not run on ``inputs``.
        ExportError: the converter failed, or its program's output is not the script's.
    """
    from torch._export.converter import TS2EPConverter

    try:
        with torch.no_grad():
            expected = script(*inputs)
    except RuntimeError as error:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in inputs)
        raise ModelError(
            f"The TorchScript model does not run on inputs of shape {shapes}: {_script_error(error)}",
            where=path,
            next_step=SHAPE_HELP,
        ) from error
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            converted = TS2EPConverter(script, inputs).convert()
            # The converter makes every dimension dynamic; the backends need the fixed shapes.
            program = exported_program.specialise(converted, inputs)
            got = program.module()(*inputs)
    except Exception as error:  # the converter is experimental and raises unrelated types, AssertionError included
        raise _failed(error, path) from error
    if not _same(expected, got):
        raise ExportError(
            "torch's TorchScript converter made a program that computes something else than the file does.",
            where=path,
            next_step="Export the original module with torch.export.save (.pt2) instead of TorchScript.",
        )
    return program


def _failed(error: Exception, path: str) -> ExportError:
    found = _OPERATOR.search(str(error))
    operator = found[0] if found else None
    what = f"does not support the operator {operator}" if operator else "failed"
    return ExportError(
        f"torch's TorchScript converter {what}: {first_line(error)}",
        where=operator or path,
        next_step="Export the original module with torch.export.save (.pt2), or name its code as file.py:factory.",
        operator=operator,
    )


def _script_error(error: RuntimeError) -> str:
    """The last line of a TorchScript error; the lines before it quote the script."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def _same(expected: object, got: object) -> bool:
    left, right = torch.utils._pytree.tree_leaves(expected), torch.utils._pytree.tree_leaves(got)
    return len(left) == len(right) and all(_close(a, b) for a, b in zip(left, right, strict=True))


def _close(a: object, b: object) -> bool:
    if not isinstance(a, torch.Tensor) or not isinstance(b, torch.Tensor) or a.shape != b.shape:
        return a is b or (not isinstance(a, torch.Tensor) and a == b)
    if a.numel() == 0 or not a.dtype.is_floating_point:
        return bool(torch.equal(a, b))
    scale = max(float(a.abs().max()), 1e-6)
    return bool(torch.allclose(a, b, rtol=0.0, atol=_RELATIVE_TOLERANCE * scale, equal_nan=True))
