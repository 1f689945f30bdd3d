"""Small models and the files that users make of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_model import Small
from torch import nn

SOURCE = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, 5)

    def forward(self, image):
        return self.head(self.stem(image).mean((2, 3)))

def plain():
    return Small()

def with_example():
    return Small(), torch.zeros(2, 3, 8, 8)

def with_tuple():
    return Small(), (torch.zeros(1, 3, 8, 8),)

def with_dict():
    return Small(), {"image": torch.zeros(1, 3, 8, 8)}

def half():
    return Small().half().train(), torch.zeros(1, 3, 8, 8)

def sized():
    model = Small()
    model.input_size = (3, 8, 8)
    return model

def scripted():
    return torch.jit.script(Small())

def raises():
    raise KeyError("no weights here")

def exits():
    raise SystemExit(3)

def wrong():
    return "not a model"

instance = Small()
number = 3
"""


@pytest.fixture
def small() -> nn.Module:
    torch.manual_seed(5)
    return Small().eval()


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A user's file of factories."""
    file = tmp_path / "user_model.py"
    file.write_text(SOURCE)
    return str(file)


@pytest.fixture
def pt2(tmp_path: Path, small: nn.Module) -> str:
    path = str(tmp_path / "small.pt2")
    torch.export.save(torch.export.export(small, (torch.zeros(1, 3, 8, 8),)), path)
    return path


@pytest.fixture
def torchscript(tmp_path: Path, small: nn.Module) -> str:
    path = str(tmp_path / "script.pt")
    torch.jit.script(small.train()).save(path)
    small.eval()
    return path


@pytest.fixture
def state_dict(tmp_path: Path, small: nn.Module) -> str:
    path = str(tmp_path / "weights.pt")
    torch.save(small.state_dict(), path)
    return path
