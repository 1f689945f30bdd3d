"""Bring a program to its inference form: nothing is dropped at random, batch norms use their running statistics.

Unlike the rewrites of the table this one changes values: it undoes what a model should not do when it is used. It is
applied before the program gets its identity, and the result is the reference for parity. What it knows:

- dropout in all its forms, ``rrelu`` and recurrent layers with their training flag on, and the dropout of fused
  attention, which torch applies whatever mode the module is in;
- drop path (stochastic depth, Huang et al. 2016, arXiv:1603.09382) as it is written by hand: a product with a random
  mask of zeros and ``1 / keep`` (``bernoulli``, ``floor(keep + rand)``, ``rand < keep``), or of zeros and ones with the
  factor ``1 / keep`` beside it. A mask of zeros and ones alone becomes one, as in timm's ``scale_by_keep=False``;
- batch and instance norms in training form that have running statistics, and their counter of batches.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Graph, Node

from edgekit.export.rewrites import graph, match, random_mask
from edgekit.export.rewrites.program import Parameters

REASON = "a model that drops values at random has no single right output"

_aten = torch.ops.aten
# operator -> the names of its training flag and of its probability (null: random whenever the flag is on)
_FLAGS: dict[Any, tuple[str, str | None]] = {
    **dict.fromkeys((_aten.dropout.default, _aten.dropout_.default), ("train", "p")),
    **dict.fromkeys((_aten.feature_dropout.default, _aten.feature_dropout_.default), ("train", "p")),
    **dict.fromkeys((_aten.alpha_dropout.default, _aten.alpha_dropout_.default), ("train", "p")),
    **dict.fromkeys((_aten.feature_alpha_dropout.default, _aten.feature_alpha_dropout_.default), ("train", "p")),
    **dict.fromkeys((_aten.lstm.input, _aten.gru.input, _aten.lstm.data, _aten.gru.data), ("train", "dropout")),
    **dict.fromkeys((_aten.rnn_tanh.input, _aten.rnn_relu.input), ("train", "dropout")),
    **dict.fromkeys((_aten.rrelu.default, _aten.rrelu_.default), ("training", None)),
}  # fmt: skip
_PAIRED_DROPOUT = _aten.native_dropout.default
_ATTENTION = (_aten.scaled_dot_product_attention.default,)
# operator -> the name of its training flag
_NORMS = {_aten.batch_norm.default: "training", _aten.instance_norm.default: "use_input_stats"}
# What a functional program has instead: its third and fourth results are the new running statistics.
_FUNCTIONAL_NORM = _aten._native_batch_norm_legit_functional.default
_COUNTER = "num_batches_tracked"
_ADD = (_aten.add.Tensor, _aten.add_.Tensor)


class Change(NamedTuple):
    """One place: the name of the exported node, and what it did: ``random`` dropped values, ``norm`` used the batch's
    statistics, ``flag`` was in training form without any effect on the values."""

    node: str
    kind: Literal["random", "norm", "flag"]


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many places were changed."""
    return len(rewrite(program))


def rewrite(program: ExportedProgram) -> list[Change]:
    """Rewrite in place; returns the places that were changed."""
    changes = [*_flags(program), *_masks(program), *_norms(program)]
    if changes:
        _drop_counters(program)
        Parameters(program).finish()
    return changes


def random_nodes(program: ExportedProgram) -> list[Node]:
    """The operators that still give another result each time."""
    graphs = [m.graph for m in program.graph_module.modules() if isinstance(getattr(m, "graph", None), Graph)]
    return [node for part in graphs for node in part.nodes if node.op == "call_function" and _is_random(node)]


def _is_random(node: Node) -> bool:
    target: Any = node.target
    if torch.Tag.nondeterministic_seeded not in getattr(target, "tags", ()) or not _is_read(node):
        return False
    if target in _FLAGS:
        return _is_on(node)
    if target is _PAIRED_DROPOUT:
        return match.argument(node, "train") is not False and match.argument(node, "p") != 0
    names = {argument.name for argument in target._schema.arguments}
    return "dropout_p" not in names or match.argument(node, "dropout_p") != 0


def _is_read(node: Node) -> bool:
    """Whether anything depends on the operator's result, or on the tensor that it fills."""
    filled = node.args[0] if node.target._schema.is_mutable else None  # type: ignore[union-attr]  # tags: it has a schema
    return bool(node.users) or (isinstance(filled, Node) and (filled.op == "placeholder" or len(filled.users) > 1))


