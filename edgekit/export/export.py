"""torch.export, once per model; every backend works from the same program."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.export.graph_signature import InputKind
from torch.fx import Node

from edgekit.errors import ExportError
from edgekit.export import provenance, rewrites
from edgekit.export.fingerprint import fingerprint
from edgekit.export.rewrites import training_form
from edgekit.records import TensorSpec

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edgekit.model.load import Model

_USER_LINE = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
# Frames below these folders are not the user's code.
_NOT_USERS = tuple(f"{folder}{os.sep}" for folder in (Path(str(torch.__file__)).parent, Path(__file__).parents[1]))

# How many source lines a warning names.
_MAX_PLACES = 3


@dataclass(frozen=True)
class ExportedModel:
    """The live program (rewritten, without provenance) with its identity and its nodes' origins.

    ``sha256`` is taken before the rewrites: it is the identity of the user's model. ``eager`` computes the reference:
    the original module, or the original program where the model came as one. Where the model dropped values at random
    or was in training form, both are those of its inference form, and ``warnings`` says so.
    """

    program: ExportedProgram
    sha256: str
    origins: dict[str, provenance.NodeOrigin]
    rewrites: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: int
    eager: Any
    warnings: tuple[str, ...] = ()


def export(model: Model, *, rewritten: bool = True) -> ExportedModel:
    """Export ``model`` and apply the rewrites, unless it is wanted as exported.

    Raises:
        ExportError: torch.export refused it, for example for data-dependent control flow; it changes its own buffers
            or its input; it draws random numbers in a way that has no known inference form; or an output is no tensor,
            or has a shape that depends on the input's values.
    """
    program, origins, changes = _inference_program(model)
    _refuse_mutation(program, origins)
    outputs = output_specs(program, origins)
    # A module that drops at random, or a program in training form, is no reference: what is converted is.
    eager = model.module if model.module is not None and not changes else program.module()
    sha256 = fingerprint(program)
    parameters = sum(t.numel() for t in program.state_dict.values() if isinstance(t, torch.nn.Parameter))
    # From here on the graph is edited in place. The eager module keeps its own tensors: a rewrite puts new ones into
    # the program's dictionaries and never writes into an old one.
    provenance.strip(program)
    applied = rewrites.apply_all(program) if rewritten else ()
    if changes:
        applied = (f"training_form×{len(changes)}", *applied)
    return ExportedModel(
        program=program,
        sha256=sha256,
        origins=origins,
        rewrites=applied,
        inputs=model.inputs,
        outputs=outputs,
        parameters=parameters,
        eager=eager,
        warnings=_inference_form(model, changes, origins),
    )


def reference(model: Model) -> Any:
    """What computes the model's outputs as they should be when it is used: its module or program, in inference form.

    Raises:
        ExportError: the model draws random numbers, and torch.export refused it or it has no known inference form.
    """
    if model.module is not None and not _draws(model.module, model.inputs):
        return model.module
    return _inference_program(model)[0].module()


def _draws(module: torch.nn.Module, inputs: tuple[TensorSpec, ...]) -> bool:
    """Whether one run of the module takes numbers from torch's random generator."""
    before = torch.get_rng_state()
    with torch.no_grad():
        module(*example_tensors(inputs))
    drawn = not torch.equal(before, torch.get_rng_state())
    torch.set_rng_state(before)
    return drawn


def _inference_program(
    model: Model,
) -> tuple[ExportedProgram, dict[str, provenance.NodeOrigin], list[training_form.Change]]:
    program = model.program if model.program is not None else _export_module(model)
    origins = provenance.collect(program)
    changes = training_form.rewrite(program)
    _refuse_chance(program, origins)
    return program, origins, changes


def _inference_form(
    model: Model, changes: list[training_form.Change], origins: dict[str, provenance.NodeOrigin]
) -> tuple[str, ...]:
    """What the user has to know about a model that was not in its inference form."""
    warnings = []
    for kind, text in (
        ("random", "{} drops values at random; converted in its inference form: {}."),
        ("norm", "{} normalises by the statistics of each batch; converted with its running statistics: {}."),
    ):
        nodes = [change.node for change in changes if change.kind == kind]
        sources = [origins[name].source for name in nodes if name in origins]
        named = list(dict.fromkeys(source for source in sources if source))
        places = f"{len(nodes)} place{'s' if len(nodes) != 1 else ''}"
        if named:
            places += f" ({', '.join(named[:_MAX_PLACES])}{', …' if len(named) > _MAX_PLACES else ''})"
        if nodes:
            warnings.append(text.format(model.name, places))
    return tuple(warnings)


def _refuse_chance(program: ExportedProgram, origins: dict[str, provenance.NodeOrigin]) -> None:
    """Refuse a model that gives another output each time: there is nothing to compare a converted file with."""
    for node in training_form.random_nodes(program):
        origin = origins.get(node.name)
        name = str(node.target).removeprefix("aten.").partition(".")[0].rstrip("_")
        raise ExportError(
            f"The model draws random numbers ({name}), so its output is another one each time, and edgekit does not "
            "know what it should be when the model is used.",
            where=(origin.source or origin.module if origin is not None else "") or node.name,
            next_step="Leave the randomness out where the model is in eval mode (`if self.training:`), or make it an "
            "input of the model.",
        )


