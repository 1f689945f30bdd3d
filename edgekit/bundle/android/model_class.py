"""The Kotlin class of one model, and the file of its labels."""

from __future__ import annotations

from edgekit.bundle.android import kotlin
from edgekit.bundle.android.contract import Face, Port, element
from edgekit.bundle.android.runtimes import RUNTIMES
from edgekit.bundle.preprocessing import Steps
from edgekit.bundle.recipe import Member, Part
from edgekit.bundle.records import DeviceRow, Tensor
from edgekit.bundle.template import asset
from edgekit.bundle.text import indented, shape

# The Java virtual machine bounds the code of one initialiser to 64 KiB.
_LABELS_EACH = 500


def asset_path(part: Part, member: Member) -> str:
    """Where a variant's file is among the assets."""
    return f"edgekit/{part.model.identifier}/{member.variant.id}.{RUNTIMES[member.variant.format].suffix}"


def model_class(package: str, part: Part, face: Face, delivery: str) -> bytes:
    """``<Name>Model.kt``."""
    return asset(
        "android/kotlin/Model.kt",
        PACKAGE=package,
        CLASS=face.class_name,
        IMPORTS="\n".join(_imports(package, part, face, delivery)),
        DOC=_doc(part),
        PARAMETERS="\n".join(f"     * @param {port.name} {_described(port)}" for port in face.inputs),
        ARGUMENTS=_arguments(face.inputs),
        PUTS="\n".join(_put(port, i) for i, port in enumerate(face.inputs)),
        GETS=",\n".join(_get(port, i) for i, port in enumerate(face.outputs)),
        FROM_IMAGE=_from_image(face),
        OUTPUTS=",\n".join(f"        /** {_described(port)} */\n        @JvmField val {port.name}: {port.array}"
                           for port in face.outputs),
        INPUT_SHAPES=_shapes(face.inputs),
        OUTPUT_SHAPES=_shapes(face.outputs),
        NAME=kotlin.string(part.model.name),
        VARIANTS=",\n".join(indented(_variant(part, member), 12) for member in part.members),
        DEVICES="".join(f"\n            {_row(row)}," for row in part.model.devices).rstrip(",")
                + ("\n        " if part.model.devices else ""),
        CONSTANTS=_constants(face),
        OPEN=_open(face, delivery),
    )  # fmt: skip


def _put(port: Port, index: int) -> str:
    return f"        Tensors.put({port.name}, this.selection.variant.inputs[{index}], this.inputBuffers[{index}])"


def _get(port: Port, index: int) -> str:
    return f"            Tensors.{port.reader}(this.selection.variant.outputs[{index}], this.outputBuffers[{index}])"


def labels_file(package: str, face: Face) -> bytes:
    """``<Name>Labels.kt``: the labels in pieces that an initialiser can hold."""
    labels = face.labels or ()
    pieces = [labels[i : i + _LABELS_EACH] for i in range(0, len(labels), _LABELS_EACH)]
    name = face.class_name.removesuffix("Model")
    lines = [f"package {package}", "", "/** The classes, in the order of the model's first output. */",
             f"internal object {name}Labels {{",
             "    val ALL: List<String> = " + " + ".join(f"{name}Labels{i}.part" for i in range(len(pieces))),
             "}"]  # fmt: skip
    for i, piece in enumerate(pieces):
        body = ",\n".join(f"        {kotlin.string(label)}" for label in piece)
        lines += ["", f"private object {name}Labels{i} {{", f"    val part: List<String> = listOf(\n{body}\n    )", "}"]
    return ("\n".join(lines) + "\n").encode()


def _imports(package: str, part: Part, face: Face, delivery: str) -> list[str]:
    own = ["Device", "DeviceRow", "DeviceTable", "ElementType", "Engine", "Engines", "Format", "ModelFiles",
           "Selection", "TensorSpec", "Tensors", "Variant"]  # fmt: skip
    own += ["AssetFiles"] if delivery == "assets" else ["FolderFiles"]
    others = ["android.content.Context", "java.io.Closeable", "java.nio.ByteBuffer"]
    others += [] if delivery == "assets" else ["java.io.File"]
    if face.steps is not None:
        own += ["Images", "Interpolation", "PreprocessingSteps"]
        others.append("android.graphics.Bitmap")
    if face.labels is not None:
        own.append("Category")
    contracts = [variant.contract for variant in part.model.variants]
    if any(tensor.quantisation for one in contracts for tensor in (*one.inputs, *one.outputs)):
        own.append("Quantisation")
    return [f"import {name}" for name in sorted(others + [f"{package}.runtime.{name}" for name in own])]


def _doc(part: Part) -> str:
    model = part.model
    count = f"{len(model.variants)} variant{'s' if len(model.variants) > 1 else ''}"
    licence = f"{kotlin.comment(model.licence.name)} ({kotlin.comment(model.licence.source)})"
    return f" * {kotlin.comment(model.name)}, {count}.\n * Licence: {licence}."


def _described(port: Port) -> str:
    return f"{shape(port.shape)}, in rows; `{kotlin.comment(port.own).replace('`', chr(39))}` in the model"


def _arguments(ports: tuple[Port, ...]) -> str:
    return ", ".join(f"{port.name}: {port.array}" for port in ports)


