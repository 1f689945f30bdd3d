"""edgekit: PyTorch vision models on devices, converted, proved, measured.

The public verbs and records. Importing this package imports neither torch nor any converter or runtime.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edgekit.version import __version__

if TYPE_CHECKING:
    from edgekit.api import bundle, check, choose, compare, convert, deploy, doctor, profile, results, sweep
    from edgekit.bundle.records import Bundle
    from edgekit.compare.comparison import Comparison
    from edgekit.diagnosis import Diagnosis, Finding
    from edgekit.errors import EdgekitError
    from edgekit.records import Artifact, Deployment, Exported, Measurement, Plan, Profile
    from edgekit.selection import Choice, Sweep, SweepCell
    from edgekit.sweep.grid import GridFile

_WHERE = {
    "bundle": "edgekit.api",
    "check": "edgekit.api",
    "choose": "edgekit.api",
    "compare": "edgekit.api",
    "convert": "edgekit.api",
    "deploy": "edgekit.api",
    "doctor": "edgekit.api",
    "profile": "edgekit.api",
    "results": "edgekit.api",
    "sweep": "edgekit.api",
    "EdgekitError": "edgekit.errors",
    "Bundle": "edgekit.bundle.records",
    "Comparison": "edgekit.compare.comparison",
    **dict.fromkeys(("Diagnosis", "Finding"), "edgekit.diagnosis"),
    **dict.fromkeys(("Choice", "Sweep", "SweepCell"), "edgekit.selection"),
    "GridFile": "edgekit.sweep.grid",
    **dict.fromkeys(("Artifact", "Deployment", "Exported", "Measurement", "Plan", "Profile"), "edgekit.records"),
}

__all__ = [
    "Artifact", "Bundle", "Choice", "Comparison", "Deployment", "Diagnosis", "EdgekitError", "Exported", "Finding",
    "GridFile", "Measurement", "Plan", "Profile", "Sweep", "SweepCell", "__version__", "bundle", "check", "choose",
    "compare", "convert", "deploy", "doctor", "profile", "results", "sweep",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'edgekit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """``edgekit.convert`` is the verb: importing the folder of that name would else take its place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _WHERE and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
