from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import DeadlineError, ModelError, RuntimeCrashError, UsageError
from edgekit.evaluate.data import Dataset, load_dataset
from edgekit.evaluate.evaluate import artifact_at, evaluate, evaluate_model
from edgekit.evaluate.metrics import wilson
from edgekit.model.request import LoadRequest
from edgekit.records import TensorSpec

from .samples import CLASSES, scores_and_labels, write_onnx

SPECS = (TensorSpec(name="x", shape=(1, CLASSES)),)

MODELS = """
import os, time
import torch

class Double(torch.nn.Module):
    def forward(self, x):
        print("a model may print")
        return 2 * x, x

class Late(Double):
    def forward(self, x):
        if x.abs().max() > 0.999:
            raise RuntimeError("refused\\nand more")
        return super().forward(x)

def double():
    return Double(), (torch.zeros(1, 6),)

def late():
    return Late(), (torch.zeros(1, 6),)

def dies():
    os.abort()

def sleeps():
    time.sleep(60)
"""


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    scores, labels = scores_and_labels(20, wrong=3)
    np.savez(tmp_path / "set.npz", inputs=scores, labels=labels)
    with load_dataset(str(tmp_path / "set.npz"), SPECS, parent=tmp_path) as found:
        yield found


@pytest.fixture
def models(tmp_path: Path) -> str:
    (tmp_path / "nets.py").write_text(MODELS)
    return str(tmp_path / "nets.py")


def test_a_file_is_scored_by_its_runtime(tmp_path: Path, dataset: Dataset) -> None:
    path = write_onnx(tmp_path / "double.onnx")
    one, five = evaluate(path, dataset, ["top1", "top5"])
    assert (one.value, one.ci95, one.samples) == (17 / 20, wilson(17, 20), 20)
    assert (one.format, one.model, one.metric, one.dataset) == ("onnx", "double", "top1", "set")
    assert one.artifact_sha256 == artifact_at(path).sha256
    assert one.dataset_sha256 == dataset.sha256
    assert one.runtime_version
    assert one.reason is None
    assert (five.value, five.metric) == (1.0, "top5")


def test_own_metric_sees_outputs_and_labels(tmp_path: Path, dataset: Dataset) -> None:
    code = "def spread(outputs, labels):\n    assert outputs.shape == (20, 1, 6)\n    return outputs.max(axis=(1, 2))\n"
    (tmp_path / "own.py").write_text(code)
    (score,) = evaluate(write_onnx(tmp_path / "double.onnx"), dataset, f"{tmp_path}/own.py:spread")
    expected = 2 * np.load(dataset.inputs[0]).max(axis=(1, 2))
    assert score.value == pytest.approx(expected.mean())
    assert score.ci95 is not None
    assert score.value is not None
    assert score.ci95[0] < score.value < score.ci95[1]


def test_core_ml_says_why_it_has_no_value(tmp_path: Path, dataset: Dataset) -> None:
    (tmp_path / "net.mlpackage").mkdir()
    (tmp_path / "net.mlpackage" / "Manifest.json").write_text("{}")
    (score,) = evaluate(tmp_path / "net.mlpackage", dataset)
    assert (score.value, score.ci95, score.samples) == (None, None, 0)
    assert score.reason == "Core ML runs only on Apple systems"


def test_labels_beyond_the_models_classes(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", inputs=np.zeros((2, CLASSES)), labels=[0, CLASSES])
    with load_dataset(str(tmp_path / "set.npz"), SPECS) as dataset, pytest.raises(UsageError, match="classes 0 to 5"):
        evaluate(write_onnx(tmp_path / "double.onnx"), dataset)


def test_data_of_another_shape_is_refused(tmp_path: Path, dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="1x6"):
        evaluate(write_onnx(tmp_path / "wide.onnx", classes=7), dataset)


def test_files_that_cannot_be_run(tmp_path: Path, dataset: Dataset) -> None:
    (tmp_path / "net.onnx").write_bytes(b"not a model")
    with pytest.raises(RuntimeCrashError):
        evaluate(tmp_path / "net.onnx", dataset)
    for name in ("net.xyz", "gone.onnx"):
        with pytest.raises(UsageError, match=name):
            evaluate(tmp_path / name, dataset)
    with pytest.raises(UsageError, match="No metric"):
        evaluate(tmp_path / "net.onnx", dataset, [])


def test_pytorch_beside_it(models: str, dataset: Dataset, capfd: pytest.CaptureFixture[str]) -> None:
    (score,) = evaluate_model(LoadRequest(spec=f"{models}:double"), dataset)
    assert (score.value, score.ci95, score.samples) == (17 / 20, wilson(17, 20), 20)
    assert (score.format, score.precision, score.artifact_sha256) == ("pytorch", "fp32", None)
    assert score.model == "nets_double"
    assert score.runtime_version.startswith("2.")
    assert capfd.readouterr().out == ""


def test_models_that_fail(models: str, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"fails on a sample: refused$"):
        np.save(dataset.inputs[0], np.ones((20, 1, CLASSES), dtype=np.float32))
        evaluate_model(LoadRequest(spec=f"{models}:late"), dataset)
    with pytest.raises(ModelError, match="signal 6"):
        evaluate_model(LoadRequest(spec=f"{models}:dies"), dataset)
    with pytest.raises(ModelError, match=r"no\.pt"):
        evaluate_model(LoadRequest(spec=str(tmp_path / "no.pt")), dataset)


def test_a_model_of_other_inputs_is_refused(models: str, dataset: Dataset) -> None:
    request = LoadRequest(spec=f"{models}:double", input_shape=((1, 9),))
    with pytest.raises(UsageError, match=r"shape \(1, 6\); input 'x' .* expects float32 of shape \(1, 9\)"):
        evaluate_model(request, dataset)


def test_a_model_that_hangs_is_ended(models: str, dataset: Dataset) -> None:
    with pytest.raises(DeadlineError, match=r"within 0\.5 s") as caught:
        evaluate_model(LoadRequest(spec=f"{models}:sleeps"), dataset, timeout_s=0.5)
    assert caught.value.code == 15


def test_this_process_imports_no_framework() -> None:
    code = (
        "import sys, edgekit.evaluate.evaluate\n"
        "print([name for name in ('torch', 'sqlalchemy', 'onnxruntime') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"
