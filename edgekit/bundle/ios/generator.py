"""A recipe as a Swift package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgekit.bundle import preprocessing, template
from edgekit.bundle.ios import readme, source
from edgekit.bundle.ios.plan import Plan, PlannedModel, plan
from edgekit.bundle.recipe import Content, Recipe
from edgekit.bundle.records import Runtime
from edgekit.bundle.seal.signature import DOMAIN

# Files that are the same in every package but for the places in them.
_SHARED = ("EdgekitCoreML.swift", "EdgekitModel.swift", "EdgekitPicture.swift")


class SwiftPackage:
    """``--for ios``."""

    formats: tuple[str, ...] = ("coreml",)
    options: Mapping[str, str] = {}

    def check(self, recipe: Recipe) -> None:
        """Raises BundleError where :meth:`content` would."""
        plan(recipe)

    def content(self, recipe: Recipe) -> Content:
        """The package.

        Raises:
            BundleError: a model can't go into a Swift package.
        """
        planned = plan(recipe)
        sources, tests = f"Sources/{planned.module}", f"Tests/{planned.module}Tests"
        places = {"SOURCES": sources, "DOMAIN": DOMAIN.decode().replace("\n", "\\n")}
        files: dict[str, bytes | Path] = {
            "Package.swift": template.asset("ios/Package.swift", MODULE=planned.module, IOS=planned.ios,
                                            MACOS=planned.macos),
            "README.md": readme.text(planned),
            f"{sources}/Preprocessing.swift": template.asset("preprocess/Preprocessing.swift"),
            f"{sources}/EdgekitFiles.swift": template.asset("ios/EdgekitFiles.swift", **places),
            f"{tests}/EdgekitTests.swift": template.asset("ios/EdgekitTests.swift", MODULE=planned.module, **places),
        }  # fmt: skip
        files |= {f"{sources}/{name}": template.asset(f"ios/{name}") for name in _SHARED}
        for model in planned.models:
            files[f"{sources}/{model.type}.swift"] = source.model(model)
            files[f"{tests}/{model.type}Tests.swift"] = source.tests(model, planned.module)
            files |= {f"{sources}/{path}": file for path, file in _resources(model).items()}
            files |= {f"{tests}/Golden/{path}": data for path, data in _golden(model).items()}
        return Content(dict(sorted(files.items())), (_core_ml(planned),), _warnings(planned))


def _resources(model: PlannedModel) -> dict[str, Path]:
    return {f"{variant.package}/{file.name}": file.path for variant in model.variants for file in variant.files}


def _golden(model: PlannedModel) -> dict[str, bytes]:
    files = {golden.path: golden.content for variant in model.variants for golden in variant.inputs + variant.outputs}
    if model.steps is not None:
        rgb, tensor = preprocessing.vector(model.steps)
        opaque = np.full((*rgb.shape[:2], 1), 255, dtype=np.uint8)
        files[f"{model.model.identifier}/picture_rgba.bin"] = np.concatenate([rgb, opaque], axis=2).tobytes()
        files[f"{model.model.identifier}/picture_input.bin"] = tensor.astype("<f4").tobytes()
    return files


def _core_ml(planned: Plan) -> Runtime:
    return Runtime(
        name="Core ML", version=f"of iOS {planned.ios} or macOS {planned.macos} and later",
        licence="Apple's, with the operating system", source="iOS SDK", inside=False,
    )  # fmt: skip


def _warnings(planned: Plan) -> tuple[str, ...]:
    return tuple(
        f"{model.model.name}: no compute units were given for variant {one.variant.id}: Core ML chooses (all)."
        for model in planned.models
        for one in model.variants
        if one.variant.compute_units is None
    )


GENERATOR = SwiftPackage()
