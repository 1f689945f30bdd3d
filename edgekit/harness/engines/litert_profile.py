"""Per-operator times of a .tflite by LiteRT's C API, whose profiler the Python API does not expose.

The wheel's ``libLiteRt.so`` is driven through ctypes by the public headers of LiteRT 2 (litert/c/litert_*.h). Only the
profile pass does this; everything that is timed goes through the Python API. Times have a resolution of 1 microsecond.
"""

from __future__ import annotations

import ctypes
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import ai_edge_litert

from edgekit.harness.engines.base import Array, OpProfile, op_times

_CPU_ACCELERATOR = 1
_LOCK_WRITE = 1
_OPERATOR, _DELEGATE_OPERATOR, _DELEGATE_PROFILED = 1 << 1, 1 << 2, 1 << 3
_KNOWN_TYPES = frozenset(1 << bit for bit in range(9))
_WHOLE_RUN = "Invoke"
_MAX_EVENTS = 1_000_000


class _TensorType(ctypes.Structure):
    """LiteRtRankedTensorType: the rank and a flag share one word."""

    _fields_ = [("element_type", ctypes.c_int), ("rank", ctypes.c_uint32),
                ("dimensions", ctypes.c_int32 * 8), ("strides", ctypes.c_uint32 * 8)]  # fmt: skip


class _Event(ctypes.Structure):
    """ProfiledEventData, with tflite's MemoryUsage of three words before and after the event."""

    _fields_ = [("tag", ctypes.c_char_p), ("type", ctypes.c_int), ("start_us", ctypes.c_uint64),
                ("elapsed_us", ctypes.c_uint64), ("memory", ctypes.c_uint64 * 6), ("node", ctypes.c_uint64),
                ("subgraph", ctypes.c_uint64), ("source", ctypes.c_int)]  # fmt: skip


@dataclass(frozen=True)
class Event:
    """One profiler event: its tag, tflite::Profiler::EventType, microseconds, and the node's index."""

    tag: str
    type: int
    elapsed_us: int
    node: int


def profile_file(path: Path, threads: int, inputs: Sequence[Array], runs: int, warmup: int) -> OpProfile:
    """Load with profiling switched on, run ``warmup`` times unrecorded, then ``runs`` times recorded."""
    model = _Model()
    try:
        model.open(path, threads)
        model.fill(inputs)
        for _ in range(warmup):
            model.run()
        return read_events(model.profiled(runs))
    finally:
        model.close()


def read_events(events: Sequence[Event]) -> OpProfile:
    """Per-operator medians. Runs are told apart by their ``Invoke`` event, operators within one by their order.

    A delegate's operators are numbered within their own partition, so the order, not the number, identifies them.
    """
    if any(event.type not in _KNOWN_TYPES for event in events):
        return OpProfile((), (), "This LiteRT's profiler events are laid out differently from LiteRT 2.3's.")
    totals: list[int] = []
    times: dict[tuple[int, str, bool], list[float]] = defaultdict(list)
    position = 0
    for event in events:
        if event.type == 1 and event.tag == _WHOLE_RUN:
            totals.append(event.elapsed_us)
            position = 0
        elif event.type in (_OPERATOR, _DELEGATE_OPERATOR, _DELEGATE_PROFILED):
            times[(position, event.tag, event.type != _OPERATOR)].append(event.elapsed_us / 1e3)
            position += 1
    if not totals:
        return OpProfile((), (), "LiteRT recorded no runs.")
    rows = [(f"{tag} #{place}", tag, "XNNPACK" if inside else "CPU", taken)
            for (place, tag, inside), taken in times.items()]  # fmt: skip
    note = "LiteRT's profiler counts whole microseconds; an operator shown as 0 took less than one."
    return OpProfile(op_times(rows, median(totals) / 1e3), tuple(total * 1000 for total in totals), note)


