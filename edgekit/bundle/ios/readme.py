"""The package's README.md."""

from __future__ import annotations

from edgekit.bundle import template
from edgekit.bundle.ios import swift
from edgekit.bundle.ios.plan import Plan, PlannedModel, Value


def text(plan: Plan) -> bytes:
    """How to use the package, what is in it, and what was tested."""
    return template.asset(
        "ios/README.md",
        MODULE=plan.module, NAME=_markdown(plan.name), IOS=plan.ios, MACOS=plan.macos,
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
    lines = [f"### `{model.type}`: {_markdown(model.model.name)}", "",
             f"Licence: {_markdown(licence.name)} ({_markdown(licence.source)}).", "",
             "| tensor | name in the model | type | shape |", "| --- | --- | --- | --- |"]  # fmt: skip
    lines += [_row("Input", value) for value in model.inputs] + [_row("Output", value) for value in model.outputs]
    lines += ["", "| variant | precision | computeUnits | parity with PyTorch |", "| --- | --- | --- | --- |"]
    for planned in model.variants:
        variant = planned.variant
        units = variant.compute_units or "all (not chosen)"
        lines.append(
            f"| `{variant.id}` | {_markdown(variant.precision)} | {units} | {_parity(variant.parity.passed)} |"
        )
    if model.model.devices:
        lines += ["", "| device | variant |", "| --- | --- |"]
        lines += [f"| {_markdown(row.device_name)} | `{row.variant}` |" for row in model.model.devices]
    return "\n".join([*lines, ""])


def _row(kind: str, value: Value) -> str:
    shape = " x ".join(str(size) for size in value.tensor.shape) or "one value"
    return f"| `{kind}.{value.member}` | {_markdown(value.tensor.name)} | [{value.type}] | {shape} |"


def _parity(passed: bool | None) -> str:
    return {True: "passed", False: "failed", None: "not checked"}[passed]


def _markdown(text: str) -> str:
    """One line that Markdown shows as it is."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+!|&~" else c for c in swift.plain(text))
