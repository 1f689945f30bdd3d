"""Running a packed model (``.ekm``) on this machine with the runtime that runs on the board."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekit.errors import ModelError, RuntimeCrashError, UsageError
from edgekit.harness.mcu_library import host_library, load

Int8 = npt.NDArray[np.int8]

_ALIGN = 16
_HEADER = struct.Struct("<IHHII32s10I")
_TENSOR = struct.Struct("<IIfiii6i")
_MAX_FILE = 1 << 28
_MAX_ARENA = 1 << 28
_NO_OPERATOR = 0xFFFFFFFF
# ek_status of mcu/include/edgekit/model.h
_STATUS = {
    1: "is not a packed model",
    2: "is of another format version",
    3: "is damaged: its length, checksum or an offset in it is wrong",
    4: "has an operator whose numbers contradict each other or leave its memory",
    5: "has an operator or a weight layout that this runtime does not have",
    6: "needs a larger arena",
    7: "is not aligned in memory",
}


@dataclass(frozen=True)
class Endpoint:
    """One model input or output: real = scale * (stored - zero_point); stored values are int8.

    ``float_outside``: in the model that was compiled it is float32. Axis i here is that model's axis ``axes[i]``.
    """

    shape: tuple[int, ...]
    scale: float
    zero_point: int
    float_outside: bool
    offset: int
    bytes: int
    axes: tuple[int, ...]


class HostModel:
    """A packed model, opened and checked. Not for two threads at a time: they would share the arena.

    ``inputs`` and ``outputs`` describe what :meth:`run` takes and gives; ``arena_bytes`` is what the model needs.

    Raises:
        ModelError: the bytes are no packed model, or one that the runtime refuses. Facts: ``status`` (ek_status) and
            ``operator`` (number of the refused operator, or None).
        DeviceError: there is no C compiler, or it refuses the runtime's sources.
    """

    def __init__(self, ekm: bytes) -> None:
        self.arena_bytes = _arena_bytes(ekm)
        self._library = load(host_library())
        guard = int(self._library.ek_host_guard_bytes())
        self._file = _aligned(len(ekm))
        self._file[:] = np.frombuffer(ekm, np.uint8)
        memory = _aligned(self.arena_bytes + 2 * guard)
        self._memory = memory
        self._arena: Int8 = memory[guard : guard + self.arena_bytes].view(np.int8)
        self._model = _aligned(int(self._library.ek_host_model_bytes()))
        self._open()
        (*_, operators, _, inputs, outputs, tensors, _, _, names, names_bytes) = _HEADER.unpack_from(ekm)
        endpoints = [_endpoint(ekm, tensors + i * _TENSOR.size) for i in range(inputs + outputs)]
        self.inputs, self.outputs = tuple(endpoints[:inputs]), tuple(endpoints[inputs:])
        texts = [name.decode("utf-8", "replace") for name in ekm[names : names + names_bytes].split(b"\0")]
        self.name, self.operators = texts[0], tuple(texts[1 : 1 + operators])

    def run(self, inputs: Sequence[Int8]) -> list[Int8]:
        """One inference; arrays of int8 in the shapes of ``inputs`` in, of ``outputs`` out.

        Raises:
            UsageError: number, dtype or shape of the inputs is not the model's.
            RuntimeCrashError: a kernel wrote outside the arena.
        """
        self._write(inputs)
        self._intact(self._library.ek_host_run(self._model.ctypes.data), "the model")
        return [self._read(endpoint) for endpoint in self.outputs]

    def steps(self, inputs: Sequence[Int8]) -> Iterator[tuple[int, str, Int8]]:
        """One inference operator by operator: number, name, and the arena after it.

        The arena is a read-only view that the next operator changes. Where an operator's output lies in it is in the
        memory plan; the model file does not say.

        Raises:
            UsageError, RuntimeCrashError: as :meth:`run`.
        """
        self._write(inputs)
        view = self._arena.view()
        view.flags.writeable = False
        for number, name in enumerate(self.operators):
            intact = self._library.ek_host_run_operator(self._model.ctypes.data, number)
            self._intact(intact, f"operator {number}, {name}")
            yield number, name, view

    def _open(self) -> None:
        bad = ctypes.c_uint32(_NO_OPERATOR)
        status = int(
            self._library.ek_host_open(
                self._model.ctypes.data,
                self._file.ctypes.data,
                self._file.size,
                self._memory.ctypes.data,
                self._memory.size,
                ctypes.byref(bad),
            )
        )
        if status != 0:
            raise _refused(status, None if bad.value == _NO_OPERATOR else bad.value)

    def _write(self, inputs: Sequence[Int8]) -> None:
        if len(inputs) != len(self.inputs):
            raise _wrong_input(f"{len(inputs)} inputs were given, {self.name} has {len(self.inputs)}", self.name)
        for number, (values, endpoint) in enumerate(zip(inputs, self.inputs, strict=True)):
            if values.dtype != np.int8 or values.shape != endpoint.shape:
                text = f"input {number} is {values.dtype} {values.shape}, {self.name} takes int8 {endpoint.shape}"
                raise _wrong_input(text, self.name)
        for values, endpoint in zip(inputs, self.inputs, strict=True):
            self._arena[endpoint.offset : endpoint.offset + endpoint.bytes] = values.reshape(-1)

    def _read(self, endpoint: Endpoint) -> Int8:
        stored = self._arena[endpoint.offset : endpoint.offset + endpoint.bytes]
        return stored.reshape(endpoint.shape).copy()

    def _intact(self, intact: int, what: str) -> None:
        if not intact:
            raise RuntimeCrashError(
                f"A kernel wrote outside the arena while {what} ran.",
                where=self.name,
                next_step="This is a fault of edgekit: report it with the model.",
            )


def _arena_bytes(ekm: bytes) -> int:
    """From the header, before anything is checked: how much to allocate."""
    if len(ekm) < _HEADER.size + 8 or len(ekm) > _MAX_FILE:
        raise _refused(3, None)
    arena_bytes = int(_HEADER.unpack_from(ekm)[6])
    if arena_bytes > _MAX_ARENA:
        # Before the checksum: the number can't be trusted, and must not be allocated.
        raise _refused(3, None)
    return arena_bytes


def _endpoint(ekm: bytes, offset: int) -> Endpoint:
    start, size, scale, zero_point, float_outside, rank, *dims = _TENSOR.unpack_from(ekm, offset)
    stated = dims[-1] if rank < len(dims) else 0
    axes = tuple((stated >> 4 * i & 15) if stated else i for i in range(rank))
    if sorted(axes) != list(range(rank)):
        raise _refused(3, None)
    return Endpoint(tuple(dims[:rank]), scale, zero_point, bool(float_outside), start, size, axes)


def _aligned(size: int) -> npt.NDArray[np.uint8]:
    raw = np.empty(size + _ALIGN, np.uint8)
    start = -raw.ctypes.data % _ALIGN
    return raw[start : start + size]


def _refused(status: int, operator: int | None) -> ModelError:
    place = "" if operator is None else f" (operator {operator})"
    return ModelError(
        f"The file {_STATUS.get(status, f'was refused with status {status}')}{place}.",
        where="packed microcontroller model (.ekm)",
        next_step="Compile the model again with this version of edgekit.",
        status=status,
        operator=operator,
    )


def _wrong_input(text: str, name: str) -> UsageError:
    return UsageError(f"The inputs don't fit: {text}.", where=name, next_step="Give arrays of those shapes and dtype.")
