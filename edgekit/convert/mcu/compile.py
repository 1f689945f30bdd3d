"""From an int8 .tflite to a packed model: front end, exact rewrites, lowering, memory plan, packing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from edgekit.convert.mcu.graph import Graph
from edgekit.convert.mcu.legalise.run import legalise
from edgekit.convert.mcu.lower.program import lower
from edgekit.convert.mcu.lower.table import LOWERINGS
from edgekit.convert.mcu.pack import pack
from edgekit.convert.mcu.plan import plan
from edgekit.convert.mcu.steps import Plan, Program
from edgekit.convert.mcu.tflite import read_tflite
from edgekit.convert.mcu.unpack import unpack

PLAN_TIME_LIMIT_S = 60.0


@dataclass(frozen=True)
class Compiled:
    """A model ready for a microcontroller: what was planned and the file's bytes."""

    program: Program
    plan: Plan
    ekm: bytes = field(repr=False)

    @property
    def data_bytes(self) -> int:
        """Bytes of the constants in the file: weights and tables."""
        return unpack(self.ekm).data_bytes


def compile_file(
    path: Path,
    *,
    dsp: bool,
    name: str | None = None,
    float_outside: bool = False,
    time_limit_s: float = PLAN_TIME_LIMIT_S,
) -> Compiled:
    """Compile an int8 .tflite.

    Args:
        path: the .tflite.
        dsp: lay weights out for the kernels of cores with the DSP extension (Cortex-M4, M7, M33, M55).
        name: what the model is called; the file's stem by default.
        float_outside: the int8 inputs and outputs stand for float32 ones of the model that was quantised: the host
            (de)quantises them, as it does where the file says so itself, and transposes them where the file would.
        time_limit_s: seconds for the search of the memory plan.

    Raises:
        ConvertError: the file is damaged, not int8, or has operators that can't be compiled; each is named.
    """
    graph = read_tflite(path, name)
    return compile_graph(graph, dsp=dsp, float_outside=float_outside, time_limit_s=time_limit_s)


def compile_graph(
    graph: Graph, *, dsp: bool, float_outside: bool = False, time_limit_s: float = PLAN_TIME_LIMIT_S
) -> Compiled:
    """As :func:`compile_file`, from a graph that a front end has made."""
    program = program_of(graph, dsp=dsp, float_outside=float_outside)
    planned = plan(program, time_limit_s=time_limit_s)
    return Compiled(program, planned, pack(program, planned))


def program_of(graph: Graph, *, dsp: bool, float_outside: bool = False) -> Program:
    """What is planned: the graph after the exact rewrites, lowered."""
    program = lower(legalise(graph, LOWERINGS, reorder=float_outside), dsp=dsp)
    if not float_outside:
        return program
    inputs, outputs = (
        tuple(replace(end, float_outside=True) for end in ends) for ends in (program.inputs, program.outputs)
    )
    return replace(program, inputs=inputs, outputs=outputs)
