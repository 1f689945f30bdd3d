"""The runtimes that an Android module can use, with the versions that it pins.

Each version is the one that made the file here, or the nearest that is known to be published for Android:
``org.pytorch:executorch-android`` has 1.5.1 but no 1.5.0, and ``com.google.ai.edge.litert:litert`` has 2.3.0; of
``com.microsoft.onnxruntime:onnxruntime-android`` 1.31.0 is known, while the converter's runtime may be newer.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.bundle.recipe import Recipe
from edgekit.bundle.records import Runtime


@dataclass(frozen=True)
class AndroidRuntime:
    """One runtime: its Gradle coordinate without version, and the names that the generated code has for it.

    ``warnings`` are for whoever makes a bundle, ``notes`` for the README only.
    """

    format: str
    constant: str
    engine: str
    suffix: str
    name: str
    coordinate: str
    version: str
    licence: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def dependency(self) -> str:
        return f"{self.coordinate}:{self.version}"

    @property
    def record(self) -> Runtime:
        return Runtime(name=self.name, version=self.version, licence=self.licence, source=self.dependency, inside=False)


RUNTIMES: dict[str, AndroidRuntime] = {
    one.format: one
    for one in (
        AndroidRuntime(
            "executorch", "EXECUTORCH", "ExecuTorchEngine", "pte", "ExecuTorch",
            "org.pytorch:executorch-android", "1.5.1", "BSD-3-Clause",
            notes=("ExecuTorch calls its Java API experimental; another version than 1.5.1 may need other code",
                   "ExecuTorch's package has code for arm64-v8a and x86_64 only"),
        ),
        AndroidRuntime(
            "litert", "LITERT", "LiteRtEngine", "tflite", "LiteRT",
            "com.google.ai.edge.litert:litert", "2.3.0", "Apache-2.0",
            notes=("LiteRT runs by its interpreter on the CPU; CompiledModel, which the table's figures were measured "
                   "with, runs the same kernels there",),
        ),
        AndroidRuntime(
            "onnx", "ONNX", "OnnxEngine", "onnx", "ONNX Runtime",
            "com.microsoft.onnxruntime:onnxruntime-android", "1.31.0", "MIT",
            warnings=("ONNX Runtime for Android is pinned to 1.31.0, the newest that is known to be published; the "
                      ".onnx files may have been checked with a later one",),
        ),
    )
}  # fmt: skip


def needed(recipe: Recipe) -> tuple[AndroidRuntime, ...]:
    """Those that the recipe's files need, by their format's name."""
    formats = {member.variant.format for part in recipe.parts for member in part.members}
    return tuple(RUNTIMES[name] for name in sorted(formats))
