"""Weights for an architecture that is named separately."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch

from edgekit.errors import ModelError
from edgekit.model import torch_file
from edgekit.model.source import PARSE_ERRORS, first_line

# At most this many keys of each kind are listed; the counts are always complete.
LISTED = 10

# Wrappers that training adds in front of every key: DataParallel, torch.compile, EMA.
WRAPPERS = ("module.", "_orig_mod.", "ema_model.")

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


def fill(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: str, arch: str) -> tuple[str, ...]:
    """Copy the weights into the module, in place; every key has to match.

    Returns:
        Warnings about what was changed in the keys.

    Raises:
        ModelError: keys are missing, unexpected or of another shape; all are counted, the first ten of each listed.
    """
    own = module.state_dict()
    tensors, warnings = _unwrapped(tensors, own)
    mismatched = [
        f"{key}: file {tuple(tensors[key].shape)}, {arch} {tuple(value.shape)}"
        for key, value in own.items()
        if key in tensors and isinstance(value, torch.Tensor) and tensors[key].shape != value.shape
    ]
    if mismatched:
        missing = [key for key in own if key not in tensors and not key.endswith("num_batches_tracked")]
        unexpected = [key for key in tensors if key not in own]
    else:
        result = module.load_state_dict(dict(tensors), strict=False)
        missing, unexpected = list(result.missing_keys), list(result.unexpected_keys)
    if missing or unexpected or mismatched:
        raise _mismatch(path, arch, {"missing": missing, "unexpected": unexpected, "mismatched": mismatched})
    return warnings


def _unwrapped(
    tensors: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]
) -> tuple[Mapping[str, torch.Tensor], tuple[str, ...]]:
    """Remove the prefixes that training wrappers put in front of every key, unless the model has them itself."""
    removed = []
    for prefix in (*WRAPPERS, "model."):
        if (
            tensors
            and all(key.startswith(prefix) for key in tensors)
            and not all(key.startswith(prefix) for key in own)
        ):
            tensors = {key[len(prefix) :]: value for key, value in tensors.items()}
            removed.append(prefix)
    if not removed:
        return tensors, ()
    return tensors, (f"The prefix {''.join(removed)!r} was removed from every key of the state dict.",)


def _mismatch(path: str, arch: str, groups: dict[str, list[str]]) -> ModelError:
    lines = []
    for kind, keys in groups.items():
        if keys:
            more = f", and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
            lines.append(f"{len(keys)} {kind} ({', '.join(keys[:LISTED])}{more})")
    return ModelError(
        f"{os.path.basename(path)} does not fit {arch}: {'; '.join(lines)}.",
        where=path,
        next_step="Give the --arch that the weights were trained with, with the same number of classes "
        "(for timm: timm:NAME?num_classes=N).",
        **{kind: keys[:LISTED] for kind, keys in groups.items()},
        **{f"{kind}_count": len(keys) for kind, keys in groups.items()},
    )


def tensors_of(path: str, value: object) -> tuple[dict[str, torch.Tensor], str]:
    """The state dict inside an unpickled file and a short text naming where it came from."""
    tensors, key = torch_file.tensors_in(value, path)
    inside = f" ({key})" if key else ""
    return tensors, f"file {os.path.basename(path)}{inside}"
