"""Which inputs a model takes, and whether it runs on them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from edgekit.errors import ModelError
from edgekit.model import exported_program
from edgekit.model.factory import input_names, user_line
from edgekit.model.request import LoadRequest
from edgekit.model.source import Loaded, first_line
from edgekit.model.torchscript import SHAPE_HELP, example_tensors
from edgekit.records import TensorSpec

_CHANNELS = re.compile(r"to have (\d+) channels, but got (\d+) channels")


def requested_inputs(request: LoadRequest) -> tuple[TensorSpec, ...] | None:
    """The inputs that the request states, named ``input_K`` where it gives shapes only; None if it states none."""
    if request.input_spec is not None:
        return request.input_spec
    if request.input_shape is not None:
        return tuple(TensorSpec(name=f"input_{k}", shape=shape) for k, shape in enumerate(request.input_shape))
    return None


def resolve_inputs(request: LoadRequest, loaded: Loaded) -> tuple[TensorSpec, ...]:
    """The request's inputs, else the model's own; names and dtypes that the request leaves open are the model's.

    Raises:
        ModelError: neither states the shapes.
    """
    asked = requested_inputs(request)
    if asked is None:
        if loaded.inputs is None:
            message = f"{request.spec} does not say what shape its inputs have."
            raise ModelError(message, where=request.spec, next_step=SHAPE_HELP)
        return loaded.inputs
    if request.input_spec is not None:
        return asked
    if loaded.inputs is not None and len(loaded.inputs) == len(asked):
        own = [(spec.name, spec.dtype) for spec in loaded.inputs]
    elif loaded.module is not None:
        own = [(name, "float32") for name in input_names(loaded.module.forward, len(asked))]
    else:
        return asked
    return tuple(TensorSpec(name=n, shape=spec.shape, dtype=d) for (n, d), spec in zip(own, asked, strict=True))


def inputs_of_module(module: nn.Module) -> tuple[TensorSpec, ...] | None:
    """Inputs from the attributes ``example_inputs`` (tensors) or ``input_size`` (C, H, W or with the batch)."""
    example = getattr(module, "example_inputs", None)
    tensors = (example,) if isinstance(example, torch.Tensor) else example
    if isinstance(tensors, (tuple, list)) and tensors and all(isinstance(item, torch.Tensor) for item in tensors):
        names = input_names(module.forward, len(tensors))
        kinds = [str(tensor.dtype).removeprefix("torch.") for tensor in tensors]
        shapes = [tuple(tensor.shape) for tensor in tensors]
        return tuple(TensorSpec(name=n, shape=s, dtype=k) for n, s, k in zip(names, shapes, kinds, strict=True))
    size = getattr(module, "input_size", None)
    if isinstance(size, (tuple, list)) and len(size) in (3, 4) and all(type(dim) is int and dim > 0 for dim in size):
        shape = tuple(size) if len(size) == 4 else (1, *size)
        return (TensorSpec(name=input_names(module.forward, 1)[0], shape=shape),)
    return None


def fixed_program(
    program: ExportedProgram, own: tuple[TensorSpec, ...] | None, inputs: tuple[TensorSpec, ...], spec: str
) -> tuple[ExportedProgram, tuple[str, ...]]:
    """The program for exactly these inputs, with warnings; a program with dynamic shapes is specialised.

    Raises:
        ModelError: the program was exported for other shapes, or does not run.
    """
    if exported_program.is_static(program):
        want, have = [(s.shape, s.dtype) for s in inputs], [(s.shape, s.dtype) for s in own or ()]
        if want != have:
            raise ModelError(
                f"{spec} was exported for inputs {_shown(own or ())}, not {_shown(inputs)}.",
                where=spec,
                next_step="Leave --input-shape out, or export the model again for the shape you want.",
                expected=[list(s.shape) for s in own or ()],
            )
        return program, ()
    shapes = _shown(inputs)
    try:
        with torch.no_grad():
            fixed = exported_program.specialise(program, example_tensors(inputs))
    except Exception as error:  # torch.export raises over a dozen unrelated classes
        message = f"{spec} can't be fixed to inputs {shapes}: {first_line(error)}"
        raise ModelError(message, where=spec, next_step="Give a shape that its dynamic ranges allow.") from error
    return fixed, (f"The program's dynamic dimensions were fixed to {shapes}.",)


def _shown(inputs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{spec.name} {spec.shape} {spec.dtype}" for spec in inputs)


def check_forward(module: nn.Module, inputs: tuple[TensorSpec, ...], spec: str, inputs_source: str) -> None:
    """Run the module once, to find a wrong input shape before anything is exported.

    Raises:
        ModelError: it does not run; the innermost module that failed and the channels it expects are named.
    """
    tensors = example_tensors(inputs)
    with _innermost(module) as stack, torch.no_grad():
        try:
            module(*tensors)
        except Exception as error:  # the user's own forward: whatever it raises is reported with its place
            raise _forward_failed(error, list(stack), inputs, spec, inputs_source) from error


@contextmanager
def _innermost(module: nn.Module) -> Iterator[list[tuple[str, nn.Module]]]:
    """The named modules that are running, outermost first; after a failure its last entry is where it happened."""
    stack: list[tuple[str, nn.Module]] = []
    hooks: list[Any] = []
    for name, child in module.named_modules():
        entry = (name, child)
        hooks.append(child.register_forward_pre_hook(lambda _m, _a, entry=entry: stack.append(entry)))
        hooks.append(child.register_forward_hook(lambda _m, _a, _o: (stack.pop(), None)[1]))
    try:
        yield stack
    finally:
        for hook in hooks:
            hook.remove()


def _forward_failed(
    error: Exception, stack: list[tuple[str, nn.Module]], inputs: tuple[TensorSpec, ...], spec: str, source: str
) -> ModelError:
    name, module = stack[-1] if stack else ("", None)
    kind = type(module).__name__ if module is not None else spec
    place = f"{name} ({kind})" if name else kind
    channels = _CHANNELS.search(str(error))
    expected = int(channels[1]) if channels else getattr(module, "in_features", None)
    origin = f" (the shape is from {source})" if source else ""
    reason = f"it expects {channels[1]} input channels and got {channels[2]}" if channels else first_line(error)
    line = user_line(error.__traceback__)
    return ModelError(
        f"{spec} does not run on {_shown(inputs)}{origin}: in {place}, {reason}.".replace("..", "."),
        where=f"{place}{', ' + line if line else ''}",
        next_step=SHAPE_HELP,
        module=name,
        expected_channels=expected if isinstance(expected, int) else None,
        input_shapes=[list(item.shape) for item in inputs],
    )
