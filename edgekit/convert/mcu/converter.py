"""The backend ``mcu``: a float program, quantised to int8 with the stock static recipe and compiled to an .ekm."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit.convert import placement
from edgekit.convert.backend import Conversion
from edgekit.convert.mcu.compile import compile_file
from edgekit.convert.mcu.exact import INT8_SUFFIX
from edgekit.quantize.calibration import Calibration
from edgekit.quantize.static_int8 import quantise, require_integers

if TYPE_CHECKING:
    from torch.export import ExportedProgram


class Converter:
    """Through LiteRT's own converter and quantiser, so that what runs on the board is what LiteRT would run."""

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration

    def convert(self, program: ExportedProgram, precision: str, path: Path) -> Conversion:
        """Write ``path`` (.ekm) for the DSP kernels, and the int8 model that it was compiled from beside it.

        Raises:
            ConvertError: an operator can't be quantised, or not compiled for microcontrollers.
        """
        from edgekit.convert.litert import Converter as LiteRt

        int8_model = path.with_suffix(INT8_SUFFIX)
        with tempfile.TemporaryDirectory() as work:
            float_model = Path(work) / "float.tflite"
            LiteRt().convert(program, "fp32", float_model)
            made = quantise(float_model, self._calibration, int8_model)
        require_integers(made)
        compiled = compile_file(int8_model, dsp=True, name=path.stem, float_outside=True)
        path.write_bytes(compiled.ekm)
        return msgspec.structs.replace(placement.read("mcu", path), warnings=made.warnings)
