"""The Swift that is generated for one model: its typed API and its tests."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgekit.bundle import preprocessing, template
from edgekit.bundle.ios import swift
from edgekit.bundle.ios.plan import Golden, PlannedModel, PlannedVariant, Value
from edgekit.bundle.preprocessing import Steps
from edgekit.bundle.text import indented, one_line, wrapped

_UNITS = {None: "all", "all": "all", "cpu": "cpu", "cpu_and_gpu": "cpuAndGPU",
          "cpu_and_neural_engine": "cpuAndNeuralEngine"}  # fmt: skip
_CASE = {"Float": "float", "Int32": "int32"}
_READ = {"Float": "floats", "Int32": "int32s"}


def model(planned: PlannedModel) -> bytes:
    """``Sources/…/DigitsModel.swift``."""
    return template.asset(
        "ios/Model.swift",
        TITLE=one_line(planned.model.name), TYPE=planned.type,
        INPUT=_struct(planned.inputs), OUTPUT=_struct(planned.outputs) + _top(planned),
        CONSTANTS=_constants(planned),
        VARIANTS="\n".join(_variant(one) for one in planned.variants),
        DEVICES=_devices(planned),
        PICTURE=_picture(planned),
        FEEDS=swift.rows([f".{_CASE[v.type]}(input.{v.member}, Input.{v.shape_name})" for v in planned.inputs], 16),
        READS=_arguments([f"{v.member}: made.{_READ[v.type]}({i})" for i, v in enumerate(planned.outputs)], 16),
    )  # fmt: skip


def _struct(values: tuple[Value, ...]) -> str:
    """Shape constants, properties and the initialiser that checks the counts."""
    lines = []
    for value in values:
        lines += [f"/// The shape of `{value.member}`, whose name in the model is {_name(value)}.",
                  f"public static let {value.shape_name} = {_shape(value)}"]  # fmt: skip
    lines += [f"public let {value.member}: [{value.type}]" for value in values]
    parameters = _signature("public init", [f"{value.member}: [{value.type}]" for value in values])
    lines += ["", "/// - Throws: `EdgekitError.wrongCount` where the values don't fill the shape.", parameters]
    lines += [f"    self.{v.member} = try {v.member}.checked({swift.string(v.member)}, Self.{v.shape_name})"
              for v in values]  # fmt: skip
    return _indented([*lines, "}"], 8)


def _signature(head: str, parameters: list[str]) -> str:
    """The head of an initialiser, one parameter a line where they don't fit one."""
    one = f"{head}({', '.join(parameters)}) throws {{"
    if len(one) <= 100:
        return one
    return f"{head}(\n" + ",\n".join(f"    {parameter}" for parameter in parameters) + "\n) throws {"


def _top(planned: PlannedModel) -> str:
    if planned.labels is None:
        return ""
    first = planned.outputs[0].member
    return "\n\n" + _indented([
        f"/// The labels with the highest values of `{first}`, best first; of its last row if it has several.",
        "public func top(_ count: Int = 1) -> [EdgekitPrediction] {",
        f"    EdgekitPrediction.top(count, of: {first}.suffix({planned.type}.labels.count), labels: "
        f"{planned.type}.labels)",
        "}",
    ], 8)  # fmt: skip


def _constants(planned: PlannedModel) -> str:
    parts = []
    if planned.steps is not None:
        parts.append("\n    /// How a picture becomes the first input.\n    public static let preprocessing = "
                     f"{_steps(planned.steps)}\n")  # fmt: skip
    if planned.labels is not None:
        listed = wrapped([f"{swift.string(label)}," for label in planned.labels], 8)
        parts.append(f"\n    public static let labels: [String] = [\n{listed}\n    ]\n")
    return "".join(parts)


def _steps(steps: Steps) -> str:
    return (
        "PreprocessingSteps(\n"
        f"        channels: {steps.channels}, height: {steps.height}, width: {steps.width}, "
        f"channelsLast: {str(steps.channels_last).lower()}, baseHeight: {steps.base_height}, "
        f"baseWidth: {steps.base_width},\n"
        f"        interpolation: .{steps.interpolation},\n"
        f"        mean: {swift.floats(steps.mean)},\n        std: {swift.floats(steps.std)})"
    )


def _variant(planned: PlannedVariant) -> str:
    variant = planned.variant
    files = [f"EdgekitFile(\n    path: {swift.string(f'{planned.package}/{file.name}')},\n    bytes: {file.bytes},\n"
             f"    sha256: {swift.string(file.sha256)}\n)," for file in planned.files]  # fmt: skip
    return _indented([
        "EdgekitVariant(",
        f"    id: {swift.string(variant.id)}, precision: {swift.string(variant.precision)},",
        f"    computeUnits: .{_UNITS[variant.compute_units]}, "
        f"chosen: {str(variant.compute_units is not None).lower()},",
        f"    package: {swift.string(planned.package)},",
        "    files: [", _indented(files, 8), "    ],",
        f"    inputs: {swift.strings(tensor.name for tensor in variant.contract.inputs)},",
        f"    outputs: {swift.strings(tensor.name for tensor in variant.contract.outputs)}),",
    ], 8)  # fmt: skip


def _devices(planned: PlannedModel) -> str:
    if not planned.model.devices:
        return ""
    made = [f"EdgekitDevice(name: {swift.string(row.device_name)}, variant: {swift.string(row.variant)})"
            for row in planned.model.devices]  # fmt: skip
    return f"\n{swift.rows(made, 8)}\n    "


