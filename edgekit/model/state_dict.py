"""Weights for an architecture that is named separately."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from edgekit.errors import ModelError
from edgekit.model import fitting, torch_file
from edgekit.model.source import PARSE_ERRORS, first_line

# At most this many keys of each kind are listed; the counts are always complete.
LISTED = 10

# What training wrappers put in front of every key: DataParallel, torch.compile, moving averages, Lightning.
PREFIXES = ("module.", "_orig_mod.", "ema_model.", "ema.", "model_ema.", "model.", "net.", "backbone.")

# Keys that are typical of one family, for a hint when --arch is missing.
_FAMILIES = (
    ("conv_stem.weight", "blocks.0.0.conv_pw.weight", "timm's MobileNet and EfficientNet family"),
    ("conv_stem.weight", "blocks.0.0.conv_dw.weight", "timm's MobileNet and EfficientNet family"),
    ("conv_stem.weight", "bn1.weight", "timm's MobileNet and EfficientNet family"),
    ("features.0.0.weight", "classifier.1.weight", "torchvision's MobileNetV2 and EfficientNet"),
    ("features.0.0.weight", "classifier.3.weight", "torchvision's MobileNetV3"),
    ("layer1.0.conv1.weight", "fc.weight", "ResNet"),
    ("patch_embed.proj.weight", "cls_token", "vision transformers"),
    ("stem.conv1.weight", "stages.0.blocks.0.mlp.fc1.weight", "timm's EfficientFormer"),
)


def read_safetensors(path: str) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors file; the format can't hold code.

    Raises:
        ModelError: the file is damaged, or the safetensors package is missing.
    """
    from edgekit.model.extras import need

    need("safetensors", "zoo", path)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        # Read through Python's own open once, so that a recording of the model's files sees it.
        with open(path, "rb") as file:
            file.read(8)
        tensors: dict[str, torch.Tensor] = load_file(path, device="cpu")
    except (SafetensorError, *PARSE_ERRORS) as error:
        raise ModelError(
            f"{path} is damaged or is not a safetensors file: {first_line(error)}.",
            where=path,
            next_step="Check that the file was copied completely, or save the weights again.",
        ) from error
    return tensors


def need_arch(tensors: Mapping[str, torch.Tensor], path: str) -> ModelError:
    """The error for weights without an architecture, with a hint from the names of the weights."""
    hint = next((family for a, b, family in _FAMILIES if a in tensors and b in tensors), None)
    weights = [(key, tuple(value.shape)) for key, value in tensors.items() if value.ndim >= 2]
    ends = f" The weights begin with {_show(weights[0])} and end with {_show(weights[-1])}." if weights else ""
    guess = f" They look like {hint}." if hint else ""
    return ModelError(
        f"{path} holds a state dict: weights without the model they belong to.{ends}{guess}",
        where=path,
        next_step="Name the architecture with --arch: timm:NAME, pkg.module:factory or path/file.py:factory.",
        looks_like=hint,
        keys=len(tensors),
    )


def _show(item: tuple[str, tuple[int, ...]]) -> str:
    return f"{item[0]} {item[1]}"


def fill(
    module: torch.nn.Module,
    tensors: Mapping[str, torch.Tensor],
    path: str,
    arch: str,
    suggest: Callable[[fitting.Shapes], list[str]] | None = None,
) -> tuple[str, ...]:
    """Copy the weights into the module, in place; every key has to match.

    ``suggest`` names models that tensors of these names and shapes fit; it is asked only if they don't fit this one.

    Returns:
        Warnings about what was changed in the keys.

    Raises:
        ModelError: keys are missing, unexpected or of another shape; all are counted, the first ten of each listed.
    """
    own = module.state_dict()
    tensors, warnings = _unwrapped(tensors, own)
    file = fitting.shapes_of(tensors)
    fit = fitting.compare(file, fitting.shapes_of(own))
    if fit.complete:
        # What a module keeps besides tensors (extra state) is checked by torch.
        result = module.load_state_dict(dict(tensors), strict=False)
        fit = replace(fit, missing=tuple(result.missing_keys), unexpected=tuple(result.unexpected_keys))
    if not fit.complete:
        raise _other_classes(path, arch, fit) or _mismatch(path, arch, fit, suggest(file) if suggest else [])
    return warnings


