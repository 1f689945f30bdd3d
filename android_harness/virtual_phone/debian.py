"""Debian packages of another release and architecture, fetched and unpacked without root and without touching the
machine's own apt: apt with a state of its own checks the archive's signature and every file's hash.

The archive is whichever this machine's own apt reads; EDGEKIT_DEBIAN_MIRROR names another one.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgekit.errors import DeviceError

SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_TOOLS = {"apt-get": "apt", "apt-cache": "apt", "apt-config": "apt", "dpkg-deb": "dpkg"}
# Above what the slowest of these steps needs on a working network, so that a dead mirror ends the build.
_TIMEOUT_S = 300


class Archive:
    """The packages of one architecture, for the time of a build.

    Args:
        folder: an empty directory for apt's state and the packages.
        architecture: Debian's name of it, such as ``arm64``.

    Raises:
        DeviceError: apt or its keyring is missing, or no archive that this machine knows has the release.
    """

    def __init__(self, folder: Path, architecture: str) -> None:
        _require_tools()
        self._folder = folder.resolve()
        self._architecture = architecture
        for name in ("lists/partial", "archives/partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        (self._folder / "apt.conf").write_text(self._configuration())
        self._update()

    def download(self, packages: Sequence[str]) -> list[Path]:
        """The packages and all that they depend on, as .deb files."""
        self._apt("apt-get", "install", "--download-only", "--yes", "--no-install-recommends", *packages)
        return sorted((self._folder / "archives").glob("*.deb"))

    def download_only(self, package: str) -> Path:
        """One package without what it depends on."""
        target = self._folder / "single" / package
        target.mkdir(parents=True)
        self._apt("apt-get", "download", package, folder=target)
        (found,) = target.glob("*.deb")
        return found

    def dependency(self, package: str, pattern: str) -> str:
        """The first dependency of ``package`` whose name matches ``pattern``: how a metapackage names its content."""
        for line in self._apt("apt-cache", "depends", package).splitlines():
            kind, _, name = line.strip().partition(": ")
            if kind == "Depends" and re.fullmatch(pattern, name):
                return name
        raise DeviceError(f"Debian's {package} depends on nothing like {pattern}.", where=package,
                          next_step="The archive has changed; report it.")  # fmt: skip

    def _configuration(self) -> str:
        """Nothing of the machine's own apt but how it reaches the network."""
        own = self._folder
        dump = _run(["apt-config", "dump"], dict(os.environ))
        reach = [line for line in dump.splitlines()
                 if line.startswith("Acquire::") and not line.startswith("Acquire::IndexTargets")]  # fmt: skip
        return "\n".join([
            'Dir::Etc::main "/dev/null";', 'Dir::Etc::parts "/dev/null";', 'Dir::Etc::preferences "/dev/null";',
            'Dir::Etc::preferencesparts "/dev/null";', 'Dir::Etc::sourceparts "/dev/null";',
            f'Dir::Etc::sourcelist "{own}/list.sources";',
            f'Dir::State "{own}";', f'Dir::State::status "{own}/status";',
            f'Dir::State::lists "{own}/lists";', f'Dir::Cache "{own}";', f'Dir::Cache::archives "{own}/archives";',
            f'APT::Architecture "{self._architecture}";', f'APT::Architectures {{ "{self._architecture}"; }};',
            # apt's own unprivileged user could not read a directory that belongs to whoever builds.
            'APT::Sandbox::User "root";', 'Acquire::Languages "none";', *reach, "",
        ])  # fmt: skip

    def _update(self) -> None:
        tried = []
        for mirror in _mirrors():
            (self._folder / "list.sources").write_text(
                f"Types: deb\nURIs: {mirror}\nSuites: {SUITE}\nComponents: main\n"
                f"Architectures: {self._architecture}\nSigned-By: {KEYRING}\n"
            )
            try:
                self._apt("apt-get", "update", "--error-on=any")
            except DeviceError as error:
                tried.append(error.message)
                continue
            return
        raise DeviceError(
            f"No Debian archive with {SUITE} for {self._architecture} can be reached: "
            + (" ".join(tried) or "this machine's apt knows none."),
            where=SUITE,
            next_step="Check the network, or set EDGEKIT_DEBIAN_MIRROR to a Debian archive that you can reach.",
        )  # fmt: skip

    def _apt(self, *command: str, folder: Path | None = None) -> str:
        environment = {**os.environ, "APT_CONFIG": str(self._folder / "apt.conf"), "LC_ALL": "C.UTF-8"}
        quiet = ["-q"] if command[0] == "apt-get" else []
        return _run([command[0], *quiet, *command[1:]], environment, folder)


def unpack(packages: Iterable[Path], root: Path) -> None:
    """Unpack .deb files over each other, with /bin and the like as the links that Debian has."""
    (root / "usr").mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    for package in packages:
        _run(["dpkg-deb", "-x", str(package), str(root)], dict(os.environ))


def record(packages: Iterable[Path]) -> list[dict[str, str]]:
    """Name, version, architecture and sha256 of each, for the manifest."""
    rows = []
    for package in sorted(packages):
        fields = _run(["dpkg-deb", "-f", str(package), "Package", "Version", "Architecture"], dict(os.environ))
        facts = dict(line.split(": ", 1) for line in fields.splitlines())
        rows.append({"package": facts["Package"], "version": facts["Version"], "architecture": facts["Architecture"],
                     "sha256": hashlib.sha256(package.read_bytes()).hexdigest()})  # fmt: skip
    return rows


def _mirrors() -> list[str]:
    """Debian archives to try, in the order in which this machine's own apt lists them."""
    named = os.environ.get("EDGEKIT_DEBIAN_MIRROR")
    if named:
        return [named]
    found = _run(["apt-get", "indextargets", "--format", "$(CREATED_BY)|$(REPO_URI)|$(ORIGIN)"], dict(os.environ))
    rows = [line.split("|") for line in found.splitlines()]
    # The origin is known only after an `apt-get update`; without it, the attempt tells.
    usable = [uri for kind, uri, origin in rows if kind == "Packages" and origin in ("Debian", "")]
    return [uri for uri in dict.fromkeys(usable) if "security" not in uri]


def _require_tools() -> None:
    missing = sorted({package for tool, package in _TOOLS.items() if shutil.which(tool) is None})
    if not KEYRING.exists():
        missing.append("debian-archive-keyring")
    if missing:
        raise DeviceError(
            f"Missing for building from Debian packages: {', '.join(missing)}.",
            where="the build of the virtual phone",
            next_step=f"On Debian or Ubuntu: apt-get install {' '.join(missing)}. Elsewhere, build on such a machine.",
            missing=missing,
        )  # fmt: skip


def _run(command: list[str], environment: dict[str, str], folder: Path | None = None) -> str:
    """Standard output of a command that must succeed."""
    try:
        done = subprocess.run(
            command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=_TIMEOUT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"{command[0]} did not end within {_TIMEOUT_S} s.", where=" ".join(command[:3]),
                          next_step="Check the network and try again.") from error  # fmt: skip
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith(("E:", "dpkg-deb:"))] or [done.stderr]
        raise DeviceError(f"{command[0]} failed: {' '.join(lines).strip()[:1000]}", where=" ".join(command[:3]),
                          next_step="Check the network and the free space, then try again.")  # fmt: skip
    return done.stdout
