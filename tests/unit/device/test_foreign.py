from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.convert.cache import Cache
from edgekit.device.foreign import artifact_at, describe_file
from edgekit.device.host import HostDevice
from edgekit.errors import RuntimeCrashError, UsageError
from edgekit.harness.content import sha256_of


def onnx_file(path: Path, shape: list[int | str]) -> Path:
    """A file that adds its input to itself, made without torch."""
    inputs = [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)]
    outputs = [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["x", "x"], ["y"])], "g", inputs, outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def test_what_a_file_does_not_tell_stays_unknown(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "Net.ONNX", [1, 3, 8, 8])
    artifact = artifact_at(path)
    assert (artifact.format, artifact.precision, artifact.model) == ("onnx", "unknown", "Net")
    assert artifact.sha256 == sha256_of(path) and artifact.bytes == path.stat().st_size
    assert artifact.exported_sha256 is None
    assert (artifact.parity.passed, artifact.parity.reason) == (None, "the file was made elsewhere")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.txt").touch()
    with pytest.raises(UsageError, match="is not a converted file") as caught:
        artifact_at(tmp_path / "net.txt")
    assert ".tflite" in caught.value.next_step
    with pytest.raises(UsageError, match="does not exist"):
        artifact_at(tmp_path / "nothing.onnx")


def test_inputs_are_made_for_it_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    path = onnx_file(tmp_path / "net.onnx", [1, 3, 8, 8])
    artifact, inputs = describe_file(path, "onnx", HostDevice(), cache)
    (stack,) = (np.load(name) for name in inputs)
    assert stack.shape == (1, 1, 3, 8, 8) and stack.dtype == np.float32 and np.ptp(stack) > 0
    before = Path(inputs[0]).stat().st_mtime_ns
    assert describe_file(path, "onnx", HostDevice(), cache) == (artifact, inputs)
    assert Path(inputs[0]).stat().st_mtime_ns == before


def test_an_input_without_a_fixed_shape_is_refused(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "net.onnx", ["batch", 3])
    with pytest.raises(UsageError) as caught:
        describe_file(path, "onnx", HostDevice(), Cache(tmp_path / "cache"))
    assert caught.value.next_step


def test_a_file_that_the_runtime_refuses_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"nothing of the kind" * 50)
    with pytest.raises(RuntimeCrashError):
        describe_file(tmp_path / "net.onnx", "onnx", HostDevice(), Cache(tmp_path / "cache"))
    assert list((tmp_path / "cache/inputs").glob("*")) == []
