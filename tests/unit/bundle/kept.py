"""A cache and a store with models, converted files and measurements in them, as conversions and deploys leave them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgekit.convert import entries
from edgekit.convert.cache import Cache
from edgekit.convert.parity import TOLERANCES
from edgekit.records import Artifact, Exported, Golden, Measurement, Parity, TensorSpec
from edgekit.selection import CandidateKey, Choice, Standing
from edgekit.store.store import Store
from tests.unit.bundle.made import SUFFIXES, digest, write_model

IMAGE = TensorSpec(name="image", shape=(1, 3, 8, 8))
LOGITS = TensorSpec(name="output_0", shape=(1, 3))


class Kept:
    """``folder`` is where files are that users give; the cache is in it too."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder, self.store = folder, store
        self.cache = Cache(folder / "cache")

    def export(self, name: str = "net", *, count: int = 8, seed: int = 0, inputs: tuple[TensorSpec, ...] = (IMAGE,),
               outputs: tuple[TensorSpec, ...] = (LOGITS,), **changes: Any) -> Exported:  # fmt: skip
        """A program with golden data: normal inputs, and outputs that are as good as any."""
        chance = np.random.default_rng(seed)
        golden = digest(f"{name} {count} {seed}")

        def fill(work: Path) -> None:
            for role, specs in (("input", inputs), ("output", outputs)):
                for number, spec in enumerate(specs):
                    stack = chance.normal(0, 1, (count, *spec.shape)).astype(spec.dtype)
                    np.save(work / f"{role}_{number}.npy", stack)

        folder = self.cache.ensure("golden", golden, fill)
        record = Golden(
            sha256=golden, count=count, source=f"{count} samples of noise",
            inputs=tuple(str(folder / f"input_{k}.npy") for k in range(len(inputs))),
            outputs=tuple(str(folder / f"output_{k}.npy") for k in range(len(outputs))),
        )  # fmt: skip
        fields: dict[str, Any] = {
            "sha256": digest(name), "name": name, "spec": f"nets.py:{name}", "weights": "random, seed 0",
            "inputs": inputs, "outputs": outputs, "parameters": 10, "program": "x", "golden": record,
        }  # fmt: skip
        exported = Exported(**{**fields, **changes})

        def write(work: Path) -> None:
            entries.write(work / "source.json", entries.Source(exported=exported, dependencies=()))

        self.cache.ensure("sources", digest(f"source {exported}"), write)
        return exported

    def convert(self, exported: Exported, format_name: str = "litert", precision: str = "fp32", *, judged: bool = True,
                stored: bool = False, content: bytes | None = None, **changes: Any) -> Artifact:  # fmt: skip
        """A file in the cache; ``judged`` with its parity and what it answered, ``stored`` also in the store."""
        content = content or f"{exported.sha256} {format_name} {precision}".encode()
        name = f"{exported.name}_{format_name}_{precision}{'.ekm' if format_name == 'mcu' else SUFFIXES[format_name]}"
        fields: dict[str, Any] = {
            "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "format": format_name,
            "precision": precision, "path": name, "model": exported.name, "exported_sha256": exported.sha256,
            "parity": Parity(passed=None, reason="not judged yet"), "converter": "converter 1.2",
        }  # fmt: skip
        artifact = Artifact(**{**fields, **changes})

        def fill(work: Path) -> None:
            write_model(work / name, content)
            entries.write(work / "artifact.json", artifact)

        folder = self.cache.ensure("artifacts", digest(f"artifact {artifact.sha256}"), fill)
        parity = self.judge(artifact, exported) if judged else artifact.parity
        artifact = msgspec.structs.replace(artifact, path=str(folder / name), parity=parity)
        if stored:
            self.store.add_artifact(artifact)
        return artifact

    def judge(self, artifact: Artifact, exported: Exported, **changes: Any) -> Parity:
        """The parity of a file in the cache, with its answers: PyTorch's, a little off."""
        fields: dict[str, Any] = {
            "passed": True, "max_abs": 1e-5, "samples": 8, "golden_sha256": exported.golden.sha256,
            "tolerance": TOLERANCES[artifact.precision],
        }  # fmt: skip
        parity = Parity(**{**fields, **changes})

        def fill(work: Path) -> None:
            entries.write(work / "parity.json", parity)
            for number, name in enumerate(exported.golden.outputs):
                np.save(work / f"output_{number}.npy", np.load(name) + 1)

        self.cache.ensure("parity", entries.parity_key(artifact, exported), fill)
        return parity

    def measure(self, artifact: Artifact, p50: float = 10.0, **changes: Any) -> Measurement:
        """A measurement in the store, with the file."""
        fields: dict[str, Any] = {
            "id": digest(f"{artifact.sha256} {p50} {sorted(changes.items())}")[:32],
            "created": "2026-03-01T10:00:00+00:00", "artifact_sha256": artifact.sha256, "model": artifact.model,
            "format": artifact.format, "precision": artifact.precision, "device": "pixel7", "device_name": "Pixel 7",
            "os_build": "14", "soc": "GS201", "engine": artifact.format, "runtime_version": "2.3",
            "harness_version": "0.1.0", "verdict": "ok", "samples": 600, "p50_ms": p50, "p90_ms": p50 * 1.1,
            "ci95_ms": (p50 * 0.99, p50 * 1.01),
        }  # fmt: skip
        measurement = Measurement(**{**fields, **changes})
        self.store.add_artifact(artifact)
        self.store.save_measurement(measurement)
        return measurement


def choice(artifact: Artifact, *measurements: Measurement, threads: int = 1, **changes: Any) -> Choice:
    """A choice of the file by these measurements."""
    key = CandidateKey(model=artifact.model, format=artifact.format, precision=artifact.precision, threads=threads,
                       engine=artifact.format, artifact_sha256=artifact.sha256)  # fmt: skip
    by_device = {one.device: one.id for one in measurements}
    standing = Standing(candidate=key, quantities={}, devices={}, measurements=by_device, verdicts={})
    return Choice(**{"status": "chosen", "choice": standing, **changes})


def write_choice(path: Path, made: Choice) -> Path:
    """As ``edgekit choose --json`` prints it."""
    fields = {key: value for key, value in msgspec.to_builtins(made).items() if key != "schema"}
    path.write_bytes(msgspec.json.format(msgspec.json.encode({"schema": 1, **fields}), indent=2))
    return path
