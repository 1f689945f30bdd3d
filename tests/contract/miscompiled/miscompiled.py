"""A converter that converts a program in which one weight is not the model's."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any


def disturbed(module_name: str) -> type:
    """A ``Converter`` around the real one of ``module_name``."""

    class Converter:
        def convert(self, program: Any, precision: str, path: Path) -> Any:
            name, _, index = os.environ["EDGEKIT_TEST_WEIGHT"].partition(":")
            right = program.state_dict[name]
            wrong = right.detach().clone()
            wrong.view(-1)[int(index)] += 0.5 * float(wrong.abs().max())
            program.state_dict[name] = type(right)(wrong, requires_grad=False)
            try:
                return importlib.import_module(module_name).Converter().convert(program, precision, path)
            finally:
                program.state_dict[name] = right  # the program itself is right: only its conversion is not

    return Converter
