"""Puts the module together: model files, Kotlin, build files, tests and README."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from edgekit.bundle.android import contract, golden, gradle, model_class, readme, runtimes
from edgekit.bundle.android.runtimes import RUNTIMES, AndroidRuntime
from edgekit.bundle.recipe import Content, Recipe
from edgekit.bundle.seal import signature
from edgekit.bundle.template import asset
from edgekit.errors import BundleError, UsageError

DELIVERIES = ("assets", "asset-pack")
_SEGMENT = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*", re.ASCII)
_KEYWORDS = """
    abstract as assert boolean break byte case catch char class const continue default do double else enum extends
    false final finally float for fun goto if implements import in instanceof int interface is long native new null
    object package private protected public return short static strictfp super switch synchronized this throw throws
    transient true try typealias typeof val var void volatile when while
"""
# Java's and Kotlin's own words, and what can't be a folder on Windows.
_TAKEN = frozenset([*_KEYWORDS.split(), "aux", "con", "nul", "prn"])
_STATIC = ("BundleSeal", "Ed25519", "Engine", "ModelFiles", "Tensors", "Variants")


class AndroidGenerator:
    """``--for android``."""

    formats: tuple[str, ...] = tuple(sorted(RUNTIMES))
    options: Mapping[str, str] = MappingProxyType({"delivery": "assets", "package": "edgekit.models"})

    def check(self, recipe: Recipe) -> None:
        """Raises UsageError for a package or delivery that can't be, BundleError for a model that Kotlin can't hold."""
        _package(recipe)
        _delivery(recipe)
        for part in recipe.parts:
            for member in part.members:
                if member.variant.format not in RUNTIMES:
                    raise BundleError(f"{part.model.name}: {member.variant.format} does not run on Android.",
                                      where=part.model.name, next_step=f"Use {', '.join(self.formats)}.")  # fmt: skip
        contract.faces(recipe)

    def content(self, recipe: Recipe) -> Content:
        self.check(recipe)
        package, needed = _package(recipe), runtimes.needed(recipe)
        pack = gradle.pack_name(recipe) if _delivery(recipe) == "asset-pack" else None
        faces = contract.faces(recipe)
        files: dict[str, bytes | Path] = {
            **gradle.files(recipe, package, pack, needed),
            **_sources(recipe, package, faces, needed),
            **golden.tests(recipe, package, faces),
            **_models(recipe, _assets(pack)),
            "README.md": readme.readme(recipe, package, pack, faces, needed),
        }
        warnings = tuple(text for one in needed for text in one.warnings)
        return Content(dict(sorted(files.items())), tuple(one.record for one in needed), warnings)


def _assets(pack: str | None) -> str:
    return "src/main/assets/" if pack is None else f"{pack}/src/main/assets/"


def _models(recipe: Recipe, assets: str) -> dict[str, bytes | Path]:
    return {
        assets + model_class.asset_path(part, member): member.path for part in recipe.parts for member in part.members
    }


def _sources(
    recipe: Recipe, package: str, faces: tuple[contract.Face, ...], needed: tuple[AndroidRuntime, ...]
) -> dict[str, bytes]:
    folder, delivery = f"src/main/kotlin/{package.replace('.', '/')}", _delivery(recipe)
    pack = gradle.pack_name(recipe) if delivery == "asset-pack" else None
    names = [*_STATIC, *(one.engine for one in needed)]
    names += ["Images"] if any(face.steps for face in faces) else []
    names += ["Category"] if any(face.labels for face in faces) else []
    files = {}
    for name in names:
        values = {"PACKAGE": package}
        if name == "BundleSeal":
            values |= {"ASSETS": _assets(pack), "DOMAIN": signature.DOMAIN.decode().replace("\n", "\\n")}
        files[f"{folder}/runtime/{name}.kt"] = asset(f"android/kotlin/{name}.kt", **values)
    files[f"{folder}/runtime/Engines.kt"] = _engines(package, needed)
    if any(face.steps for face in faces):
        files[f"{folder}/runtime/Preprocessing.kt"] = asset("preprocess/Preprocessing.kt", PACKAGE=f"{package}.runtime")
    for part, face in zip(recipe.parts, faces, strict=True):
        files[f"{folder}/{face.class_name}.kt"] = model_class.model_class(package, part, face, delivery)
        if face.labels is not None:
            name = face.class_name.removesuffix("Model")
            files[f"{folder}/{name}Labels.kt"] = model_class.labels_file(package, face)
    return files


def _engines(package: str, needed: tuple[AndroidRuntime, ...]) -> bytes:
    branches, imports = [], ""
    unused = '    @Suppress("UNUSED_PARAMETER") // only ExecuTorch needs a folder\n'
    for one in needed:
        loaded = "ModelLoader.mapped(files, variant)"
        if one.format == "executorch":
            loaded = 'ModelLoader.file(files, variant, File(context.noBackupFilesDir, "edgekit"))'
            imports, unused = "import java.io.File\n", ""
        branches.append(f"            Format.{one.constant} -> {one.engine}({loaded}, variant, threads)")
    formats = ",\n".join(f"    {one.constant}" for one in needed)
    return asset("android/kotlin/Engines.kt", PACKAGE=package, IMPORTS=imports, UNUSED=unused, FORMATS=formats,
                 BRANCHES="\n".join(branches))  # fmt: skip


def _package(recipe: Recipe) -> str:
    package = recipe.options.get("package", AndroidGenerator.options["package"])
    segments = package.split(".")
    wrong = [one for one in segments if not _SEGMENT.fullmatch(one) or one.lower() in _TAKEN]
    if wrong or len(segments) < 2 or len(package) > 100:
        raise UsageError(f"{package!r} can't be a Java package of an Android module.", where="--package",
                         next_step="Name at least two parts of letters, digits and underscores that are no keywords: "
                         "com.example.models.")  # fmt: skip
    return package


def _delivery(recipe: Recipe) -> str:
    delivery = recipe.options.get("delivery", AndroidGenerator.options["delivery"])
    if delivery not in DELIVERIES:
        raise UsageError(f"There is no delivery {delivery!r}.", where="--delivery",
                         next_step=f"Use {' or '.join(DELIVERIES)}.")  # fmt: skip
    return delivery
