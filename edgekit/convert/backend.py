"""The backends: what each needs and makes, as data that can be read without importing any converter.

A third party adds one through the entry point group ``edgekit.backends``: the entry's value names a ``BackendInfo``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgekit.errors import ConvertError, MissingConverterError, UsageError
from edgekit.records import Record, UndelegatedOp

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edgekit.quantize.calibration import Calibration

ENTRY_POINTS = "edgekit.backends"


class Conversion(Record, frozen=True, kw_only=True):
    """What a backend says about the file it wrote: see :class:`~edgekit.records.Artifact`.

    What it leaves null is explained in ``placement_note``.
    """

    operators: int | None = None
    weight_bytes: int | None = None
    partitions: int | None = None
    undelegated_ops: tuple[UndelegatedOp, ...] | None = None
    undelegated_macs_share: float | None = None
    placement_note: str | None = "this backend does not say"
    warnings: tuple[str, ...] = ()


class Backend(Protocol):
    """One format. Runs in a worker process of its own and may import anything."""

    def convert(self, program: ExportedProgram, precision: str, path: Path) -> Conversion:
        """Write the converted ``program`` to ``path``; raise anything on failure."""
        ...


@dataclass(frozen=True)
class BackendInfo:
    """Facts about a backend.

    ``recipe`` changes whenever the same program would convert to another file. ``memory_bytes`` is what a worker needs
    besides the weights, ``memory_per_weight_byte`` what it needs per byte of them (measured, rounded up); ``cost`` is
    the relative time of a conversion and orders the work: the longest first. The first of ``precisions`` is made if
    none is asked for. ``rewrites_of`` names the backend whose rewrites the program gets (its own if empty);
    ``calibrated`` says that ``Converter`` takes the request's calibration set.
    """

    name: str
    label: str
    suffix: str
    module: str
    extra: str
    packages: tuple[str, ...]
    imports: tuple[str, ...]
    precisions: tuple[str, ...] = ("fp32",)
    recipe: str = "1"
    memory_bytes: int = 700 << 20
    memory_per_weight_byte: float = 6.0
    cost: float = 1.0
    rewrites_of: str = ""
    calibrated: bool = False

    def precision(self, asked: str) -> str:
        """What is made if ``asked`` (which may be empty) is asked for."""
        return asked or self.precisions[0]


BACKENDS: dict[str, BackendInfo] = {
    info.name: info
    for info in (
        BackendInfo(
            name="executorch",
            label="xnnpack",
            suffix=".pte",
            module="edgekit.convert.executorch",
            extra="executorch",
            packages=("executorch", "torch"),
            imports=("torch", "executorch"),
            cost=3.0,
        ),
        BackendInfo(
            name="litert",
            label="litert",
            suffix=".tflite",
            module="edgekit.convert.litert",
            extra="litert",
            packages=("litert-torch", "ai-edge-litert", "torch"),
            imports=("torch", "litert_torch", "ai_edge_litert"),
            cost=4.0,
        ),
        BackendInfo(
            name="coreml",
            label="coreml",
            suffix=".mlpackage",
            module="edgekit.convert.coreml",
            extra="coreml",
            packages=("coremltools", "torch"),
            imports=("torch", "coremltools"),
            precisions=("fp32", "fp16"),
            cost=2.0,
        ),
        BackendInfo(
            name="onnx",
            label="onnx",
            suffix=".onnx",
            module="edgekit.convert.onnx",
            extra="onnx",
            packages=("onnx", "onnxscript", "torch"),
            imports=("torch", "onnx", "onnxscript"),
            cost=1.0,
        ),
        BackendInfo(
            name="mcu",
            label="mcu",
            suffix=".ekm",
            module="edgekit.convert.mcu.converter",
            extra="mcu",
            packages=("litert-torch", "ai-edge-quantizer", "ai-edge-litert", "torch"),
            imports=("torch", "litert_torch", "ai_edge_quantizer", "ortools"),
            precisions=("int8",),
            cost=5.0,
            rewrites_of="litert",
            calibrated=True,
        ),
    )
}


def backends() -> dict[str, BackendInfo]:
    """The built-in backends and those that installed packages add; a built-in name can't be taken over."""
    found = dict(BACKENDS)
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if entry.name not in found:
            found[entry.name] = entry.load()
    return found


def lookup(name: str) -> BackendInfo:
    """The backend of that name.

    Raises:
        UsageError: there is none.
    """
    info = BACKENDS.get(name) or backends().get(name)
    if info is None:
        known = ", ".join(sorted(backends()))
        raise UsageError(
            f"There is no format {name!r}.", where="--to", next_step=f"Choose from: {known}.", known=known.split(", ")
        )
    return info


def check(info: BackendInfo, precision: str) -> None:
    """Refuse a precision the backend lacks (an empty one is the backend's own) and a converter that is not installed.

    Raises:
        UsageError: the precision.
        MissingConverterError: a package; the message names the pip command.
    """
    if precision and precision not in info.precisions:
        raise UsageError(
            f"{info.name} has no precision {precision!r}.",
            where="--precision",
            next_step=f"{info.name} converts to: {', '.join(info.precisions)}.",
        )
    missing = [name for name in info.imports if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingConverterError(
            f"Converting to {info.name} needs the package{'s' if len(missing) > 1 else ''} {', '.join(missing)}.",
            where=info.name,
            next_step=f'pip install "edgekit[{info.extra}]"',
            missing=missing,
        )


def versions(info: BackendInfo) -> dict[str, str]:
    """Versions of the packages that decide the converted file."""
    return {name: importlib.metadata.version(name) for name in info.packages}


def instantiate(info: BackendInfo, *calibration: Calibration) -> Backend:
    """Import the backend's module and make its ``Converter`` (in a worker process), calibrated ones with their set."""
    converter: Any = importlib.import_module(info.module).Converter
    made: Backend = converter(*calibration)
    return made


def file_name(model: str, info: BackendInfo, precision: str) -> str:
    """``<model>_<backend>_<precision><suffix>``, the naming that ExecuTorch's minibench parses."""
    return f"{model}_{info.label}_{precision}{info.suffix}"


def out_of_memory(info: BackendInfo) -> ConvertError:
    """The typed error for a converter that ran out of memory."""
    return ConvertError(
        f"{info.name} ran out of memory.",
        where=info.name,
        next_step="Convert fewer formats at once with --jobs 1, or close other programs.",
        format=info.name,
    )


def remove(path: Path) -> None:
    """Remove a converted file or directory, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
