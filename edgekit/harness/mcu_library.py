"""The C runtime for microcontrollers as a library of this machine, compiled the first time it is needed.

The same C sources as on the board, so what :class:`HostModel` answers is what the board must answer, bit for bit.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from edgekit.errors import DeviceError
from edgekit.paths import cache_dir, mcu_dir

COMPILER = "cc"
LIBRARY = "libedgekit_mcu.so"
_TIMEOUT_S = 300
SOURCES = ("include", "src", "host")


def host_library() -> Path:
    """The path of the compiled library; compiling it takes a few seconds, once for these sources and this compiler.

    Raises:
        DeviceError: there is no C compiler, or it refuses the sources.
    """
    home = cache_dir() / "mcu"
    made = home / _key() / LIBRARY
    if made.is_file():
        return made
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=home) as work:
        out = Path(work) / "out"
        _build(out)
        try:
            out.replace(made.parent)
        except OSError:  # another process was faster: it built the same
            if not made.is_file():
                raise
    return made


@functools.lru_cache(maxsize=4)
def load(path: Path) -> ctypes.CDLL:
    """The library with the types of its functions declared."""
    library = ctypes.CDLL(str(path))
    pointer, u32 = ctypes.c_void_p, ctypes.c_uint32
    signatures = {
        "ek_host_model_bytes": ([], u32),
        "ek_host_guard_bytes": ([], u32),
        "ek_host_open": ([pointer, pointer, u32, pointer, u32, ctypes.POINTER(u32)], ctypes.c_int32),
        "ek_host_run": ([pointer], ctypes.c_int32),
        "ek_host_run_operator": ([pointer, u32], ctypes.c_int32),
    }
    for name, (arguments, result) in signatures.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, result
    return library


def _key() -> str:
    # What decides the result: the compiler, and every source by name and content.
    root = mcu_dir()
    digest = hashlib.sha256(_compiler_version(os.environ.get("PATH", "")).encode())
    files = [path for name in SOURCES for path in sorted((root / name).rglob("*")) if path.suffix in (".c", ".h")]
    for path in [root / "build.py", *files]:
        digest.update(f"{path.relative_to(root)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:32]


@functools.lru_cache(maxsize=4)
def _compiler_version(search: str) -> str:
    program = shutil.which(COMPILER, path=search)
    if program is None:
        raise DeviceError(
            "There is no C compiler on this machine, so microcontroller models can't be run on the host.",
            where=COMPILER,
            next_step=f"Install one that can be called as {COMPILER} (Debian: apt install gcc).",
        )
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    return done.stdout[:4000]


def _build(out: Path) -> None:
    builder = mcu_dir() / "build.py"
    command = [sys.executable, str(builder), "--target", "host", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise DeviceError(
            f"The microcontroller runtime can't be compiled for this machine: {done.stderr[:2000].strip()}",
            where=str(builder),
            next_step=f"Check that {COMPILER} is a working C11 compiler.",
        )
