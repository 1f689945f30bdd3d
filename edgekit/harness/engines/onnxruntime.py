"""ONNX Runtime: .onnx files on its CPU provider, with inputs and outputs bound once."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edgekit.errors import UsageError
from edgekit.harness.engines.base import PROFILE_WARMUP, Array, InputSpec, OpProfile, check_inputs, op_times
from edgekit.harness.engines.base import runtime_call as calling

_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64",
           "tensor(int8)": "int8", "tensor(uint8)": "uint8", "tensor(int16)": "int16", "tensor(int32)": "int32",
           "tensor(int64)": "int64", "tensor(bool)": "bool"}  # fmt: skip
_KERNEL = "_kernel_time"


def create() -> OnnxRuntime:
    """A driver without a model."""
    return OnnxRuntime()


class OnnxRuntime:
    """A sequential session: ``threads`` intra-op threads, one inter-op thread, all graph optimisations (default)."""

    note: str | None = None

    def __init__(self) -> None:
        self._session: Any = None
        self._binding: Any = None
        self._inputs: list[Array] = []
        self._path, self._threads = Path(), 1

    def load(self, path: Path, threads: int) -> None:
        self._binding, self._session = None, None
        self._path, self._threads = path, threads
        self._session = self._open(profile_prefix=None)

    def bind(self, inputs: Sequence[Array]) -> None:
        check_inputs(self.specs(), inputs)
        # The session reads these very arrays on every run, so they must stay alive.
        self._inputs = [np.array(value, order="C") for value in inputs]
        self._bind(self._session)

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)

    def outputs(self) -> list[Array]:
        return [np.array(value) for value in self._binding.copy_outputs_to_cpu()]

    def profile(self, runs: int) -> OpProfile:
        with tempfile.TemporaryDirectory(prefix="edgekit-ort-") as folder, calling("profile the model", self._path):
            self._binding, self._session = None, None
            self._session = self._open(profile_prefix=str(Path(folder) / "events"))
            self._bind(self._session)
            for _ in range(runs + PROFILE_WARMUP):
                self.run()
            events = json.loads(Path(self._session.end_profiling()).read_text())
        return read_events(events)

    def _open(self, profile_prefix: str | None) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self._threads, 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        if profile_prefix is not None:
            options.enable_profiling, options.profile_file_prefix = True, profile_prefix
        with calling("load the model", self._path):
            return onnxruntime.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])

    def _bind(self, session: Any) -> None:
        binding = session.io_binding()
        for slot, value in zip(session.get_inputs(), self._inputs, strict=True):
            binding.bind_cpu_input(slot.name, value)
        for slot in session.get_outputs():
            binding.bind_output(slot.name, "cpu")
        self._binding = binding

    def specs(self) -> list[InputSpec]:
        specs = []
        for slot in self._session.get_inputs():
            if slot.type not in _DTYPES:
                raise UsageError(f"Input {slot.name} is of a type that edgekit can't feed: {slot.type}.",
                                 where=str(self._path))  # fmt: skip
            shape = tuple(size if isinstance(size, int) else None for size in slot.shape)
            specs.append(InputSpec(slot.name, shape, _DTYPES[slot.type]))
        return specs


def read_events(events: Sequence[dict[str, Any]]) -> OpProfile:
    """Per-node medians from the session's profile: one ``NAME_kernel_time`` event per node and run, in microseconds."""
    runs = [event["dur"] for event in events if event.get("name") == "model_run"][PROFILE_WARMUP:]
    times: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and name.endswith(_KERNEL):
            facts = event.get("args", {})
            key = (name.removesuffix(_KERNEL), str(facts.get("op_name", "")), str(facts.get("provider", "CPU")))
            times[key].append(event["dur"] / 1e3)
    if not runs:
        return OpProfile((), (), "ONNX Runtime recorded no runs.")
    rows = [(*key, values[PROFILE_WARMUP:]) for key, values in times.items()]
    total_ms = float(np.median(runs)) / 1e3
    return OpProfile(op_times(rows, total_ms), tuple(int(run * 1000) for run in runs))
