"""The folder for Linux boards: what goes where."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.bundle import golden
from edgekit.bundle.linux import c_api, config, native, third_party
from edgekit.bundle.linux.places import SUFFIXES, golden_file, model_file
from edgekit.bundle.linux.readme import readme
from edgekit.bundle.preprocessing import steps_for
from edgekit.bundle.recipe import Content, Part, Recipe
from edgekit.bundle.template import asset
from edgekit.device.runner_files import ABIS
from edgekit.errors import BundleError
from edgekit.job import ENGINE_OF_FORMAT, NATIVE_ENGINES

_PYTHON = ("edgekit_runner.py", "edgekit_model.py", "example.py")


class LinuxGenerator:
    """A folder with models, the native runner of one ABI, and examples in Python and C."""

    formats: tuple[str, ...] = tuple(sorted(SUFFIXES))
    options: Mapping[str, str] = {"abi": ABIS[0]}

    def check(self, recipe: Recipe) -> None:
        """Raises UsageError for an unknown ABI, BundleError for a model or a runner that can't be bundled."""
        _checked(recipe)

    def content(self, recipe: Recipe) -> Content:
        """The same content for the same recipe and runner, byte by byte.

        Raises:
            UsageError, BundleError: as in :meth:`check`.
        """
        found = _checked(recipe)
        engines = sorted({ENGINE_OF_FORMAT[m.variant.format] for part in recipe.parts for m in part.members})
        files: dict[str, bytes | Path] = {}
        warnings = _warnings(recipe)
        if found is not None:
            files |= native.contents(found)
            notices, missing = third_party.notices(found)
            files |= notices
            warnings += missing
        executables = frozenset(path for path in files if path.startswith(f"{native.FOLDER}/"))
        files |= _models(recipe)
        files |= c_api.contents(recipe, found.engines.get("executorch", "") if found else "")
        files |= _programs(engines)
        abi = recipe.options.get("abi", ABIS[0])
        files["config.json"] = config.encode(recipe, found, abi)
        files["README.md"] = readme(recipe, found, abi)
        rows = third_party.runtimes(found, engines)
        return Content(dict(sorted(files.items())), rows, tuple(warnings), executables)


def _checked(recipe: Recipe) -> native.Native | None:
    """The recipe's runner, once everything else was found fit."""
    for part in recipe.parts:
        for member in part.members:
            if member.variant.format not in SUFFIXES:
                raise BundleError(
                    f"{part.model.name} is {member.variant.format}, which does not run on Linux boards.",
                    where=part.model.name, next_step=f"Convert it to one of: {', '.join(sorted(SUFFIXES))}.",
                )  # fmt: skip
            steps_for(member.variant.contract)  # refuses what can't be computed bit for bit
        c_api.check_tensors(part)
    return native.find(recipe)


def _programs(engines: Sequence[str]) -> dict[str, bytes | Path]:
    files: dict[str, bytes | Path] = {f"python/{name}": asset(f"linux/python/{name}") for name in _PYTHON}
    files["python/requirements.txt"] = third_party.requirements(engines)
    files["check.py"] = asset("linux/check.py")
    files["CONFIG.md"] = asset("linux/CONFIG.md")
    files["licences/Apache-2.0.txt"] = asset("linux/licences/Apache-2.0.txt")
    return files


def _models(recipe: Recipe) -> dict[str, bytes | Path]:
    files: dict[str, bytes | Path] = {}
    for part in recipe.parts:
        for member in part.members:
            files[model_file(part.model, member.variant)] = member.path
            for side, stacks in (("input", member.golden_inputs), ("output", member.golden_outputs)):
                for k, stack in enumerate(stacks):
                    files[golden_file(part.model, member.variant, side, k)] = _npy(stack)
    return files


def _npy(stack: npt.NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, golden.plain(stack), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def _warnings(recipe: Recipe) -> list[str]:
    found = []
    for part in recipe.parts:
        if alone := _python_only(part):
            found.append(f"{part.model.name}: {', '.join(alone)} runs from Python only; neither the native runner nor "
                         "the C API has its runtime.")  # fmt: skip
    return found


def _python_only(part: Part) -> list[str]:
    return [m.variant.id for m in part.members if ENGINE_OF_FORMAT[m.variant.format] not in NATIVE_ENGINES]
