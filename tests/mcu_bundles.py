"""C libraries for the tests: small int8 models with what the runtime on this machine makes of random inputs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from edgekit.bundle.mcu import GENERATOR
from edgekit.bundle.recipe import Content, Member, Part, Recipe
from edgekit.bundle.records import Contract, Quantisation, Tensor
from edgekit.convert.mcu.compile import compile_file
from edgekit.harness.int8_tensors import Endpoint
from edgekit.harness.mcu_model import HostModel
from edgekit.records import Preprocess
from tests.unit.bundle import made

DIGITS = tuple("0123456789")
PICTURE = Preprocess(height=16, width=16, interpolation="bicubic", source="the tests")


def member(path: Path, *, dsp: bool = True, count: int = 2, labels: tuple[str, ...] | None = None,
           preprocess: Preprocess | None = None, from_float: bool = False) -> Member:  # fmt: skip
    """The variant of an int8 .tflite; inputs are random, outputs are the host's. ``from_float``: the file was made from
    a PyTorch model."""
    model = HostModel(compile_file(path, dsp=dsp, float_outside=from_float).ekm)
    contract = Contract(inputs=_tensors("image", model.inputs), outputs=_tensors("score", model.outputs),
                        preprocess=preprocess, labels=labels)  # fmt: skip
    chance = np.random.default_rng(5)
    inputs = [chance.integers(-128, 128, (count, *end.shape), dtype=np.int8) for end in model.inputs]
    rows = [model.run([stack[sample] for stack in inputs]) for sample in range(count)]
    outputs = tuple(np.stack([row[number] for row in rows]) for number in range(len(model.outputs)))
    stated = made.member(path.parent, "stated", "mcu", contract, golden=count,
                         exported_sha256="ab" * 32 if from_float else None)  # fmt: skip
    return Member(stated.variant, path, tuple(inputs), outputs)


def _tensors(name: str, ends: tuple[Endpoint, ...] | list[Endpoint]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(name=f"{name} {number}", identifier=name if not number else f"{name}_{number}", shape=tuple(end.shape),
               dtype="int8", quantisation=Quantisation(scale=end.scale, zero_point=end.zero_point))
        for number, end in enumerate(ends)
    )  # fmt: skip


def model(folder: Path, name: str, content: bytes, **options: object) -> Part:
    """One model of these bytes of a .tflite."""
    path = folder / f"{made.identifier(name, 'model')}.tflite"
    path.write_bytes(content)
    return made.part(name, [member(path, **options)])


def named(part: Part, name: str) -> Part:
    """The same under another name."""
    changed = msgspec.structs.replace(part.model, name=name, identifier=made.identifier(name, "model"))
    return Part(changed, part.members)


def write(content: Content, folder: Path) -> Path:
    """The library as files."""
    for name, one in content.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(one if isinstance(one, bytes) else one.read_bytes())
    return folder


def library(recipe: Recipe, folder: Path) -> Path:
    """The library of a recipe as files."""
    return write(GENERATOR.content(recipe), folder)