def _picture(planned: PlannedModel) -> str:
    """An initialiser that makes the first input from a picture; the others are given."""
    if planned.steps is None:
        return ""
    first, *others = planned.inputs
    parameters = ["picture: EdgekitPicture", *(f"{value.member}: [{value.type}]" for value in others)]
    given = [f"{first.member}: pixels", *(f"{value.member}: {value.member}" for value in others)]
    body = [
        "let pixels = try Preprocessing.run(",
        f"    {planned.type}.preprocessing, rgba: picture.rgba, width: picture.width, height: picture.height,",
        "    bytesPerRow: picture.bytesPerRow)",
        f"try self.init({', '.join(given)})",
    ]
    return "\n" + "\n".join([
        f"extension {planned.type}.Input {{",
        f"    /// Resizes, crops and normalises an upright picture into `{first.member}`: the same bits as in Python.",
        _indented([_signature("public init", parameters), _indented(body, 4), "}"], 4),
        "}", "",
    ])  # fmt: skip


def tests(planned: PlannedModel, module: str) -> bytes:
    """``Tests/…/DigitsModelTests.swift``."""
    first = planned.inputs[0]
    return template.asset(
        "ios/ModelTests.swift",
        MODULE=module, TYPE=planned.type,
        BOUNDS=swift.rows([_bounds(one) for one in planned.variants], 8),
        GOLDEN_INPUTS=_golden(planned, "Input", planned.inputs, planned.variants[0].inputs),
        GOLDEN_OUTPUTS=_golden(planned, "Output", planned.outputs, planned.variants[0].outputs),
        TOO_SHORT=", ".join(f"{value.member}: []" for value in planned.inputs),
        FIRST_NAME=swift.string(first.member), FIRST_COUNT=str(math.prod(first.tensor.shape)),
        MORE=_preprocessing_test(planned) + _labels_test(planned),
        COMPARISONS="\n".join(f"                bounds.check(output.{v.member}, wanted.{v.member}, "
                              f"{swift.string(v.member)})" for v in planned.outputs),
    )  # fmt: skip


def _bounds(planned: PlannedVariant) -> str:
    return (
        f"EdgekitBounds(variant: {swift.string(planned.variant.id)}, samples: {planned.variant.golden_samples}, "
        f"maxAbs: {swift.number(planned.tolerance.max_abs)}, cosine: {swift.number(planned.tolerance.cosine)})"
    )


def _golden(planned: PlannedModel, kind: str, values: tuple[Value, ...], files: tuple[Golden, ...]) -> str:
    """The arguments that read one sample; only the variant's part of the paths differs between variants."""
    identifier = planned.model.identifier
    lines = []
    for value, file in zip(values, files, strict=True):
        name = f'"{identifier}/\\(variant)/{file.path.rsplit("/", 1)[1]}"'
        read = f"EdgekitGolden.{_READ[value.type]}({name}, sample, {planned.type}.{kind}.{value.shape_name})"
        lines.append(f"{value.member}: {read}")
    return _arguments(lines, 12)


def _preprocessing_test(planned: PlannedModel) -> str:
    if planned.steps is None:
        return ""
    folder = planned.model.identifier
    first, *others = planned.inputs
    given = ["picture: picture", *_zeros(others)]
    width, height = preprocessing.VECTOR_WIDTH, preprocessing.VECTOR_HEIGHT
    return "\n" + _indented([
        "func testPreprocessingGivesTheSameBitsAsPython() throws {",
        f'    let rgba = try EdgekitGolden.bytes("{folder}/picture_rgba.bin")',
        f"    let picture = try EdgekitPicture(rgba: rgba, width: {width}, height: {height})",
        f"    let made = try {planned.type}.Input({', '.join(given)}).{first.member}",
        f'    let wanted = try EdgekitGolden.floats("{folder}/picture_input.bin", 0, '
        f"{planned.type}.Input.{first.shape_name})",
        "    XCTAssertEqual(made.count, wanted.count)",
        "    XCTAssertEqual(zip(made, wanted).filter { $0.bitPattern != $1.bitPattern }.count, 0)",
        "}",
    ], 4) + "\n"  # fmt: skip


def _labels_test(planned: PlannedModel) -> str:
    if planned.labels is None:
        return ""
    first = planned.outputs[0]
    made = [f"{first.member}: scores", *_zeros(planned.outputs[1:])]
    return "\n" + _indented([
        "func testTheHighestValueNamesTheLabel() throws {",
        f"    let labels = {planned.type}.labels",
        f"    var scores = [Float](repeating: 0, count: {math.prod(first.tensor.shape)})",
        "    scores[scores.count - 1] = 1",
        f"    let output = try {planned.type}.Output({', '.join(made)})",
        "    XCTAssertEqual(output.top().first?.label, labels.last)",
        f"    XCTAssertEqual(output.top(labels.count).count, {len(planned.labels)})",
        "}",
    ], 4) + "\n"  # fmt: skip


def _zeros(values: Sequence[Value]) -> list[str]:
    return [f"{v.member}: Array(repeating: 0, count: {math.prod(v.tensor.shape)})" for v in values]


def _arguments(lines: list[str], indent: int) -> str:
    return ",\n".join(f"{' ' * indent}{line}" for line in lines)


def _name(value: Value) -> str:
    return one_line(value.tensor.name) or "empty"


def _shape(value: Value) -> str:
    return swift.numbers(value.tensor.shape) if value.tensor.shape else "[Int]()"


def _indented(lines: list[str], spaces: int) -> str:
    return indented("\n".join(lines), spaces)
