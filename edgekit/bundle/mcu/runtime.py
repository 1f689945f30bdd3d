"""Which files of the microcontroller runtime a set of kernels needs: those, and no others, go into a library."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from edgekit.convert.mcu.csource import variant
from edgekit.convert.mcu.csource_library import RUNTIME
from edgekit.errors import BundleError

# What a DSP variant has besides the portable kernel, to which it hands the layouts that it does not take itself.
_DSP = {
    "conv": ("src/dsp/conv.c", "src/dsp/conv_tile.S"),
    "depthwise": ("src/dsp/depthwise.c", "src/dsp/depthwise_tile.S"),
    "add": ("src/dsp/add.c",),
    "batch_matmul": ("src/dsp/batch_matmul.c", "src/dsp/matmul_tile.S"),
}
# Headers whose functions are in a file of their own.
_DEFINED_IN = {"include/edgekit/broadcast.h": "src/broadcast.c"}
# For the CRC-32 of weights and records.
_ALWAYS = ("src/crc32.c", "src/operators.h")
# The loops of src/dsp/*.S in C: only the test on the host is built with it.
HOST_TILES = "src/dsp/tiles.c"
_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def needed(root: Path, kernels: Iterable[str], *, dsp: bool) -> dict[str, bytes]:
    """The runtime's files for these kernels, by their place in a library, in the order of their places.

    Args:
        root: the runtime, ``edgekit.paths.mcu_dir()``.
        kernels: names as in ``edgekit.convert.mcu.kernels``.
        dsp: those for the DSP extension, where there are any.

    Raises:
        BundleError: the runtime is not installed whole.
    """
    return {place(name): content for name, content in sorted(_closure(root, _roots(kernels, dsp=dsp)).items())}


def host_tiles(root: Path) -> tuple[bytes, dict[str, bytes]]:
    """The file that replaces the assembly on the host, and by their places the headers that it needs.

    Raises:
        BundleError: the runtime is not installed whole.
    """
    found = _closure(root, [HOST_TILES])
    return found.pop(HOST_TILES), {place(name): content for name, content in sorted(found.items())}


def place(name: str) -> str:
    """Where a file of the runtime, named from its root, is in a library."""
    if name.startswith("include/"):
        return "src/" + name.removeprefix("include/")
    return f"src/{RUNTIME}/" + name.removeprefix("src/")


def _roots(kernels: Iterable[str], *, dsp: bool) -> list[str]:
    names = list(_ALWAYS)
    for kernel in sorted(set(kernels)):
        names.append(f"src/op_{kernel}.c")
        if variant(kernel, dsp=dsp) == "dsp":
            names += _DSP[kernel]
    return names


def _closure(root: Path, names: Iterable[str]) -> dict[str, bytes]:
    """These files and all that they include, and what defines the functions of included headers."""
    found: dict[str, bytes] = {}
    left = list(names)
    while left:
        name = left.pop()
        if name in found:
            continue
        try:
            found[name] = (root / name).read_bytes()
        except OSError as error:
            raise BundleError(
                f"The runtime for microcontrollers is not installed whole: {error}.", where=str(root / name),
                next_step="Install edgekit again.",
            ) from error  # fmt: skip
        for included in _INCLUDE.findall(found[name].decode()):
            left.append(_resolved(root, name, included))
        if name in _DEFINED_IN:
            left.append(_DEFINED_IN[name])
    return found


def _resolved(root: Path, name: str, included: str) -> str:
    """As the compiler finds it: beside the file that includes it, then in the folders of -I."""
    beside = (root / name).parent / included
    if beside.is_file():
        return beside.resolve().relative_to(root.resolve()).as_posix()
    return f"include/{included}" if (root / "include" / included).is_file() else f"src/{included}"
