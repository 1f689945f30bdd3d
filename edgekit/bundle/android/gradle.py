"""The Gradle files of the module and, if its models are delivered on demand, of the asset pack."""

from __future__ import annotations

from edgekit.bundle.android.runtimes import AndroidRuntime
from edgekit.bundle.recipe import Recipe
from edgekit.bundle.template import asset

AGP = "8.13.1"
KOTLIN = "2.2.21"


def pack_name(recipe: Recipe) -> str:
    """The asset pack, which is also its folder: a letter first, then letters, digits and underscores."""
    return f"{recipe.identifier}_pack"


def files(recipe: Recipe, package: str, pack: str | None, runtimes: tuple[AndroidRuntime, ...]) -> dict[str, bytes]:
    """Build files, rules and Android manifest, by path in the module."""
    rules = [asset(f"android/rules_{one.format}.pro").decode() for one in runtimes]
    made = {
        "build.gradle.kts": _build(package, pack, runtimes),
        "settings.gradle.kts": _settings(recipe),
        "consumer-rules.pro": "\n".join(rules).encode(),
        "src/main/AndroidManifest.xml": asset("android/AndroidManifest.xml"),
    }
    if pack is not None:
        made[f"{pack}/build.gradle.kts"] = asset("android/pack.gradle.kts", PACK=pack)
    return made


def _build(package: str, pack: str | None, runtimes: tuple[AndroidRuntime, ...]) -> bytes:
    tests = ""
    if pack is not None:
        tests = f"""    // An instrumented test has no Play Store to fetch the pack from.
    sourceSets["androidTest"].assets.srcDir("{pack}/src/main/assets")
"""
    return asset(
        "android/build.gradle.kts",
        PACKAGE=package,
        EXTENSIONS=", ".join(f'"{one.suffix}"' for one in runtimes),
        TEST_ASSETS=tests,
        DEPENDENCIES="\n".join(f'    implementation("{one.dependency}")' for one in runtimes),
    )


def _settings(recipe: Recipe) -> bytes:
    # The app builds the asset pack; this module alone has no use for it.
    plugins = {"com.android.library": AGP, "org.jetbrains.kotlin.android": KOTLIN}
    lines = "\n".join(f'        id("{name}") version "{version}"' for name, version in plugins.items())
    return asset("android/settings.gradle.kts", PLUGINS=lines, ROOT=recipe.identifier)
