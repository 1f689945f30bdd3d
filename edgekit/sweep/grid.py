"""A grid: which models, formats, precisions, thread counts and devices a sweep covers, and how it measures.

``GridFile`` is what the user writes; ``Grid`` is the same with every model named and every path absolute, and knows the
content of the files that it was made from. The digest of a grid is how an interrupted sweep is found again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edgekit.convert.request import CalibrationRequest, ConvertRequest, GoldenRequest
from edgekit.errors import ModelError, UsageError
from edgekit.harness.content import sha256_of
from edgekit.measure.plan import check_plan
from edgekit.model import zoo
from edgekit.model.request import LoadRequest, name_of, parse_input_shape, parse_input_spec, parse_spec
from edgekit.quantize.calibration import DEFAULT_LIMIT
from edgekit.records import ClockRegime, Plan, Record

MAX_CELLS = 10_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LISTED = 100_000  # files of a folder of inputs that are looked at

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
Texts = Annotated[tuple[Text, ...], msgspec.Meta(max_length=1000)]
Threads = Annotated[int, msgspec.Meta(ge=1, le=1024)]


class ModelEntry(Record, frozen=True, kw_only=True):
    """One model and how to load it, as the options of ``edgekit convert`` say it. ``name`` is its name in results."""

    spec: Text
    name: str | None = None
    arch: str | None = None
    weights: str | None = None
    pretrained: bool = False
    trust_pickle: bool = False
    input_shape: str | None = None
    input_spec: str | None = None
    inputs: str | None = None
    calibration: str | None = None


class Exclude(Record, frozen=True, kw_only=True):
    """Cells that are left out: those that fit every pattern given (``*`` and ``?``), and any of ``threads``."""

    model: Text | None = None
    format: Text | None = None
    precision: Text | None = None
    device: Text | None = None
    threads: Threads | tuple[Threads, ...] | None = None

    def matches(self, model: str, format_name: str, precision: str, threads: int, device: str) -> bool:
        """Whether the cell is left out."""
        pairs = ((self.model, model), (self.format, format_name), (self.precision, precision), (self.device, device))
        if any(pattern is not None and not fnmatchcase(value, pattern) for pattern, value in pairs):
            return False
        counts = (self.threads,) if isinstance(self.threads, int) else self.threads
        return counts is None or threads in counts


class _Common(Record, frozen=True, kw_only=True):
    """``formats`` empty: all that a device runs; ``precisions`` empty: each format's usual one."""

    formats: Texts = ()
    precisions: Texts = ()
    threads: Annotated[tuple[Threads, ...], msgspec.Meta(min_length=1, max_length=100)] = (1,)
    devices: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1, max_length=100)] = ("host",)
    engine: Literal["python", "native"] | None = None
    clocks: ClockRegime = "free"
    golden_count: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 8
    seed: int = 0
    calibration_count: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = DEFAULT_LIMIT
    parity: bool = True
    plan: Plan = Plan()
    exclude: Annotated[tuple[Exclude, ...], msgspec.Meta(max_length=1000)] = ()


class GridFile(_Common, frozen=True, kw_only=True):
    """A grid as it is written. ``zoo`` holds patterns of the zoo's names, such as ``mobilevig*``.

    ``inputs`` and ``calibration`` are for the models that name none of their own.
    """

    name: str | None = None
    models: Annotated[tuple[Text | ModelEntry, ...], msgspec.Meta(max_length=1000)] = ()
    zoo: Texts = ()
    inputs: str | None = None
    calibration: str | None = None


