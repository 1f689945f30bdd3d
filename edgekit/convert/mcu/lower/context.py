"""What a lowering may ask and make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.convert.mcu.graph import Graph, Operator, Tensor
from edgekit.convert.mcu.steps import Buffer, Overlap, Step
from edgekit.errors import ConvertError


class Context:
    """The buffers of a program while its operators are lowered.

    ``home`` gives, per graph tensor, the tensor whose buffer it lives in: itself, or for a reshape that moves no byte
    the tensor that it views. ``dsp`` chooses the weight layouts of the DSP kernels.
    """

    def __init__(self, graph: Graph, home: dict[int, int], *, dsp: bool) -> None:
        self.graph, self.dsp = graph, dsp
        self.buffers: list[Buffer] = []
        self._home = home
        self._of_tensor: dict[int, int] = {}

    def tensor(self, number: int) -> Tensor:
        """The graph's tensor of that number."""
        return self.graph.tensors[number]

    def buffer(self, number: int) -> int:
        """The arena buffer of a computed tensor, made when it is first asked for."""
        home = self._home.get(number, number)
        if home not in self._of_tensor:
            tensor = self.tensor(home)
            if tensor.data is not None:
                raise ConvertError(
                    f'"{tensor.name}" is a constant where only a computed tensor can be compiled.',
                    where=self.graph.name,
                    next_step="Fold the constant into the model before it is converted.",
                    format="mcu",
                )
            self._of_tensor[home] = self.temporary(tensor.name, tensor.bytes)
        return self._of_tensor[home]

    def temporary(self, name: str, size_bytes: int) -> int:
        """A further buffer, for what exists only between two steps of one operator."""
        self.buffers.append(Buffer(name, size_bytes))
        return len(self.buffers) - 1

    def operands(self, numbers: Sequence[int]) -> tuple[dict[str, int], dict[str, int], dict[str, npt.NDArray[Any]]]:
        """Where two operands ``a`` and ``b`` are: (fields that say which are constants, offsets, data)."""
        fields, offsets, data = {}, {}, {}
        for name, number in zip(("a", "b"), numbers, strict=True):
            values = self.tensor(number).data
            fields[f"{name}_constant"] = int(values is not None)
            if values is None:
                offsets[name] = self.buffer(number)
            else:
                data[name] = np.ascontiguousarray(values).reshape(-1)
        return fields, offsets, data

    def refuse(self, operator: Operator, reason: str) -> ConvertError:
        """The error for an operator that can't be compiled: names it and its place in the model."""
        return ConvertError(
            f"{operator.kind} can't be compiled for microcontrollers: {reason}.",
            where=operator.place,
            next_step="Change the model there, or run it with LiteRT on a larger device.",
            format="mcu",
        )


def kernel_step(
    operator: Operator,
    kernel: str,
    fields: dict[str, int],
    offsets: dict[str, int],
    *,
    overlaps: tuple[Overlap, ...] = (),
    data: Mapping[str, npt.NDArray[np.generic]] | None = None,
    scratch_bytes: int = 0,
    macs: int = 0,
) -> Step:
    """One kernel call. What it reads and writes follows from ``offsets``: the field ``output`` is what it writes."""
    return Step(
        name=operator.place,
        kernel=kernel,
        reads=tuple(dict.fromkeys(buffer for field, buffer in offsets.items() if field != "output")),
        writes=(offsets["output"],),
        scratch_bytes=scratch_bytes,
        overlaps=overlaps,
        fields=fields,
        offsets=offsets,
        data=dict(data or {}),
        macs=macs,
    )


Lowering = Callable[[Operator, Context], list[Step]]
