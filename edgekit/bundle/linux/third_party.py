"""Whose every file of the native runner is: licences, the texts that go with them, and the rows of the manifest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.bundle.records import Runtime
from edgekit.bundle.template import asset
from edgekit.errors import BundleError
from edgekit.version import __version__

if TYPE_CHECKING:
    from edgekit.bundle.linux.native import Native

_LICENCE_PREFIX = "licences/"


@dataclass(frozen=True)
class Owner:
    """Who made some of the files. ``texts`` are the licence files of the runner's build (a pattern) and of edgekit."""

    name: str
    files: re.Pattern[str]
    licence: str
    built_with: str | None
    own_text: str | None
    note: str


# The first row that fits a file's name counts.
OWNERS: tuple[Owner, ...] = (
    Owner("edgekit's native runner", re.compile(r"runner|libedgekit_\w+\.so"), "Apache-2.0", None, "Apache-2.0.txt",
          "Its source is android_harness/runner in edgekit's source distribution."),
    Owner("LiteRT", re.compile(r"libLiteRt\.so"), "Apache-2.0", r"ai_edge_litert-.*\.txt", None,
          "Unchanged from the Python package. It has other libraries compiled in (XNNPACK and others), for which the "
          "package has no notices of their own."),
    Owner("ExecuTorch", re.compile(r"libexecutorch\w*\.so"), "BSD-3-Clause", r"executorch-.*\.txt", None,
          "Unchanged from the Python package. It has other libraries compiled in (XNNPACK and others), for which the "
          "package has no notices of their own."),
    Owner("GNU C Library", re.compile(r"ld-linux-[\w-]+\.so\.\d+|lib(c|m|dl|rt|pthread)\.so\.\d+"), "LGPL-2.1-or-later",
          r"libc6\.txt", "LGPL-2.1.txt",
          "Unchanged from Debian. Who passes it on must pass on its licence and offer its source, the Debian source "
          "package glibc of that version. It can be replaced by another build of the same files."),
    Owner("GCC runtime libraries", re.compile(r"libstdc\+\+\.so\.\d+|libgcc_s\.so\.\d+"),
          "GPL-3.0-or-later WITH GCC-exception-3.1", r"libstdc\+\+6\.txt", "GPL-3.0.txt",
          "Unchanged from Debian. The exception lets programs of any licence use them; who passes the libraries on "
          "must offer their source, the Debian source package gcc of that version."),
)  # fmt: skip
_GLIBC = re.compile(rb"GNU C Library \(Debian GLIBC ([^)]{1,60})\) stable release version (\d+\.\d+)")
_DEBIAN = re.compile(r"\(Debian ([^)]{1,60})\) (\d+(?:\.\d+)+)")
PYTHON = {
    # Engine -> the Python packages that run it, beside numpy. Versions are those that edgekit is tested with.
    "litert": (("ai-edge-litert", "2.3.0", "Apache-2.0"),),
    "executorch": (("executorch", "1.5.1", "BSD-3-Clause"), ("torch", "2.13.0", "BSD-3-Clause")),
    "onnxruntime": (("onnxruntime", "1.31.1", "MIT"),),
}
# Any of these gives the same results: the arithmetic of resizing and of float32 is fixed.
COMMON = (("numpy", ">=1.26", "BSD-3-Clause"), ("pillow", ">=10", "MIT-CMU"))


def is_runtime(name: str) -> bool:
    """Whether a file of the runner is a runtime's own library, as its Python package has it."""
    return owner_of(name).name in ("LiteRT", "ExecuTorch")


def owner_of(name: str) -> Owner:
    """Whose the file is.

    Raises:
        BundleError: nobody's that is known, so that nothing can be said of its licence.
    """
    for owner in OWNERS:
        if owner.files.fullmatch(name):
            return owner
    raise BundleError(f"The native runner has a file of unknown licence: {name}.", where=name,
                      next_step="Build it again with this edgekit: make runner.")  # fmt: skip


