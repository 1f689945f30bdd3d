"""Packages that the base install does not have."""

from __future__ import annotations

import importlib

from edgekit.errors import MissingExtraError


def need(package: str, extra: str, spec: str) -> None:
    """Import ``package``, or say how to install it.

    Raises:
        MissingExtraError: it is not installed, or it is and fails to import.
    """
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(
            f"Loading {spec} needs the Python package {package}, which can't be imported: {error}",
            where=package,
            next_step=f'Install it with: pip install "edgekit[{extra}]"',
            package=package,
            extra=extra,
        ) from error
