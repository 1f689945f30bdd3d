"""``README.md`` of a bundle for Linux."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.bundle.linux.c_api import apis, no_picture
from edgekit.bundle.linux.native import Native
from edgekit.bundle.linux.places import golden_file, model_file
from edgekit.bundle.preprocessing import steps_for
from edgekit.bundle.recipe import Member, Part, Recipe
from edgekit.bundle.template import asset
from edgekit.bundle.text import markdown, parity
from edgekit.job import ENGINE_OF_FORMAT, NATIVE_ENGINES

_MACHINE = {"x86_64": "x86-64", "arm64-v8a": "arm64 (aarch64)"}
_RGB = """The picture is 8-bit RGB, row by row, with its width and height; ImageMagick's `convert picture.jpg -depth 8
picture.rgb` makes one, and `identify picture.jpg` says its size.

"""


def readme(recipe: Recipe, native: Native | None, abi: str) -> bytes:
    """The page that says how to run each thing."""
    native_parts = [part for part in recipe.parts if apis(part)]
    return asset(
        "linux/README.md", NAME=markdown(recipe.name), MACHINE=_MACHINE[abi],
        MODELS="\n".join(_rows(recipe.parts)), DEVICES=_devices(recipe.parts),
        PROGRAMS=_programs(native), RUNNER=_runner(native), C=_c(native_parts, native),
        PACKAGES=_packages(recipe), BUT=_but(recipe),
        GIVEN=_given(recipe.parts[0]), BY_RUNNER=_by_runner(recipe.parts[0]), LICENCES=_licences(recipe.parts),
        OTHERS="" if native is None else asset("linux/README_others.md").decode(),
    )  # fmt: skip


def _rows(parts: Sequence[Part]) -> list[str]:
    rows = []
    for part in parts:
        for member in part.members:
            variant = member.variant
            c_api = next((f"`{api.name}_`" for api in apis(part) if member in api.members), "-")
            runner = "yes" if ENGINE_OF_FORMAT[variant.format] in NATIVE_ENGINES else "no"
            rows.append(
                f"| {markdown(part.model.name)} | `{variant.id}` | `{model_file(part.model, variant)}` | "
                f"{markdown(variant.precision)} | {parity(variant.parity.passed)} | {runner} | {c_api} |"
            )
    return rows


def _devices(parts: Sequence[Part]) -> str:
    rows = [
        f"| {markdown(part.model.name)} | {markdown(row.device_name)} | `{row.variant}` | {row.threads} | "
        f"{'' if row.p50_ms is None else f'{row.p50_ms:.3g}'} |"
        for part in parts
        for row in part.model.devices
    ]
    if not rows:
        return "No device was measured: every device runs the first variant.\n"
    head = "| model | device | variant | threads | median in ms |\n| --- | --- | --- | --- | --- |\n"
    return head + "\n".join(rows) + "\n"


def _programs(native: Native | None) -> str:
    if native is None:
        return "| `python/` | the same from a program of your own |"
    return ("| `runner/` | the native runner with its runtimes, down to the C library |\n"
            "| `python/`, `c/` | the same from a program of your own |")  # fmt: skip


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
    takes = no_picture(api) is None
    call = "picture.rgb 640 480" if takes else _tensors(api.part, api.members[0])
    return asset(
        "linux/README_c.md", API=api.name, EXECUTORCH=executorch, NEEDS=needs, CALL=call, PICTURE=_RGB if takes else ""
    ).decode()  # fmt: skip


def _tensors(part: Part, member: Member) -> str:
    """The option that gives a program the golden inputs."""
    count = len(member.variant.contract.inputs)
    return " ".join(["--tensors", *(golden_file(part.model, member.variant, "input", k) for k in range(count))])


def _given(part: Part) -> str:
    """What the Python example is given: a picture if the model takes one."""
    contract = part.members[0].variant.contract
    takes = len(contract.inputs) == 1 and contract.inputs[0].shape[:1] == (1,) and steps_for(contract) is not None
    return "picture.jpg" if takes else _tensors(part, part.members[0])


def _by_runner(part: Part) -> str:
    if ENGINE_OF_FORMAT[part.members[0].variant.format] not in NATIVE_ENGINES:
        return ""
    return f"    python3 python/example.py --runtime runner {_given(part)}    # needs numpy and Pillow only\n"


def _but(recipe: Recipe) -> str:
    others = [member for part in recipe.parts for member in part.members
              if ENGINE_OF_FORMAT[member.variant.format] not in NATIVE_ENGINES]  # fmt: skip
    return "ONNX variants need the packages of\n`python/requirements.txt` as well. " if others else ""


def _licences(parts: Sequence[Part]) -> str:
    """The licence of each model."""
    return "".join(f"- {markdown(part.model.name)}: {markdown(part.model.licence.name)} "
                   f"({markdown(part.model.licence.source)}).\n" for part in parts)  # fmt: skip


def _packages(recipe: Recipe) -> str:
    engines = {ENGINE_OF_FORMAT[member.variant.format] for part in recipe.parts for member in part.members}
    if "executorch" not in engines:
        return ""
    return "ExecuTorch's Python package needs PyTorch; `--runtime runner` does without both.\n"
