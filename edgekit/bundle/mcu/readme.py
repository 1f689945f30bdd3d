"""The README of a library."""

from __future__ import annotations

from edgekit.bundle.mcu.interface import arguments, tensors
from edgekit.bundle.mcu.library import CModel, Library
from edgekit.bundle.template import asset
from edgekit.bundle.text import markdown, shape
from edgekit.version import __version__


def readme(library: Library) -> bytes:
    """What it is, how it is built, used and tested, and what was not tested."""
    first = library.models[0]
    names = [name for name, _, _ in tensors(first)]
    output = next(name for name in names if name.startswith("output_"))
    return asset(
        "mcu/README.md", TITLE=markdown(library.title), VERSION=__version__, CORES=library.cores,
        TABLE=_table(library), NAME=first.name, BIG=first.name.upper(), OUTPUT=output, OUTPUT_BIG=output.upper(),
        INPUT_BIG=names[0].upper(), ARGUMENTS=arguments(first), LIBRARY=library.name,
        LIBRARY_BIG=library.name.upper(), CORE=library.core, AND_ASSEMBLY=" and `.S`" if library.dsp else "",
        CORE_NOTE=_core_note(library), PREPROCESSING=_preprocessing(library), EXPECTED=_expected(library),
        LICENCES=_licences(library),
    )  # fmt: skip


def _table(library: Library) -> str:
    lines = [
        "| model | header | arena | constants | inputs | outputs |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for model in library.models:
        ends = [
            ", ".join(
                f"`{name.removeprefix(f'{kind}_')}` {shape(tensor.shape)}"
                for name, tensor, _ in tensors(model)
                if name.startswith(f"{kind}_")
            )
            for kind in ("input", "output")
        ]
        lines.append(
            f"| {markdown(model.part.model.name)} | `{model.name}.h` | {model.compiled.plan.arena_bytes:,} B "
            f"| {model.compiled.data_bytes:,} B | {ends[0]} | {ends[1]} |"
        )
    return "\n".join(lines)


def _core_note(library: Library) -> str:
    if library.dsp:
        return (
            ": without the DSP extension it refuses the weights, which\n"
            "are laid out for that. So must the assembler: if `ek_conv_fused1` and others are missing, it does not"
        )
    return (
        ". The kernels are the portable ones: for a Cortex-M4, M7, M33\n"
        "or M55 bundle again without `--board`, and it will be faster"
    )


def _preprocessing(library: Library) -> str:
    names = [f"`{model.name}_preprocess()`" for model in library.models if model.steps is not None]
    if not names:
        return "\n\nNothing says how a picture becomes an input, so there is no preprocessing here."
    return (
        f"\n\n{', '.join(names)} make{'s' if len(names) == 1 else ''} an input from an RGB picture, with the same bits "
        "as edgekit's Python.\nCores without doubles in hardware take a while for the weights of the resizing."
    )


def _expected(library: Library) -> str:
    return "\n".join(f"- {markdown(model.part.model.name)}: {_source(model)}." for model in library.models)


def _source(model: CModel) -> str:
    variant = model.member.variant
    return f"{variant.golden_samples}, {markdown(variant.golden_source)}"


def _licences(library: Library) -> str:
    lines = ["- The runtime in `src/edgekit` and `src/edgekit_runtime`: Apache-2.0, see `LICENSE`."]
    for model in library.models:
        licence = model.part.model.licence
        lines.append(f"- {markdown(model.part.model.name)}: {markdown(licence.name)} ({markdown(licence.source)}).")
    return "\n".join(lines)
