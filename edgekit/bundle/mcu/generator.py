"""``edgekit bundle --for mcu``: from int8 models to a C library with the runtime that they need and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from edgekit import paths
from edgekit.bundle.mcu import golden, interface, library, runtime
from edgekit.bundle.mcu.build_files import build_files
from edgekit.bundle.mcu.library import CModel, Library
from edgekit.bundle.mcu.readme import readme
from edgekit.bundle.preprocessing import steps_for
from edgekit.bundle.recipe import Content, Part, Recipe
from edgekit.bundle.records import Runtime
from edgekit.bundle.template import asset
from edgekit.convert.mcu.compile import PLAN_TIME_LIMIT_S
from edgekit.device.mcu import boards
from edgekit.errors import BundleError, DeviceError, UsageError
from edgekit.version import __version__

# src/NAME.h goes before the compiler's own headers.
_C_HEADERS = """
    assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg stdatomic
    stdbool stddef stdint stdio stdlib stdnoreturn string strings tgmath threads time uchar unistd wchar wctype
    arduino
"""
_CORE = "cortex-m7"
_HOST_TILES = "test/host_tiles.c"
_RENAME = "Give it another name: NAME=SOURCE."


class McuGenerator:
    """The microcontroller target. Option ``board``: the kernels for one of edgekit's boards; by default those for cores
    with the DSP extension."""

    formats: tuple[str, ...] = ("mcu",)
    options: Mapping[str, str] = MappingProxyType({"board": ""})

    def check(self, recipe: Recipe) -> None:
        """Raises UsageError for an unknown board, BundleError for a model that makes no C library."""
        _board(recipe)
        seen: dict[str, str] = {}
        for part in recipe.parts:
            _check_part(part)
            name = part.model.identifier
            if name in seen:
                raise _clash(seen[name], part.model.name, f"{name}.h")
            seen[name] = part.model.name

    def content(self, recipe: Recipe) -> Content:
        """The library.

        Raises:
            ConvertError: a file can't be compiled.
            BundleError: as ``check``, or two models would define the same name in C.
        """
        self.check(recipe)
        board = _board(recipe)
        dsp = board is None or board.kernels == "dsp"
        core = _CORE if board is None else board.core.replace("+", "plus")  # as compilers call it
        made = library.compiled(recipe, dsp=dsp, core=core)
        _refuse_clashes(made)
        files: dict[str, bytes | Path] = {**_model_files(made), **_runtime_files(made)}
        sources = [name for name in sorted(files) if name.startswith("src/") and name.endswith((".c", ".S"))]
        tests = [f"test/{model.name}_golden.c" for model in made.models]
        files.update(build_files(made, sources, tests, _HOST_TILES if _HOST_TILES in files else None))
        files.update({"README.md": readme(made), "LICENSE": _licence().read_bytes()})
        return Content(dict(sorted(files.items())), (_runtime(),), _warnings(made, board))


def _check_part(part: Part) -> None:
    model, where = part.model, part.model.name
    if len(part.members) != 1:
        raise BundleError(
            f"{model.name} has {len(part.members)} variants: a C library has one.", where=where,
            next_step="Name the one to bundle.",
        )  # fmt: skip
    if model.identifier in _C_HEADERS.split():
        raise BundleError(
            f"The header of {model.name} would be {model.identifier}.h, which is C's own.", where=where,
            next_step=_RENAME,
        )  # fmt: skip
    contract = part.members[0].variant.contract
    for tensor in (*contract.inputs, *contract.outputs):
        if tensor.dtype != "int8" or tensor.quantisation is None:
            raise BundleError(
                f"The tensor {tensor.name} of {model.name} is no quantised int8.", where=where,
                next_step="Bundle an int8 .tflite, or a model that edgekit convert --to mcu made.",
            )  # fmt: skip
    if not contract.inputs or not contract.outputs:
        raise BundleError(f"{model.name} has no input or no output.", where=where, next_step="Bundle a whole model.")
    labels = contract.labels
    last = contract.outputs[0].shape[-1:]
    if labels is not None and (len(labels),) != last:
        raise BundleError(
            f"{model.name} has {len(labels)} labels for an output of {last[0] if last else 1}.", where=where,
            next_step="Give as many labels as the model has classes.",
        )  # fmt: skip
    steps_for(contract)  # refuses what C can't compute bit for bit


def _board(recipe: Recipe) -> boards.Board | None:
    name = recipe.options.get("board", "")
    if not name:
        return None
    try:
        return boards.find(name)
    except DeviceError as error:
        raise UsageError(error.message, where="--board", next_step=error.next_step) from error


def _model_files(made: Library) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for model in made.models:
        files |= {
            f"src/{model.name}.h": interface.header(made, model),
            f"src/{model.name}.c": interface.code(model),
            f"src/{model.source.name}.h": model.source.header.encode(),
            f"src/{model.source.name}.c": model.source.code.encode(),
            f"test/{model.name}_golden.h": golden.header(model),
            f"test/{model.name}_golden.c": golden.code(model),
        }
    files["test/main.c"] = golden.main(made)
    return files


def _runtime_files(made: Library) -> dict[str, bytes]:
    root = paths.mcu_dir()
    files = runtime.needed(root, {kernel for model in made.models for kernel in model.kernels}, dsp=made.dsp)
    files["src/edgekit/quantise.h"] = asset("mcu/quantise.h")
    if any(model.steps is not None for model in made.models):
        for name in ("ek_preprocess.h", "ek_preprocess.c"):
            files[f"src/edgekit_runtime/{name}"] = asset(f"preprocess/{name}")
    if any(name.endswith(".S") for name in files):
        tiles, headers = runtime.host_tiles(root)
        files[_HOST_TILES] = tiles
        for name, content in headers.items():
            if name not in files:  # of no use but to this test
                folder = "test/edgekit" if name.startswith("src/edgekit/") else "test"
                files[f"{folder}/{Path(name).name}"] = content
    return files


def _refuse_clashes(made: Library) -> None:
    """One model may be called as another's name goes on: ``net`` and ``net_model``."""
    owners: dict[str, CModel] = {}
    for model in made.models:
        text = interface.header(made, model).decode() + model.source.header + golden.header(model).decode()
        own = rf"\b(?:{model.name}|{model.name.upper()})_\w+"
        for name in sorted({*re.findall(own, text), f"{model.name}.h", f"{model.source.name}.h"}, key=str.swapcase):
            other = owners.setdefault(name, model)
            if other is not model:
                raise _clash(other.part.model.name, model.part.model.name, name)


