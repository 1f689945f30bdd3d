from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.bundle.gather import contract
from edgekit.bundle.records import Quantisation
from edgekit.convert import entries
from edgekit.convert.mcu.compile import compile_file
from edgekit.errors import BundleError, EdgekitError
from edgekit.harness.content import sha256_of
from edgekit.harness.int8_tensors import quantise
from edgekit.records import TensorSpec
from tests.unit.bundle.gather.test_source import int8_model
from tests.unit.bundle.kept import Kept


def of_exported(kept: Kept, **changes: Any) -> contract.Fed:
    exported = kept.export(**changes)
    artifact = kept.convert(exported)
    known = entries.parity_outputs(kept.cache, artifact, exported)
    return contract.of_exported(exported, "litert", Path(artifact.path), artifact.sha256, known)


def test_a_converted_file_has_pytorchs_tensors_and_samples(kept: Kept) -> None:
    fed = of_exported(kept)
    ((given,), (made,)) = fed.inputs, fed.outputs
    assert (given.name, given.identifier, given.shape, given.dtype) == ("image", "image", (1, 3, 8, 8), "float32")
    assert (made.name, made.shape, made.quantisation) == ("output_0", (1, 3), None)
    golden = kept.export().golden
    assert np.array_equal(fed.golden_inputs[0], np.load(golden.inputs[0])[:4])
    assert np.array_equal(fed.golden_outputs[0], np.load(golden.outputs[0])[:4])  # not what the file answered
    assert fed.source == "the first 4 of 8 samples of noise"


@pytest.mark.parametrize(
    ("count", "side", "taken"), [(1, 8, 1), (3, 8, 3), (8, 8, 4), (8, 360, 2), (2, 1024, 1)]
)  # 3 x 360 x 360 float32 are 1.48 MiB, 3 x 1024 x 1024 are 12 MiB
def test_few_samples_are_taken(kept: Kept, count: int, side: int, taken: int) -> None:
    fed = of_exported(kept, count=count, inputs=(TensorSpec(name="x", shape=(1, 3, side, side)),))
    assert len(fed.golden_inputs[0]) == len(fed.golden_outputs[0]) == taken
    assert fed.source.startswith("the first" if taken < count else str(count))


def test_tensors_with_one_identifier_are_told_apart(kept: Kept) -> None:
    names = tuple(TensorSpec(name=name, shape=(1, 2)) for name in ("x", "X", "class"))
    assert [t.identifier for t in of_exported(kept, inputs=names).inputs] == ["x", "x_2", "input_class"]


def test_a_file_that_counts_in_fewer_bits_has_its_own_dtype(kept: Kept) -> None:
    exported = kept.export(outputs=(TensorSpec(name="output_0", shape=(1,), dtype="int64"),))
    answered = kept.folder / "answered.npy"
    np.save(answered, np.zeros((8, 1), np.int32))
    fed = contract.of_exported(exported, "litert", kept.folder, "0", [answered])
    assert fed.outputs[0].dtype == fed.golden_outputs[0].dtype == "int32"


def test_outputs_of_other_shapes_are_refused(kept: Kept) -> None:
    answered = kept.folder / "answered.npy"
    np.save(answered, np.zeros((8, 1, 4), np.float32))
    with pytest.raises(BundleError, match=r"have the shapes \[\(1, 4\)\], PyTorch's \[\(1, 3\)\]"):
        contract.of_exported(kept.export(), "litert", kept.folder / "x.tflite", "0", [answered])


def test_golden_data_that_can_not_be_read_is_an_error(kept: Kept) -> None:
    exported = kept.export()
    Path(exported.golden.inputs[0]).write_bytes(b"\x93NUMPY junk")
    with pytest.raises(BundleError, match="golden inputs of net can't be read"):
        contract.first_samples(exported)


def test_pickled_golden_data_is_not_unpickled(kept: Kept) -> None:
    exported = kept.export()
    np.save(exported.golden.outputs[0], np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(BundleError, match="can't be read"):
        contract.first_samples(exported)


def test_a_packed_model_takes_what_the_board_stores(tmp_path: Path) -> None:
    path = tmp_path / "relu.tflite"
    path.write_bytes(int8_model(0.05))
    ekm = compile_file(path, dsp=True, float_outside=True).ekm
    values = np.random.default_rng(0).normal(0, 4, (3, 1, 4)).astype(np.float32)
    fed = contract.of_packed(ekm, [values], (["in put"], ["class"]), "here")
    ((given,), (made,)) = fed.inputs, fed.outputs
    scale = Quantisation(scale=float(np.float32(0.05)), zero_point=3)
    assert (given.name, given.identifier, given.dtype, given.quantisation) == ("in put", "in_put", "int8", scale)
    assert (made.name, made.identifier, made.shape) == ("class", "output_class", (1, 4))
    stored = quantise(values, scale.scale, scale.zero_point)
    assert np.array_equal(fed.golden_inputs[0], stored)
    assert np.array_equal(fed.golden_outputs[0], np.maximum(stored, 3))
    assert fed.golden_outputs[0].dtype == np.int8 and fed.source == "here"


def test_a_file_made_elsewhere_is_run(tmp_path: Path) -> None:
    path = tmp_path / "relu.tflite"
    path.write_bytes(int8_model())
    fed = contract.of_file("litert", path, sha256_of(path))
    assert fed.inputs[0].shape == (1, 4) and fed.inputs[0].dtype == "int8" and len(fed.golden_inputs[0]) == 4
    assert np.array_equal(fed.golden_outputs[0], np.maximum(fed.golden_inputs[0], 3))
    assert fed.outputs[0].name == "output_0" and "the file's own" in fed.source


@pytest.mark.parametrize("suffix", [".tflite", ".mlpackage"])
def test_a_file_made_elsewhere_that_can_not_be_run_is_an_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"junk{suffix}"
    if suffix == ".mlpackage":
        path.mkdir()
    (path / "Manifest.json" if path.is_dir() else path).write_bytes(b"junk")
    with pytest.raises(EdgekitError) as caught:
        contract.of_file("coreml" if path.is_dir() else "litert", path, sha256_of(path))
    assert caught.value.message and caught.value.next_step


def test_core_ml_that_the_evaluator_does_not_know_can_not_be_bundled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekit.convert.mil.failures import NotEvaluated

    def refuses(path: Path) -> None:
        raise NotEvaluated("crop_resize", "op_7")

    monkeypatch.setattr(contract, "_program", refuses)
    with pytest.raises(BundleError, match="made elsewhere and can't be run here.*crop_resize") as caught:
        contract.of_file("coreml", tmp_path / "x.mlpackage", "0")
    assert "edgekit convert" in caught.value.next_step
