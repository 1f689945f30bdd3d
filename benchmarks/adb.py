"""The adb transport beside the stock client and adb_shell: one daemon, the same files, one interleaved run.

``python benchmarks/adb.py [--repeats N]``; needs what ``tests/adbd.py`` needs, and Debian's ``adb``.

The stock client is a process for each transfer, edgekit a call in a process that runs. So its throughput is given
twice: of the whole process, and as the client itself prints it, which leaves its start-up out.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common import ROOT, spread, table

sys.path.insert(0, str(ROOT / "tests"))

from adb_shell.adb_device import AdbDeviceTcp
from adbd import Adbd, adbd, free_port, require

from edgekit.device.adb.direct import connect_tcp
from edgekit.device.adb.link import Link, Patience
from edgekit.device.adb.server import ServerLink
from edgekit.device.adb.shell import run
from edgekit.device.adb.sync import Sync

SIZES = {"10 MB": 10_000_000, "200 MB": 200_000_000}
REMOTE = "/data/local/tmp/benchmark"
SERVER, DIRECT, STOCK, OWN, AS_IT_COMES = (
    "edgekit, adb server", "edgekit, direct", "adb, whole process", "adb, its own figure", "adb_shell as it comes",
)  # fmt: skip
TARGETS = {SERVER: 0.8, DIRECT: 0.6}
SHELL_CALLS = 40
_FIGURE = re.compile(r"\((\d+) bytes in ([\d.]+)s\)")


@contextmanager
def stock_server(device: Adbd, home: Path) -> Iterator[None]:
    """The stock adb server on a port of its own, with the daemon connected."""
    port = free_port()
    os.environ.update(HOME=str(home), ANDROID_ADB_SERVER_PORT=str(port))
    process = subprocess.Popen(["adb", "nodaemon", "server"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            time.sleep(0.05)
            subprocess.run(["adb", "connect", device.address], capture_output=True)
            if f"{device.address}\tdevice" in stock("devices"):
                break
        else:
            raise SystemExit("the adb server does not reach the daemon")
        yield
    finally:
        process.kill()
        process.wait()


def stock(*arguments: str) -> str:
    return subprocess.run(["adb", *arguments], capture_output=True, text=True, check=True).stdout


class Peers:
    """What is compared. Every method moves the file once, and returns the seconds by name of the figure."""

    def __init__(self, device: Adbd, source: Path, pulled: Path) -> None:
        self.device, self.source, self.pulled = device, source, pulled
        self.links: dict[str, Link] = {
            SERVER: ServerLink(device.address),
            DIRECT: connect_tcp(device.host, device.port, patience=Patience(), say=print),
        }
        self.bare = AdbDeviceTcp(device.host, device.port)
        self.bare.connect()

    def transfers(self, verb: str, small: bool) -> list[Callable[[], dict[str, float]]]:
        made: list[Callable[[], dict[str, float]]] = [
            lambda: {SERVER: timed(lambda: self.move(SERVER, verb))},
            lambda: {DIRECT: timed(lambda: self.move(DIRECT, verb))},
            lambda: self.stock(verb),
        ]
        return [*made, lambda: {AS_IT_COMES: timed(lambda: self.as_it_comes(verb))}] if small else made

    def move(self, way: str, verb: str) -> None:
        sync = Sync(self.links[way], Patience(), print)
        if verb == "push":
            with self.source.open("rb", buffering=0) as source:
                sync.push(source, REMOTE)
        else:
            with self.pulled.open("wb", buffering=0) as sink:
                sync.pull(REMOTE, sink, limit=1 << 30)

    def stock(self, verb: str) -> dict[str, float]:
        paths = [str(self.source), REMOTE] if verb == "push" else [REMOTE, str(self.pulled)]
        begun = time.perf_counter()
        said = stock("-s", self.device.address, verb, *paths)
        whole = time.perf_counter() - begun
        found = _FIGURE.search(said)
        assert found, said
        return {STOCK: whole, OWN: float(found[2])}

    def as_it_comes(self, verb: str) -> None:
        if verb == "push":
            self.bare.push(str(self.source), REMOTE)
        else:
            self.bare.pull(REMOTE, str(self.pulled))

    def shells(self) -> dict[str, Callable[[], object]]:
        def ours(way: str) -> Callable[[], object]:
            return lambda: run(self.links[way], ["true"], what="nothing", patience=Patience(), say=print)

        return {
            SERVER: ours(SERVER),
            DIRECT: ours(DIRECT),
            STOCK: lambda: stock("-s", self.device.address, "shell", "true"),
            AS_IT_COMES: lambda: self.bare.shell("true"),
        }


def timed(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def throughput(peers: Peers, size: int, small: bool, repeats: int) -> dict[str, dict[str, list[float]]]:
    """MB/s by verb and peer, every repeat with the peers in another order."""
    found: dict[str, dict[str, list[float]]] = {"push": defaultdict(list), "pull": defaultdict(list)}
    for repeat in range(repeats + 1):
        for verb, values in found.items():
            actions = peers.transfers(verb, small)
            turn = repeat % len(actions)
            for action in actions[turn:] + actions[:turn]:
                if verb == "pull":
                    peers.pulled.unlink(missing_ok=True)  # or whoever comes next pays for freeing it
                for name, seconds in action().items():
                    if repeat:  # the first round warms up
                        values[name].append(size / 1e6 / seconds)
    if sha256(peers.pulled) != sha256(peers.source):
        raise SystemExit("what was pulled is not what was pushed")
    return found


def rows_of(label: str, found: dict[str, dict[str, list[float]]]) -> list[list[str]]:
    rows = []
    for verb, values in found.items():
        whole, own = (statistics.median(values[name]) for name in (STOCK, OWN))
        for name in [name for name in (SERVER, DIRECT, STOCK, OWN, AS_IT_COMES) if name in values]:
            speeds = values[name]
            median = statistics.median(speeds)
            target = TARGETS.get(name)
            held = "" if target is None else f"≥ {target}: {'yes' if median >= target * own else 'MISSED'}"
            row = [f"{verb} {label}", name, spread(speeds, 0), f"{median / whole:.2f}", f"{median / own:.2f}", held]
            rows.append(row)
    return rows


_MEMORY = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import adb
from edgekit.device.adb.link import Patience
from edgekit.device.adb.sync import Sync
way, host, port, path, pulled = sys.argv[2:]
link = adb.ServerLink(f"{host}:{port}") if way == adb.SERVER else adb.connect_tcp(
    host, int(port), patience=Patience(), say=print)
adb.run(link, ["true"], what="nothing", patience=Patience(), say=print)
peak = lambda: int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
before = peak()
with open(path, "rb") as source:
    Sync(link, Patience(), print).push(source, adb.REMOTE)
with open(pulled, "wb") as sink:
    Sync(link, Patience(), print).pull(adb.REMOTE, sink, limit=1 << 30)
print(peak() - before)
"""


