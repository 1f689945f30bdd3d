"""ExecuTorch: .pte files by the Python bindings of the executorch wheel (XNNPACK and portable kernels)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

# The bindings resolve their symbols against libtorch, hence torch first. ``portable_lib`` re-exports this module after
# importing executorch.exir, which costs five seconds and a hundred megabytes that running a model does not need.
from executorch.extension.pybindings import _C as runtime

from edgekit.errors import RuntimeCrashError, UsageError
from edgekit.harness.engines.base import PROFILE_WARMUP, Array, InputSpec, OpProfile, check_inputs, op_times
from edgekit.harness.engines.base import runtime_call as calling

# executorch's ScalarType numbers (runtime/core/portable_type/scalar_type.h).
_DTYPES = {0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64",
           11: "bool"}  # fmt: skip
# Events that contain others, or that belong to loading.
_CONTAINERS = ("Method::execute", "DELEGATE_CALL", "OPERATOR_CALL", "Method::init", "Program::load_method")
_TOTAL = "Method::execute"


def create() -> Executorch:
    """A driver without a model."""
    return Executorch()


class Executorch:
    """Runs ``forward`` of a .pte. A run hands over the inputs and executes, as an app's call of ``forward`` does.

    Inputs that were planned into the arena are copied by the runtime on every run: later operators may overwrite them.
    """

    note: str | None = None

    def __init__(self) -> None:
        self._program: Any = None
        self._method: Any = None
        self._inputs: list[torch.Tensor] = []
        self._outputs: list[Any] = []
        self._path = Path()

    def load(self, path: Path, threads: int) -> None:
        self._method, self._program, self._outputs = None, None, []
        self._path = path
        if runtime._threadpool_get_thread_count() != threads:
            runtime._unsafe_reset_threadpool(threads)
        if runtime._threadpool_get_thread_count() != threads:
            raise RuntimeCrashError(f"ExecuTorch does not run with {threads} threads here.", where=str(path))
        self._open(with_events=False)

    def bind(self, inputs: Sequence[Array]) -> None:
        check_inputs(self.specs(), inputs)
        self._inputs = [torch.from_numpy(np.array(value, order="C")) for value in inputs]

    def run(self) -> None:
        self._outputs = self._method.call(self._inputs, False)

    def outputs(self) -> list[Array]:
        return [np.array(value.detach().numpy()) for value in self._outputs]

    def profile(self, runs: int) -> OpProfile:
        self._method, self._program, self._outputs = None, None, []
        self._open(with_events=True)
        for _ in range(runs + PROFILE_WARMUP):
            self.run()
        with tempfile.TemporaryDirectory(prefix="edgekit-etdump-") as folder, calling("profile the model", self._path):
            dump = str(Path(folder) / "events.etdp")
            self._program.write_etdump_result_to_file(dump)
            return _read_events(dump)

    def _open(self, *, with_events: bool) -> None:
        with calling("load the model", self._path):
            self._program = runtime._load_program(str(self._path), enable_etdump=with_events)
            self._method = self._program.load_method("forward")

    def specs(self) -> list[InputSpec]:
        meta = self._method.method_meta()
        infos = [meta.input_tensor_meta(index) for index in range(meta.num_inputs())]
        for info in infos:
            if info.dtype() not in _DTYPES:
                raise UsageError(f"The model has an input of a type that numpy lacks: {info}.", where=str(self._path))
        return [InputSpec(f"input {i}", tuple(t.sizes()), _DTYPES[t.dtype()]) for i, t in enumerate(infos)]


def _read_events(dump: str) -> OpProfile:
    # Only the profile pass pays for this import: it brings executorch.exir.
    from executorch.devtools import Inspector

    blocks = Inspector(etdump_path=dump).event_blocks
    events = [event for block in blocks if block.name == "Execute" for event in block.events if event.perf_data]
    totals = [time for event in events if event.name == _TOTAL for time in event.perf_data.raw[PROFILE_WARMUP:]]
    if not totals:
        return OpProfile((), (), "ExecuTorch recorded no execution events for this file.")
    total_ms = float(np.median(totals))
    rows = [_row(event) for event in events if event.name not in _CONTAINERS]
    note = None
    if not any(event.is_delegated_op for event in events):
        calls = [event for event in events if event.name == "DELEGATE_CALL"]
        rows += [("delegate", "delegate", "delegate", event.perf_data.raw[PROFILE_WARMUP:]) for event in calls]
        note = "The delegate reports no operators of its own; each call of it is one row." if calls else None
    return OpProfile(op_times(rows, total_ms), tuple(int(time * 1e6) for time in totals), note)


def _row(event: Any) -> tuple[str, str, str, list[float]]:
    kind = event.name.rsplit(" #", 1)[0]
    unit = (event.delegate_backend_name or "delegate") if event.is_delegated_op else "CPU"
    return event.name, kind, unit, event.perf_data.raw[PROFILE_WARMUP:]
