"""LiteRT's reference kernels: what the int8 kernels of microcontrollers are held against, bit by bit. Slow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgekit.errors import UsageError
from edgekit.harness.engines.base import Array, InputSpec, OpProfile, check_inputs
from edgekit.harness.engines.base import runtime_call as calling


def create() -> LiteRtReference:
    """A driver without a model."""
    return LiteRtReference()


class LiteRtReference:
    """Runs a .tflite by the Interpreter with OpResolverType.BUILTIN_REF and no delegate."""

    def __init__(self) -> None:
        self.note: str | None = "LiteRT's reference kernels."
        self._interpreter: Interpreter | None = None
        self._path = Path()

    def load(self, path: Path, threads: int) -> None:
        self._interpreter, self._path = None, path
        with calling("load the model", path):
            interpreter = Interpreter(
                str(path),
                experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
                experimental_preserve_all_tensors=False,
                num_threads=threads,
            )
            interpreter.allocate_tensors()
            self._interpreter = interpreter

    def specs(self) -> list[InputSpec]:
        """The inputs as they are allocated: a batch that the file leaves open is 1."""
        details = self._loaded().get_input_details()
        return [InputSpec(s["name"], tuple(int(n) for n in s["shape"]), s["dtype"].__name__) for s in details]

    def bind(self, inputs: Sequence[Array]) -> None:
        check_inputs(self.specs(), inputs)
        for slot, value in zip(self._loaded().get_input_details(), inputs, strict=True):
            self._loaded().set_tensor(slot["index"], np.ascontiguousarray(value))

    def run(self) -> None:
        self._loaded().invoke()

    def outputs(self) -> list[Array]:
        loaded = self._loaded()
        return [np.array(loaded.get_tensor(slot["index"])) for slot in loaded.get_output_details()]

    def profile(self, runs: int) -> OpProfile:
        """Refused: nobody ships these kernels."""
        raise UsageError(
            "LiteRT's reference kernels are for comparing results, not for timing.", where=str(self._path),
            next_step="Profile the .tflite with the engine litert.",
        )  # fmt: skip

    def _loaded(self) -> Interpreter:
        if self._interpreter is None:
            raise RuntimeError("no model is loaded")
        return self._interpreter
