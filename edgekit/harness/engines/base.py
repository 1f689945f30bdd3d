"""What the harness asks of a runtime, and the checks that all runtimes share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from numpy.typing import NDArray

from edgekit.errors import EdgekitError, RuntimeCrashError, UsageError
from edgekit.records import OpTime

Array = NDArray[Any]

# Profiled runs that are thrown away first, so that caches and thread pools are as warm as in the timed loop.
PROFILE_WARMUP = 3


@dataclass(frozen=True)
class OpProfile:
    """Per-operator times; ``totals_ns`` holds the whole time of every profiled run, in nanoseconds."""

    ops: tuple[OpTime, ...]
    totals_ns: tuple[int, ...]
    note: str | None = None


@dataclass(frozen=True)
class InputSpec:
    """What a loaded model expects of one input; a dimension that it leaves open is None."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class EngineRunner(Protocol):
    """One runtime in this process. ``note`` says how the model is run, where that is not the usual way."""

    note: str | None

    def load(self, path: Path, threads: int) -> None:
        """Load the file, ready to run with that many threads. A model loaded before is released first."""

    def specs(self) -> list[InputSpec]:
        """The inputs that the loaded file states."""

    def bind(self, inputs: Sequence[Array]) -> None:
        """Set the inputs of the following runs: one array per model input, in the model's order."""

    def run(self) -> None:
        """One inference on the bound inputs. This is what is timed."""

    def outputs(self) -> list[Array]:
        """Copies of the last run's outputs, in the model's order."""

    def profile(self, runs: int) -> OpProfile:
        """Per-operator times over ``runs`` runs on the bound inputs, from an instrumented load of its own."""


@contextmanager
def runtime_call(what: str, where: Path | str) -> Iterator[None]:
    """Turn whatever a runtime raises into one typed error: "could not ``what``".

    Raises:
        RuntimeCrashError: the runtime refused.
    """
    try:
        yield
    except EdgekitError:
        raise
    # A process boundary in all but name: each runtime's binding raises types of its own, derived from Exception.
    except Exception as error:
        detail = " ".join(str(error).split())[:500] or type(error).__name__
        raise RuntimeCrashError(
            f"The runtime could not {what}: {detail}",
            where=str(where),
            next_step="Convert the model again with this edgekit, and check that the file was copied completely.",
        ) from error


def check_inputs(specs: Sequence[InputSpec], inputs: Sequence[Array]) -> None:
    """Compare the inputs with what the model expects, before a runtime reads memory by them.

    Raises:
        UsageError: the number, a shape or a dtype differs.
    """
    if len(specs) != len(inputs):
        raise UsageError(
            f"The model has {len(specs)} inputs, but {len(inputs)} were given.",
            where=", ".join(spec.name for spec in specs),
            next_step="Give one input file per model input, in the model's order.",
        )
    for spec, value in zip(specs, inputs, strict=True):
        fits = len(spec.shape) == value.ndim and all(
            wanted in (None, have) for wanted, have in zip(spec.shape, value.shape, strict=True)
        )
        if not fits or value.dtype.name != spec.dtype:
            wanted_shape = _shape(["?" if size is None else size for size in spec.shape])
            given = f"{value.dtype.name} {_shape(value.shape)}"
            raise UsageError(
                f"Input {spec.name} expects {spec.dtype} {wanted_shape}, not {given}.",
                where=spec.name,
                next_step="Make the inputs with the shape and dtype that the model was converted for.",
            )


def op_times(rows: Sequence[tuple[str, str, str, Sequence[float]]], total_ms: float) -> tuple[OpTime, ...]:
    """Records from (name, type, unit, milliseconds per run); ``share`` is of the whole run, framework included."""
    medians = [(name, kind, unit, float(median(times))) for name, kind, unit, times in rows if times]
    return tuple(
        OpTime(name=name, type=kind, unit=unit, p50_ms=p50, share=p50 / total_ms if total_ms > 0 else 0.0)
        for name, kind, unit, p50 in medians
    )


def _shape(shape: Sequence[object]) -> str:
    return "x".join(str(size) for size in shape) or "scalar"
