"""torch.export archives (.pt2), read without running code that is stored in them.

``torch.export.load`` of torch 2.13 is not safe on a hostile file. Found in its source
(``torch/export/pt2_archive/_package.py``, ``torch/_export/serde/serialize.py``, ``torch/utils/_pytree.py``):

- the sample inputs, and legacy weights and constants, are unpickled with ``weights_only=True`` first and, when that
  fails, **again with full unpickling**;
- weights and constants marked ``use_pickle`` go straight to full unpickling, opaque objects to ``pickle.loads``;
- symbolic shape expressions are given to ``sympy.sympify``, which evaluates them as Python;
- a container description may name any module to import and any callable as a defaultdict's factory;
- ``data/aotinductor/`` holds shared libraries that are loaded into the process;
- if reading fails, the file is read again in the format used before torch 2.8, through a different zip reader.

So, unless the user trusts the file, the records are checked here first with the same reader that torch uses, the
loading runs with torch's own ``TORCH_FORCE_WEIGHTS_ONLY_LOAD`` switch on, and ``load_pt2`` is called directly, without
the fall-back to the older format. The loaded graph may not hold operators that touch files.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.export import ExportedProgram

from edgekit.errors import ModelError
from edgekit.model import archive
from edgekit.model.expressions import is_harmless
from edgekit.model.source import PARSE_ERRORS, Loaded, first_line
from edgekit.records import TensorSpec

# Operators that read or write files; a model has no use for them.
FILE_OPERATORS = ("aten::save", "aten::from_file")

_CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")


def load(path: str, *, trust_pickle: bool) -> Loaded:
    """Load a .pt2 archive; its inputs are the program's own.

    Raises:
        ModelError: the file is damaged, holds no program, needs unpickling that is not trusted, or has inputs that are
            not positional tensors.
    """
    program = _load_trusted(path) if trust_pickle else _load_checked(path)
    return Loaded(
        weights=f"file {os.path.basename(path)}",
        program=program,
        inputs=input_specs(program, path),
        inputs_source="the exported program",
    )


def _load_trusted(path: str) -> ExportedProgram:
    try:
        return torch.export.load(path)
    except PARSE_ERRORS as error:
        raise archive.damaged(path, first_line(error)) from error


def _load_checked(path: str) -> ExportedProgram:
    from torch.export.pt2_archive._package import load_pt2

    try:
        _check_records(path)
        with _weights_only():
            programs = load_pt2(path).exported_programs
    except PARSE_ERRORS as error:
        if archive.met_objects(error):
            raise archive.refuse_pickle(path, "it holds pickled objects other than tensors") from None
        raise archive.damaged(path, first_line(error)) from error
    if "model" not in programs:
        message = f"{path} holds no program named 'model'."
        raise ModelError(message, where=path, next_step="Save it with torch.export.save.")
    _refuse_file_operators(programs["model"], path)
    return programs["model"]


@contextmanager
def _weights_only() -> Iterator[None]:
    """torch's documented switch that turns every torch.load into a weights-only one, set for the time of one load."""
    names = ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ[names[0]] = "1"
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _check_records(path: str) -> None:
    reader = torch._C.PyTorchFileReader(path)
    names = reader.get_all_records()
    size = os.path.getsize(path)
    for name in names:
        if name.startswith("data/aotinductor/"):
            raise archive.refuse_pickle(path, "it holds compiled code (data/aotinductor)")
        if name.startswith("data/constants/opaque_obj") or name.startswith("data/constants/custom_obj"):
            raise archive.refuse_pickle(path, f"it holds a pickled object ({name})")
        if name.startswith("models/"):
            _check_program(json.loads(reader.get_record(name)), path)
        elif name.endswith("_config.json"):
            _check_payloads(json.loads(reader.get_record(name)), path, size)