@dataclass
class _Model:
    """Handles of one compiled model, released in reverse order by :meth:`close`."""

    library: Any = field(default_factory=lambda: ctypes.CDLL(str(Path(ai_edge_litert.__path__[0]) / "libLiteRt.so")))
    release: list[tuple[str, Any]] = field(default_factory=list)
    handle: Any = None
    inputs: Any = None
    outputs: Any = None

    def call(self, name: str, *arguments: Any) -> None:
        status = getattr(self.library, name)(*arguments)
        if status != 0:
            raise RuntimeError(f"{name} answered status {status}")

    def new(self, name: str, *arguments: Any, destroy: str | None = None) -> Any:
        made = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(made))
        if destroy is not None:
            self.release.append((destroy, made))
        return made

    def open(self, path: Path, threads: int) -> None:
        environment = self.new("LiteRtCreateEnvironment", 0, None, destroy="LiteRtDestroyEnvironment")
        model = self.new("LiteRtCreateModelFromFile", environment, str(path).encode(), destroy="LiteRtDestroyModel")
        options = self.new("LiteRtCreateOptions", destroy="LiteRtDestroyOptions")
        self.call("LiteRtSetOptionsHardwareAccelerators", options, _CPU_ACCELERATOR)
        self._add_options(options, b"runtime_options_string", b"enable_profiling = true\n")
        self._add_options(options, b"xnnpack", b"num_threads = %d\n" % threads)
        arguments = (environment, model, options)
        self.handle = self.new("LiteRtCreateCompiledModel", *arguments, destroy="LiteRtDestroyCompiledModel")
        signature = self.new("LiteRtGetModelSignature", model, ctypes.c_size_t(0))
        graph = self.new("LiteRtGetSignatureSubgraph", signature)
        self.inputs = self._buffers(environment, graph, "Input")
        self.outputs = self._buffers(environment, graph, "Output")

    def fill(self, inputs: Sequence[Array]) -> None:
        for buffer, value in zip(self.inputs, inputs, strict=True):
            size, address = ctypes.c_size_t(), ctypes.c_void_p()
            self.call("LiteRtGetTensorBufferSize", ctypes.c_void_p(buffer), ctypes.byref(size))
            if size.value < value.nbytes:
                raise RuntimeError(f"the input buffer holds {size.value} bytes, the input {value.nbytes}")
            self.call("LiteRtLockTensorBuffer", ctypes.c_void_p(buffer), ctypes.byref(address), _LOCK_WRITE)
            ctypes.memmove(address, value.ctypes.data, value.nbytes)
            self.call("LiteRtUnlockTensorBuffer", ctypes.c_void_p(buffer))

    def run(self) -> None:
        slots = (ctypes.c_size_t(len(self.inputs)), self.inputs, ctypes.c_size_t(len(self.outputs)), self.outputs)
        self.call("LiteRtRunCompiledModel", self.handle, ctypes.c_size_t(0), *slots)

    def profiled(self, runs: int) -> list[Event]:
        profiler = self.new("LiteRtCompiledModelGetProfiler", self.handle)
        self.call("LiteRtResetProfiler", profiler)
        self.call("LiteRtStartProfiler", profiler)
        for _ in range(runs):
            self.run()
        self.call("LiteRtStopProfiler", profiler)
        count = ctypes.c_int()
        self.call("LiteRtGetNumProfilerEvents", profiler, ctypes.byref(count))
        if not 0 < count.value <= _MAX_EVENTS:
            return []
        raw = (_Event * count.value)()
        self.call("LiteRtGetProfilerEvents", profiler, count, raw)
        # A type that LiteRT does not have shows another layout; then nothing else in the array may be followed.
        if any(event.type not in _KNOWN_TYPES for event in raw):
            return [Event("", 0, 0, 0)]
        return [Event((e.tag or b"").decode(errors="replace"), e.type, e.elapsed_us, e.node) for e in raw]

    def close(self) -> None:
        for name, handle in reversed(self.release):
            getattr(self.library, name)(handle)
        self.release.clear()

    def _add_options(self, options: Any, kind: bytes, payload: bytes) -> None:
        libc = ctypes.CDLL(None)
        libc.strdup.restype = ctypes.c_void_p
        made = ctypes.c_void_p()
        # The options own the payload and free it with the function given here.
        text = ctypes.c_void_p(libc.strdup(payload))
        self.call("LiteRtCreateOpaqueOptions", kind, text, libc.free, ctypes.byref(made))
        self.call("LiteRtAddOpaqueOptions", options, made)

    def _buffers(self, environment: Any, graph: Any, side: str) -> Any:
        count = ctypes.c_size_t()
        self.call(f"LiteRtGetNumSubgraph{side}s", graph, ctypes.byref(count))
        made = (ctypes.c_void_p * count.value)()
        for index in range(count.value):
            place, shape = ctypes.c_size_t(index), _TensorType()
            tensor = self.new(f"LiteRtGetSubgraph{side}", graph, place)
            self.call("LiteRtGetRankedTensorType", tensor, ctypes.byref(shape))
            wants = self.new(f"LiteRtGetCompiledModel{side}BufferRequirements", self.handle, ctypes.c_size_t(0), place)
            make = ("LiteRtCreateManagedTensorBufferFromRequirements", environment, ctypes.byref(shape), wants)
            made[index] = self.new(*make, destroy="LiteRtDestroyTensorBuffer")
        return made
