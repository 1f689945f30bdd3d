"""ExecuTorch's .pte: the instructions of its method, what the delegates took, and the constants.

Field numbers are those of executorch's ``exir/_serialize/program.fbs``; the extended header (``eh00``, at byte 8) those
of ``exir/_serialize/_program.py`` beside it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekit.convert.files import xnnpack
from edgekit.convert.files.flat import Buffer, Bytes, Table, damaged, open_file, shape_of

XNNPACK = "XnnpackBackend"
_IDENTIFIER, _EXTENDED = b"ET12", b"eh00"
_KERNEL_CALL, _DELEGATE_CALL = 1, 2
_TENSOR = 5
_SEGMENT = 1
# executorch's ScalarType numbers (runtime/core/portable_type/scalar_type.h).
_DTYPES: dict[int, type[np.generic]] = {
    0: np.uint8, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.int64, 5: np.float16, 6: np.float32, 7: np.float64,
    11: np.bool_,
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """A tensor of the method; ``buffer`` is its number among the constants, 0 if it is computed."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic] | None
    buffer: int


@dataclass(frozen=True)
class KernelCall:
    """One operator outside the delegates, named as torch writes it; an argument that is no tensor is null."""

    op: str
    arguments: tuple[Tensor | None, ...]


@dataclass(frozen=True)
class DelegateCall:
    """One partition: the delegate that runs it, and its operators where that is XNNPACK."""

    delegate: str
    graph: xnnpack.Graph | None


class Pte:
    """One .pte, of which the method ``forward`` counts, or the first if there is none of that name."""

    def __init__(self, path: Path) -> None:
        """Read the program's head.

        Raises:
            RuntimeCrashError: this is no .pte, or it is damaged.
        """
        self.where = str(path)
        content = open_file(path)
        self._whole = Buffer(content, self.where)
        if self._whole.part(4, 4).tobytes() != _IDENTIFIER:
            raise damaged("it is not an ExecuTorch program", self.where)
        self._segments_at = 0
        if self._whole.part(8, 4).tobytes() == _EXTENDED:
            self._segments_at = self._whole.number("<Q", 24)
        self._root = self._whole.root()
        plans = self._root.tables(1)
        if not plans:
            raise damaged("it has no method", self.where)
        self._plan = next((plan for plan in plans if plan.text(0) == "forward"), plans[0])

    @functools.cached_property
    def calls(self) -> tuple[KernelCall | DelegateCall, ...]:
        """The instructions that compute something, in order."""
        return tuple(self._calls())

    @functools.cached_property
    def named_data(self) -> dict[str, Bytes]:
        """The named constants, which delegates refer to."""
        return {entry.text(0): self._segment(entry.number(1, "<I")) for entry in self._root.tables(7)}

    def constant(self, tensor: Tensor) -> npt.NDArray[np.generic] | None:
        """The values of a constant tensor; null if it is computed, kept elsewhere, or of a type that numpy lacks."""
        if not tensor.buffer or tensor.dtype is None:
            return None
        size = math.prod(tensor.shape) * tensor.dtype.itemsize
        segment = self._root.table(5)
        offsets = segment.vector(1, np.uint64) if segment is not None else ()
        if segment is not None and tensor.buffer < len(offsets):
            data = Buffer(self._segment(segment.number(0, "<I")), self.where).part(int(offsets[tensor.buffer]), size)
        elif tensor.buffer < len(self._inline):
            data = Buffer(self._inline[tensor.buffer].vector(0, np.uint8), self.where).part(0, size)
        else:
            return None
        return data.view(tensor.dtype).reshape(tensor.shape)

    @functools.cached_property
    def _inline(self) -> list[Table]:
        return self._root.tables(2)

    @functools.cached_property
    def _segments(self) -> list[Table]:
        return self._root.tables(4)

    def _segment(self, index: int) -> Bytes:
        if index >= len(self._segments):
            raise damaged(f"it has no segment {index}", self.where)
        entry = self._segments[index]
        return self._whole.part(self._segments_at + entry.number(0, "<Q"), entry.number(1, "<Q"))

    def _calls(self) -> Iterator[KernelCall | DelegateCall]:
        names = [_name(operator.text(0), operator.text(1)) for operator in self._plan.tables(6)]
        values, delegates = self._plan.tables(2), self._plan.tables(7)
        tensors: dict[int, Tensor | None] = {}
        for chain in self._plan.tables(5):
            for instruction in chain.tables(2):
                kind, call = instruction.number(0, "<B"), instruction.table(1)
                if kind not in (_KERNEL_CALL, _DELEGATE_CALL) or call is None:
                    continue
                index = call.number(0)
                if not 0 <= index < len(names if kind == _KERNEL_CALL else delegates):
                    raise damaged(f"an instruction calls number {index}, which is not there", self.where)
                if kind == _DELEGATE_CALL:
                    yield self._delegate(delegates[index])
                    continue
                for argument in call.vector(1, np.int32).tolist():
                    if not 0 <= argument < len(values):
                        raise damaged(f"an instruction takes value {argument}, which is not there", self.where)
                    if argument not in tensors:
                        tensors[argument] = _tensor(values[argument], self.where)
                yield KernelCall(names[index], tuple(tensors[a] for a in call.vector(1, np.int32).tolist()))

    def _delegate(self, entry: Table) -> DelegateCall:
        name, reference = entry.text(0), entry.table(1)
        if name != XNNPACK or reference is None:
            return DelegateCall(name, None)
        index = reference.number(1, "<I")
        if reference.number(0, "<b") == _SEGMENT:
            blob = self._segment(index)
        else:
            inline = self._root.tables(3)
            if index >= len(inline):
                raise damaged(f"it has no delegate data {index}", self.where)
            blob = inline[index].vector(0, np.uint8)
        return DelegateCall(name, xnnpack.read_graph(blob, self.named_data, self.where))


def _name(name: str, overload: str) -> str:
    """``aten::mean`` and ``out`` -> ``aten.mean.out``."""
    return ".".join(part for part in (name.replace("::", "."), overload) if part)


def _tensor(value: Table, where: str) -> Tensor | None:
    table = value.table(1)
    if value.number(0, "<B") != _TENSOR or table is None:
        return None
    kind = _DTYPES.get(table.number(0, "<b"))
    shape = shape_of(table.vector(2, np.int32), where)
    computed = table.table(6) is not None
    return Tensor(shape, None if kind is None else np.dtype(kind), 0 if computed else table.number(5, "<I"))
