"""What a target's generator is given, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from edgekit.bundle.records import Model, Runtime, Variant


@dataclass(frozen=True)
class Member:
    """One variant with its file and golden data.

    ``path`` is the converted file, or directory for .mlpackage. ``golden_inputs`` and ``golden_outputs`` have one array
    per tensor of the contract, of shape (samples, *tensor.shape) and the tensor's dtype. The outputs are PyTorch's,
    to be met within ``variant.parity.tolerance``; where that is null, they are the file's own on the machine that
    made the bundle; a microcontroller's are to be met bit by bit.
    """

    variant: Variant
    path: Path
    golden_inputs: tuple[npt.NDArray[Any], ...]
    golden_outputs: tuple[npt.NDArray[Any], ...]


@dataclass(frozen=True)
class Part:
    """One model with its variants in the order of ``model.variants``."""

    model: Model
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Recipe:
    """All that goes into a bundle. ``identifier`` is a snake_case name made from ``name``.

    ``options`` are those of the target, as the manifest has them: ``package`` and ``delivery`` (android), ``board``
    (mcu), ``abi`` (linux).
    """

    name: str
    identifier: str
    parts: tuple[Part, ...]
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Content:
    """What a generator makes: relative path with forward slashes -> content, or the file to copy.

    A directory is given file by file. ``executables`` are the paths that get the mode 0755; all others get 0644.
    """

    files: Mapping[str, bytes | Path]
    runtimes: tuple[Runtime, ...]
    warnings: tuple[str, ...] = ()
    executables: frozenset[str] = frozenset()


class Generator(Protocol):
    """One target. ``formats`` are those of files that it takes, ``options`` its options with their defaults."""

    formats: tuple[str, ...]
    options: Mapping[str, str]

    def check(self, recipe: Recipe) -> None:
        """Raises UsageError (an option) or BundleError (a model) before anything is made."""

    def content(self, recipe: Recipe) -> Content:
        """The same content for the same recipe, byte by byte."""
