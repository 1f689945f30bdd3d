"""Opening a written .mlpackage, changing its protobuf, and closing it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mil_programs import ct

MODEL = "Data/com.apple.CoreML/model.mlmodel"


def edit(package: Path, change: Callable[[Any], None]) -> None:
    """Change the model's protobuf; ``change`` gets the model, its block and its operators by type."""
    model = parsed((package / MODEL).read_bytes())
    change(model)
    (package / MODEL).write_bytes(model.SerializeToString())


def block(model: Any) -> Any:
    function = model.mlProgram.functions["main"]
    return function.block_specializations[function.opset]


def parsed(content: bytes) -> Any:
    model = ct.proto.Model_pb2.Model()
    model.ParseFromString(content)
    return model
