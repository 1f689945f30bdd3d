"""edgekit's own runtime for microcontrollers, on this machine: the C sources of the board, compiled for the host."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from edgekit.harness.engines.base import PROFILE_WARMUP, Array, InputSpec, OpProfile, check_inputs, op_times
from edgekit.harness.engines.base import runtime_call as calling
from edgekit.harness.int8_tensors import Int8, outside_shape, to_outside, to_stored
from edgekit.harness.mcu_model import HostModel


def create() -> McuRuntime:
    """A driver without a model."""
    return McuRuntime()


class McuRuntime:
    """Runs an .ekm by the portable kernels. A model that was float32 outside takes and gives float32 here too."""

    def __init__(self) -> None:
        self.note: str | None = "The microcontroller runtime's portable kernels, compiled for this machine."
        self._model: HostModel | None = None
        self._path = Path()
        self._inputs: list[Int8] = []
        self._outputs: list[Int8] = []

    def load(self, path: Path, threads: int) -> None:
        self._model, self._path = None, path
        with calling("load the model", path):
            self._model = HostModel(path.read_bytes())

    def specs(self) -> list[InputSpec]:
        return [
            InputSpec(f"input_{i}", outside_shape(e), "float32" if e.float_outside else "int8")
            for i, e in enumerate(self._loaded().inputs)
        ]

    def bind(self, inputs: Sequence[Array]) -> None:
        check_inputs(self.specs(), inputs)
        self._inputs = [to_stored(value, e) for value, e in zip(inputs, self._loaded().inputs, strict=True)]

    def run(self) -> None:
        self._outputs = self._loaded().run(self._inputs)

    def outputs(self) -> list[Array]:
        return [to_outside(value, e) for value, e in zip(self._outputs, self._loaded().outputs, strict=True)]

    def profile(self, runs: int) -> OpProfile:
        model = self._loaded()
        times: list[list[float]] = [[] for _ in model.operators]
        totals = []
        for number in range(PROFILE_WARMUP + runs):
            started = last = time.perf_counter_ns()
            for index, _name, _arena in model.steps(self._inputs):
                now = time.perf_counter_ns()
                if number >= PROFILE_WARMUP:
                    times[index].append((now - last) / 1e6)
                last = now
            if number >= PROFILE_WARMUP:
                totals.append(last - started)
        rows = [(name, name, "CPU", spent) for name, spent in zip(model.operators, times, strict=True)]
        total_ms = sorted(totals)[len(totals) // 2] / 1e6
        return OpProfile(op_times(rows, total_ms), tuple(totals), self.note)

    def _loaded(self) -> HostModel:
        if self._model is None:
            raise RuntimeError("no model is loaded")
        return self._model
