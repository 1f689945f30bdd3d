"""What the catalogue says of one model. Nothing here imports torch."""

from __future__ import annotations

from typing import Literal

from edgekit.records import Preprocess, Record, TensorSpec

Source = Literal["timm", "torchvision", "edgekit"]
Task = Literal["classification", "segmentation", "detection", "super-resolution"]

_NORMALISATIONS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "unit1": ((0.0,), (1.0,)),
}

# Licence -> whether the published code and weights may be passed on in a product; null where nobody said, or where it
# depends on more than the name.
LICENCES: dict[str, bool | None] = {
    "Apache-2.0": True,
    "MIT": True,
    "BSD-3-Clause": True,
    "LicenseRef-apple-mobileone": None,
    "LicenseRef-apple-fastvit": None,
    "LicenseRef-apple-cvnets": None,
    "CC-BY-NC-4.0": False,
    "AGPL-3.0": None,
    "none stated": None,
}


class Entry(Record, frozen=True, kw_only=True):
    """One model of the zoo, or one that is known but can't be built (``unavailable`` says why).

    ``builder`` is the library's own name of the model, or ``module:function`` of edgekit, called with ``arguments``.
    ``input_size`` is channels, height, width of one image. ``params`` and ``macs`` (multiply-accumulates of
    convolutions, linear layers and matrix products at ``input_size``) are those of the model as it is deployed:
    re-parameterised where the family allows it. ``options`` are the keys that may follow the name as ``?key=value``.
    ``licence`` is that of the published code and weights, an SPDX identifier where there is one.
    ``top1`` is the published ImageNet accuracy in percent; its weights are not part of the zoo.
    """

    name: str
    family: str
    source: Source
    builder: str = ""
    arguments: tuple[str, ...] = ()
    task: Task = "classification"
    input_size: tuple[int, int, int] | None = None
    preprocess: Preprocess | None = None
    licence: str = "none stated"
    params: int | None = None
    macs: int | None = None
    counts_note: str | None = None
    top1: float | None = None
    top1_source: str | None = None
    options: tuple[str, ...] = ()
    unavailable: str | None = None

    @property
    def redistributable(self) -> bool | None:
        """Whether the licence lets the published weights be passed on; null where that has to be looked up."""
        return LICENCES[self.licence]

    def inputs(self) -> tuple[TensorSpec, ...] | None:
        """The model's one input at its own size, batch 1; null for a model that can't be built."""
        if self.input_size is None:
            return None
        return (TensorSpec(name="x", shape=(1, *self.input_size)),)


def preprocess_of(text: str, height: int, width: int, source: str) -> Preprocess:
    """Preprocessing from ``"INTERPOLATION CROP_FRACTION NORMALISATION"``, as the tables write it."""
    interpolation, crop, normalisation = text.split()
    mean, std = _NORMALISATIONS[normalisation]
    return Preprocess(
        height=height,
        width=width,
        crop_fraction=float(crop),
        interpolation=interpolation,
        mean=mean,
        std=std,
        source=source,
    )
