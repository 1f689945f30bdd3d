"""What the files of a library are made from: its models, compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.bundle.preprocessing import Steps, steps_for
from edgekit.bundle.recipe import Member, Part, Recipe
from edgekit.bundle.records import Contract, Tensor
from edgekit.convert.mcu.compile import Compiled, compile_file
from edgekit.convert.mcu.csource import Source, c_source
from edgekit.convert.mcu.steps import Endpoint
from edgekit.errors import BundleError


@dataclass(frozen=True)
class CModel:
    """One model as C: ``name`` begins everything that it defines."""

    part: Part
    compiled: Compiled
    source: Source
    steps: Steps | None

    @property
    def name(self) -> str:
        """The model's identifier."""
        return self.part.model.identifier

    @property
    def member(self) -> Member:
        """Its one variant."""
        return self.part.members[0]

    @property
    def contract(self) -> Contract:
        """How it is fed and read."""
        return self.member.variant.contract

    @property
    def kernels(self) -> set[str]:
        """Those that it runs."""
        return {step.kernel for step in self.compiled.program.steps}


@dataclass(frozen=True)
class Library:
    """All models, and for which kernels they are compiled; ``core`` is what it is built for by default."""

    name: str
    title: str
    dsp: bool
    core: str
    models: tuple[CModel, ...]

    @property
    def cores(self) -> str:
        """The cores that it can be built for, for people."""
        return "Cortex-M with the DSP extension (M4, M7, M33, M55)" if self.dsp else "any Cortex-M"


def compiled(recipe: Recipe, *, dsp: bool, core: str) -> Library:
    """Compile every model of a recipe.

    Raises:
        ConvertError: a file can't be compiled.
        BundleError: a contract is not that of the compiled file.
    """
    models = tuple(_compiled(part, dsp=dsp) for part in recipe.parts)
    return Library(recipe.identifier, recipe.name, dsp, core, models)


def _compiled(part: Part, *, dsp: bool) -> CModel:
    member, name = part.members[0], part.model.identifier
    # The ends of a model that was PyTorch's are float32 there; the board sees what lies behind the conversions.
    outside = member.variant.exported_sha256 is not None
    made = compile_file(member.path, dsp=dsp, name=name, float_outside=outside)
    for tensors, ends in ((member.variant.contract.inputs, made.program.inputs),
                          (member.variant.contract.outputs, made.program.outputs)):  # fmt: skip
        _expect_same(part.model.name, tensors, ends)
    source = c_source(made.program, made.plan, library=f"{name}_model")
    return CModel(part, made, source, steps_for(member.variant.contract))


def _expect_same(model: str, tensors: Sequence[Tensor], ends: Sequence[Endpoint]) -> None:
    stated = [(t.shape, t.quantisation and (t.quantisation.scale, t.quantisation.zero_point)) for t in tensors]
    found = [(end.shape, (end.scale, end.zero_point)) for end in ends]
    if stated != found:
        raise BundleError(
            f"The tensors that {model} is said to have are not those of its file: {stated} and {found}.", where=model,
            next_step="Convert the model again and bundle what that makes.",
        )  # fmt: skip
