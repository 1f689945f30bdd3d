"""What LiteRT's Interpreter says of a .tflite once it has loaded it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.convert.files.tflite import Tflite
from edgekit.harness.engines.base import runtime_call


def delegated(file: Tflite, path: Path) -> tuple[int, set[int], list[str]]:
    """The partitions that XNNPACK takes, the numbers of the operators in them, and every operator's name.

    The Interpreter keeps the file's operators under their numbers and adds one node per partition behind them. Which
    operators a partition replaces follows from its inputs and outputs: all that its outputs are made from, back to its
    inputs.

    Raises:
        RuntimeCrashError: LiteRT refuses the file.
    """
    from ai_edge_litert.interpreter import Interpreter

    with runtime_call("load the model", path):
        interpreter: Any = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        nodes = interpreter._interpreter
        names = [str(nodes.NodeName(index)) for index in range(len(file.operators))]
        added = range(len(file.operators), int(nodes.NumNodes()))
        ends = [([int(i) for i in nodes.NodeInputs(n)], [int(i) for i in nodes.NodeOutputs(n)]) for n in added]
    makers = {tensor: index for index, operator in enumerate(file.operators) for tensor in operator.outputs}
    inside: set[int] = set()
    for inputs, outputs in ends:
        known, waiting = set(inputs), list(outputs)
        while waiting:
            tensor = waiting.pop()
            maker = makers.get(tensor)
            if tensor in known or maker is None:
                continue
            known.add(tensor)
            inside.add(maker)
            waiting += file.operators[maker].inputs
    return len(ends), inside, names
