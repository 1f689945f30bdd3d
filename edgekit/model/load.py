"""Load a model from any of the forms that a model spec can name, and check that it runs.

Nothing in a file is executed unless the user trusts it: see ``exported_program`` and ``torch_file`` for what that
takes. A factory, by its nature, runs the user's own code.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgekit.errors import ModelError
from edgekit.model.archive import content_of
from edgekit.model.extras import need
from edgekit.model.request import LoadRequest, ModelSpec, check_weights, name_of, parse_spec
from edgekit.records import Preprocess, TensorSpec

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

    from edgekit.model.source import Loaded


@dataclass(frozen=True)
class Model:
    """A model that ran once on inputs of its shapes: a module, or a program where the file holds one.

    ``module`` is in eval mode and float32. ``program`` has static shapes. ``weights`` is a short text saying where the
    weights come from. Input shapes include the batch. ``preprocess`` is null where the model does not say it.
    """

    name: str
    spec: str
    weights: str
    module: torch.nn.Module | None
    program: ExportedProgram | None
    inputs: tuple[TensorSpec, ...]
    preprocess: Preprocess | None
    warnings: tuple[str, ...] = ()


def load(request: LoadRequest) -> Model:
    """Load the model that ``request`` names and run it once.

    Raises:
        ModelError: the model can't be loaded, or does not run on inputs of the given or stated shapes.
        MissingExtraError: torch, timm or safetensors is not installed.
        ExportError: a TorchScript file can't be converted.
    """
    spec = parse_spec(request.spec)
    if spec.kind == "artifact":
        message = f"{request.spec} is a converted {spec.format} file; there is nothing to load from it."
        raise ModelError(message, where=request.spec, next_step="Give it to deploy or profile as it is.")
    check_weights(request, spec)
    need("torch", "all", request.spec)
    from edgekit.model import running

    loaded = _source(spec, request)
    if loaded.module is not None:
        loaded = _prepared(loaded, loaded.module)
    inputs = running.resolve_inputs(request, loaded)
    if loaded.program is not None:
        program, warnings = running.fixed_program(loaded.program, loaded.inputs, inputs, request.spec)
        loaded = replace(loaded, program=program, warnings=loaded.warnings + warnings)
    else:
        assert loaded.module is not None
        asked = running.requested_inputs(request) is not None
        running.check_forward(loaded.module, inputs, request.spec, "" if asked else loaded.inputs_source)
    return Model(
        name=name_of(request.spec),
        spec=request.spec,
        weights=loaded.weights,
        module=loaded.module,
        program=loaded.program,
        inputs=inputs,
        preprocess=loaded.preprocess,
        warnings=loaded.warnings,
    )


def _source(spec: ModelSpec, request: LoadRequest) -> Loaded:
    if request.weights is not None:
        return _with_weights(spec, request.weights, request)
    if request.pretrained:
        from edgekit.model import pretrained

        return pretrained.load(spec, request.seed)
    if spec.kind in ("timm", "factory", "zoo"):
        return _built(spec, request)
    assert spec.path is not None
    if spec.kind == "safetensors":
        from edgekit.model import state_dict

        tensors = state_dict.read_safetensors(spec.path)
        return _with_arch(tensors, f"file {name_of(spec.path)}.safetensors", spec, request)
    return _torch_source(spec, spec.path, request)


def _built(spec: ModelSpec, request: LoadRequest) -> Loaded:
    """A model made by code: timm's, the user's own, or the zoo's."""
    from edgekit.model import factory, running, timm_source

    if spec.kind == "timm":
        return timm_source.load(spec, request.seed, running.requested_inputs(request))
    if spec.kind == "zoo":
        from edgekit.model.zoo import source

        return source.load(spec, request.seed, running.requested_inputs(request))
    return factory.load(spec, request.seed)


def _torch_source(spec: ModelSpec, path: str, request: LoadRequest) -> Loaded:
    """A file that one of torch's own functions wrote; what it is decides its content, not its suffix."""
    from edgekit.model import exported_program, torch_file, torchscript

    content = content_of(path)
    if content == "exported_program" or (content == "old_exported_program" and request.trust_pickle):
        return exported_program.load(path, trust_pickle=request.trust_pickle)
    if content == "old_exported_program":
        raise ModelError(
            f"{path} is in torch.export's format from before torch 2.8, which can't be read without unpickling.",
            where=path,
            next_step="Save it again with a newer torch, or add --trust-pickle if you trust whoever made the file: "
            "unpickling can run any code in it.",
        )
    if content == "torchscript":
        from edgekit.model.running import requested_inputs

        return torchscript.load(path, requested_inputs(request))
    value = torch_file.read(path, trust_pickle=request.trust_pickle)
    loaded = torch_file.module_in(value, path)
    if loaded is not None:
        return loaded
    from edgekit.model import state_dict

    tensors, weights = state_dict.tensors_of(path, value)
    return _with_arch(tensors, weights, spec, request)


