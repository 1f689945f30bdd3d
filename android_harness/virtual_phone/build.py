"""Builds the virtual phone's image (a kernel and an initramfs) from Debian packages, without root.

    python android_harness/virtual_phone/build.py [--out DIR]

Without --out the image goes into edgekit's cache, where `edgekit virtual phone start` looks for it. The directory
appears only when it is whole. Its path is printed on stdout; a failure is printed there as the usual JSON document.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import debian
from cpio import Initramfs
from filelock import FileLock

from edgekit.device import virtual_image
from edgekit.errors import DeviceError, EdgekitError

GUEST = Path(__file__).parent / "guest"
APEX = "/apex/com.android.adbd"
# In the order in which the guest loads them; everything else that it needs is in the kernel itself.
MODULES = ("net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net")
PARTIAL, PARTIAL_END = ".virtual-phone-", ".partial"


def build(out: Path) -> Path:
    """Build the image at ``out`` unless it is there; answers its path.

    Raises:
        DeviceError: a tool or a package is missing, or there is something else at ``out``.
    """
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(out.parent / f"{PARTIAL}lock"):
        if virtual_image.Image.at(out) is not None:
            _say(f"{out} is there already")
            return out
        # Whatever a killed build left: the lock says that no other is running.
        for stale in out.parent.glob(f"{PARTIAL}*{PARTIAL_END}"):
            shutil.rmtree(stale)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=PARTIAL, suffix=PARTIAL_END) as work:
            image = Path(work) / "image"
            image.mkdir()
            _fill(image, Path(work))
            _move(image, out)
    return out


def _fill(image: Path, work: Path) -> None:
    _say(f"read the package lists of Debian {debian.SUITE} for arm64")
    archive = debian.Archive(work / "apt", "arm64")
    kernel = archive.dependency("linux-image-cloud-arm64", r"linux-image-[0-9].*-cloud-arm64")
    _say(f"download {kernel}, adbd and busybox")
    programs = archive.download(["adbd", "busybox-static"])
    kernel_package = archive.download_only(kernel)
    _say("unpack them")
    debian.unpack(programs, work / "programs")
    debian.unpack([kernel_package], work / "kernel")
    packages = debian.record([*programs, kernel_package])
    _say("write the image")
    (found,) = (work / "kernel/boot").glob("vmlinuz-*")
    shutil.copyfile(found, image / "kernel")
    with (image / "initramfs").open("wb") as stream:
        _initramfs(work / "programs", work / "kernel", packages).write(stream)
    manifest = {
        "schema": 1, "key": virtual_image.image_key(), "kernel_release": found.name.removeprefix("vmlinuz-"),
        "files": {name: _facts(image / name) for name in ("kernel", "initramfs")}, "packages": packages,
    }  # fmt: skip
    (image / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def _initramfs(programs: Path, kernel: Path, packages: list[dict[str, str]]) -> Initramfs:
    made = Initramfs()
    for name in ("proc", "sys", "dev", "data", "bin"):
        made.folder(f"/{name}")
    made.character_device("/dev/console", 5, 1)
    made.character_device("/dev/null", 1, 3, 0o666)
    made.file("/bin/busybox", (programs / "usr/bin/busybox").read_bytes(), 0o755)
    made.link("/system/bin/sh", "/bin/busybox")
    made.file(f"{APEX}/bin/adbd", (programs / "usr/lib/android-sdk/platform-tools/adbd").read_bytes(), 0o755)
    libraries = programs / "usr/lib/aarch64-linux-gnu"
    shutil.rmtree(libraries / "gconv")
    made.tree(libraries, f"{APEX}/lib64")
    (modules,) = (kernel / "usr/lib/modules").iterdir()
    for module in MODULES:
        content = lzma.decompress((modules / f"kernel/{module}.ko.xz").read_bytes())
        made.file(f"/vendor/lib/modules/{module.rpartition('/')[2]}.ko", content)
    made.file("/init", (GUEST / "init").read_bytes(), 0o755)
    for name in ("getprop", "reboot"):
        made.file(f"/system/bin/{name}", (GUEST / name).read_bytes(), 0o755)
    for name in ("passwd", "group"):
        made.file(f"/etc/{name}", (GUEST / name).read_bytes())
    made.file("/system/build.prop", (GUEST / "build.prop").read_bytes() + _build_properties(packages).encode())
    return made


def _build_properties(packages: list[dict[str, str]]) -> str:
    """Which build this is: another set of packages is another build."""
    digest = hashlib.sha256(json.dumps(packages, sort_keys=True).encode())
    digest.update(virtual_image.image_key().encode())
    number = digest.hexdigest()[:12]
    name = "virtual_phone_arm64"
    return (
        f"ro.build.id={number}\nro.build.version.incremental={number}\n"
        f"ro.build.display.id=edgekit virtual phone {number}\n"
        f"ro.build.fingerprint=edgekit/{name}/{name}:14/{number}/{number}:user/test-keys\n"
    )  # fmt: skip


def _facts(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _move(image: Path, out: Path) -> None:
    if out.is_dir() and out == virtual_image.image_dir().resolve():  # damaged; what is elsewhere may be anything
        shutil.rmtree(out)
    try:
        image.rename(out)
    except OSError as error:
        raise DeviceError(f"The image can't be put at {out}: {error.strerror}.", where=str(out),
                          next_step="Give --out a directory that does not exist yet.") from error  # fmt: skip


def _say(text: str) -> None:
    sys.stderr.write(f"{virtual_image.STEP}{text}\n")
    sys.stderr.flush()


def _interrupted(number: int, _frame: object) -> None:
    for again in (signal.SIGINT, signal.SIGTERM):  # what was begun is being removed already
        signal.signal(again, signal.SIG_IGN)
    raise KeyboardInterrupt(number)


def main() -> int:
    """Build from the command line."""
    parser = argparse.ArgumentParser(description="Build the virtual phone's image from Debian packages, without root.")
    parser.add_argument("--out", type=Path, help="where; by default in edgekit's cache")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    try:
        sys.stdout.write(f"{build(arguments.out or virtual_image.image_dir())}\n")
    except EdgekitError as error:
        sys.stderr.write(f"{error.message}\n{error.next_step}\n")
        sys.stdout.write(json.dumps({"error": error.to_dict()}) + "\n")
        return error.code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
