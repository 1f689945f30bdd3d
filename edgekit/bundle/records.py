"""Records of a bundle: what is in it, where that comes from, and how each model is fed and read.

They are what ``manifest.json`` holds, so nothing in them may depend on when or where the bundle was made.
"""

from __future__ import annotations

from typing import Literal

from edgekit.records import SCHEMA, ClockRegime, Parity, Preprocess, Record, Verdict

Target = Literal["android", "ios", "mcu", "linux"]
ComputeUnits = Literal["all", "cpu", "cpu_and_gpu", "cpu_and_neural_engine"]


class Quantisation(Record, frozen=True, kw_only=True):
    """What stored integers stand for: real = scale * (stored - zero_point)."""

    scale: float
    zero_point: int


class Tensor(Record, frozen=True, kw_only=True):
    """One input or output as the file itself takes or gives it.

    ``name`` is the model's own, ``identifier`` a snake_case ASCII name made from it, unique among the model's inputs
    (outputs) and no keyword of any target language. ``shape`` has the batch, which is fixed.
    """

    name: str
    identifier: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    quantisation: Quantisation | None = None


class Contract(Record, frozen=True, kw_only=True):
    """How one file is fed and read. ``preprocess`` is null where nothing says how an image becomes the first input;
    ``labels`` are those of the last axis of the first output."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    preprocess: Preprocess | None = None
    labels: tuple[str, ...] | None = None


class Evidence(Record, frozen=True, kw_only=True):
    """One measurement of a variant, without samples."""

    measurement_id: str
    created: str
    device: str
    device_name: str
    soc: str | None
    os_build: str | None
    engine: str
    runtime_version: str
    verdict: Verdict
    verdict_reasons: tuple[str, ...] = ()
    emulated: bool = False
    clock_regime: ClockRegime = "free"
    threads: int = 1
    p50_ms: float | None = None
    p90_ms: float | None = None
    ci95_ms: tuple[float, float] | None = None
    model_rss_bytes: int | None = None
    instructions: int | None = None
    cycles: int | None = None
    sram_bytes: int | None = None
    flash_bytes: int | None = None


class Variant(Record, frozen=True, kw_only=True):
    """One converted file of a model.

    ``id`` is an identifier, unique in its model. ``parity`` is the converting machine's. ``golden_samples`` samples
    come with the bundle, from ``golden_source``. ``threads`` are those to run it with where no device says otherwise.
    """

    id: str
    artifact_sha256: str
    format: str
    precision: str
    bytes: int
    converter: str
    rewrites: tuple[str, ...] = ()
    weights: str = ""
    exported_sha256: str | None = None
    parity: Parity
    contract: Contract
    golden_samples: int
    golden_source: str
    threads: int = 1
    compute_units: ComputeUnits | None = None
    evidence: tuple[Evidence, ...] = ()


class DeviceRow(Record, frozen=True, kw_only=True):
    """Which variant a device runs, by what was measured on it."""

    device_name: str
    soc: str | None
    variant: str
    threads: int
    p50_ms: float | None
    measurement_id: str


class Licence(Record, frozen=True, kw_only=True):
    """The licence of a model's code and weights.

    ``redistributable`` is null where it has to be looked up. ``accepted``: the bundle was made with
    --accept-licence although the licence forbids redistribution.
    """

    name: str
    source: str
    redistributable: bool | None = None
    accepted: bool = False


class Model(Record, frozen=True, kw_only=True):
    """One model of a bundle; ``identifier`` is a snake_case name, unique in the bundle. The first variant is the one
    for devices that ``devices`` does not list."""

    name: str
    identifier: str
    licence: Licence
    variants: tuple[Variant, ...]
    devices: tuple[DeviceRow, ...] = ()
    warnings: tuple[str, ...] = ()


class Runtime(Record, frozen=True, kw_only=True):
    """What runs the models: inside the bundle, or fetched by the app's build from ``source`` (a package coordinate)."""

    name: str
    version: str
    licence: str
    source: str
    inside: bool


class FileEntry(Record, frozen=True, kw_only=True):
    """One file of a bundle: its path with forward slashes, its size and its sha256."""

    path: str
    bytes: int
    sha256: str


class Manifest(Record, frozen=True, kw_only=True):
    """Everything in a bundle; ``files`` are sorted by path and are all files but the manifest and what seals it."""

    schema: int = SCHEMA
    target: Target
    name: str
    edgekit_version: str
    options: dict[str, str]
    models: tuple[Model, ...]
    runtimes: tuple[Runtime, ...]
    warnings: tuple[str, ...]
    files: tuple[FileEntry, ...]


class Bundle(Record, frozen=True, kw_only=True):
    """A bundle that was written. ``manifest_sha256`` names its content; ``key_id`` is null if it is not signed."""

    schema: int = SCHEMA
    path: str
    manifest_sha256: str
    key_id: str | None
    manifest: Manifest
