"""The virtual phone's image: where it is kept, whether it is whole, and how it comes to be built."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgekit import paths, processes
from edgekit.errors import DeviceError, EdgekitError

HARNESS = Path(__file__).resolve().parents[2] / "android_harness/virtual_phone"
# What the build script begins a step's line with on stderr.
STEP = "virtual phone: "
_STOP_S = 10.0
_MANIFEST_BYTES = 1 << 16

Say = Callable[[str], None]


@dataclass(frozen=True)
class Image:
    """A built image whose files are what its manifest says."""

    kernel: Path
    initramfs: Path

    @staticmethod
    def at(folder: Path) -> Image | None:
        """The image in ``folder``; None if there is none or it is damaged."""
        try:
            files = json.loads(_manifest(folder))["files"]
            for name in ("kernel", "initramfs"):
                content = (folder / name).read_bytes()
                if hashlib.sha256(content).hexdigest() != files[name]["sha256"]:
                    return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return Image(folder / "kernel", folder / "initramfs")


def image_key() -> str:
    """Names the image that this checkout's build script makes: a digest of everything that decides its content but
    the packages' versions.

    Raises:
        DeviceError: this installation has no build script.
    """
    script = HARNESS / "build.py"
    if not script.is_file():
        raise DeviceError(
            "This installation of edgekit can't build the virtual phone: the build script is only in the source tree.",
            where=str(script),
            next_step="In a checkout run `python android_harness/virtual_phone/build.py --out DIR`, then "
            "`edgekit virtual phone start --image DIR`.",
        )
    digest = hashlib.sha256()
    for path in sorted([*HARNESS.glob("*.py"), *(HARNESS / "guest").iterdir()]):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(HARNESS)} {len(content)} ".encode() + content)
    return digest.hexdigest()[:16]


def image_dir() -> Path:
    """Where the image of this checkout is kept. Raises DeviceError as :func:`image_key` does."""
    return paths.cache_dir() / "virtual-phone" / image_key()


def ensure(folder: Path, *, build: bool, say: Say) -> Image:
    """The image in ``folder``; with ``build``, the build script is run if it is missing or damaged.

    Raises:
        DeviceError: there is none, or it can't be built.
    """
    found = Image.at(folder)
    if found is None and build:
        say("build the image (once)")
        _build(say)
        found = Image.at(folder)
    if found is None:
        raise DeviceError("There is no virtual phone's image, or it is damaged.", where=str(folder),
                          next_step="Make one: python android_harness/virtual_phone/build.py --out DIR")  # fmt: skip
    return found


def _build(say: Say) -> None:
    """Run the build script in a process of its own; what it says is passed on."""
    places = (str(HARNESS.parents[1]), os.environ.get("PYTHONPATH", ""))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
    process = subprocess.Popen(
        [sys.executable, str(HARNESS / "build.py")], env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    lines: list[str] = []
    try:
        for line in process.stderr:
            if line.startswith(STEP):
                say(line.rstrip().removeprefix(STEP))
            lines = [*lines[-9:], line]
        answer = process.stdout.read()
        code = process.wait()
    except BaseException:
        # It removes what it began when it is asked to end.
        processes.end(process, _STOP_S)
        raise
    finally:
        process.stdout.close()
        process.stderr.close()
    if code:
        try:
            error = EdgekitError.from_dict(json.loads(answer)["error"])
        except (ValueError, KeyError, TypeError, RecursionError):
            error = DeviceError(f"The image can't be built: {''.join(lines).strip()[-1000:]}",
                                where=str(HARNESS / "build.py"), next_step="Run the script by itself.")  # fmt: skip
        raise error


def _manifest(folder: Path) -> bytes:
    with (folder / "manifest.json").open("rb") as stream:
        return stream.read(_MANIFEST_BYTES)
