"""From sources to a bundle on the disk: find the files, describe them, generate, write and sign."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import get_args

from edgekit.bundle.gather import evidence, parts
from edgekit.bundle.gather.kinds import kind_of
from edgekit.bundle.gather.source import Located, locate
from edgekit.bundle.names import identifier
from edgekit.bundle.recipe import Content, Generator, Recipe
from edgekit.bundle.records import Bundle, Manifest, Target
from edgekit.bundle.request import BundleRequest, checked_name
from edgekit.bundle.seal import keys, write
from edgekit.convert.cache import Cache
from edgekit.convert.files.tflite import Tflite
from edgekit.errors import BundleError, UsageError
from edgekit.store.store import Store
from edgekit.version import __version__

# Target -> the module whose GENERATOR makes its files. Imported when it is asked for.
GENERATORS: dict[Target, str] = {
    "android": "edgekit.bundle.android",
    "ios": "edgekit.bundle.ios",
    "mcu": "edgekit.bundle.mcu",
    "linux": "edgekit.bundle.linux",
}
# What a bundle of several models is called if nobody says.
SEVERAL = "models"


def make(request: BundleRequest, store: Store, ask: Callable[[str], str] | None = None) -> Bundle:
    """Make one bundle. The same sources, cache and store give the same bytes.

    Args:
        request: what to bundle, and for whom.
        store: where the measurements are.
        ask: asks for the passphrase of an encrypted key, as :func:`edgekit.bundle.seal.keys.load` does.

    Raises:
        UsageError: an argument is wrong, or the output folder is in use.
        BundleError: the bundle can't be made.
        EdgekitError: a file can't be run, or the store not be read.
    """
    generator = generator_of(request.target)
    options = options_of(request, generator)
    write.check_place(request.output, request.force)
    key = keys.load(request.key, ask) if request.key is not None else None
    recipe = recipe_of(request, generator, options, store)
    generator.check(recipe)
    content = generator.content(recipe)
    manifest = manifest_of(request.target, recipe, content)
    # For microcontrollers the files are not copied: C source is made from them.
    expected = {} if request.target == "mcu" else write.artifacts(recipe)
    return write.write(request.output, manifest, content, key=key, force=request.force, expected=expected)


def generator_of(target: str) -> Generator:
    """The generator of a target.

    Raises:
        UsageError: there is no such target.
    """
    if target not in GENERATORS:
        raise UsageError(f"There is no target {target!r}.", where="--for",
                         next_step=f"Choose from: {', '.join(get_args(Target))}.")  # fmt: skip
    made: Generator = importlib.import_module(GENERATORS[target]).GENERATOR
    return made


def options_of(request: BundleRequest, generator: Generator) -> dict[str, str]:
    """The target's options, those that were given before the defaults.

    Raises:
        UsageError: one is of another target.
    """
    wrong = [name for name in request.options if name not in generator.options]
    if request.compute_units is not None and request.target != "ios":
        wrong.append("compute-units")
    if wrong:
        has = ", ".join(f"--{name}" for name in generator.options)
        raise UsageError(
            f"--{wrong[0]} does not go with --for {request.target}.", where=f"--{wrong[0]}",
            next_step=f"Leave it out; {request.target} has {has}." if has else "Leave it out.",
        )  # fmt: skip
    return {name: request.options.get(name, default) for name, default in generator.options.items()}


def recipe_of(request: BundleRequest, generator: Generator, options: Mapping[str, str], store: Store) -> Recipe:
    """All that goes into the bundle; the sources are found, described and checked.

    Raises:
        EdgekitError: as :func:`make`.
    """
    if not request.sources:
        raise UsageError("No source was given.", where="SOURCE", next_step="Name what to bundle.")
    cache = Cache(request.cache)
    located = [locate(one, request.target, store, cache) for one in request.sources]
    for one in located:
        check_format(one, request.target, generator.formats)
        check_graph(one, request.target)
    groups = parts.grouped(located)
    said = parts.said_of(request, list(groups))
    choices = [choice for one in located for choice in one.choices]
    measured = evidence.measurements_of((one.artifact.sha256 for one in located), choices, store)
    kind = kind_of(request.target, options)
    made = tuple(
        parts.part_of(name, group, said[name], request, kind, measured, cache) for name, group in groups.items()
    )
    name = checked_name(request.name, "--name") if request.name else made[0].model.name if len(made) == 1 else SEVERAL
    return Recipe(name=name, identifier=identifier(name, "bundle"), parts=made, options=options)


def check_format(one: Located, target: Target, formats: tuple[str, ...]) -> None:
    """Refuse a file that the target's runtimes don't take.

    Raises:
        BundleError: it is of another format.
    """
    if one.artifact.format in formats:
        return
    raise BundleError(
        f"A bundle for {target} takes {_either(formats)} files; {one.path.name} is {one.artifact.format}.",
        where=one.given.text, next_step=f"Convert the model with edgekit convert --to {','.join(formats)}.",
        formats=list(formats),
    )  # fmt: skip


def _either(words: Sequence[str]) -> str:
    return " or ".join(", ".join(words).rsplit(", ", 1))


def check_graph(one: Located, target: Target) -> None:
    """Refuse a .tflite made elsewhere that another program would answer for in another way than it did here.

    Which tensor comes first is no question: CompiledModel takes them in the order of the graph, as Android's
    InterpreterApi does, whatever the order in the signature.

    Raises:
        BundleError: for Android, its first signature is not that of its first graph; it gives one tensor twice, of
            which LiteRT's CompiledModel fills one only.
        RuntimeCrashError: it is damaged.
    """
    if one.artifact.format != "litert" or one.exported is not None:
        return
    file = Tflite(one.path)
    if len(set(file.outputs)) < len(file.outputs):
        raise BundleError(f"{one.path.name} gives one of its outputs twice, which LiteRT's CompiledModel can't.",
                          where=one.given.text, next_step="Save the model with each output once.")  # fmt: skip
    if target == "android" and file.signed_graph != 0:
        raise BundleError(
            f"The first signature of {one.path.name} is that of its graph {file.signed_graph}; Android's "
            "InterpreterApi runs graph 0.", where=one.given.text,
            next_step="Save the model with that signature and graph alone.",
        )  # fmt: skip


def manifest_of(target: Target, recipe: Recipe, content: Content) -> Manifest:
    """The manifest but for its files, which are hashed as they are written."""
    return Manifest(
        target=target, name=recipe.name, edgekit_version=__version__, options=dict(sorted(recipe.options.items())),
        models=tuple(part.model for part in recipe.parts), runtimes=content.runtimes, warnings=content.warnings,
        files=(),
    )  # fmt: skip


def warnings_of(manifest: Manifest) -> tuple[str, ...]:
    """Everything that the manifest warns of: its models' warnings, then the target's."""
    return tuple(dict.fromkeys((*(text for model in manifest.models for text in model.warnings), *manifest.warnings)))


def next_step(target: Target, folder: Path) -> str:
    """What to do with the bundle, for people."""
    return {
        "android": f"Copy {folder} into your project, include it in settings.gradle, and depend on it.",
        "ios": f"Add {folder} to your Xcode project as a local package.",
        "mcu": f"Build it with {folder}/Makefile or CMakeLists.txt, or add it as a library to your firmware.",
        "linux": f"Copy {folder} to the board; its README.md says how to run it.",
    }[target]