def _unwrapped(
    tensors: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]
) -> tuple[Mapping[str, torch.Tensor], tuple[str, ...]]:
    """Remove the prefixes that training wrappers put in front of the keys, while that makes more of them the model's.

    A checkpoint may hold more than one model, each under its own prefix (a student and its moving average, a loss):
    those of the other prefixes are left out then.
    """
    removed, dropped = [], 0
    while True:
        inside = {prefix: _below(tensors, prefix) for prefix in PREFIXES}
        best = max(PREFIXES, key=lambda prefix: (sum(key in own for key in inside[prefix]), len(inside[prefix])))
        inner = inside[best]
        whole = len(inner) == len(tensors) > 0 and not all(key.startswith(best) for key in own)
        if sum(key in own for key in inner) <= sum(key in own for key in tensors) and not whole:
            break
        removed.append(best)
        dropped += len(tensors) - len(inner)
        tensors = inner
    if not removed:
        return tensors, ()
    rest = f"; {dropped} keys without it were left out" if dropped else ""
    return tensors, (f"The prefix {''.join(removed)!r} was removed from every key of the state dict{rest}.",)


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _other_classes(path: str, arch: str, fit: fitting.Fit) -> ModelError | None:
    """The error for weights that differ from the model in the number of classes alone."""
    classes = fit.classes()
    if classes is None:
        return None
    listed = "; ".join(_shapes(entry, arch) for entry in fit.mismatched)
    plain = arch.partition("?")[0]
    named = arch.startswith(("timm:", "zoo:"))
    step = f"Write {plain}?num_classes={classes[0]}." if named else f"Build the model for {classes[0]} classes."
    return ModelError(
        f"{os.path.basename(path)} is for {classes[0]} classes, {arch} for {classes[1]} ({listed}).",
        where=path,
        next_step=step,
        **_facts(fit, arch),
        classes=classes[0],
    )


def _mismatch(path: str, arch: str, fit: fitting.Fit, others: list[str]) -> ModelError:
    shown = [_shapes(entry, arch) for entry in fit.mismatched]
    lines = [f"{fit.same} of its {fit.total} tensors match"]
    for kind, keys in (("missing", fit.missing), ("unexpected", fit.unexpected), ("mismatched", shown)):
        if keys:
            more = f", and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
            lines.append(f"{len(keys)} {kind} ({', '.join(keys[:LISTED])}{more})")
    step = "Give the architecture that the weights were trained with, with the same number of classes "
    step += "(for timm and the zoo: NAME?num_classes=N)."
    return ModelError(
        f"{os.path.basename(path)} does not fit {arch}: {'; '.join(lines)}.",
        where=path,
        next_step=f"They fit {' and '.join(others)}." if others else step,
        **_facts(fit, arch),
        fits=others,
    )


def _facts(fit: fitting.Fit, arch: str) -> dict[str, Any]:
    groups = {
        "missing": list(fit.missing),
        "unexpected": list(fit.unexpected),
        "mismatched": [_shapes(entry, arch) for entry in fit.mismatched],
    }
    return {
        "matching_count": fit.same,
        **{kind: keys[:LISTED] for kind, keys in groups.items()},
        **{f"{kind}_count": len(keys) for kind, keys in groups.items()},
    }


def _shapes(entry: tuple[str, tuple[int, ...], tuple[int, ...]], arch: str) -> str:
    key, theirs, ours = entry
    return f"{key}: file {theirs}, {arch} {ours}"


def tensors_of(path: str, value: object) -> tuple[dict[str, torch.Tensor], str]:
    """The state dict inside an unpickled file and a short text naming where it came from."""
    tensors, key = torch_file.tensors_in(value, path)
    inside = f" ({key})" if key else ""
    return tensors, f"file {os.path.basename(path)}{inside}"
