"""What the conversion process tells its caller: one JSON line per event."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edgekit.diagnosis import BackendReport, Finding, ModelReport
from edgekit.records import Artifact, Exported

Stage = Literal["load", "export", "golden", "convert", "parity", "locate", "prove", "examine"]
State = Literal["started", "finished", "failed", "waiting"]


class Progress(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A stage of the model (``format`` is null) or of one format began or ended; ``seconds`` is since its start."""

    stage: Stage
    state: State
    format: str | None = None
    seconds: float | None = None


class ExportedReady(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The model is exported."""

    exported: Exported


class ArtifactReady(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """One format is done: converted and, where it can be, checked."""

    artifact: Artifact


class Proved(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """What the model takes is counted, and the rewrites for every backend are proved."""

    report: ModelReport
    findings: tuple[Finding, ...]


class Examined(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The doctor is done with one backend."""

    report: BackendReport
    findings: tuple[Finding, ...]


class Failed(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The whole call failed (``format`` is null), or one format did; ``error`` is EdgekitError.to_dict()."""

    error: dict[str, Any]
    format: str | None = None
    traceback: str | None = None


Event = Progress | ExportedReady | ArtifactReady | Proved | Examined | Failed
# The last word of a worker.
LAST = (ArtifactReady, Proved, Examined, Failed)

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode
