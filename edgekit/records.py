"""What each stage hands to the next: frozen records, validated when read from disk or from a worker.

Every record carries a schema version and the sha256 of its parent, so that a measurement can always be traced to the
file that was run and that file to the program it was converted from. Times are in the unit of their name.
"""

from __future__ import annotations

from typing import Literal

import msgspec

SCHEMA = 1

Verdict = Literal["ok", "noisy", "throttled", "timed-out", "incomparable"]
ClockRegime = Literal["free", "pinned"]
Counter = Literal["cycles", "instructions"]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the records; unknown fields are refused when one is read."""


class TensorSpec(Record, frozen=True, kw_only=True):
    """One input or output: its name, its shape (batch included) and its numpy dtype name."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


class Preprocess(Record, frozen=True, kw_only=True):
    """How an image becomes the model's input: resize the short side, centre crop, scale to 0..1, normalise.

    ``mean`` and ``std`` are per channel, in units of 0..1 pixel values; ``source`` says where the numbers come from.
    """

    height: int
    width: int
    crop_fraction: float = 0.875
    interpolation: str = "bicubic"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    source: str = "default"


class Golden(Record, frozen=True, kw_only=True):
    """Inputs every conversion is checked on, with PyTorch's float32 outputs for them.

    ``inputs`` and ``outputs`` are .npy files, one per tensor, each with a leading axis over the ``count`` samples in
    front of the tensor's own shape. ``source`` says where the inputs come from; ``sha256`` covers every file.
    """

    sha256: str
    count: int
    source: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Exported(Record, frozen=True, kw_only=True):
    """One exported program, ready for every backend. ``sha256`` is the fingerprint of graph and weights."""

    schema: int = SCHEMA
    sha256: str
    name: str
    spec: str
    weights: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: int
    program: str
    golden: Golden
    preprocess: Preprocess | None = None
    rewrites: tuple[str, ...] = ()
    torch_version: str = ""
    warnings: tuple[str, ...] = ()


class Divergence(Record, frozen=True, kw_only=True):
    """The first intermediate tensor of the model, in execution order, that the file does not reproduce.

    ``file_value`` is the value in the file that shows it, null where it was found without looking into the file. Where
    the file has fused the tensor away, the figures are those of ``figures_of``, the first one behind it that is there.
    Null figures were not finite, or nothing in the file is of that size.
    """

    tensor: str
    op: str
    module: str
    source: str
    max_abs: float | None
    cosine: float | None
    file_value: str | None = None
    figures_of: str | None = None


class Tolerance(Record, frozen=True, kw_only=True):
    """Bounds for one precision. ``max_abs`` is relative to the largest absolute value of the reference output."""

    precision: str
    max_abs: float
    cosine: float
    psnr_db: float
    top1_agreement: float


class Parity(Record, frozen=True, kw_only=True):
    """A converted file against PyTorch on the golden inputs; ``passed`` is null, with a ``reason``, if not checked.

    ``bit_equal`` compares a microcontroller's file with LiteRT's reference kernels on the same int8 model.
    """

    passed: bool | None
    reason: str | None = None
    max_abs: float | None = None
    max_rel: float | None = None
    cosine: float | None = None
    psnr_db: float | None = None
    top1_agreement: float | None = None
    samples: int = 0
    golden_sha256: str | None = None
    tolerance: Tolerance | None = None
    first_divergence: Divergence | None = None
    bit_equal: bool | None = None


class UndelegatedOp(Record, frozen=True, kw_only=True):
    """Operators of one kind that stay outside the backend's delegate, by their name in the file."""

    op: str
    count: int


class Artifact(Record, frozen=True, kw_only=True):
    """A converted file (or directory, for .mlpackage). ``exported_sha256`` is null for a file made elsewhere.

    ``operators`` counts the file's operators, those inside delegates included and constants apart; ``weight_bytes`` the
    bytes of its constants. ``undelegated_macs_share`` is the share (0 to 1) of the multiply-accumulates that stay
    outside the delegate. ``placement_note`` says where these come from, and why what is null is not known.
    """

    schema: int = SCHEMA
    sha256: str
    bytes: int
    format: str
    precision: str
    path: str
    model: str
    exported_sha256: str | None
    parity: Parity
    cached: bool = False
    converter: str = ""
    rewrites: tuple[str, ...] = ()
    operators: int | None = None
    weight_bytes: int | None = None
    partitions: int | None = None
    undelegated_ops: tuple[UndelegatedOp, ...] | None = None
    undelegated_macs_share: float | None = None
    placement_note: str | None = None
    convert_seconds: float | None = None
    convert_peak_rss_bytes: int | None = None
    weights: str = ""
    warnings: tuple[str, ...] = ()


class Push(Record, frozen=True, kw_only=True):
    """What it took to get an artifact onto the device."""

    bytes_sent: int
    seconds: float


class DeviceParity(Record, frozen=True, kw_only=True):
    """The artifact's outputs on the device against PyTorch; ``bit_equal`` compares with the parity run on the host."""

    passed: bool | None
    bit_equal: bool | None
    reason: str | None = None
    max_abs: float | None = None


class DeviceInfo(Record, frozen=True, kw_only=True):
    """One device as ``edgekit devices`` lists it. Facts that the device does not tell are null, never guessed."""

    spec: str
    name: str
    profile: str | None
    transport: str
    state: str
    abi: str | None = None
    os_build: str | None = None
    soc: str | None = None
    ram_bytes: int | None = None
    cores: int | None = None
    emulated: bool = False
    lease: str | None = None
    engines: tuple[str, ...] = ()


class Plan(Record, frozen=True, kw_only=True):
    """How long to warm up and to measure (design: warm-up and runs are bounded by count *and* by time)."""

    warmup_min_runs: int = 5
    warmup_min_seconds: float = 0.5
    warmup_max_seconds: float = 20.0
    min_runs: int = 50
    min_seconds: float = 1.0
    max_seconds: float = 150.0
    repeats: int = 3


class DeviceState(Record, frozen=True, kw_only=True):
    """The machine at one moment; ``missing`` names what this machine does not tell."""

    frequencies_khz: tuple[int, ...] | None = None
    max_frequencies_khz: tuple[int, ...] | None = None
    governor: str | None = None
    temperatures_c: dict[str, float] | None = None
    thermal_status: int | None = None
    throttle_count: int | None = None
    load_1min: float | None = None
    steal_ms: float | None = None
    charging: bool | None = None
    battery_percent: float | None = None
    screen_on: bool | None = None
    missing: tuple[str, ...] = ()


class Footprint(Record, frozen=True, kw_only=True):
    """Memory of a microcontroller in bytes: what the program holds always, the model's arena, and the deepest stack.

    ``flash_bytes`` are those of the program and the model together; null where the program's are not known.
    """

    static_bytes: int
    arena_bytes: int
    stack_bytes: int
    flash_bytes: int | None

    @property
    def sram_bytes(self) -> int:
        """All of it that is RAM."""
        return self.static_bytes + self.arena_bytes + self.stack_bytes


class Repeat(Record, frozen=True, kw_only=True):
    """One cold start of one candidate: a process of its own, every sample kept.

    ``counts`` has what a microcontroller counted in each run (``Measurement.counter`` says what); where that gives no
    time, ``samples_ns`` is empty.
    """

    samples_ns: tuple[int, ...]
    warmup_ns: tuple[int, ...]
    load_cold_ns: int
    load_warm_ns: int
    first_ns: int
    overhead_ns: int
    timed_out: bool
    warmup_stable: bool
    started: str
    state_before: DeviceState
    state_after: DeviceState
    counts: tuple[int, ...] = ()


class Measurement(Record, frozen=True, kw_only=True):
    """One artifact on one device under one plan. ``samples`` counts the timed runs; the runs are in ``repeats``.

    On microcontrollers ``instructions`` or ``cycles`` is the median of what was counted per inference (``counter`` says
    which), and ``sram_bytes`` (static + arena + stack) and ``flash_bytes`` are those of ``footprint``.
    """

    schema: int = SCHEMA
    id: str
    created: str
    artifact_sha256: str
    model: str
    format: str
    precision: str
    device: str
    device_name: str
    os_build: str | None
    soc: str | None
    engine: str
    runtime_version: str
    harness_version: str
    verdict: Verdict
    verdict_reasons: tuple[str, ...] = ()
    harness: str = "python"
    emulated: bool = False
    clock_regime: ClockRegime = "free"
    threads: int = 1
    affinity: tuple[int, ...] | None = None
    samples: int = 0
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    trimmed_mean_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    ci95_ms: tuple[float, float] | None = None
    repeat_spread: float | None = None
    first_ms: float | None = None
    load_cold_ms: float | None = None
    load_warm_ms: float | None = None
    overhead_ns: int | None = None
    peak_rss_bytes: int | None = None
    model_rss_bytes: int | None = None
    counter: Counter | None = None
    instructions: int | None = None
    cycles: int | None = None
    sram_bytes: int | None = None
    flash_bytes: int | None = None
    footprint: Footprint | None = None
    plan: Plan = Plan()
    repeats: tuple[Repeat, ...] = ()


class Deployment(Record, frozen=True, kw_only=True):
    """One artifact brought to one device, checked and measured there."""

    schema: int = SCHEMA
    artifact: Artifact
    parity: Parity
    device_parity: DeviceParity
    push: Push
    measurement: Measurement


class OpTime(Record, frozen=True, kw_only=True):
    """Time of one operator per inference, median over the profiled runs. ``unit`` is where it ran (delegate, CPU).

    ``counted`` is the median of a microcontroller's counter; one that counts instructions gives no time.
    """

    name: str
    type: str
    unit: str
    p50_ms: float | None
    share: float
    count: int = 1
    counted: int | None = None


class Profile(Record, frozen=True, kw_only=True):
    """Per-operator times of one artifact; from a pass of its own, never from the latency measurement.

    Of what a microcontroller counts (``counter``), ``total_counted`` is the median per inference.
    """

    schema: int = SCHEMA
    artifact_sha256: str
    model: str
    format: str
    device: str
    engine: str
    runtime_version: str
    threads: int
    runs: int
    total_ms: float | None
    ops: tuple[OpTime, ...]
    note: str | None = None
    counter: Counter | None = None
    total_counted: int | None = None


class Evaluation(Record, frozen=True, kw_only=True):
    """How right one file, or the PyTorch model (``format`` is ``pytorch``), is on a data set.

    ``value`` is null, with a ``reason``, if it could not be run. ``ci95`` is the 95% interval of ``value``, null where
    the metric gives no value per sample. ``samples`` counts the samples that were run; ``created`` is UTC ISO 8601.
    """

    schema: int = SCHEMA
    artifact_sha256: str | None
    model: str
    format: str
    precision: str
    dataset: str
    dataset_sha256: str
    metric: str
    value: float | None
    ci95: tuple[float, float] | None
    samples: int
    device: str = "host"
    reason: str | None = None
    runtime_version: str = ""
    created: str = ""
