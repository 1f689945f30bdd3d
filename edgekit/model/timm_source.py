"""timm models by name, with random weights: nothing is downloaded."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from edgekit.errors import ModelError
from edgekit.model.extras import need
from edgekit.model.random_weights import randomise
from edgekit.model.request import ModelSpec
from edgekit.model.source import Loaded, first_line
from edgekit.model.torchvision_ops import make_importable
from edgekit.records import Preprocess, TensorSpec

if TYPE_CHECKING:
    import torch

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")


def build(spec: ModelSpec, seed: int) -> torch.nn.Module:
    """A timm model as timm initialises it, seeded, with plain instead of fused attention.

    Fused attention adds dozens of operators that mobile backends can't delegate.

    Raises:
        MissingExtraError: timm is not installed.
        ModelError: timm has no such model, or refuses the options.
    """
    make_importable()
    need("timm", "zoo", spec.text)
    import timm
    import torch
    from timm.layers import set_fused_attn

    assert spec.name is not None
    if not timm.is_model(spec.name):
        near = nearest(spec.name)
        raise ModelError(
            f"timm {timm.__version__} has no model named {spec.name}.",
            where=spec.text,
            next_step=f"The nearest names are {', '.join(near)}." if near else "timm.list_models() lists all names.",
            nearest=near,
        )
    set_fused_attn(False)
    torch.manual_seed(seed)
    options: dict[str, Any] = dict(spec.options)
    try:
        module: torch.nn.Module = timm.create_model(spec.name, pretrained=False, **options)
    except (TypeError, ValueError, RuntimeError, AssertionError, KeyError) as error:
        message = f"timm can't build {spec.text}: {first_line(error)}"
        raise ModelError(message, where=spec.text, next_step="Check the options behind the '?'.") from error
    return module.eval()


def nearest(name: str) -> list[str]:
    """Up to five model names of the installed timm that are like ``name``."""
    import timm

    base = name.partition(".")[0]
    known = timm.list_models()
    near = difflib.get_close_matches(base, known, n=5, cutoff=0.6)
    near += [other for other in known if other.startswith(base) and other not in near]
    return near[:5]


def load(spec: ModelSpec, seed: int, asked: tuple[TensorSpec, ...] | None) -> Loaded:
    """A timm model with random weights under which every block matters, and the inputs of timm's own config.

    ``asked`` are the inputs that the model will be used with, if not those of the config: the weights are made for
    them.

    Raises:
        MissingExtraError, ModelError: as :func:`build`; also if the model does not run on ``asked``.
    """
    from edgekit.model.running import check_forward

    module = build(spec, seed)
    inputs, preprocess, warnings = config_of(module, dict(spec.options).get("in_chans"))
    used = asked or inputs
    if used is not None and len(used) == 1 and len(used[0].shape) == 4 and used[0].dtype == "float32":
        check_forward(module, used, spec.text, "" if asked else "timm's config")
        randomise(module, used[0], preprocess, seed)
    return Loaded(
        weights=f"random, seed {seed}",
        module=module,
        inputs=inputs,
        inputs_source="timm's config",
        preprocess=preprocess,
        warnings=warnings,
        described=True,
    )


def config_of(
    module: Any, in_chans: int | None = None
) -> tuple[tuple[TensorSpec, ...] | None, Preprocess | None, tuple[str, ...]]:
    """Input shape and preprocessing from a module's ``pretrained_cfg`` or ``default_cfg``, as timm models carry it.

    ``in_chans`` replaces the config's number of channels: timm does not change the config when it is overridden.

    Returns:
        The inputs and the preprocessing (null where the config does not say) and warnings.
    """
    found = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None)
    config = found if isinstance(found, dict) else getattr(found, "to_dict", dict)()
    size = config.get("input_size")
    if not (isinstance(size, (tuple, list)) and len(size) == 3 and all(isinstance(d, int) and d > 0 for d in size)):
        return None, None, ()
    channels = in_chans or size[0]
    inputs = (TensorSpec(name="x", shape=(1, channels, size[1], size[2])),)
    if channels != size[0]:
        warning = f"The preprocessing of the config is for {size[0]} channels, not {channels}; it is not used."
        return inputs, None, (warning,)
    preprocess, warnings = _preprocess(config, size)
    return inputs, preprocess, warnings


def _preprocess(config: dict[str, Any], size: Any) -> tuple[Preprocess, tuple[str, ...]]:
    warnings = []
    interpolation = str(config.get("interpolation", "bicubic"))
    if interpolation not in INTERPOLATIONS:
        warnings.append(f"The config's interpolation {interpolation!r} is not known; bicubic is used.")
        interpolation = "bicubic"
    if config.get("crop_mode", "center") != "center":
        warnings.append(f"The config's crop mode {config['crop_mode']!r} is not supported; a centre crop is used.")
    preprocess = Preprocess(
        height=size[1],
        width=size[2],
        crop_fraction=float(config.get("crop_pct") or 0.875),
        interpolation=interpolation,
        mean=tuple(float(value) for value in config.get("mean", Preprocess(height=1, width=1).mean)),
        std=tuple(float(value) for value in config.get("std", Preprocess(height=1, width=1).std)),
        source="timm's config",
    )
    return preprocess, tuple(warnings)
