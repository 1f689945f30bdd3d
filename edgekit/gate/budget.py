"""The budget file: which models, under what limits, and what change against the baseline is tolerated."""

from __future__ import annotations

import difflib
import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import msgspec.toml

from edgekit.convert.request import SYNTHETIC
from edgekit.errors import UsageError
from edgekit.gate.decide import TOLERANCE
from edgekit.records import ClockRegime, Record

MAX_BYTES = 256 * 1024
MAX_MODELS = 64
OFF = "off"
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=10)]
# No number of rounds tells less than a thousandth.
TimedShare = Annotated[float, msgspec.Meta(ge=0.001, le=10)]
_R = TypeVar("_R", bound=Record)


class Limits(Record, frozen=True, kw_only=True):
    """What the candidate must keep by itself. ``accuracy`` holds the least value by metric."""

    p50_ms: Positive | None = None
    p90_ms: Positive | None = None
    p99_ms: Positive | None = None
    peak_rss_bytes: Positive | None = None
    model_rss_bytes: Positive | None = None
    size_bytes: Positive | None = None
    instructions: Positive | None = None
    sram_bytes: Positive | None = None
    flash_bytes: Positive | None = None
    accuracy: dict[str, float] = msgspec.field(default_factory=dict)


class Regression(Record, frozen=True, kw_only=True):
    """The tolerated change against the baseline, as a share; null is not judged.

    ``latency`` is the 10th percentile of a process's runs, what the model takes when nothing disturbs it; ``p50`` and
    ``p90`` are what it takes with disturbances, so that their tolerances are wider. ``accuracy`` is by metric, in the
    metric's own unit (for top-1: 0.005 are half a percentage point).
    """

    latency: TimedShare | None = TOLERANCE
    p50: TimedShare | None = 0.10
    p90: TimedShare | None = None
    peak_rss: Share | None = 0.05
    model_rss: Share | None = None
    size: Share | None = 0.01
    instructions: Share | None = 0.01
    sram: Share | None = 0.01
    flash: Share | None = 0.01
    accuracy: dict[str, Share | None] = msgspec.field(default_factory=dict)


class ModelBudget(Record, frozen=True, kw_only=True):
    """One model. ``file`` is a converted file; ``spec`` then is the model that it is checked against.

    Paths are absolute or relative to the process's own folder by now. ``given`` names the keys of ``regression`` that
    the file states, as against the defaults.
    """

    name: Name
    spec: Text | None = None
    file: Text | None = None
    format: Text | None = None
    precision: str = ""
    arch: Text | None = None
    weights: Text | None = None
    pretrained: bool = False
    trust_pickle: bool = False
    input_shape: Text | None = None
    input_spec: Text | None = None
    seed: int = 0
    inputs: Text | None = None
    golden_count: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 8
    calibration: Text | None = None
    calibration_count: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 128
    data: Text | None = None
    metrics: tuple[Text, ...] = ("top1",)
    samples: Annotated[int, msgspec.Meta(ge=1)] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop_fraction: Annotated[float, msgspec.Meta(ge=0.1, le=1.0)] | None = None
    limits: Limits = Limits()
    regression: Regression = Regression()
    given: tuple[str, ...] = ()


class Budget(Record, frozen=True, kw_only=True):
    """One budget file. ``baseline`` is the folder of the baseline; ``max_minutes`` bounds one pass over one model.

    ``same_device`` refuses a baseline that was set on a device of another kind.
    """

    path: str
    baseline: Text
    device: Text = "host"
    engine: Literal["python", "native"] | None = None
    clocks: ClockRegime = "free"
    threads: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1
    same_device: bool = True
    max_minutes: Positive = 20.0
    model: Annotated[tuple[ModelBudget, ...], msgspec.Meta(min_length=1, max_length=MAX_MODELS)]


def read(path: Path) -> Budget:
    """The budget in a TOML file.

    Raises:
        UsageError: it can't be read, is too large, is no TOML, has an unknown key, or a value that is out of range.
    """
    raw = _decoded(path)
    _known(raw, Budget, path, "", leave=("path",))
    models = raw.get("model")
    if not isinstance(models, list) or not all(isinstance(one, dict) for one in models):
        raise _wrong(path, "model", "has to be a list of tables: [[model]]")
    for number, model in enumerate(models):
        _prepare(model, path, f"model {model.get('name', number + 1)}")
    names = [model.get("name") for model in models]
    for name in names:
        if names.count(name) > 1:
            raise _wrong(path, f"model {name}", "is there twice")
    raw["baseline"] = _located(path, raw.get("baseline", "baseline"))
    try:
        return msgspec.convert({**raw, "path": str(path)}, Budget)
    except msgspec.ValidationError as error:
        raise _wrong(path, _place(str(error), names), str(error).partition(" - at ")[0]) from None


def _decoded(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES} bytes")
        raw = msgspec.toml.decode(content)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"The budget {path} can't be read: {text}", where=str(path),
                         next_step="Correct the file; docs/gate.md has an example.") from error  # fmt: skip
    found: dict[str, Any] = raw
    return found


