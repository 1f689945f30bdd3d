"""What the parts of the build share: the failure that it reports, digests, and the two targets."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
_CHUNK = 1 << 20


class BuildError(Exception):
    """The runner can't be built; the message says why and what to do."""


@dataclass(frozen=True)
class Target:
    """One ABI: the machine's name in wheel tags and tool prefixes, and the name of its dynamic loader."""

    abi: str
    machine: str
    loader: str
    compiler_package: str

    @property
    def pins(self) -> Path:
        """The wheels, as a requirements file with hashes."""
        return HERE / "pins" / f"{self.abi}.txt"

    def tool(self, name: str) -> str:
        """A tool of the GNU tool chain for this target: the machine's own one, or the cross tool."""
        return name if platform.machine() == self.machine else f"{self.machine}-linux-gnu-{name}"


TARGETS = {
    target.abi: target
    for target in (
        Target("x86_64", "x86_64", "ld-linux-x86-64.so.2", "g++-x86-64-linux-gnu"),
        Target("arm64-v8a", "aarch64", "ld-linux-aarch64.so.1", "g++-aarch64-linux-gnu"),
    )
}


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def output_of(command: Sequence[str]) -> str:
    """Run a tool to its end and answer what it printed.

    Raises:
        BuildError: the tool is not there, or it failed.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BuildError(f"{command[0]} can't be started: {error}") from error
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).splitlines()[-40:])
        raise BuildError(f"{' '.join(command)} failed with exit code {done.returncode}:\n{tail}")
    return done.stdout
