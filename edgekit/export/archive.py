"""The rewritten program on disk: a .pt2 archive and its nodes' origins, as one cache entry."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import torch

from edgekit.export.provenance import NodeOrigin

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_PROGRAM = "program.pt2"
_ORIGINS = "origins.json"


def save_program(directory: Path, program: ExportedProgram, origins: dict[str, NodeOrigin]) -> None:
    """Write both files into ``directory``.

    Raises:
        OSError: the directory can't take them.
    """
    # Not written by torch itself: on a full disk its archive writer takes the whole process down.
    archive = io.BytesIO()
    torch.export.save(program, archive)
    (directory / _PROGRAM).write_bytes(archive.getbuffer())
    (directory / _ORIGINS).write_bytes(msgspec.json.encode(origins))


def load_program(directory: Path) -> tuple[ExportedProgram, dict[str, NodeOrigin]]:
    """Read both back. The archive was written by :func:`save_program` and verified by the cache's manifest."""
    program = torch.export.load(directory / _PROGRAM)
    origins = msgspec.json.decode((directory / _ORIGINS).read_bytes(), type=dict[str, NodeOrigin])
    return program, origins
