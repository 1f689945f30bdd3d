"""LiteRT: .tflite files by CompiledModel, the API that LiteRT's own benchmark tool times.

CompiledModel and the older Interpreter run the same kernels: on MobileNetV2 with one thread their medians differed by
less than repeats of either did. CompiledModel's Python buffers can't hold int64 and a few rarer types; a model with
such an input or output is run by the Interpreter instead, and the result says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.environment import Environment, EnvironmentOptions
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.options import CpuOptions, Options

from edgekit.harness.engines.base import PROFILE_WARMUP, Array, InputSpec, OpProfile, check_inputs
from edgekit.harness.engines.base import runtime_call as calling

# What ai_edge_litert.tensor_buffer.TensorBuffer reads and writes, of the types that numpy itself has.
_BUFFER_DTYPES = frozenset({"float32", "float16", "int32", "int8", "uint8", "bool"})


def create() -> LiteRt:
    """A driver without a model; its runtime environment is set up here, outside the timed load."""
    return LiteRt()


class LiteRt:
    """Runs the first signature of a .tflite on the CPU (XNNPACK, LiteRT's default there)."""

    def __init__(self) -> None:
        self.note: str | None = None
        self._environment = Environment.create(options=EnvironmentOptions())
        self._model: _Compiled | _Interpreted | None = None
        self._inputs: list[Array] = []
        self._run: Callable[[], None] = self._not_bound
        self._path, self._threads = Path(), 1

    def load(self, path: Path, threads: int) -> None:
        self._model, self._run = None, self._not_bound
        self._path, self._threads = path, threads
        with calling("load the model", path):
            self._model = self._open()

    def specs(self) -> list[InputSpec]:
        return list(self._loaded().specs)

    def bind(self, inputs: Sequence[Array]) -> None:
        model = self._loaded()
        check_inputs(model.specs, inputs)
        self._inputs = [np.array(value, order="C") for value in inputs]
        model.bind(self._inputs)
        self._run = model.run

    def run(self) -> None:
        self._run()

    def outputs(self) -> list[Array]:
        return self._loaded().outputs()

    def profile(self, runs: int) -> OpProfile:
        from edgekit.harness.engines.litert_profile import profile_file

        with calling("profile the model", self._path):
            return profile_file(self._path, self._threads, self._inputs, runs, PROFILE_WARMUP)

    def _not_bound(self) -> None:
        raise RuntimeError("no inputs are bound")

    def _loaded(self) -> _Compiled | _Interpreted:
        if self._model is None:
            raise RuntimeError("no model is loaded")
        return self._model

    def _open(self) -> _Compiled | _Interpreted:
        options = Options(cpu_options=CpuOptions(num_threads=self._threads))
        model = CompiledModel.from_file(str(self._path), environment=self._environment, options=options)
        signature = model.get_signature_by_index(0)["key"]
        details = [*model.get_input_tensor_details(signature).values()]
        details += model.get_output_tensor_details(signature).values()
        strange = sorted({str(detail["dtype"]) for detail in details} - _BUFFER_DTYPES)
        if not strange:
            return _Compiled(model, signature)
        self.note = f"Run by LiteRT's Interpreter: CompiledModel's Python buffers can't hold {', '.join(strange)}."
        return _Interpreted(self._path, self._threads)


class _Compiled:
    def __init__(self, model: Any, signature: str) -> None:
        self._model = model
        self._in = model.create_input_buffers(0)
        self._out = model.create_output_buffers(0)
        facts = model.get_signature_by_index(0)
        details = model.get_input_tensor_details(signature)
        self.specs = [_spec(name, details[name]["shape"], details[name]["dtype"]) for name in facts["inputs"]]

    def bind(self, inputs: Sequence[Array]) -> None:
        for buffer, value in zip(self._in, inputs, strict=True):
            buffer.write(value)

    def run(self) -> None:
        self._model.run_by_index(0, self._in, self._out)

    def outputs(self) -> list[Array]:
        return [_read(buffer) for buffer in self._out]


class _Interpreted:
    def __init__(self, path: Path, threads: int) -> None:
        self._interpreter = Interpreter(str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._slots = self._interpreter.get_input_details()
        self.specs = [_spec(s["name"], s["shape_signature"], np.dtype(s["dtype"]).name) for s in self._slots]
        self.run = self._interpreter.invoke

    def bind(self, inputs: Sequence[Array]) -> None:
        for slot, value in zip(self._slots, inputs, strict=True):
            self._interpreter.set_tensor(slot["index"], value)

    def outputs(self) -> list[Array]:
        slots = self._interpreter.get_output_details()
        return [np.array(self._interpreter.get_tensor(slot["index"])) for slot in slots]


def _spec(name: str, shape: Sequence[int], dtype: str) -> InputSpec:
    return InputSpec(name, tuple(None if size < 0 else int(size) for size in shape), str(dtype))


def _read(buffer: Any) -> Array:
    details = buffer.get_tensor_details()
    shape = [int(size) for size in details["shape"]]
    values: Array = buffer.read(int(np.prod(shape)), np.dtype(details["dtype"]).type)
    return values.reshape(shape)