def _prepare(model: dict[str, Any], path: Path, where: str) -> None:
    """Check the keys of a [[model]] and bring its values into the units of the records, in place."""
    _known(model, ModelBudget, path, where, leave=("given",))
    metrics = model.get("metrics", ["top1"])
    if not isinstance(metrics, list) or not all(isinstance(metric, str) for metric in metrics):
        raise _wrong(path, f"{where}: metrics", 'has to be a list of names, such as ["top1"]')
    limits, regression = (_table(model, key, path, where) for key in ("limits", "regression"))
    _known(limits, Limits, path, f"{where}: limits", leave=("accuracy",), also=metrics)
    _known(regression, Regression, path, f"{where}: regression", leave=("accuracy",), also=metrics)
    model["given"] = tuple(sorted(regression))
    read_limits = {key: _limit(key, value, metrics) for key, value in limits.items()}
    read_regression = {key: parse_share(value) for key, value in regression.items() if value != OFF}
    for table, read, given in (("limits", read_limits, limits), ("regression", read_regression, regression)):
        for key, value in read.items():
            _parsed(value, path, f"{where}: {table}: {key}", given[key])
    off = {key: None for key, value in regression.items() if value == OFF}
    model["limits"] = _by_metric(path, read_limits, metrics)
    model["regression"] = _by_metric(path, {**read_regression, **off}, metrics)
    model["metrics"] = tuple(_metric(path, metric) for metric in metrics)
    _check_model(model, path, where)
    _locate(model, path)


def _limit(key: str, value: Any, metrics: list[str]) -> float | None:
    """Only what has a unit of its own may be written with one."""
    if key.endswith("_bytes"):
        return parse_size(value)
    read = parse_share(value) if key in metrics else _number(value)
    # 75 for 75% could never be kept.
    return None if read is not None and read > 1 and re.fullmatch(r"top\d+", key) else read


def _by_metric(path: Path, values: dict[str, Any], metrics: list[str]) -> dict[str, Any]:
    """The bounds on metrics in a table of their own."""
    plain = {key: value for key, value in values.items() if key not in metrics}
    return {**plain, "accuracy": {_metric(path, key): values[key] for key in values if key in metrics}}


def _metric(path: Path, name: str) -> str:
    return _spec(path, name) if ".py:" in name else name


def _locate(model: dict[str, Any], path: Path) -> None:
    """Paths become those of this process, in place."""
    for key in ("spec", "arch", "data"):
        if isinstance(model.get(key), str) and model[key]:
            model[key] = _spec(path, model[key])
    for key in ("file", "weights", "inputs", "calibration"):
        if key in model and model[key] != SYNTHETIC:
            model[key] = _located(path, model[key])


def _check_model(model: dict[str, Any], path: Path, where: str) -> None:
    if model.get("spec") is None and model.get("file") is None:
        raise _wrong(path, where, "has neither a spec (a model) nor a file (a converted one)")
    if model.get("data") is None and (model["limits"]["accuracy"] or model["regression"]["accuracy"]):
        raise _wrong(path, where, "has a bound on accuracy, but no data")


def _table(model: dict[str, Any], key: str, path: Path, where: str) -> dict[str, Any]:
    found = model.get(key, {})
    if not isinstance(found, dict):
        raise _wrong(path, f"{where}: {key}", "has to be a table")
    return found


def _known(found: dict[str, Any], kind: type[_R], path: Path, where: str, *, leave: tuple[str, ...],
           also: list[str] | None = None) -> None:  # fmt: skip
    """Refuse unknown keys, naming the nearest known one."""
    known = [*(name for name in kind.__struct_fields__ if name not in leave), *(also or [])]
    for key in found:
        if key in known:
            continue
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(f"The budget {path.name} has the unknown key {key!r}.", where=_join(str(path), where, key),
                         next_step=f"{hint}Keys here: {', '.join(known)}.", key=key, near=near)  # fmt: skip


def _number(value: Any) -> float | None:
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def parse_size(value: Any) -> float | None:
    """Bytes from a number or from ``60MB`` (10^6 bytes), ``4 MiB`` (2^20); None if it is neither."""
    if _number(value) is not None:
        return _number(value)
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)\s*([KMG]?)(i?)B?", str(value).strip(), re.IGNORECASE | re.ASCII)
    if found is None or (found[3] and not found[2]):
        return None
    power = " kmg".index(found[2].lower() or " ")
    return float(found[1]) * (1 << 10 * power if found[3] else _UNITS[found[2].lower()])


def parse_share(value: Any) -> float | None:
    """A share from ``"3%"`` or from a number; None if it is neither. Limits without a unit go through here, too."""
    if _number(value) is not None:
        return _number(value)
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,9})?)\s*%", str(value).strip(), re.ASCII)
    return None if found is None else float(found[1]) / 100


def _parsed(value: float | None, path: Path, where: str, given: Any) -> None:
    if value is None:
        raise _wrong(path, where, f'is {given!r}; write a number, a share such as "3%", a size such as "60MB", or, for '
                     f'a regression, "{OFF}"')  # fmt: skip


def _located(path: Path, text: Any) -> Any:
    """A path of the file's, which is relative to its folder."""
    return str(path.parent / text) if isinstance(text, str) and text else text


def _spec(path: Path, text: str) -> str:
    """A model spec, or the name of a function, of which only a part is a path, or nothing."""
    head, _, tail = text.rpartition(":")
    if head.endswith(".py"):
        return f"{path.parent / head}:{tail}"
    return text if ":" in text else str(path.parent / text)


def _place(error: str, names: list[Any]) -> str:
    """Where msgspec found it, in the file's own words: ``$.model[0].seed`` is ``model NAME: seed``."""
    found = re.search(r"at `\$\.?(.*)`$", error)
    if found is None:
        return ""
    place = re.sub(r"model\[(\d+)\]\.?", lambda m: f"model {names[int(m[1])] or int(m[1]) + 1}: ", found[1])
    return place.replace(".", ": ").rstrip(": ")


def _join(*parts: str) -> str:
    return ": ".join(part for part in parts if part)


def _wrong(path: Path, where: str, what: str) -> UsageError:
    return UsageError(f"The budget {path.name} can't be used: {where or 'it'} {what}.", where=_join(str(path), where),
                      next_step="Correct the file; docs/gate.md describes every key.")  # fmt: skip