def _with_arch(tensors: dict[str, Any], weights: str, spec: ModelSpec, request: LoadRequest) -> Loaded:
    """Build the architecture that the weights belong to and fill it."""
    from edgekit.model import state_dict

    assert spec.path is not None
    if request.arch is None:
        raise state_dict.need_arch(tensors, spec.path)
    arch = parse_spec(request.arch)
    if arch.kind not in ("timm", "factory", "zoo"):
        raise ModelError(
            f"--arch {request.arch} is a file, not an architecture.",
            where=request.arch,
            next_step="Name code that builds the model: timm:NAME, pkg.module:factory or path/file.py:factory.",
        )
    loaded = _filled(arch, tensors, spec.path, request)
    return replace(loaded, weights=f"{weights}, arch {request.arch}")


def _with_weights(spec: ModelSpec, path: str, request: LoadRequest) -> Loaded:
    """A named model with the weights of a file."""
    from edgekit.model import state_dict, torch_file

    if path.lower().endswith(".safetensors"):
        tensors, weights = state_dict.read_safetensors(path), f"file {os.path.basename(path)}"
    else:
        content = content_of(path)
        if content not in ("checkpoint", "pickle"):
            raise ModelError(
                f"{path} holds a whole model ({content.replace('_', ' ')}), not the weights of one.",
                where=path,
                next_step=f"Give it as the model itself: {path}.",
            )
        value = torch_file.read(path, trust_pickle=request.trust_pickle)
        whole = torch_file.module_in(value, path)
        if whole is not None and whole.module is not None:
            value = dict(whole.module.state_dict())
        tensors, weights = state_dict.tensors_of(path, value)
    return replace(_filled(spec, tensors, path, request), weights=weights)


def _filled(arch: ModelSpec, tensors: dict[str, Any], path: str, request: LoadRequest) -> Loaded:
    """The architecture with these weights; what it says of its inputs and preprocessing stays."""
    from edgekit.model import fitting, state_dict

    built = _described_only(arch, request)
    assert built.module is not None

    def suggest(file: fitting.Shapes) -> list[str]:
        return fitting.better(arch, file) if arch.kind in ("timm", "zoo") else []

    changed = state_dict.fill(built.module, tensors, path, arch.text, suggest)
    return replace(built, warnings=built.warnings + changed)


def _described_only(arch: ModelSpec, request: LoadRequest) -> Loaded:
    """The model without the work on random weights, which would be thrown away."""
    from edgekit.model import timm_source
    from edgekit.model.source import Loaded

    if arch.kind == "zoo":
        from edgekit.model.zoo import source

        return source.described(arch, request.seed)
    if arch.kind == "factory":
        return _built(arch, request)
    module = timm_source.build(arch, request.seed)
    inputs, preprocess, notes = timm_source.config_of(module, dict(arch.options).get("in_chans"))
    return Loaded(
        weights="",
        module=module,
        inputs=inputs,
        inputs_source="timm's config",
        preprocess=preprocess,
        warnings=notes,
        described=True,
    )


def _prepared(loaded: Loaded, module: torch.nn.Module) -> Loaded:
    """Eval mode, float32, on the CPU, no gradients."""
    warnings = list(loaded.warnings)
    kinds = sorted(
        {str(p.dtype) for p in module.state_dict().values() if hasattr(p, "dtype") and p.is_floating_point()}
    )
    if any(kind != "torch.float32" for kind in kinds):
        warnings.append(f"The weights were converted to float32 from {', '.join(kinds)}.")
    module = module.to("cpu").float().eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    loaded = replace(loaded, module=module, warnings=tuple(warnings))
    return loaded if loaded.described else _described(loaded, module)


def _described(loaded: Loaded, module: torch.nn.Module) -> Loaded:
    """Fill in what the module's own attributes say about its inputs and their preprocessing."""
    from edgekit.model import running, timm_source

    inputs, source = loaded.inputs, loaded.inputs_source
    if inputs is None:
        inputs, source = running.inputs_of_module(module), "the module's own attributes"
    config_inputs, preprocess, notes = timm_source.config_of(module)
    if inputs is None:
        inputs, source = config_inputs, "the module's config"
    return replace(loaded, inputs=inputs, inputs_source=source, preprocess=preprocess, warnings=loaded.warnings + notes)
