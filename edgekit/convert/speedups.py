"""Work that the converters do for nothing, skipped. Each entry says why the result can't change.

Nothing here is needed for a correct conversion: where a library's internals have moved, the entry does nothing.
"""

from __future__ import annotations

import functools
import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.export import ExportedProgram

# Packages that coremltools and its torch front end probe for at import (4 s), none of which takes part in converting
# an exported program: scikit-learn, XGBoost and libsvm are converters of their own, torchao and executorch bring
# further operator tables, transformers only a version check. Their absence is a supported configuration.
COREML_OPTIONAL = ("sklearn", "xgboost", "libsvm", "tensorflow", "executorch", "torchao", "transformers", "pandas")


@contextmanager
def without_optional_imports(*names: str) -> Iterator[None]:
    """Make ``import NAME`` fail for packages that are not loaded yet, while the block runs."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def skip_unused_xnnpack_patterns(program: ExportedProgram) -> None:
    """Don't build XNNPACK's pattern graphs for operators that the program does not have.

    Two passes find decomposed bilinear resizes and attention by matching against example graphs, which they first make
    by exporting and lowering example modules (over a third of the time for MobileNetV2). A pattern can't match in a
    program without the operator it came from; with no patterns both passes are the identity.
    """
    operators = {str(n.target) for n in program.graph.nodes if n.op == "call_function"}
    graphs = "executorch.backends.xnnpack.partition.graphs."
    # A resize may arrive decomposed, as gathers with computed indices.
    if not any("upsample" in op or "interpolate" in op or "index" in op for op in operators):
        _replace(graphs + "bilinear_2d", "get_graphs_dict", dict)
        _replace(graphs + "bilinear_2d", "get_graphs", list)
    # Decomposed attention guards its softmax against fully masked rows with any and where; explicit attention doesn't.
    if not any("scaled_dot_product" in op or "_safe_softmax" in op or "aten.any" in op for op in operators):
        _replace(graphs + "sdpa", "get_graphs", list)


def _replace(module_name: str, attribute: str, value: Any) -> None:
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        return
    if hasattr(module, attribute):
        setattr(module, attribute, value)


def install() -> None:
    """Everything below that holds for a whole worker process."""
    remember_operator_table()
    share_node_history()
    generate_code_on_demand()
    calm_garbage_collector()


def remember_operator_table() -> None:
    """Walk torch's operator table once per state instead of once per namespace and decomposition.

    ``_materialize_cpp_cia_ops`` looks up every C++ operator so that it appears in ``torch.ops``; it is idempotent, and
    its result depends only on the registered operators, whose number is the memo's key.
    """
    from torch._export import utils

    original = getattr(utils, "_materialize_cpp_cia_ops", None)
    registered = getattr(torch._C, "_dispatch_get_registrations_for_dispatch_key", None)
    if original is None or registered is None or hasattr(original, "edgekit_seen"):
        return
    seen: set[int] = set()

    @functools.wraps(original)
    def once() -> None:
        count = len(registered("CompositeImplicitAutograd"))
        if count not in seen:
            original()
            seen.add(count)

    once.edgekit_seen = seen  # type: ignore[attr-defined]
    utils._materialize_cpp_cia_ops = once


def share_node_history() -> None:
    """Let nodes share the record of the nodes they were made from instead of copying the chain at every pass.

    torch deep-copies ``NodeSource`` chains, which grow with each pass, for every node that is interpreted; they are
    written once and only read afterwards.
    """
    from torch.fx import traceback

    source = getattr(traceback, "NodeSource", None)
    if source is not None and "__deepcopy__" not in vars(source):
        source.__deepcopy__ = lambda self, memo: self


class _Deferred:
    """Stands for the PythonCode that ``recompile`` returns; generates it when an attribute is read."""

    def __init__(self, generate: Callable[[], Any]) -> None:
        self._generate = generate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generate(), name)


def generate_code_on_demand() -> None:
    """Generate a graph module's Python code when it is called or read, not after every edit of its graph.

    The passes recompile after each change and then interpret the graph node by node: over nine in ten of the generated
    functions are never called (a fifth of ExecuTorch's time). torch's own ``_LazyGraphModule`` does the same for
    inductor; the converters make plain graph modules. The written files are bit-identical.
    """
    from torch.fx import GraphModule
    from torch.fx.graph import _PyTreeCodeGen

    original = GraphModule.recompile
    if "_code" in vars(GraphModule):
        return

    def recompile(self: Any) -> Any:
        if isinstance(self._graph._codegen, _PyTreeCodeGen):
            self._in_spec = self._graph._codegen.pytree_info.in_spec
            self._out_spec = self._graph._codegen.pytree_info.out_spec
        vars(self).pop("_code", None)

        def forward(module: Any, *args: Any, **kwargs: Any) -> Any:
            original(module)  # replaces this forward by the generated one
            return module(*args, **kwargs)

        type(self).forward = forward
        return _Deferred(lambda: original(self))

    def code(self: Any) -> Any:
        if "_code" not in vars(self):
            original(self)
        return vars(self)["_code"]

    module_class: Any = GraphModule
    module_class.recompile = recompile
    module_class._code = property(code, lambda self, value: vars(self).__setitem__("_code", value))


def calm_garbage_collector() -> None:
    """Collect rarely: the passes make millions of small objects that reference counting frees.

    The objects alive now (imported modules, the program) are left out of later collections altogether.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 1000)
