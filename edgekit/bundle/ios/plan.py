"""The recipe as a Swift package needs it: checked, with every name and file settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.bundle import golden
from edgekit.bundle.ios import package, swift
from edgekit.bundle.ios.package import PackageFile
from edgekit.bundle.preprocessing import Steps, steps_for
from edgekit.bundle.recipe import Member, Part, Recipe
from edgekit.bundle.records import Contract, Model, Tensor, Variant
from edgekit.errors import BundleError
from edgekit.records import Tolerance

# The dtype of a tensor -> its Swift type. Core ML takes float32 and int32; 16-bit arithmetic makes float16 outputs.
_INPUTS = {"float32": "Float", "int32": "Int32"}
_OUTPUTS = {**_INPUTS, "float16": "Float"}
_STORED = {"Float": "<f4", "Int32": "<i4"}


@dataclass(frozen=True)
class Value:
    """One tensor: the property that holds it, and that property's element type."""

    member: str
    type: str
    tensor: Tensor

    @property
    def shape_name(self) -> str:
        return f"{self.member}Shape"


@dataclass(frozen=True)
class Golden:
    """A file of golden values, by its path below ``Golden``."""

    path: str
    content: bytes


@dataclass(frozen=True)
class PlannedVariant:
    """A variant with its files, whose paths begin with ``package``; ``inputs`` and ``outputs`` are golden files in the
    order of the contract."""

    variant: Variant
    package: str
    files: tuple[PackageFile, ...]
    tolerance: Tolerance
    inputs: tuple[Golden, ...]
    outputs: tuple[Golden, ...]


@dataclass(frozen=True)
class PlannedModel:
    """One model; the tensors are alike in all its variants."""

    model: Model
    type: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    steps: Steps | None
    labels: tuple[str, ...] | None
    variants: tuple[PlannedVariant, ...]


@dataclass(frozen=True)
class Plan:
    """The whole package; ``ios`` and ``macos`` are the first systems that load all models."""

    name: str
    module: str
    ios: str
    macos: str
    models: tuple[PlannedModel, ...]


def plan(recipe: Recipe) -> Plan:
    """Settle everything.

    Raises:
        BundleError: a model can't go into a Swift package.
    """
    names = swift.types([part.model.identifier for part in recipe.parts])
    ios, macos = package.latest([package.systems(member.path) for part in recipe.parts for member in part.members])
    models = tuple(_model(part, name) for part, name in zip(recipe.parts, names, strict=True))
    return Plan(recipe.name, swift.module(recipe.identifier), ios, macos, models)


def _model(part: Part, name: str) -> PlannedModel:
    contract = part.members[0].variant.contract
    for member in part.members:
        _check_alike(part.model, contract, member.variant)
    inputs = _values(part.model, contract.inputs, _INPUTS, taken=("picture",))
    outputs = _values(part.model, contract.outputs, _OUTPUTS, taken=("top",))
    steps = steps_for(contract)
    if steps is not None and contract.inputs[0].shape[0] != 1:
        raise _refused(part.model, "its first input is a batch of pictures, and only one can be made from a picture",
                       "Bundle it without preprocessing, or convert it for one picture.")  # fmt: skip
    if contract.labels is not None and (outputs[0].type != "Float" or _last(outputs[0]) != len(contract.labels)):
        raise _refused(part.model, f"its {len(contract.labels)} labels are not those of its first output's last axis")
    variants = tuple(_variant(part.model, member, inputs, outputs) for member in part.members)
    return PlannedModel(part.model, name, inputs, outputs, steps, contract.labels, variants)


def _last(value: Value) -> int:
    return value.tensor.shape[-1] if value.tensor.shape else 1


def _check_alike(model: Model, first: Contract, variant: Variant) -> None:
    """One Swift type stands for all variants, so they must differ in nothing that it shows."""

    def shown(tensors: tuple[Tensor, ...]) -> list[tuple[str, tuple[int, ...], str | None]]:
        return [(t.identifier, t.shape, _OUTPUTS.get(t.dtype)) for t in tensors]

    own = variant.contract
    same = (
        shown(own.inputs) == shown(first.inputs) and shown(own.outputs) == shown(first.outputs)
        and own.preprocess == first.preprocess and own.labels == first.labels
    )  # fmt: skip
    if not same:
        raise _refused(model, f"its variant {variant.id} is not fed and read as its first one",
                       "Bundle variants that were converted from the same model.")  # fmt: skip


def _values(
    model: Model, tensors: tuple[Tensor, ...], known: dict[str, str], taken: tuple[str, ...]
) -> tuple[Value, ...]:
    for tensor in tensors:
        if tensor.dtype not in known:
            raise _refused(model, f"its tensor {tensor.name} is {tensor.dtype}; {' and '.join(known)} are supported")
    members = swift.members([tensor.identifier for tensor in tensors], taken)
    return tuple(Value(m, known[t.dtype], t) for m, t in zip(members, tensors, strict=True))


def _variant(model: Model, member: Member, inputs: tuple[Value, ...], outputs: tuple[Value, ...]) -> PlannedVariant:
    variant = member.variant
    folder = f"{model.identifier}/{variant.id}"
    return PlannedVariant(
        variant, f"Models/{folder}.mlpackage", tuple(package.files(member.path)), golden.tolerance(variant),
        _golden(model, folder, "input", inputs, member.golden_inputs),
        _golden(model, folder, "output", outputs, member.golden_outputs),
    )  # fmt: skip


def _golden(
    model: Model, folder: str, kind: str, values: tuple[Value, ...], arrays: tuple[npt.NDArray[Any], ...]
) -> tuple[Golden, ...]:
    made = []
    for value, array in zip(values, arrays, strict=True):
        # float16 fits into float32 as it is; integers of 64 bits have to be small enough.
        stored = np.ascontiguousarray(array).astype(_STORED[value.type])
        if array.dtype.kind in "iu" and not np.array_equal(stored, array):
            raise _refused(model, f"golden values of {value.tensor.name} do not fit into 32 bits")
        made.append(Golden(f"{folder}/{kind}_{value.tensor.identifier}.bin", stored.tobytes()))
    return tuple(made)


def _refused(model: Model, reason: str, next_step: str = "Leave the model out of the bundle.") -> BundleError:
    return BundleError(f"{model.name} can't go into a Swift package: {reason}.", where=model.name, next_step=next_step)
