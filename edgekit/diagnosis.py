"""What the doctor hands to its caller: frozen records like those of :mod:`edgekit.records`, of which they are made."""

from __future__ import annotations

from typing import Literal

from edgekit.records import SCHEMA, Record, TensorSpec, UndelegatedOp

Severity = Literal["fails", "wrong", "splits", "undelegated", "precision"]


class Finding(Record, frozen=True, kw_only=True):
    """What the doctor found about one operator on one backend, at ``count`` places for the same ``cause``.

    ``severity``: the conversion *fails*; the file is silently *wrong*; the operator *splits* the delegate's graph, so
    that ``partitions`` more of them are needed, or is merely *undelegated*; *precision* is lost. ``module`` and
    ``source`` are those of the first place, ``modules`` those of all; ``becomes`` is what the converter makes of the
    operator there. ``rewrite`` is the one that mends it, null if none does; ``proved`` whether the rewrite's result was
    within its bound on this model (null: no rewrite, or not run).
    """

    severity: Severity
    backend: str
    op: str
    module: str
    source: str
    cause: str
    remedy: str
    proved: bool | None = None
    rewrite: str | None = None
    count: int = 1
    modules: tuple[str, ...] = ()
    becomes: tuple[str, ...] = ()
    partitions: int | None = None


class RewriteProof(Record, frozen=True, kw_only=True):
    """One rewrite that changed the model at ``places``, and the model's output before and after it.

    ``difference`` is the largest one on ``samples`` golden inputs, relative to the largest absolute value of the output
    before; ``proved`` says whether it is within ``bound`` (null, with the others, where it was not run).
    """

    name: str
    places: int
    reason: str
    bound: float | None
    difference: float | None
    samples: int
    proved: bool | None


class Placement(Record, frozen=True, kw_only=True):
    """What a backend would do with a program; null where it has no delegate. ``failing`` names operators."""

    partitions: int | None
    undelegated_ops: tuple[UndelegatedOp, ...] | None
    failing: tuple[str, ...]


class BackendReport(Record, frozen=True, kw_only=True):
    """One backend: ``before`` is the program as exported, ``after`` with edgekit's rewrites, of which ``rewrites`` are
    the backend's own. ``convertible`` is null, with a ``note``, where edgekit can't tell.
    """

    name: str
    precision: str
    convertible: bool | None
    before: Placement
    after: Placement
    rewrites: tuple[RewriteProof, ...] = ()
    note: str | None = None
    seconds: float | None = None


class ModuleCost(Record, frozen=True, kw_only=True):
    """Multiply-accumulates and memory traffic (bytes) of one block of the model in one inference."""

    module: str
    macs: int
    traffic_bytes: int


class ModelReport(Record, frozen=True, kw_only=True):
    """What one inference takes. ``macs`` and ``parameters`` are those of the model as it is, as papers count them; the
    rest is counted after the rewrites for every backend, which ``rewrites`` are.

    ``traffic_bytes``: inputs, outputs and weights of each operator that moves data, views free, nothing fused.
    ``peak_activation_bytes``: the most that lives at one moment, inputs and outputs included, weights not.
    """

    name: str
    spec: str
    weights: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: int
    parameters: int
    weight_bytes: int
    macs: int
    traffic_bytes: int
    peak_activation_bytes: int
    rewrites: tuple[RewriteProof, ...] = ()
    top_macs: tuple[ModuleCost, ...] = ()
    top_traffic: tuple[ModuleCost, ...] = ()
    warnings: tuple[str, ...] = ()


class Diagnosis(Record, frozen=True, kw_only=True):
    """The doctor's report on one model. ``seconds`` is what it took."""

    schema: int = SCHEMA
    model: ModelReport
    backends: tuple[BackendReport, ...]
    findings: tuple[Finding, ...]
    seconds: float | None = None