def _check_payloads(config: Any, path: str, size: int) -> None:
    for payload in config["config"].values():
        if not payload["path_name"].startswith(("weight_", "tensor_")):
            raise archive.refuse_pickle(path, f"it holds a pickled object ({payload['path_name']})")
        meta = payload.get("tensor_meta") or {"sizes": []}
        elements = math.prod(dim.get("as_int", 1) for dim in meta["sizes"])
        if elements > 16 * size + (1 << 20):
            raise archive.damaged(path, f"it declares a tensor of {elements} elements")


def _check_program(node: Any, path: str) -> None:
    """Walk the program's JSON; refuse expressions and container descriptions that could run code."""
    if isinstance(node, list):
        for item in node:
            _check_program(item, path)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "expr_str" and not is_harmless(str(value)):
                raise archive.refuse_pickle(path, f"it holds the shape expression {str(value)[:80]!r}")
            if key in ("in_spec", "out_spec") and not _harmless_containers(value):
                raise archive.refuse_pickle(path, "its inputs or outputs are containers of a type that needs code")
            _check_program(value, path)


def _harmless_containers(text: Any) -> bool:
    if not text:
        return True
    _, schema = json.loads(text)
    pending = [schema]
    while pending:
        node = pending.pop()
        context = node["context"]
        while isinstance(context, str) and context[:1] in ('"', "[", "{"):
            context = json.loads(context)
        keys = context if isinstance(context, list) else [context]
        if node["type"] not in _CONTAINERS or not all(isinstance(key, (str, int, type(None))) for key in keys):
            return False
        pending.extend(node["children_spec"])
    return True


def _refuse_file_operators(program: ExportedProgram, path: str) -> None:
    for module in program.graph_module.modules():
        graph = getattr(module, "graph", None)
        for node in graph.nodes if graph is not None else ():
            name = getattr(getattr(node.target, "_schema", None), "name", "")
            if name in FILE_OPERATORS:
                raise refuse_file_operator(path, name)


def refuse_file_operator(path: str, name: str) -> ModelError:
    """The error for a graph that would read or write files when it runs."""
    return ModelError(
        f"{path} holds the operator {name}, which reads or writes files; it is not run.",
        where=name,
        next_step="Do not use this file unless you know why it does that; remove the operator and save it again.",
    )


def input_specs(program: ExportedProgram, path: str) -> tuple[TensorSpec, ...] | None:
    """The program's inputs in order, or None if a symbolic dimension has no example to take its size from.

    Raises:
        ModelError: an input is not a positional tensor.
    """
    positional, keywords = program.example_inputs or ((), {})
    if keywords:
        raise _unsupported_input(path, f"keyword inputs ({', '.join(keywords)})")
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    specs = []
    for index, name in enumerate(program.graph_signature.user_inputs):
        value = values.get(name) if isinstance(name, str) else None
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise _unsupported_input(path, f"an input that is not a tensor ({name})")
        if not all(isinstance(dim, int) for dim in value.shape):
            value = positional[index] if index < len(positional) else None
            if not isinstance(value, torch.Tensor):
                return None
        dtype = str(value.dtype).removeprefix("torch.")
        specs.append(TensorSpec(name=name, shape=tuple(int(dim) for dim in value.shape), dtype=dtype))
    return tuple(specs)


def _unsupported_input(path: str, what: str) -> ModelError:
    return ModelError(
        f"{path} has {what}; only positional tensors can be fed on a device.",
        where=path,
        next_step="Export a module whose forward takes tensors only, by position.",
    )


def is_static(program: ExportedProgram) -> bool:
    """Whether every input dimension is a number."""
    names = set(program.graph_signature.user_inputs)
    values = [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    return all(isinstance(dim, int) for value in values for dim in value.shape)


def specialise(program: ExportedProgram, inputs: tuple[torch.Tensor, ...]) -> ExportedProgram:
    """The same program for the fixed shapes of ``inputs``: every converter needs static shapes."""
    return torch.export.export(program.module(), inputs, strict=False)
