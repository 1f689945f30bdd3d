"""Parameters and multiply-accumulates of a module, counted while it runs.

Counted are convolutions, linear layers and matrix products, as the papers do: additions, norms, activations, pooling
and resizing are not. The count is taken at the level of aten operators, so that a functional call or an einsum counts
like a layer. Weights and inputs may be on the ``meta`` device: then nothing is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten


def _convolution(args: Sequence[Any], out: torch.Tensor) -> int:
    source, weight, transposed = args[0], args[1], args[6]
    per_position = int(weight[0].numel())
    return int(source.numel() if transposed else out.numel()) * per_position


def _product(args: Sequence[Any], out: torch.Tensor) -> int:
    return int(out.numel()) * int(args[0].shape[-1])


def _biased_product(args: Sequence[Any], out: torch.Tensor) -> int:
    return int(out.numel()) * int(args[1].shape[-1])


def _attention(args: Sequence[Any], _out: Any) -> int:
    query, key, value = args[0], args[1], args[2]
    pairs = int(query.numel() // query.shape[-1]) * int(key.shape[-2])
    return pairs * int(query.shape[-1] + value.shape[-1])


_COUNTERS: dict[Any, Callable[[Sequence[Any], Any], int]] = {
    _aten.convolution.default: _convolution,
    _aten.mm.default: _product,
    _aten.bmm.default: _product,
    _aten.addmm.default: _biased_product,
    _aten.baddbmm.default: _biased_product,
    _aten._scaled_dot_product_flash_attention_for_cpu.default: _attention,
    _aten._scaled_dot_product_efficient_attention.default: _attention,
    _aten._scaled_dot_product_flash_attention.default: _attention,
}


class MacCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the multiply-accumulates of everything that runs inside the ``with`` block, in ``macs``."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        counter = _COUNTERS.get(func)
        if counter is not None:
            self.macs += counter(args, out)
        return out


def count_params(module: nn.Module) -> int:
    """All parameters, each counted once; buffers such as batch-norm statistics are not."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_macs(module: nn.Module, *shapes: Sequence[int]) -> int:
    """Multiply-accumulates of one forward pass on float32 inputs of ``shapes`` (batch included), in eval mode.

    The inputs are made on the device of the module's first parameter.
    """
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    inputs = [torch.zeros(tuple(shape), device=device) for shape in shapes]
    with _eval(module), torch.no_grad(), MacCounter() as counter:
        module(*inputs)
    return int(counter.macs)


@contextmanager
def _eval(module: nn.Module) -> Iterator[None]:
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
