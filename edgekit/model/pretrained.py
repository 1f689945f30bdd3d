"""Published weights for the models of timm and of the zoo (``--pretrained``)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import ModelError
from edgekit.model import hub
from edgekit.model.request import ModelSpec
from edgekit.model.source import Loaded, first_line
from edgekit.model.torchvision_ops import make_importable

if TYPE_CHECKING:
    from edgekit.model.zoo import Entry

# timm's names of licences: those that leave a product free, and those that forbid passing the weights on.
_FREE = ("apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0")
_FORBIDDING = ("cc-by-nc-4.0", "fair-noncommercial-research-license")


def load(spec: ModelSpec, seed: int) -> Loaded:
    """The model with its published weights, from a cache or from the network.

    Raises:
        ModelError: there is no such model, none are published for it or for this number of classes, or they can't be
            fetched: within seconds if there is no network.
        MissingExtraError: timm, torchvision or huggingface_hub is not installed.
    """
    if spec.kind == "timm":
        return _timm(spec, spec.name or "", dict(spec.options), seed)
    from edgekit.model.zoo import source

    entry, options = source.parse(spec.name or "")
    if entry.source == "edgekit":
        raise ModelError(
            f"No weights are published for {spec.text}: the model is edgekit's own implementation.",
            where=spec.text,
            next_step="Give weights of your own with --weights FILE, or leave --pretrained out for random weights.",
        )
    if entry.source == "torchvision":
        return _torchvision(spec, entry, seed)
    classes = int(options.get("num_classes", 1000))
    loaded = _timm(spec, _with_classes(entry.builder, classes), {"num_classes": classes}, seed)
    return replace(loaded, warnings=loaded.warnings + source.licence_warnings(entry))


def _timm(spec: ModelSpec, name: str, options: dict[str, Any], seed: int) -> Loaded:
    from edgekit.model import timm_source

    timm_source.build(ModelSpec(kind="timm", text=spec.text, name=name), seed)  # an unknown name is told as always
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None or not (config.hf_hub_id or config.url):
        raise _unpublished(spec, name)
    wanted = options.get("num_classes", config.num_classes)
    if wanted != config.num_classes:
        raise ModelError(
            f"The published weights of {name} are for {config.num_classes} classes, not {wanted}.",
            where=spec.text,
            next_step="Leave num_classes out, or give weights of your own with --weights FILE.",
        )
    path, origin = _fetched(config, spec.text)
    overlay = {"file": str(path), "custom_load": False}
    try:
        module = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options).eval()
    except (RuntimeError, ValueError, TypeError, LookupError, OSError) as error:
        message = f"The published weights of {name} can't be loaded: {first_line(error)}"
        raise ModelError(message, where=str(path), next_step="Remove the file, to fetch it again.") from error
    inputs, preprocess, notes = timm_source.config_of(module, options.get("in_chans"))
    if options.get("in_chans", config.input_size[0]) != config.input_size[0]:
        notes = (*notes, f"timm derived the weights of the first layer from those for {config.input_size[0]} channels.")
    return Loaded(
        weights=f"pretrained, {origin}",
        module=module,
        inputs=inputs,
        inputs_source="timm's config",
        preprocess=preprocess,
        warnings=(*notes, *_licence(name, config.license)),
        described=True,
    )


def _with_classes(name: str, classes: int) -> str:
    """The name with the tag of weights for so many classes, where timm's first choice has another number of them."""
    import timm

    first = timm.get_pretrained_cfg(name)
    if first is None or first.num_classes == classes:
        return name
    tagged = [other for other in timm.list_pretrained(name + ".*") if other.partition(".")[0] == name]
    fitting = [t for t in tagged if (found := timm.get_pretrained_cfg(t)) is not None and found.num_classes == classes]
    return fitting[0] if fitting else name


def _fetched(config: Any, where: str) -> tuple[Path, str]:
    """The file of timm's published weights, and where it is from."""
    if config.hf_hub_id:
        names = (config.hf_hub_filename,) if config.hf_hub_filename else hub.WEIGHT_FILES
        path, origin = hub.hub_file(config.hf_hub_id, names, where), f"hub {config.hf_hub_id}"
    else:
        path, origin = hub.url_file(config.url, _downloads(), where), config.url
    with path.open("rb") as file:  # through Python's own open once, so that a recording of the model's files sees it
        file.read(8)
    return path, origin


def _downloads() -> Path:
    """Where torch itself keeps what it downloads."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def _torchvision(spec: ModelSpec, entry: Entry, seed: int) -> Loaded:
    from edgekit.model import state_dict, torch_file
    from edgekit.model.zoo import source

    built = source.described(spec, seed)
    assert built.module is not None
    make_importable()
    from torchvision.models import get_model_weights

    published = get_model_weights(entry.builder).DEFAULT
    path = hub.url_file(published.url, _downloads(), spec.text)
    tensors, _ = state_dict.tensors_of(str(path), torch_file.read(str(path), trust_pickle=False))
    changed = state_dict.fill(built.module, tensors, str(path), spec.text)
    return replace(built, weights=f"pretrained, {published.url}", warnings=built.warnings + changed)


def _licence(name: str, licence: str | None) -> tuple[str, ...]:
    if licence in _FREE:
        return ()
    if licence in _FORBIDDING:
        return (f"The published weights of {name} may not be passed on in a product: their licence is {licence}.",)
    return (f"Check the licence of {name}'s published weights before passing them on: {licence or 'none stated'}.",)


def _unpublished(spec: ModelSpec, name: str) -> ModelError:
    import timm

    base = name.partition(".")[0]
    tags = [other for other in timm.list_pretrained(base + "*") if other != name][:5]
    return ModelError(
        f"timm knows no published weights for {name}.",
        where=spec.text,
        next_step=f"It has them for {', '.join(tags)}; or give a file with --weights FILE."
        if tags
        else "Give a file with --weights FILE, or leave --pretrained out for random weights.",
        nearest=tags,
    )
