"""From the name of a runtime to its driver, in the process that will run the model."""

from __future__ import annotations

import importlib
from typing import cast

from edgekit.errors import MissingExtraError
from edgekit.harness.engines.base import EngineRunner
from edgekit.harness.engines.table import ENGINES, is_installed
from edgekit.job import Engine


def create(engine: Engine) -> EngineRunner:
    """Import a runtime and answer its driver.

    Raises:
        MissingExtraError: the runtime's package is not installed, or can't be imported.
    """
    entry = ENGINES[engine]
    try:
        if not is_installed(engine):
            raise ImportError(f"No module named {entry.requires!r}")
        return cast(EngineRunner, importlib.import_module(entry.module).create())
    except ImportError as error:
        raise MissingExtraError(
            f"The runtime {engine} can't be imported: {error}.",
            where=entry.requires,
            next_step=f'Run: pip install "edgekit[{entry.extra}]"',
        ) from error
