"""``README.md`` of a bundle for Linux."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgekit.bundle.linux.c_api import apis, no_picture
from edgekit.bundle.linux.native import Native
from edgekit.bundle.linux.places import model_file
from edgekit.bundle.recipe import Part, Recipe
from edgekit.bundle.template import asset
from edgekit.job import ENGINE_OF_FORMAT, NATIVE_ENGINES

_MACHINE = {"x86_64": "x86-64", "arm64-v8a": "arm64 (aarch64)"}


def readme(recipe: Recipe, native: Native | None, abi: str) -> bytes:
    """The page that says how to run each thing."""
    native_parts = [part for part in recipe.parts if apis(part)]
    return asset(
        "linux/README.md", NAME=plain(recipe.name), MACHINE=_MACHINE[abi],
        MODELS="\n".join(_rows(recipe.parts)), DEVICES=_devices(recipe.parts),
        RUNNER=_runner(native), C=_c(native_parts, native), PACKAGES=_packages(recipe),
        OTHERS="" if native is None else asset("linux/README_others.md").decode(),
    )  # fmt: skip


def plain(text: str) -> str:
    """Text as Markdown shows it, on one line, whatever is in it."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return re.sub(r"([\\`*_{}\[\]<>()#|~!$&])", r"\\\1", line)


def _rows(parts: Sequence[Part]) -> list[str]:
    rows = []
    for part in parts:
        for member in part.members:
            variant = member.variant
            c_api = next((f"`{api.name}_`" for api in apis(part) if member in api.members), "-")
            runner = "yes" if ENGINE_OF_FORMAT[variant.format] in NATIVE_ENGINES else "no"
            parity = {True: "passed", False: "failed", None: "not checked"}[variant.parity.passed]
            rows.append(f"| {plain(part.model.name)} | `{variant.id}` | `{model_file(part.model, variant)}` | "
                        f"{variant.precision} | {parity} | {runner} | {c_api} |")  # fmt: skip
    return rows


def _devices(parts: Sequence[Part]) -> str:
    rows = [
        f"| {plain(part.model.name)} | {plain(row.device_name)} | `{row.variant}` | {row.threads} | "
        f"{'' if row.p50_ms is None else f'{row.p50_ms:.3g}'} |"
        for part in parts
        for row in part.model.devices
    ]
    if not rows:
        return "No device was measured: every device runs the first variant.\n"
    head = "| model | device | variant | threads | median in ms |\n| --- | --- | --- | --- | --- |\n"
    return head + "\n".join(rows) + "\n"


def _runner(native: Native | None) -> str:
    if native is None:
        return "There is none in this bundle: no variant has a runtime that it runs.\n"
    versions = ", ".join(f"{engine} {version}" for engine, version in sorted(native.engines.items()))
    return asset("linux/README_runner.md", ENGINES=versions).decode()


def _c(parts: Sequence[Part], native: Native | None) -> str:
    if native is None or not parts:
        return "There is none in this bundle: no variant's runtime has a C API here.\n"
    api = apis(parts[0])[0]
    executorch = "" if "executorch" not in native.engines else asset(
        "linux/README_executorch.md", VERSION=native.engines["executorch"]
    ).decode()  # fmt: skip
    needs = " and ".join(f"{kind} {version}" for kind, version in sorted(native.needs.items()))
    call = "picture.rgb 640 480" if no_picture(api) is None else "--tensors input_0.npy"
    return asset("linux/README_c.md", API=api.name, EXECUTORCH=executorch, NEEDS=needs, CALL=call).decode()


def _packages(recipe: Recipe) -> str:
    engines = {ENGINE_OF_FORMAT[member.variant.format] for part in recipe.parts for member in part.members}
    if "executorch" not in engines:
        return ""
    return "ExecuTorch's Python package needs PyTorch; `--runtime runner` does without both.\n"
