"""The package's README.md."""

from __future__ import annotations

from edgekit.bundle import template
from edgekit.bundle.ios.plan import Plan, PlannedModel, Value
from edgekit.bundle.text import markdown, parity, shape


def text(plan: Plan) -> bytes:
    """How to use the package, what is in it, and what was tested."""
    return template.asset(
        "ios/README.md",
        MODULE=plan.module, NAME=markdown(plan.name), IOS=plan.ios, MACOS=plan.macos,
        EXAMPLE=_example(plan.models[0]), MODELS="\n".join(_model(one) for one in plan.models),
    )  # fmt: skip


def _example(model: PlannedModel) -> str:
    first, *others = model.inputs
    given = ["picture: try EdgekitPicture(image)"] if model.steps is not None else [f"{first.member}: {first.member}"]
    given += [f"{value.member}: {value.member}" for value in others]
    result = "output.top(5)  // labels with scores" if model.labels is not None else f"output.{model.outputs[0].member}"
    return "\n".join([
        f"let session = try await {model.type}.Session()",
        f"let input = try {model.type}.Input({', '.join(given)})",
        "let output = try await session.predict(input)",
        result,
    ])  # fmt: skip


def _model(model: PlannedModel) -> str:
    licence = model.model.licence
    lines = [f"### `{model.type}`: {markdown(model.model.name)}", "",
             f"Licence: {markdown(licence.name)} ({markdown(licence.source)}).", "",
             "| tensor | name in the model | type | shape |", "| --- | --- | --- | --- |"]  # fmt: skip
    lines += [_row("Input", value) for value in model.inputs] + [_row("Output", value) for value in model.outputs]
    lines += ["", "| variant | precision | computeUnits | parity with PyTorch |", "| --- | --- | --- | --- |"]
    for planned in model.variants:
        variant = planned.variant
        units = variant.compute_units or "all (not chosen)"
        lines.append(f"| `{variant.id}` | {markdown(variant.precision)} | {units} | {parity(variant.parity.passed)} |")
    if model.model.devices:
        lines += ["", "| device | variant |", "| --- | --- |"]
        lines += [f"| {markdown(row.device_name)} | `{row.variant}` |" for row in model.model.devices]
    return "\n".join([*lines, ""])


def _row(kind: str, value: Value) -> str:
    return f"| `{kind}.{value.member}` | {markdown(value.tensor.name)} | [{value.type}] | {shape(value.tensor.shape)} |"
