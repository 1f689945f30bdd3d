from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The example's modules, imported as its own script imports them."""
    monkeypatch.syspath_prepend(str(EXAMPLES / "digits"))
    names = ("data", "model", "train")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield {name: import_module(name) for name in names}
    for name in names:
        sys.modules.pop(name, None)


def test_the_split_has_no_overlap_and_every_class(example: dict[str, ModuleType]) -> None:
    train, test = example["data"].split()
    assert not set(train) & set(test)
    assert sorted([*train, *test]) == list(range(1797))
    assert all(np.array_equal(a, b) for a, b in zip((train, test), example["data"].split(), strict=True))
    inputs, labels = example["data"].test_set()
    assert (inputs.shape, inputs.dtype, labels.shape, labels.dtype) == ((360, 1, 32, 32), np.float32, (360,), np.int64)
    assert np.bincount(labels).min() >= 34
    assert inputs.min() >= -1
    assert inputs.max() <= 1
    images, _ = example["data"].train_set()
    seen = {image.tobytes() for image in images}
    assert not any(image.tobytes() in seen for image in inputs)


def test_upsampling_keeps_constants_and_corners(example: dict[str, ModuleType]) -> None:
    small = np.zeros((2, 8, 8), dtype=np.float32)
    small[0] = 0.5
    small[1, 0, 7] = 1.0
    large = example["data"]._upsample(small)
    assert np.allclose(large[0], 0.5)
    assert large[1, 0, 31] == 1.0
    assert large[1, 0, 24] < 1.0
    assert not large[1, 8:, :].any()


def test_training_reduces_the_loss_and_repeats(example: dict[str, ModuleType]) -> None:
    images, labels = (torch.from_numpy(array[:256]) for array in example["data"].train_set())
    runs = []
    for _ in range(2):
        torch.manual_seed(0)
        net = example["model"].DigitsNet()
        runs.append(example["train"].train(net, images, labels, epochs=4))
    assert runs[0] == runs[1]
    assert runs[0][-1] < 0.8 * runs[0][0]
    assert not net.training


def test_shifted_digits_keep_their_ink(example: dict[str, ModuleType]) -> None:
    images = torch.full((40, 1, 32, 32), -1.0)
    images[:, :, 10:20, 10:20] = 1.0
    moved = example["train"].shifted(images, torch.Generator().manual_seed(0))
    assert moved.shape == images.shape
    assert torch.equal(moved.sum(dim=(1, 2, 3)), images.sum(dim=(1, 2, 3)))
    assert len({image.numpy().tobytes() for image in moved}) > 10


def test_the_model_exports(example: dict[str, ModuleType]) -> None:
    module, inputs = example["model"].digits_net()
    program = torch.export.export(module.eval(), inputs)
    image = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(program.module()(image), module(image))
    assert module(image).shape == (1, 10)


def test_the_script_writes_a_state_dict_that_loads_safely(example: dict[str, ModuleType], tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "digits" / "train.py"), "--out", str(tmp_path / "o"), "--epochs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "test accuracy" in done.stdout
    state = torch.load(tmp_path / "o" / "digits.pt", weights_only=True)
    example["model"].DigitsNet().load_state_dict(state)


def test_photos(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(EXAMPLES / "photos.py"), str(tmp_path / "p")], check=True, capture_output=True)
    files = sorted((tmp_path / "p").iterdir())
    assert len(files) == 8
    assert {file.suffix for file in files} == {".png"}
    assert len({file.read_bytes() for file in files}) == 8