def _shapes(ports: tuple[Port, ...]) -> str:
    return "\n".join(f"        @JvmField\n        val {port.name}: List<Int> = {_list(port.shape)}" for port in ports)


def _list(shape: tuple[int, ...]) -> str:
    return f"listOf({', '.join(map(str, shape))})" if shape else "emptyList()"


def _variant(part: Part, member: Member) -> str:
    one = member.variant
    fields = [
        f"id = {kotlin.string(one.id)}",
        f"format = Format.{RUNTIMES[one.format].constant}",
        f"precision = {kotlin.string(one.precision)}",
        f"path = {kotlin.string(asset_path(part, member))}",
        f"bytes = {one.bytes}L",
        f"sha256 = {kotlin.string(one.artifact_sha256)}",
        f"threads = {one.threads}",
        f"inputs = {_specs(one.contract.inputs)}",
        f"outputs = {_specs(one.contract.outputs)}",
    ]
    return "Variant(\n" + ",\n".join(f"    {field}" for field in fields) + "\n)"


def _specs(tensors: tuple[Tensor, ...]) -> str:
    return "listOf(\n" + ",\n".join(f"        {_spec(tensor)}" for tensor in tensors) + "\n    )"


def _spec(tensor: Tensor) -> str:
    scale = tensor.quantisation
    quantisation = "null" if scale is None else f"Quantisation({kotlin.float32(scale.scale)}, {scale.zero_point})"
    fields = [kotlin.string(tensor.name), f"ElementType.{element(tensor)}", quantisation, _list(tensor.shape)]
    return f"TensorSpec({', '.join(fields)})"


def _row(row: DeviceRow) -> str:
    texts = [kotlin.string(row.device_name), kotlin.string(row.soc), kotlin.string(row.variant), str(row.threads),
             kotlin.double(row.p50_ms), kotlin.string(row.measurement_id)]  # fmt: skip
    return f"DeviceRow({', '.join(texts)})"


def _constants(face: Face) -> str:
    text = ""
    if face.labels is not None:
        text += f"""
        /** The classes, in the order of the first output. */
        @JvmField
        val LABELS: List<String> = {face.class_name.removesuffix("Model")}Labels.ALL
"""
    if face.steps is not None:
        text += f"""
        private val STEPS = {indented(_steps(face.steps), 8).lstrip()}

        /** The real values of [{face.inputs[0].name}] for an upright picture of any size. */
        @JvmStatic
        fun fromBitmap(bitmap: Bitmap): FloatArray = Images.preprocess(STEPS, bitmap)
"""
    return text


def _steps(steps: Steps) -> str:
    fields = [
        f"channels = {steps.channels}",
        f"height = {steps.height}",
        f"width = {steps.width}",
        f"channelsLast = {str(steps.channels_last).lower()}",
        f"baseHeight = {steps.base_height}",
        f"baseWidth = {steps.base_width}",
        f"interpolation = Interpolation.{steps.interpolation.upper()}",
        f"mean = {kotlin.floats(steps.mean)}",
        f"std = {kotlin.floats(steps.std)}",
    ]
    return "PreprocessingSteps(\n" + ",\n".join(f"    {field}" for field in fields) + "\n)"


def _from_image(face: Face) -> str:
    text = "\n"
    first, *others = face.inputs
    more = "".join(f", {port.name}: {port.array}" for port in others)
    passed = "".join(f", {port.name}" for port in others)
    if face.steps is not None:
        text += f"""    /** Runs the model once on an upright picture of any size. */
    fun run({first.name}: Bitmap{more}): Outputs = run(fromBitmap({first.name}){passed})

"""
    if face.labels is not None:
        scores = f"{face.outputs[0].name}"
        kind = "Bitmap" if face.steps is not None else first.array
        k = kotlin.camels([*(port.name for port in face.inputs), "k"])[-1]
        text += f"""    /** The [{k}] classes with the largest scores, the largest first. */
    @JvmOverloads
    fun classify({first.name}: {kind}{more}, {k}: Int = 5): List<Category> =
        Category.top(run({first.name}{passed}).{scores}, LABELS, {k})

"""
    return text.removesuffix("\n")


def _open(face: Face, delivery: str) -> str:
    kind = face.class_name
    if delivery == "assets":
        return f"""        /** Loads a variant from the app's assets, after its sha256 was checked. */
        @JvmStatic
        @JvmOverloads
        fun open(
            context: Context,
            files: ModelFiles = AssetFiles(context.assets),
            selection: Selection = select()
        ): {kind} =
            {kind}(selection, Engines.open(context, files, selection.variant, selection.threads))"""
    return f"""        /** Loads a variant from the folder of the asset pack, after its sha256 was checked. */
        @JvmStatic
        @JvmOverloads
        fun open(context: Context, folder: File, selection: Selection = select()): {kind} =
            open(context, FolderFiles(folder), selection)

        /** Loads a variant, after its sha256 was checked. */
        @JvmStatic
        @JvmOverloads
        fun open(context: Context, files: ModelFiles, selection: Selection = select()): {kind} =
            {kind}(selection, Engines.open(context, files, selection.variant, selection.threads))"""