class Grid(_Common, frozen=True, kw_only=True):
    """A grid that is settled: models by their names, absolute paths; ``files`` says what each path held."""

    name: str
    models: dict[str, ModelEntry]
    files: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def text(self) -> str:
        """Canonical JSON: equal grids have equal texts."""
        return msgspec.json.encode(self, order="deterministic").decode()

    @property
    def sha256(self) -> str:
        """The digest of :attr:`text`."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read(text: str) -> Grid:
    """A settled grid from its text.

    Raises:
        UsageError: another version of edgekit made it, and this one does not know all of it.
    """
    try:
        return msgspec.json.decode(text, type=Grid)
    except msgspec.MsgspecError as error:
        raise UsageError(f"The grid of the stored sweep can't be read: {error}.", where="sweep",
                         next_step="Use the edgekit that began it, or begin a new sweep.") from error  # fmt: skip


def checked(asked: GridFile) -> GridFile:
    """The grid if its values are possible; constructing one checks none of them.

    Raises:
        UsageError: the message names the value.
    """
    try:
        return msgspec.convert(msgspec.to_builtins(asked), GridFile)
    except msgspec.ValidationError as error:
        raise UsageError(f"The grid is not possible: {error}.", where="the grid",
                         next_step="Correct the value.") from error  # fmt: skip


def settle(asked: GridFile, base: Path, default_name: str | None = None) -> Grid:
    """Name the models, make the paths absolute (they are relative to ``base``) and look at the files.

    Raises:
        UsageError: there is no model, two have one name, a pattern fits nothing, or the plan contradicts itself.
        ModelError: a model's file does not exist.
    """
    check_plan(asked.plan)
    written = [m if isinstance(m, ModelEntry) else ModelEntry(spec=m) for m in asked.models]
    entries = [_settled(entry, asked, base) for entry in [*written, *_of_zoo(asked.zoo)]]
    if not entries:
        raise UsageError("The grid has no model.", where="models",
                         next_step="Name models, or patterns of the zoo's (--zoo).")  # fmt: skip
    models: dict[str, ModelEntry] = {}
    for entry in entries:
        name = entry.name or name_of(entry.spec)
        if models.setdefault(name, entry) != entry:
            raise UsageError(f"Two models are called {name}.", where=entry.spec,
                             next_step='Give them names: models = [{spec = "…", name = "…"}].')  # fmt: skip
    shared = {name: getattr(asked, name) for name in _Common.__struct_fields__}
    for key in ("formats", "precisions", "threads", "devices"):  # a repetition is no second candidate
        shared[key] = tuple(dict.fromkeys(shared[key]))
    name = _checked_name(asked.name) if asked.name else _name_for(default_name, list(models))
    return Grid(name=name, models=models, files=_files_of(models.values()), **shared)


def changed_files(grid: Grid) -> list[str]:
    """The files that are not what they were when the grid was settled."""
    return [path for path, identity in grid.files.items() if _identity(Path(path)) != identity]


def convert_request(
    grid: Grid, model: str, formats: tuple[str, ...], precision: str, *, jobs: int, memory_limit_bytes: int, cache: str
) -> ConvertRequest:
    """What to convert for these cells of a model."""
    entry = grid.models[model]
    return ConvertRequest(
        load=LoadRequest(
            spec=entry.spec,
            arch=entry.arch,
            trust_pickle=entry.trust_pickle,
            input_shape=parse_input_shape(entry.input_shape) if entry.input_shape else None,
            input_spec=parse_input_spec(entry.input_spec) if entry.input_spec else None,
            seed=grid.seed,
            weights=entry.weights,
            pretrained=entry.pretrained,
        ),
        formats=formats,
        precision=precision,
        golden=GoldenRequest(directory=entry.inputs, count=grid.golden_count, seed=grid.seed),
        check_parity=grid.parity,
        jobs=jobs,
        memory_limit_bytes=memory_limit_bytes,
        cache=cache,
        calibration=CalibrationRequest(source=entry.calibration, limit=grid.calibration_count),
    )


def _of_zoo(patterns: Iterable[str]) -> list[ModelEntry]:
    names = [entry.name for entry in zoo.available()]
    found: dict[str, None] = {}
    for pattern in patterns:
        fitting = [name for name in names if fnmatchcase(name, pattern)]
        if not fitting:
            raise UsageError(f"No model of the zoo fits {pattern!r}.", where="zoo",
                             next_step="edgekit zoo lists the names; * and ? stand for other characters.")  # fmt: skip
        found |= dict.fromkeys(fitting)
    return [ModelEntry(spec=f"zoo:{name}") for name in found]


def _settled(entry: ModelEntry, asked: GridFile, base: Path) -> ModelEntry:
    if entry.name is not None:
        _checked_name(entry.name)
    calibration = entry.calibration or asked.calibration
    made = msgspec.structs.replace(
        entry,
        spec=_spec_in(entry.spec, base),
        arch=_spec_in(entry.arch, base) if entry.arch else None,
        weights=_path_in(entry.weights, base),
        inputs=_path_in(entry.inputs or asked.inputs, base),
        calibration=calibration if calibration == "synthetic" else _path_in(calibration, base),
    )
    # What does not exist is refused before anything is converted.
    found = parse_spec(made.spec)
    if found.kind == "zoo":
        zoo.find((found.name or "").partition("?")[0])
    for value, what in ((made.inputs, "golden inputs"), (made.calibration, "calibration data")):
        if value not in (None, "synthetic") and not Path(str(value)).exists():
            raise UsageError(f"There are no {what} at {value}.", where=str(value), next_step="Check the path.")
    if made.input_shape:
        parse_input_shape(made.input_shape)
    if made.input_spec:
        parse_input_spec(made.input_spec)
    return made


def _checked_name(name: str) -> str:
    if _NAME.fullmatch(name):
        return name
    raise UsageError(f"{name[:80]!r} is not a name.", where="name",
                     next_step="Use up to 64 letters, digits, dots, dashes and underscores.")  # fmt: skip


def _name_for(default: str | None, models: list[str]) -> str:
    """The default made a name: a file may be called as it likes."""
    named = re.sub(r"[^A-Za-z0-9._-]+", "_", default or "").strip("._-")[:64]
    if named:
        return named
    return models[0] if len(models) == 1 else f"{models[0][:48]}-and-{len(models) - 1}-more"


def _file_part(spec: str) -> str | None:
    """The path in a model spec; None where it names no file."""
    if spec.partition(":")[0] in ("zoo", "timm"):
        return None
    file, _, attribute = spec.rpartition(":")
    if file.endswith(".py") and attribute:
        return file
    return spec if "." in Path(spec).name and ":" not in spec else None


def _spec_in(spec: str, base: Path) -> str:
    file = _file_part(spec)
    return spec if file is None else str(_path_in(file, base)) + spec[len(file) :]


def _path_in(path: str | None, base: Path) -> str | None:
    return None if not path else os.path.abspath(base / Path(path).expanduser())


def _files_of(entries: Iterable[ModelEntry]) -> dict[str, str]:
    paths: dict[str, None] = {}
    for entry in entries:
        named = (_file_part(entry.spec), _file_part(entry.arch or "zoo:"), entry.weights, entry.inputs,
                 None if entry.calibration == "synthetic" else entry.calibration)  # fmt: skip
        paths |= dict.fromkeys(path for path in named if path)
    found = {}
    for path in paths:
        identity = _identity(Path(path))
        if identity is None:
            raise ModelError(f"There is no file {path}.", where=path, next_step="Check the path.")
        found[path] = identity
    return found


def _identity(path: Path) -> str | None:
    """The sha256 of a file or .mlpackage; of a folder of data its names and sizes, which is quick."""
    if not path.exists():
        return None
    if path.is_file() or path.suffix == ".mlpackage":
        return sha256_of(path)
    listed = []
    for number, file in enumerate(sorted(p for p in path.rglob("*") if p.is_file())):
        if number == _LISTED:
            break
        listed.append((file.relative_to(path).as_posix(), file.stat().st_size))
    return hashlib.sha256(msgspec.json.encode(listed)).hexdigest()
