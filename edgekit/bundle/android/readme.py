"""The module's README: how to include it, what was built where it was made, and how the classes are used."""

from __future__ import annotations

from edgekit.bundle.android.contract import Face
from edgekit.bundle.android.gradle import AGP, KOTLIN
from edgekit.bundle.android.runtimes import AndroidRuntime
from edgekit.bundle.recipe import Part, Recipe
from edgekit.bundle.template import asset
from edgekit.bundle.text import markdown, shape

_COPIES = """
ExecuTorch reads its file by a path, so a .pte among the assets is copied once to the app's no-backup folder, under its
sha256. Copies of earlier versions stay there until the app removes them (`noBackupFilesDir/edgekit`).
"""


def readme(recipe: Recipe, package: str, pack: str | None, faces: tuple[Face, ...],
           needed: tuple[AndroidRuntime, ...]) -> bytes:  # fmt: skip
    """``README.md``."""
    return asset(
        "android/README.md",
        NAME=markdown(recipe.name),
        EXTENSIONS=", ".join(f'"{one.suffix}"' for one in needed),
        PACK=_pack_section(pack),
        RUNTIMES="\n".join(f"| {one.name} | `{one.dependency}` | {one.licence} |" for one in needed),
        RUNTIME_NOTES="".join(f"- {text}.\n" for one in needed for text in (*one.notes, *one.warnings)),
        AGP=AGP,
        KOTLIN=KOTLIN,
        USE=_use(package, pack, faces[0]),
        COPIES=_COPIES if any(one.format == "executorch" for one in needed) else "",
        MODELS="\n".join(_model(part, face) for part, face in zip(recipe.parts, faces, strict=True)),
    )


def _use(package: str, pack: str | None, face: Face) -> str:
    first = face.inputs[0]
    given = "context" if pack is None else "context, folder"
    call = f"model.run({', '.join('bitmap' if face.steps and port is first else port.name for port in face.inputs)})"
    if face.labels is not None and len(face.inputs) == 1:
        call = f"model.classify({'bitmap' if face.steps else first.name}, 3)"
    else:
        call += f".{face.outputs[0].name}.toList()"
    return f"""```kotlin
import {package}.{face.class_name}

{face.class_name}.open({given}).use {{ model ->
    println(model.selection.reason)
    println({call})
}}
```"""


def _pack_section(pack: str | None) -> str:
    if pack is None:
        return ""
    return f"""
The models are in an asset pack that Google Play delivers on demand. It is a second module:

```kotlin
// settings.gradle.kts of the app
include(":{pack}")
project(":{pack}").projectDir = file("models/{pack}")

// build.gradle.kts of the app, in its android block
assetPacks += ":{pack}"
```

Fetch it with Play's `AssetPackManager.fetch(listOf("{pack}"))`; the `folder` to open a model with is
`File(manager.getPackLocation("{pack}")!!.assetsPath()!!)`. Its files are checked by their sha256 before they are used.
"""


def _model(part: Part, face: Face) -> str:
    model = part.model
    inputs, outputs = (", ".join(f"`{port.name}` {port.array} {shape(port.shape)}" for port in ports)
                       for ports in (face.inputs, face.outputs))  # fmt: skip
    picture = "none is known: feed the inputs' values" if face.steps is None else "from a Bitmap, bit by bit edgekit's"
    lines = [f"### `{face.class_name}`: {markdown(model.name)}", "",
             f"- Inputs: {inputs}; outputs: {outputs}", f"- Preprocessing: {picture}",
             f"- Labels: {len(face.labels) if face.labels else 'none'}",
             f"- Licence: {markdown(model.licence.name)} ({markdown(model.licence.source)})", "",
             "| variant | format | precision | bytes | threads |", "| --- | --- | --- | --- | --- |"]  # fmt: skip
    lines += [f"| `{one.id}` | {one.format} | {markdown(one.precision)} | {one.bytes} | {one.threads} |"
              for one in model.variants]  # fmt: skip
    if model.devices:
        lines += ["", "| device | chip | variant | threads | p50 ms |", "| --- | --- | --- | --- | --- |"]
        lines += [f"| {markdown(row.device_name)} | {markdown(row.soc or '')} | `{row.variant}` | {row.threads} | "
                  f"{'' if row.p50_ms is None else format(row.p50_ms, '.3f')} |" for row in model.devices]  # fmt: skip
    else:
        lines += ["", f"No device was measured: every device runs `{model.variants[0].id}`."]
    return "\n".join(lines) + "\n"