def runtimes(native: Native | None, engines: Sequence[str]) -> tuple[Runtime, ...]:
    """What is inside, then what the Python code fetches."""
    inside = [] if native is None else [
        Runtime(name=owner.name, version=version, licence=owner.licence, source=source, inside=True)
        for owner, version, source in _inside(native)
    ]  # fmt: skip
    outside = [
        Runtime(name=name, version=version, licence=licence, source=f"pypi:{requirement(name, version)}", inside=False)
        for name, version, licence in _packages(engines)
    ]
    return (*inside, *outside)


def requirements(engines: Sequence[str]) -> bytes:
    """``requirements.txt`` of the Python code."""
    return "".join(f"{requirement(name, version)}\n" for name, version, _ in _packages(engines)).encode()


def requirement(name: str, version: str) -> str:
    """``name==version``, or a range as it is."""
    return f"{name}{version}" if version[0] in "<>=" else f"{name}=={version}"


def notices(native: Native) -> tuple[dict[str, bytes | Path], list[str]]:
    """THIRD_PARTY.md with the licence texts, and warnings about what is missing."""
    files: dict[str, bytes | Path] = {}
    rows, warnings = [], []
    folder = native.bundle.folder / "licences"
    built = sorted(path.name for path in folder.glob("*.txt"))
    for owner, version, source in _inside(native):
        names = [name for name in built if owner.built_with and re.fullmatch(owner.built_with, name)]
        files.update({f"{_LICENCE_PREFIX}{name}": folder / name for name in names})
        if owner.built_with and not names:
            warnings.append(f"The native runner was built without the licence text of {owner.name}.")
        if owner.own_text:
            files[f"{_LICENCE_PREFIX}{owner.own_text}"] = asset(f"linux/licences/{owner.own_text}")
            names.append(owner.own_text)
        own = sorted(native.place(file) for file in native.files if owner_of(file.name) is owner)
        paths = ", ".join(f"`{path}`" for path in own)
        texts = ", ".join(f"`{_LICENCE_PREFIX}{name}`" for name in names)
        rows.append(f"## {owner.name} {version}\n\n{owner.licence}, from {source}. {owner.note}\n\n"
                    f"- Files: {paths}\n- Texts: {texts}\n")  # fmt: skip
    files["THIRD_PARTY.md"] = asset("linux/THIRD_PARTY.md", ROWS="\n".join(rows).rstrip("\n"))
    return files, warnings


def _inside(native: Native) -> list[tuple[Owner, str, str]]:
    """Owner, version and source of what the runner's files are."""
    there = {owner_of(file.name).name for file in native.files}
    return [row for row in _known(native) if row[0].name in there]


def _known(native: Native) -> list[tuple[Owner, str, str]]:
    runner, litert, executorch, glibc, gcc = OWNERS
    glibc_version, glibc_source = "unknown", "an unknown build"
    for file in native.files:
        match = _GLIBC.search(file.path.read_bytes()) if file.name == "libc.so.6" else None
        if match:
            glibc_version, glibc_source = match[2].decode(), f"debian:glibc={match[1].decode('ascii', 'replace')}"
    compiler = _DEBIAN.search(native.compiler)
    major = compiler[2].split(".")[0] if compiler else ""
    return [
        (runner, __version__, f"edgekit {__version__}"),
        (litert, *_wheel(native, "litert", "ai-edge-litert")),
        (executorch, *_wheel(native, "executorch", "executorch")),
        (glibc, glibc_version, glibc_source),
        (gcc, compiler[2] if compiler else "unknown",
         f"debian:gcc-{major}={compiler[1]}" if compiler else f"the compiler {native.compiler}"),
    ]  # fmt: skip


def _wheel(native: Native, engine: str, package: str) -> tuple[str, str]:
    versions = {str(name): version for name, version in native.engines.items()}
    version = versions.get(engine, "")
    return version, f"pypi:{package}=={version}"


def _packages(engines: Sequence[str]) -> list[tuple[str, str, str]]:
    return [*COMMON, *(row for engine in sorted(engines) for row in PYTHON[engine])]
