"""Core ML (.mlpackage, ML Program) through coremltools."""

from __future__ import annotations

from pathlib import Path

from torch.export import ExportedProgram

from edgekit.convert import placement, speedups
from edgekit.convert.backend import Conversion


class Converter:
    """Converts the exported program itself: a trace loses what the export knows (hybrid attention fails to trace)."""

    def convert(self, program: ExportedProgram, precision: str, path: Path) -> Conversion:
        """Write ``path``, a directory. ``fp32`` and ``fp16`` are the precision of storage and arithmetic."""
        with speedups.without_optional_imports(*speedups.COREML_OPTIONAL):
            import coremltools as ct

        core_aten = program.run_decompositions({})
        kind = {"fp32": ct.precision.FLOAT32, "fp16": ct.precision.FLOAT16}[precision]
        model = ct.convert(
            core_aten,
            convert_to="mlprogram",
            compute_precision=kind,
            minimum_deployment_target=ct.target.iOS16,
            skip_model_load=True,
        )
        model.save(str(path))
        return placement.read("coreml", path)