def _clash(first: str, second: str, name: str) -> BundleError:
    return BundleError(f"The models {first} and {second} would both be {name} in C.", where=second, next_step=_RENAME)


def _licence() -> Path:
    """The runtime's: beside it where edgekit is installed, in the root of a checkout."""
    root = paths.mcu_dir()
    installed = root / "LICENSE"
    return installed if installed.is_file() else root.parent / "LICENSE"


def _runtime() -> Runtime:
    return Runtime(name="edgekit microcontroller runtime", version=__version__, licence="Apache-2.0",
                   source="src/edgekit_runtime", inside=True)  # fmt: skip


def _warnings(made: Library, board: boards.Board | None) -> tuple[str, ...]:
    warnings = [
        f"the search for the memory plan of {model.name} ran out of time: another run may give other bytes"
        for model in made.models
        if not model.compiled.plan.optimal and model.compiled.plan.seconds >= PLAN_TIME_LIMIT_S
    ]
    if board is None:
        return tuple(warnings)
    memory = board.arena_bytes or board.sram_bytes
    for model in made.models:
        arena, constants = model.compiled.plan.arena_bytes, model.compiled.data_bytes
        if arena > memory:
            warnings.append(f"{model.name} needs an arena of {arena} bytes; {board.label} has {memory}")
        if constants > board.flash_bytes:
            warnings.append(f"{model.name} has {constants} bytes of weights; {board.label} has {board.flash_bytes}")
    return tuple(warnings)