def memory(peers: Peers, way: str) -> float:
    """MiB that a process's peak grows by a push and a pull."""
    arguments = [str(ROOT / "benchmarks"), way, peers.device.host, str(peers.device.port)]
    command = [sys.executable, "-c", _MEMORY, *arguments, str(peers.source), str(peers.pulled)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    require("adb")
    rows: list[list[str]] = []
    peaks: dict[str, list[float]] = defaultdict(list)
    # In memory where that can be had: it is not the disk that is compared.
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with (
        tempfile.TemporaryDirectory(dir=place) as name,
        tempfile.TemporaryDirectory() as folder,
        adbd(Path(folder), data_bytes=256 << 20) as device,
        stock_server(device, Path(name)),
    ):
        for label, size in SIZES.items():
            source = Path(name) / "source"
            source.write_bytes(os.urandom(1 << 20) * (size >> 20) + os.urandom(size & 0xFFFFF))
            peers = Peers(device, source, Path(name) / "pulled")
            rows += rows_of(label, throughput(peers, size, label == "10 MB", options.repeats))
            for way in (SERVER, DIRECT):
                peaks[way].append(memory(peers, way))
        calls: dict[str, list[float]] = defaultdict(list)
        for _ in range(SHELL_CALLS):
            for peer, call in peers.shells().items():
                calls[peer].append(timed(call) * 1e3)
        start_up = [timed(lambda: stock("version")) * 1e3 for _ in range(SHELL_CALLS)]
    heads = ["transfer", "by", "MB/s", "× adb's process", "× adb's own figure", "target, by adb's own figure"]
    table("Transfers; median (min-max)", heads, rows)
    stock_ms = statistics.median(calls[STOCK])
    shells = [[peer, spread(ms, 1), f"{statistics.median(ms) / stock_ms:.2f}"] for peer, ms in calls.items()]
    table("One shell call (`true`); median (min-max)", ["by", "ms", "× adb"], shells)
    print(f"\nOf the stock client, {spread(start_up, 1)} ms are its start-up (`adb version`).")
    table("Growth of the process's peak memory by a push and a pull", ["by", *SIZES],
          [[way, *(f"{mib:.1f} MiB" for mib in values)] for way, values in peaks.items()])  # fmt: skip


if __name__ == "__main__":
    main()