def example_tensors(specs: tuple[TensorSpec, ...]) -> tuple[torch.Tensor, ...]:
    """Seeded example inputs of the given shapes and dtypes."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for spec in specs:
        dtype = getattr(torch, spec.dtype)
        if dtype.is_floating_point:
            made.append(torch.randn(spec.shape, generator=generator).to(dtype))
        else:
            made.append(torch.zeros(spec.shape, dtype=dtype))
    return tuple(made)


def _export_module(model: Model) -> ExportedProgram:
    if model.module is None:
        raise ExportError(f"{model.name} has neither a module nor a program.", where=model.spec)
    try:
        with torch.no_grad():
            return torch.export.export(model.module, example_tensors(model.inputs), strict=False)
    except Exception as failure:  # torch.export raises over a dozen unrelated classes, user code may raise anything
        raise _refused(model, failure) from failure


def _refused(model: Model, failure: Exception) -> ExportError:
    text = str(failure)
    where = _user_frame(failure, text)
    if "data-dependent" in text or "GuardOnDataDependent" in type(failure).__name__:
        return ExportError(
            "The model's control flow depends on the values of a tensor, so it has no single graph to convert.",
            where=where,
            next_step="Replace the Python `if`/`while` on a tensor by torch.where or torch.cond, or move it out of "
            "the model.",
            cause=text.strip().splitlines()[0][:300],
        )
    first = text.strip().splitlines()[0][:300] if text.strip() else type(failure).__name__
    return ExportError(
        f"torch.export refused {model.name}: {first}",
        where=where,
        next_step="Check that the model runs as torch.export.export(model, inputs) in Python; --traceback shows all.",
    )


def _user_frame(failure: Exception, text: str) -> str:
    """The innermost line outside torch, from the message (torch quotes the user's stack) or from the traceback."""
    frames = [f for f in _USER_LINE.findall(text) if _is_users(f[0])]
    if not frames:
        trace = failure.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            if _is_users(code.co_filename):
                frames.append((code.co_filename, str(trace.tb_lineno), code.co_name))
            trace = trace.tb_next
    if not frames:
        return ""
    file, line, function = frames[-1]
    return f"{Path(file)}:{line} in {function}"


def _is_users(file: str) -> bool:
    return not file.startswith(("<", *_NOT_USERS))


def _refuse_mutation(program: ExportedProgram, origins: dict[str, provenance.NodeOrigin]) -> None:
    """Refuse a model that writes into a tensor it was given or keeps; writing into its own intermediates is fine."""
    signature = program.graph_signature
    # A program that was made functional says so in its signature; else the in-place operators are in the graph.
    inputs = dict.fromkeys(signature.user_inputs_to_mutate.values(), "")
    buffers = dict.fromkeys(signature.buffers_to_mutate.values(), "")
    specs = {spec.arg.name: spec for spec in signature.input_specs}
    for node in program.graph.nodes:
        written = _written_placeholder(node)
        if written is not None:
            spec, source = specs[written.name], origins[node.name].source
            if spec.kind is InputKind.USER_INPUT:
                inputs[written.name] = source
            else:
                buffers[str(spec.target)] = source
    for name, source in inputs.items():
        raise ExportError(
            f"The model changes its own input {name!r} in place; on a device that is the caller's data.",
            where=source or name,
            next_step="Work on a copy: begin the forward with x = x.clone().",
        )
    for name, source in buffers.items():
        raise ExportError(
            f"The model changes its own buffer {name!r} while it runs; on-device runtimes run it stateless.",
            where=source or name,
            next_step="Put the model in eval mode and return the state as an output instead.",
        )


def _written_placeholder(node: Node) -> Node | None:
    """The placeholder that an in-place operator writes into, directly or through views of it."""
    if not _has_write(node):
        return None
    target: Any = node.args[0] if node.args else None
    while isinstance(target, Node) and target.op == "call_function":
        schema = getattr(target.target, "_schema", None)
        shares = schema is not None and schema.arguments and schema.arguments[0].alias_info is not None
        target = target.args[0] if shares else None
    return target if isinstance(target, Node) and target.op == "placeholder" else None


def _has_write(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return node.op == "call_function" and schema is not None and bool(schema.is_mutable)


def output_specs(program: ExportedProgram, origins: dict[str, provenance.NodeOrigin]) -> tuple[TensorSpec, ...]:
    """Shape and dtype of every output.

    Raises:
        ExportError: an output is not a tensor, or its shape depends on the input's values.
    """
    (output,) = (n for n in program.graph.nodes if n.op == "output")
    specs = []
    for index, node in enumerate(output.args[0]):
        value = node.meta.get("val") if hasattr(node, "meta") else None
        if not isinstance(value, torch.Tensor):
            raise ExportError(
                f"Output {index} of the model is {type(value or node).__name__}, not a tensor.",
                where=f"output {index}",
                next_step="Return tensors only (a tuple or list of them).",
            )
        if not all(isinstance(size, int) for size in value.shape):
            source = origins[node.name].source if node.name in origins else ""
            raise ExportError(
                f"The shape of output {index} depends on the input's values; a converted file has fixed shapes.",
                where=f"output {index}{', ' + source if source else ''}",
                next_step="Return a tensor of one size, for example a mask or torch.topk's result, and select from it "
                "outside the model.",
            )
        shape = tuple(int(s) for s in value.shape)
        specs.append(TensorSpec(name=f"output_{index}", shape=shape, dtype=str(value.dtype).removeprefix("torch.")))
    return tuple(specs)
