"""Which intermediate tensor is the first to differ from PyTorch's, by converting once more: where the file can't tell.

Method: make every intermediate tensor an output, convert that program with the same backend, run it on the golden
input with the largest error, and compare tensor by tensor in execution order. One more conversion, only on failure;
above MAX_TAPS tensors a second one looks between the last tensor that agreed and the first that did not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.fx import GraphModule, Node

from edgekit.convert import eager, parity
from edgekit.records import Divergence, Tolerance

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edgekit.export.provenance import NodeOrigin

Array = npt.NDArray[Any]

# More outputs than this make some runtimes refuse the file; more tensors are thinned out evenly.
MAX_TAPS = 160


def tap(program: ExportedProgram, names: Sequence[str]) -> tuple[ExportedProgram, GraphModule]:
    """A program that returns the intermediate tensors of these names, and its eager form."""
    module = program.module()
    graph = torch.fx.Graph()
    copied: dict[Node, Node] = {}
    wanted, taps = set(names), dict[str, Node]()
    for node in module.graph.nodes:
        if node.op in ("output", "call_module"):  # an exported module calls only its input guards
            continue
        copied[node] = graph.node_copy(node, lambda n: copied[n])
        if node.name in wanted:
            # Taken here, because an in-place operator may come next and change the tensor.
            taps[node.name] = graph.call_function(torch.clone, (copied[node],))
    graph.output(tuple(taps[name] for name in names))
    plain = GraphModule(module, graph)
    example = program.example_inputs[0] if program.example_inputs else ()
    with torch.no_grad():
        tapped = torch.export.export(plain.eval(), tuple(example), strict=False)
    return tapped, plain


def locate(
    program: ExportedProgram,
    origins: Mapping[str, NodeOrigin],
    sample: Sequence[Array],
    run: Callable[[ExportedProgram], Sequence[Array]],
    tolerance: Tolerance,
) -> Divergence | None:
    """The first diverging tensor, or null if every intermediate agrees once it is made visible.

    ``run`` converts and runs a program on ``sample`` (one array per input) and returns its outputs.
    """
    known: Divergence | None = None
    window = eager.comparable(program)
    while window:
        picked = window
        if len(window) > MAX_TAPS:
            picked = [window[i] for i in np.unique(np.linspace(0, len(window) - 1, MAX_TAPS).round().astype(int))]
        found = _first(program, picked, sample, run, tolerance)
        if found is None:
            break
        name, figures = found
        known = describe(name, origins, figures)
        # Between the last tensor that agreed and this one there may be others that were thinned out.
        index = picked.index(name)
        window = window[window.index(picked[index - 1]) + 1 if index else 0 : window.index(name)]
    return known


def _first(
    program: ExportedProgram,
    names: Sequence[str],
    sample: Sequence[Array],
    run: Callable[[ExportedProgram], Sequence[Array]],
    tolerance: Tolerance,
) -> tuple[str, dict[str, Any]] | None:
    tapped, eager = tap(program, names)
    with torch.no_grad():
        reference = eager(*(torch.from_numpy(np.array(a)) for a in sample))
    for name, expected, actual in zip(names, reference, run(tapped), strict=True):
        wanted = expected.detach().numpy()[None]
        figures = parity.figures(np.asarray(actual).reshape(wanted.shape), wanted, tolerance)
        if not parity.within(figures, tolerance):
            return name, figures
    return None


def describe(name: str, origins: Mapping[str, NodeOrigin], figures: Mapping[str, Any]) -> Divergence:
    """The record of a diverging tensor: where it is in the model, and its figures if there are any."""
    origin = origins.get(name)
    return Divergence(
        tensor=name,
        op=origin.op if origin else "",
        module=origin.module if origin else "",
        source=origin.source if origin else "",
        max_abs=_finite(figures.get("max_abs")),
        cosine=_finite(figures.get("cosine")),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None
