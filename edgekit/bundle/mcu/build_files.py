"""The files of the build systems: Make, CMake, PlatformIO, Arduino and Zephyr, all of one layout."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from edgekit.bundle.c_text import comment
from edgekit.bundle.mcu.library import Library
from edgekit.bundle.template import asset
from edgekit.version import __version__

LIBRARY_VERSION = "1.0.0"  # of what is generated; package managers want one
_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")


def build_files(library: Library, sources: Sequence[str], golden: Sequence[str], host: str | None) -> dict[str, bytes]:
    """Every build file by its path.

    Args:
        library: what is built.
        sources: what is compiled, paths from the library's folder.
        golden: the self tests.
        host: what only the test on the host is built with.
    """
    name, big = library.name, library.name.upper()
    models = ", ".join(comment(model.part.model.name) for model in library.models)
    return {
        "Makefile": asset(
            "mcu/Makefile", LIBRARY=name, CORE=library.core,
            SOURCES=_lines(sources, "    ", " \\"), GOLDEN=_lines(golden, "    ", " \\"), HOST_ONLY=host or "",
        ),
        "CMakeLists.txt": asset(
            "mcu/CMakeLists.txt", LIBRARY=name, LANGUAGES="C ASM" if library.dsp else "C",
            SOURCES=_lines(sources, "    "), GOLDEN=_lines(golden, "    "),
            ASSEMBLY=asset("mcu/assembly.cmake", LIBRARY=name).decode() if library.dsp else "",
        ),
        "library.json": platformio(library),
        "library.properties": asset(
            "mcu/library.properties", LIBRARY=name, VERSION=__version__, MODELS=models, CORES=library.cores,
            HEADERS=",".join(f"{model.name}.h" for model in library.models),
        ),
        "zephyr/module.yml": asset("mcu/zephyr/module.yml", LIBRARY=name),
        "zephyr/Kconfig": asset("mcu/zephyr/Kconfig", LIBRARY=name, BIG=big, MODELS=models, CORES=library.cores),
        "zephyr/CMakeLists.txt": asset(
            "mcu/zephyr/CMakeLists.txt", LIBRARY=name, BIG=big,
            SOURCES=_lines([f"${{CMAKE_CURRENT_LIST_DIR}}/../{source}" for source in sources], "    "),
        ),
    }  # fmt: skip


def platformio(library: Library) -> bytes:
    """``library.json``."""
    document = {
        "name": library.name,
        "version": LIBRARY_VERSION,
        "description": "int8 models for microcontrollers, made by edgekit: "
        + ", ".join(comment(model.part.model.name) for model in library.models),
        "license": _licence(library),
        "headers": [f"{model.name}.h" for model in library.models],
        "frameworks": "*",
        "platforms": "*",
        "build": {"srcDir": "src", "includeDir": "src", "unflags": "-Os", "flags": "-O3"},
    }
    return (json.dumps(document, indent=2, ensure_ascii=True) + "\n").encode()


def _licence(library: Library) -> str:
    """As an SPDX expression: the runtime's and each model's, where that is named as one."""
    found = {"Apache-2.0"}
    for model in library.models:
        name = model.part.model.licence.name
        found.add(name if _SPDX.fullmatch(name) else "LicenseRef-README")
    return " AND ".join(sorted(found))


def _lines(words: Sequence[str], indent: str, ending: str = "") -> str:
    return f"{ending}\n".join(indent + word for word in words)
