"""A sealed bundle of a few small files, for the tests of what seals and checks one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgekit.bundle.recipe import Content, Recipe
from edgekit.bundle.records import Bundle, Manifest, Runtime
from edgekit.bundle.seal import canonical, manifest, write
from edgekit.bundle.seal.key import PrivateKey, generate
from tests.unit.bundle import made

RUNTIME = Runtime(name="LiteRT", version="1.4.0", licence="Apache-2.0", source="group:artifact:1.4.0", inside=False)
KEY = generate("signer")


def content(recipe: Recipe) -> Content:
    """The recipe's model files, and a program, a text and an empty file."""
    files: dict[str, bytes | Path] = {
        "README.md": b"# demo\n", "tools/run.sh": b"#!/bin/sh\nexit 0\n", "src/main/empty.txt": b"",
    }  # fmt: skip
    for part in recipe.parts:
        for member in part.members:
            files[f"models/{member.path.name}"] = member.path
    return Content(files=files, runtimes=(RUNTIME,), executables=frozenset({"tools/run.sh"}))


def unsealed(recipe: Recipe) -> Manifest:
    """The recipe's manifest without files."""
    return Manifest(
        target="linux", name=recipe.name, edgekit_version="1.2.3", options={"b": "2", "a": "1"},
        models=tuple(part.model for part in recipe.parts), runtimes=(RUNTIME,), warnings=("a warning",), files=(),
    )  # fmt: skip


def bundle(folder: Path, sources: Path, key: PrivateKey | None = None) -> Bundle:
    """A bundle of two models in ``folder``; their files are made in ``sources``."""
    sources.mkdir(exist_ok=True)
    recipe = made.two_models(sources)
    return write.write(folder, unsealed(recipe), content(recipe), key=key, expected=write.artifacts(recipe))


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Path -> mode and content of every file and folder below."""
    return {
        path.relative_to(folder).as_posix(): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


def reseal(folder: Path, changed: Manifest | bytes) -> None:
    """Replace the manifest and its checksum, as somebody who has changed the bundle would; the signature stays."""
    data = changed if isinstance(changed, bytes) else canonical.encode(changed)
    (folder / manifest.MANIFEST).write_bytes(data)
    (folder / manifest.CHECKSUM).write_text(f"{hashlib.sha256(data).hexdigest()}  {manifest.MANIFEST}\n")
