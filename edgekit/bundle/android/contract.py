"""What a model's Kotlin class takes and gives, the same for all its variants."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from edgekit.bundle import preprocessing
from edgekit.bundle.android import kotlin
from edgekit.bundle.names import pascal
from edgekit.bundle.preprocessing import Steps
from edgekit.bundle.recipe import Part, Recipe
from edgekit.bundle.records import Contract, Tensor
from edgekit.errors import BundleError

# dtype of the file -> the enum's constant, and the Kotlin array that holds the values; quantised ones are real numbers.
_ELEMENTS = {"float32": "FLOAT32", "int8": "INT8", "uint8": "UINT8", "int32": "INT32", "int64": "INT64"}
_ARRAYS = {
    "float32": "FloatArray",
    "int8": "ByteArray",
    "uint8": "ByteArray",
    "int32": "IntArray",
    "int64": "LongArray",
}
_READERS = {"FloatArray": "floats", "ByteArray": "bytes", "IntArray": "ints", "LongArray": "longs"}


@dataclass(frozen=True)
class Port:
    """One input or output of the class: its Kotlin name, array type, shape, and the model's own name."""

    name: str
    array: str
    shape: tuple[int, ...]
    own: str

    @property
    def reader(self) -> str:
        return _READERS[self.array]


@dataclass(frozen=True)
class Face:
    """The class of one model. ``steps`` is null without preprocessing, ``labels`` where no image can be classified."""

    class_name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    steps: Steps | None
    labels: tuple[str, ...] | None


def element(tensor: Tensor) -> str:
    """The constant of ``ElementType``."""
    return _ELEMENTS[tensor.dtype]


def face(part: Part) -> Face:
    """The class of a model.

    Raises:
        BundleError: its variants differ in more than types, or a tensor is of a type that the class can't hold.
    """
    name, variants = part.model.name, part.model.variants
    for variant in variants:
        for tensor in (*variant.contract.inputs, *variant.contract.outputs):
            _check_type(name, variant.id, tensor)
        if _signature(variant.contract) != _signature(variants[0].contract):
            raise BundleError(f"The variants {variants[0].id} and {variant.id} of {name} differ in names, shapes, "
                              "types, preprocessing or labels: one class can't hold both.", where=name,
                              next_step="Bundle them under different names: NAME=ARTIFACT.")  # fmt: skip
    contract = variants[0].contract
    steps = (
        None if contract.preprocess is None else preprocessing.steps_of(contract.preprocess, real(contract.inputs[0]))
    )
    labels = contract.labels if _is_row(contract) else None
    return Face(
        f"{pascal(part.model.identifier)}Model", _ports(contract.inputs), _ports(contract.outputs), steps, labels
    )


def faces(recipe: Recipe) -> tuple[Face, ...]:
    """The class of every model, in their order.

    Raises:
        BundleError: as :func:`face`; two classes have the same name, but for upper and lower case.
    """
    made = tuple(face(part) for part in recipe.parts)
    seen: dict[str, str] = {}
    for one, part in zip(made, recipe.parts, strict=True):
        other = seen.setdefault(one.class_name.lower(), part.model.name)
        if other != part.model.name:
            raise BundleError(f"{other} and {part.model.name} would both be the class {one.class_name}.",
                              where=part.model.name, next_step="Give one of them a name: NAME=ARTIFACT.")  # fmt: skip
    return made


def real(tensor: Tensor) -> Tensor:
    """The tensor as the class has it: a quantised one in real numbers."""
    if tensor.quantisation is None:
        return tensor
    return msgspec.structs.replace(tensor, dtype="float32", quantisation=None)


def _ports(tensors: tuple[Tensor, ...]) -> tuple[Port, ...]:
    names = kotlin.camels(tensor.identifier for tensor in tensors)
    return tuple(Port(name, _ARRAYS[real(tensor).dtype], tensor.shape, tensor.name)
                 for name, tensor in zip(names, tensors, strict=True))  # fmt: skip


def _signature(contract: Contract) -> object:
    def seen(tensors: tuple[Tensor, ...]) -> list[tuple[str, tuple[int, ...], str]]:
        return [(tensor.identifier, tensor.shape, real(tensor).dtype) for tensor in tensors]

    return seen(contract.inputs), seen(contract.outputs), contract.preprocess, contract.labels


def _is_row(contract: Contract) -> bool:
    """Whether the first output is one row of scores, with a label for each."""
    first = contract.outputs[0]
    sides = first.shape
    row = bool(sides) and all(side == 1 for side in sides[:-1]) and real(first).dtype == "float32"
    return row and contract.labels is not None and sides[-1] == len(contract.labels)


def _check_type(model: str, variant: str, tensor: Tensor) -> None:
    wrong = None
    if tensor.dtype not in _ELEMENTS:
        wrong = f"is {tensor.dtype}; {', '.join(_ELEMENTS)} can be fed from Kotlin"
    elif tensor.quantisation is not None and tensor.dtype not in ("int8", "uint8"):
        wrong = f"is quantised {tensor.dtype}; int8 and uint8 are supported"
    elif any(side < 1 for side in tensor.shape):
        wrong = f"has the shape {tensor.shape}"
    if wrong is not None:
        step = "Leave this variant out, or convert the model with other inputs and outputs."
        raise BundleError(f"{tensor.name} of {model} ({variant}) {wrong}.", where=model, next_step=step)