def _is_on(node: Node) -> bool:
    flag, probability = _FLAGS[node.target]
    return bool(match.argument(node, flag)) and (probability is None or match.argument(node, probability) != 0)


def _set(node: Node, name: str, value: Any) -> None:
    """Give an operator's argument another value, where it stands."""
    names = [argument.name for argument in node.target._schema.arguments]  # type: ignore[union-attr]  # an operator
    if names.index(name) < len(node.args):
        node.update_arg(names.index(name), value)
    else:
        node.update_kwarg(name, value)


def _flags(program: ExportedProgram) -> Iterator[Change]:
    for node in list(program.graph.nodes):
        if match.is_call(node, _FLAGS) and match.argument(node, _FLAGS[node.target][0]):
            kind: Literal["random", "flag"] = "random" if _is_on(node) else "flag"
            _set(node, _FLAGS[node.target][0], False)
            yield Change(node.name, kind)
        elif match.is_call(node, _ATTENTION) and match.argument(node, "dropout_p") != 0:
            _set(node, "dropout_p", 0.0)
            yield Change(node.name, "random")
        elif match.is_call(node, (_PAIRED_DROPOUT,)) and match.argument(node, "train") is not False:
            source: Any = node.args[0]
            results = _results(node)
            kept = results.pop(0, None)
            if kept is None or any(other.users for other in results.values()):
                continue
            if graph.replace(program, kept, source):
                for unread in [*results.values(), node]:
                    program.graph.erase_node(unread)
                yield Change(node.name, "random")


def _masks(program: ExportedProgram) -> Iterator[Change]:
    for product in list(program.graph.nodes):
        found = random_mask.product(product)
        if found is None or not graph.replace(program, found.result, found.value):
            continue
        for node in {found.result: None, product: None, **dict.fromkeys(found.unused)}:
            random_mask.erase_unread(program, node)
        yield Change(product.name, "random")


def _norms(program: ExportedProgram) -> Iterator[Change]:
    for node in list(program.graph.nodes):
        if match.is_call(node, _NORMS):
            has_statistics = match.argument(node, "running_mean") is not None
            if has_statistics and match.argument(node, _NORMS[node.target]):
                _set(node, _NORMS[node.target], False)
                yield Change(node.name, "norm")
        elif match.is_call(node, (_FUNCTIONAL_NORM,)) and _use_statistics(program, node):
            yield Change(node.name, "norm")


def _results(node: Node) -> dict[int, Node]:
    """The single results that are taken from an operator with several, by their place."""
    return {user.args[1]: user for user in node.users if user.target is operator.getitem}  # type: ignore[misc]  # ints


def _use_statistics(program: ExportedProgram, norm: Node) -> bool:
    """Replace a functional batch norm in training form, whose new statistics are outputs of the program."""
    results = _results(norm)
    normalised = results.pop(0, None)
    if normalised is None or not match.argument(norm, "training"):
        return False
    if any(user.op != "output" for result in results.values() for user in result.users):
        return False
    arguments: Any = norm.args
    new = graph.call(program, norm, _aten.batch_norm.default, *arguments[:5], False, *arguments[6:8], False)
    graph.replace(program, normalised, new)
    _drop_outputs(program, {result.name for result in results.values()})
    for result in [*results.values(), norm]:
        program.graph.erase_node(result)
    return True


def _drop_outputs(program: ExportedProgram, names: set[str]) -> None:
    """Take these new values of buffers out of the program's results."""
    signature = program.graph_signature
    keep = [not (s.kind is OutputKind.BUFFER_MUTATION and s.arg.name in names) for s in signature.output_specs]
    output = program.graph.output_node()
    values: Any = output.args[0]
    output.args = (tuple(value for value, kept in zip(values, keep, strict=True) if kept),)
    signature.output_specs = [spec for spec, kept in zip(signature.output_specs, keep, strict=True) if kept]


def _drop_counters(program: ExportedProgram) -> None:
    """Take away what counts the batches of a batch norm; nothing reads it."""
    placeholders = [n for n in program.graph.nodes if n.op == "placeholder"]
    for node, spec in zip(placeholders, program.graph_signature.input_specs, strict=True):
        is_counter = spec.kind is InputKind.BUFFER and str(spec.target).rpartition(".")[2] == _COUNTER
        adds = [user for user in node.users if match.is_call(user, _ADD)]
        if not is_counter or len(adds) != len(node.users):
            continue
        _drop_outputs(program, {add.name for add in adds})
        for add in adds:
            if not add.users:
                program.graph.erase_node(add)
