"""An Android device over adb: files by content, jobs by the native runner."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from edgekit.device import lease, profiles
from edgekit.device.adb import facts, runs
from edgekit.device.adb.clocks import fixed_performance, restore_left_over
from edgekit.device.adb.link import Link, Patience, Say
from edgekit.device.adb.shell import MAX_OUTPUT, Result, run
from edgekit.device.adb.storage import ROOT, Storage
from edgekit.device.adb.sync import Sync
from edgekit.device.affinity import choose_cores
from edgekit.device.device import Conditions
from edgekit.device.runner_files import ABIS, Bundle, find_bundle
from edgekit.errors import DeviceError
from edgekit.harness.content import bytes_of, sha256_of
from edgekit.job import ENGINE_OF_FORMAT, NATIVE_ENGINES, Engine, Job, JobResult
from edgekit.records import Artifact, ClockRegime, DeviceInfo, DeviceState, Push


class AdbDevice:
    """One device. The link is opened when it is first needed, and again after it was lost.

    Args:
        spec: what the user calls it; results are stored and leases are held under it.
        connect: opens a link; raises DeviceError if the device is not there.
        say: takes a line of text for the user whenever something takes longer than it should.
    """

    def __init__(self, spec: str, connect: Callable[[], Link], *, patience: Patience, say: Say) -> None:
        self.spec, self._connect, self._patience, self.say = spec, connect, patience, say
        self._link: Link | None = None
        self._identity: facts.Identity | None = None
        self._bundle: Bundle | None = None
        self._swept = False
        self._running = threading.Lock()
        self.storage = Storage(self)

    def info(self) -> DeviceInfo:
        """Who it is, by its own properties; the profile that matches them; who holds its lease."""
        identity = self.identity()
        profile = profiles.match(identity.properties)
        held = lease.holder(self.spec)
        maker, model = identity.text("ro.product.manufacturer"), identity.text("ro.product.model")
        names = [part for part in (maker, model) if part]
        return DeviceInfo(
            spec=self.spec,
            name=" ".join(names) or self.link().name,
            profile=None if profile is None else profile.name,
            transport=f"adb, {self.link().how}",
            state="ready" if held is None else "busy",
            abi=identity.abi,
            os_build=_os_build(identity),
            soc=identity.text("ro.soc.model", "ro.board.platform"),
            ram_bytes=identity.ram_bytes,
            cores=identity.cores,
            emulated=identity.emulated,
            lease=None if held is None else str(held),
            engines=NATIVE_ENGINES if identity.abi in ABIS else (),
        )

    def identity(self) -> facts.Identity:
        """What the device says of itself; asked once."""
        if self._identity is None:
            self._identity = facts.parse_identity(self._ask(facts.IDENTITY_SCRIPT, "question who it is"))
        return self._identity

    def state(self) -> DeviceState:
        """Its temperatures, thermal status, clocks, battery and screen now."""
        return facts.parse_state(self._ask(facts.STATE_SCRIPT, "question for its state"))

    @contextmanager
    def conditions(self, threads: int, clocks: ClockRegime) -> Iterator[Conditions]:
        """The fastest cores by the device's own ``cpuinfo_max_freq``; fixed-performance mode if clocks are pinned."""
        cores = choose_cores(self.identity().max_khz, threads)
        if clocks == "free":
            yield Conditions(affinity=cores)
            return
        with fixed_performance(self.shell, self.say) as problem:
            yield Conditions(cores, "free" if problem else "pinned", problem)

    def push(self, artifact: Artifact, inputs: Sequence[str] = ()) -> Push:
        """Bring the runner, its runtimes, the artifact and the inputs there, as far as they are not there already."""
        begin, before = time.perf_counter(), self.storage.bytes_sent
        self.install_runner(ENGINE_OF_FORMAT[artifact.format])
        self.storage.put(Path(artifact.path), artifact.sha256, artifact.bytes)
        for path in inputs:
            self.put_file(Path(path))
        return Push(bytes_sent=self.storage.bytes_sent - before, seconds=time.perf_counter() - begin)

    def run(self, job: Job, *, timeout_s: float | None = None) -> JobResult:
        """Run one job there by the native runner; see :mod:`edgekit.device.adb.runs`."""
        with self._running:  # a phone does one thing at a time, whoever asks
            self.sweep()
            if job.mode != "measure":
                return runs.run_job(self, job, timeout_s)
            before = self.state()
            result = runs.run_job(self, job, timeout_s)
            return msgspec.structs.replace(
                result,
                state_before=facts.merged(result.state_before, before),
                state_after=facts.merged(result.state_after, self.state()),
            )

    def install_runner(self, engine: Engine) -> tuple[Bundle, str]:
        """Bring the runner for this device's ABI there, with this runtime; the bundle, and its folder there."""
        if self._bundle is None:
            abi = self.identity().abi
            if abi is None:
                raise DeviceError(f"{self.spec} does not tell its processor's ABI.", where=self.spec,
                                  next_step="Check that it is an Android or Linux device.")  # fmt: skip
            self._bundle = find_bundle(abi)
        bundle = self._bundle
        folder = f"{ROOT}/runner-{bundle.sha256}"
        needed = [file for file in bundle.files if file.engine in (None, engine)]
        self.storage.put_all(folder, {f.name: (f.path, f.sha256, f.bytes) for f in needed}, mode=0o755)
        return bundle, folder

    def put_file(self, path: Path) -> str:
        """Bring one local file there by content; its path on the device."""
        return self.storage.put(path, sha256_of(path), bytes_of(path))

    def sweep(self) -> None:
        """Once per connection: end and undo what an interrupted edgekit of this computer left behind there."""
        if not self._swept:
            self._swept = True
            runs.sweep(self)
            restore_left_over(self.shell, self.say)

    def clean(self) -> int:
        """Remove everything that edgekit keeps on the device; how many bytes that was."""
        runs.sweep(self)
        script = 'du -sk "$1" 2>/dev/null | cut -f1; rm -rf -- "$1"'
        answer = self.shell(["sh", "-c", script, "sh", ROOT], what="clean-up", deadline_s=120.0)
        self.storage.forget()
        if answer.code:
            raise DeviceError(f"{self.spec} could not be cleaned: {answer.complaint}.", where=ROOT,
                              next_step="Remove the folder by hand, with adb shell.")  # fmt: skip
        said = answer.text.strip()
        return int(said) * 1024 if said.isdecimal() and len(said) < 12 else 0

    def shell(
        self, arguments: list[str], *, what: str, deadline_s: float = 30.0, max_output: int = MAX_OUTPUT
    ) -> Result:
        """Run a command there; see :func:`edgekit.device.adb.shell.run`."""
        return run(
            self.link(), arguments, what=what, patience=self._patience, say=self.say, deadline_s=deadline_s,
            max_output=max_output,
        )  # fmt: skip

    def sync(self) -> Sync:
        """File transfers over the present link."""
        return Sync(self.link(), self._patience, self.say)

    def link(self) -> Link:
        """The link; opened anew if there is none or the last one was lost."""
        if self._link is not None and self._link.lost:
            self.close()
        if self._link is None:
            self._link = self._connect()
            self.say(f"{self.spec}: connected {self._link.how}")
            # The device may have been restarted, or another one plugged in: nothing that was seen there counts.
            self.storage.forget()
            self._swept = False
        return self._link

    def close(self) -> None:
        """Close the link; never raises."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _ask(self, script: str, what: str) -> dict[str, str]:
        marker = secrets.token_hex(8)
        answer = self.shell(["sh", "-c", script, "sh", marker], what=what)
        parts = facts.sections(answer.text, marker)
        if not parts:
            raise DeviceError(f"{self.spec} did not answer the {what}: {answer.complaint}.", where=self.spec,
                              next_step="Check that it is an Android device with a working shell.")  # fmt: skip
        return parts


def _os_build(identity: facts.Identity) -> str | None:
    release, build = identity.text("ro.build.version.release"), identity.text("ro.build.id", "ro.build.display.id")
    if release is None:
        return build
    return f"Android {release} ({build})" if build else f"Android {release}"
