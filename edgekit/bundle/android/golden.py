"""The instrumented tests: the golden inputs of every variant, and the preprocessing bit by bit."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import numpy.typing as npt

from edgekit.bundle import golden, preprocessing
from edgekit.bundle.android import kotlin
from edgekit.bundle.android.contract import Face
from edgekit.bundle.android.runtimes import RUNTIMES
from edgekit.bundle.recipe import Member, Part, Recipe
from edgekit.bundle.template import asset

ASSETS = "src/androidTest/assets/edgekit_golden"


class GoldenFiles:
    """Raw little-endian arrays by their path below ``ASSETS``; equal ones are written once."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._known: dict[str, str] = {}

    def add(self, path: str, array: npt.NDArray[Any]) -> str:
        """The path of the file with this content."""
        data = golden.plain(array).tobytes()
        known = self._known.setdefault(hashlib.sha256(data).hexdigest(), path)
        self.files.setdefault(known, data)
        return known


def tests(recipe: Recipe, package: str, faces: tuple[Face, ...]) -> dict[str, bytes]:
    """The tests with their arrays, by path in the module."""
    arrays, folder = GoldenFiles(), f"src/androidTest/kotlin/{package.replace('.', '/')}"
    files = {f"{folder}/Golden.kt": asset("android/androidTest/Golden.kt", PACKAGE=package)}
    for part, face in zip(recipe.parts, faces, strict=True):
        files[f"{folder}/{face.class_name}GoldenTest.kt"] = _test_class(package, part, face, arrays)
    return {**files, **{f"{ASSETS}/{path}": data for path, data in arrays.files.items()}}


def _test_class(package: str, part: Part, face: Face, arrays: GoldenFiles) -> bytes:
    methods = [_variant_test(part, member, arrays) for member in part.members]
    own = ["AssetFiles"]
    others = ["androidx.test.ext.junit.runners.AndroidJUnit4", "androidx.test.platform.app.InstrumentationRegistry",
              "org.junit.Test", "org.junit.runner.RunWith"]  # fmt: skip
    if face.steps is not None:
        methods.append(_picture_test(part, face, arrays))
        others.append("android.graphics.Bitmap")
        if any(member.variant.contract.inputs[0].quantisation for member in part.members):
            methods.append(_quantised_test(part, face, arrays))
            own.append("Tensors")
            others.append("org.junit.Assert.assertArrayEquals")
    imports = sorted([*others, *(f"{package}.runtime.{name}" for name in own)])
    return asset("android/androidTest/ModelGoldenTest.kt", PACKAGE=package, CLASS=face.class_name,
                 IMPORTS="\n".join(f"import {name}" for name in imports), TESTS="\n".join(methods))  # fmt: skip


def _variant_test(part: Part, member: Member, arrays: GoldenFiles) -> str:
    one, held = member.variant, golden.tolerance(member.variant)
    base = f"{part.model.identifier}/{one.id}"
    inputs = [arrays.add(f"{base}_in{i}.bin", array) for i, array in enumerate(member.golden_inputs)]
    outputs = [arrays.add(f"{base}_out{i}.bin", array) for i, array in enumerate(member.golden_outputs)]
    given, made = (", ".join(kotlin.string(path) for path in paths) for paths in (inputs, outputs))
    samples = len(member.golden_inputs[0]) if member.golden_inputs else 0
    doc = f"{RUNTIMES[one.format].name}, {kotlin.comment(one.precision)}. Inputs: {kotlin.comment(one.golden_source)}."
    return f"""    /** {doc} */
    @Test
    fun variant_{one.id}() = holds(
        {kotlin.string(one.id)}, {samples}, listOf({given}), listOf({made}), {held.max_abs!r}, {held.cosine!r}
    )
"""


def _picture_test(part: Part, face: Face, arrays: GoldenFiles) -> str:
    assert face.steps is not None
    rgb, expected = preprocessing.vector(face.steps)
    height, width = rgb.shape[:2]
    picture = arrays.add(f"{part.model.identifier}/picture.bin", rgb)
    values = arrays.add(f"{part.model.identifier}/preprocessed.bin", expected)
    return f"""    /** The preprocessing gives the bits that edgekit gives. */
    @Test
    fun preprocessing() {{
        val expected = Golden.floats({kotlin.string(values)})
        Golden.assertSameBits("preprocessing", expected, {face.class_name}.fromBitmap(picture()))
    }}

    private fun picture(): Bitmap {{
        val rgb = Golden.bytes({kotlin.string(picture)}).map {{ it.toInt() and 255 }}
        val argb = IntArray({width} * {height}) {{
            (255 shl 24) or (rgb[3 * it] shl 16) or (rgb[3 * it + 1] shl 8) or rgb[3 * it + 2]
        }}
        return Bitmap.createBitmap(argb, {width}, {height}, Bitmap.Config.ARGB_8888)
    }}
"""


def _quantised_test(part: Part, face: Face, arrays: GoldenFiles) -> str:
    assert face.steps is not None
    lines = []
    for member in part.members:
        first, one = member.variant.contract.inputs[0], member.variant.id
        if first.quantisation is None or first.dtype != "int8":
            continue
        steps = msgspec.structs.replace(face.steps, quantisation=first.quantisation)
        path = arrays.add(f"{part.model.identifier}/{one}_preprocessed.bin", preprocessing.vector(steps)[1])
        lines.append(f"        holds({kotlin.string(one)}, {kotlin.string(path)})")
    body = "\n".join(lines)
    return f"""    /** The preprocessing followed by the quantisation gives the bytes that edgekit gives. */
    @Test
    fun quantisedPreprocessing() {{
{body}
    }}

    private fun holds(id: String, path: String) {{
        val spec = {face.class_name}.select(id).variant.inputs[0]
        val buffer = Tensors.allocate(spec)
        Tensors.put({face.class_name}.fromBitmap(picture()), spec, buffer)
        assertArrayEquals(Golden.bytes(path), Tensors.bytes(spec, buffer))
    }}
"""
