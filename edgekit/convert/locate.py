"""Why a converted file failed parity: the first layer that it gets wrong, and what in the file says so.

The file as written comes first: its values one by one where its runtime shows them, and its constants. Only what it
does not tell is looked for by converting once more.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from edgekit.convert import changed, divergence, eager, parity, traced
from edgekit.convert.failure import first_line
from edgekit.convert.files.constants import constants
from edgekit.convert.files.pte import DelegateCall, KernelCall, Pte
from edgekit.convert.files.trace import traceable
from edgekit.convert.traced import Case
from edgekit.errors import RuntimeCrashError
from edgekit.job import ENGINE_OF_FORMAT
from edgekit.records import Divergence

if TYPE_CHECKING:
    from torch.export import ExportedProgram

Array = npt.NDArray[Any]
# Converts a program into a file and runs it on the sample.
Convert = Callable[["ExportedProgram", Path], None]
Run = Callable[[Path], Sequence[Array]]


def explain(
    case: Case, outputs: Sequence[Array], convert: Convert, run: Run, *, foreign: bool
) -> tuple[Divergence | None, list[str]]:
    """The first diverging tensor, if it can be told, and sentences on what was found.

    Args:
        outputs: what the file computes on the sample.
        convert: the backend, for what the file itself does not tell.
        run: what judges files of this format, on the sample.
        foreign: the file was made at another time, perhaps from another model or by another tool.
    """
    notes: list[str] = []
    found: Divergence | None
    weights = _weights(case, notes)
    if traceable(case.format_name):
        found = _traced(case, notes)
    else:
        found = _substituted(case, outputs, weights.changed if weights else (), notes)
    if found is None and case.format_name in ENGINE_OF_FORMAT:
        suffix = case.path.suffix
        with tempfile.TemporaryDirectory(prefix="edgekit-locate-") as folder:
            if not (foreign and _fresh_is_right(case, Path(folder) / f"fresh{suffix}", convert, run, notes)):
                found = _tapped(case, Path(folder) / f"tapped{suffix}", convert, run, notes)
    if found is not None and found.max_abs is not None:
        seen = f", seen at {found.figures_of}, with which the file has fused it" if found.figures_of else ""
        notes.insert(0, f"the first wrong tensor is {found.tensor}, by up to {found.max_abs:.3g}{seen}")
    return found, notes


def _weights(case: Case, notes: list[str]) -> changed.Weights | None:
    try:
        weights = changed.compare(case.program, constants(case.format_name, case.path))
    except RuntimeCrashError as error:
        notes.append(f"its constants can't be read: {error.message}")
        return None
    sentence = weights.sentence()
    if sentence is not None:
        notes.append(sentence)
    return weights


def _traced(case: Case, notes: list[str]) -> Divergence | None:
    try:
        found = traced.locate(case)
    except RuntimeCrashError as error:
        notes.append(f"the values inside it can't be seen: {error.message}")
        return None
    if found is None:
        notes.append("every value inside it agrees with PyTorch's while its operators run one by one")
    return found


def _substituted(
    case: Case, outputs: Sequence[Array], weights: Sequence[changed.Changed], notes: list[str]
) -> Divergence | None:
    """What PyTorch computes with the file's constants: if that is what the file computes, they are the whole reason."""
    if not weights:
        return None
    program = case.program
    names = eager.comparable(program)
    places = {name: index for index, name in enumerate(names)}
    first = min((places[entry.node] for entry in weights if entry.node in places), default=0)
    tensors = {entry.parameter: entry.value for entry in weights}
    found = None
    for part in _in_parts(names[first:], eager.sizes(program)):
        reference = eager.values(program, part, case.sample)
        with eager.replaced(program, tensors):
            actual = eager.values(program, part, case.sample)
        found = next((made for name in part if (made := _beyond(case, name, actual, reference)) is not None), None)
        if found is not None:
            break
    with eager.replaced(program, tensors):
        expected = eager.outputs(program, case.sample)
    explained = parity.agree(outputs, expected, case.tolerance)
    same = "computes what the file computes" if explained else "still differs from the file: there is more to it"
    notes.append(f"with the file's values in its place PyTorch {same}")
    return found


def _beyond(case: Case, name: str, actual: dict[str, Array], reference: dict[str, Array]) -> Divergence | None:
    figures = parity.figures(actual[name][None], reference[name][None], case.tolerance)
    return None if parity.within(figures, case.tolerance) else divergence.describe(name, case.origins, figures)


def _in_parts(names: Sequence[str], sizes: dict[str, int]) -> list[list[str]]:
    """The names in runs whose tensors fit into memory together."""
    parts: list[list[str]] = [[]]
    total = 0
    for name in names:
        total += sizes[name]
        if parts[-1] and total > traced.MAX_REFERENCE_BYTES:
            parts.append([])
            total = sizes[name]
        parts[-1].append(name)
    return parts


def _fresh_is_right(case: Case, path: Path, convert: Convert, run: Run, notes: list[str]) -> bool:
    """Convert the model anew: if that file is right, what is wrong with this one is not the converter's doing."""
    try:
        convert(case.program, path)
        made = run(path)
    except Exception as failure:  # noqa: BLE001 - a converter that fails must not hide the parity failure
        notes.append(f"a fresh conversion to compare with failed: {first_line(failure)}")
        return False
    if not parity.agree(made, eager.outputs(case.program, case.sample), case.tolerance):
        return False
    notes.append("a fresh conversion of the model agrees with PyTorch, this file does not")
    if case.format_name == "executorch":
        notes.append(_instructions(case.path, path))
    return True


def _instructions(ours: Path, fresh: Path) -> str:
    """The first instruction in which two .pte files differ."""
    pairs = zip(Pte(ours).calls, Pte(fresh).calls, strict=False)
    for index, (one, other) in enumerate(pairs):
        if isinstance(one, KernelCall) or isinstance(other, KernelCall):
            if one != other:
                return f"its instruction {index} is {_word(one)}, a fresh conversion's {_word(other)}"
        elif one.graph is not None and other.graph is not None and one.graph.nodes != other.graph.nodes:
            return f"its partition {index} has other operators than a fresh conversion's"
    return "its instructions are those of a fresh conversion: their settings or constants differ"


def _word(call: KernelCall | DelegateCall) -> str:
    return call.op if isinstance(call, KernelCall) else f"a call of {call.delegate}"


def _tapped(case: Case, path: Path, convert: Convert, run: Run, notes: list[str]) -> Divergence | None:
    """The first diverging tensor of a conversion in which every intermediate tensor is an output."""

    def convert_and_run(tapped: ExportedProgram) -> Sequence[Array]:
        convert(tapped, path)
        return run(path)

    try:
        found = divergence.locate(case.program, case.origins, case.sample, convert_and_run, case.tolerance)
    except RuntimeCrashError as error:
        notes.append(f"the first diverging tensor could not be located: {error.message}")
        return None
    except Exception as failure:  # noqa: BLE001 - a converter that fails on the tapped program must not hide the parity failure
        notes.append(f"the first diverging tensor could not be located: {first_line(failure)}")
        return None
    if found is None:
        notes.append(
            "every intermediate tensor agrees once it is an output: the error arises where operators are fused"
        )
    return found
