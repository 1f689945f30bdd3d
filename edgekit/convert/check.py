"""Judge files that were converted before against a model. No torch in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edgekit.convert import backend as backends
from edgekit.convert import events
from edgekit.convert.launch import run_session
from edgekit.convert.parity import TOLERANCES
from edgekit.convert.request import ConvertRequest
from edgekit.errors import EdgekitError, ParityError, UsageError
from edgekit.model.request import ARTIFACT_FORMATS
from edgekit.records import Artifact, Exported


@dataclass
class Checked:
    """What a check came to: the files that were judged, and one error per file that is not right, by its path."""

    exported: Exported | None = None
    artifacts: list[Artifact] = field(default_factory=list)
    errors: dict[str, EdgekitError] = field(default_factory=dict)
    tracebacks: dict[str, str] = field(default_factory=dict)


def check(request: ConvertRequest, files: Sequence[str], on_event: Callable[[events.Event], None]) -> Checked:
    """Judge every file on the model's golden inputs. Nothing is converted, except to explain a failure.

    Args:
        request: the model and its golden inputs; its formats don't matter, an empty precision is each file's own.

    Raises:
        UsageError: a file is not there, or of no known format; an unknown precision.
        ModelError, ExportError, ParityError: the model can't be loaded or exported, or its outputs mean nothing.
    """
    if request.precision and request.precision not in TOLERANCES:
        known = ", ".join(TOLERANCES)
        raise UsageError(f"There is no precision {request.precision!r}.", where="--precision",
                         next_step=f"Choose from: {known}.")  # fmt: skip
    whole = Checked()
    made: dict[str, Artifact] = {}
    for batch in _batches([(_format_of(file), file) for file in dict.fromkeys(files)]):
        asked = msgspec.structs.replace(request, formats=tuple(batch), files=tuple(batch.values()), check_parity=True)
        outcome = run_session(asked, on_event)
        whole.exported = outcome.exported
        made.update((batch[artifact.format], artifact) for artifact in outcome.artifacts)
        whole.errors.update((batch[name], error) for name, error in outcome.errors.items())
        whole.tracebacks.update((batch[name], text) for name, text in outcome.tracebacks.items() if name in batch)
    whole.artifacts = [made[file] for file in files if file in made]
    for file, artifact in made.items():
        if artifact.parity.passed is not True:
            whole.errors[file] = _failed(file, artifact)
    return whole


def _format_of(file: str) -> str:
    path = Path(file)
    name = ARTIFACT_FORMATS.get(path.suffix.lower())
    if name is None:
        raise UsageError(
            f"{file} is not a converted file.",
            where=file,
            next_step=f"Give files that end with {', '.join(ARTIFACT_FORMATS)}; the model comes first.",
        )
    if not path.exists():
        raise UsageError(f"There is no file {file}.", where=file, next_step="Check the path.")
    return backends.lookup(name).name


def _batches(files: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Format -> file, in as many rounds as there are files of one format: one process judges one file of each."""
    batches: list[dict[str, str]] = []
    for name, file in files:
        for batch in batches:
            if name not in batch:
                batch[name] = file
                break
        else:
            batches.append({name: file})
    return batches


def _failed(file: str, artifact: Artifact) -> ParityError:
    """The error for a file that is not right, or that nothing here can judge."""
    parity, first = artifact.parity, artifact.parity.first_divergence
    if parity.passed is None:
        return ParityError(
            f"{file} could not be checked: {parity.reason}.",
            where=file,
            next_step="Check it where its runtime is available; it does not count as passed.",
            format=artifact.format,
        )
    return ParityError(
        f"{file} failed parity: {parity.reason}.",
        where=f"{first.tensor} ({first.op}) in {first.module} at {first.source}" if first else file,
        next_step="Convert the model again if it has changed since; otherwise the file is damaged or was made wrong.",
        format=artifact.format,
    )
