from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import zoo
from torch import nn
from torch.export import ExportedProgram

from edgekit.export.fingerprint import fingerprint

PROGRAM = """
import sys, torch
sys.path.insert(0, sys.argv[1])
import zoo
from edgekit.export.fingerprint import fingerprint
torch.manual_seed(0)
module, example = zoo.tiny()
print(fingerprint(torch.export.export(module, example, strict=False)))
"""


def exported(module: nn.Module, *shape: int) -> ExportedProgram:
    return torch.export.export(module.eval(), (torch.zeros(shape or (1, 3, 32, 32)),), strict=False)


def tiny() -> nn.Module:
    torch.manual_seed(0)
    return zoo.tiny()[0]


def test_it_is_equal_in_every_process_and_wherever_the_source_lies(tmp_path: Path) -> None:
    here = fingerprint(exported(tiny()))
    assert here == fingerprint(exported(tiny()))
    text = Path(zoo.__file__).read_text()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/zoo.py").write_text("# one line further down\n\n" + text)
    other = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "elsewhere")], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == here


def test_an_archive_has_the_fingerprint_of_its_program(tmp_path: Path) -> None:
    program = exported(tiny())
    torch.export.save(program, tmp_path / "tiny.pt2")
    assert fingerprint(torch.export.load(tmp_path / "tiny.pt2")) == fingerprint(program)


@pytest.mark.parametrize("name", ["head.weight", "stem.1.running_var", "blocks.1.norm.bias"])
def test_one_bit_of_one_weight_changes_it(name: str) -> None:
    module = tiny()
    before = fingerprint(exported(module))
    tensor = module.state_dict()[name]
    tensor.view(torch.int32).view(-1)[-1] ^= 1
    assert fingerprint(exported(module)) != before
    tensor.view(torch.int32).view(-1)[-1] ^= 1
    assert fingerprint(exported(module)) == before


def test_one_argument_of_one_operator_changes_it() -> None:
    def pool(size: int) -> str:
        return fingerprint(exported(nn.Sequential(nn.AvgPool2d(size, stride=4, padding=1))))

    assert pool(3) != pool(2)
    assert pool(3) == pool(3)


def test_the_input_shape_changes_it() -> None:
    assert fingerprint(exported(tiny(), 1, 3, 32, 32)) != fingerprint(exported(tiny(), 1, 3, 64, 64))


def test_the_type_of_an_argument_counts() -> None:
    class Add(nn.Module):
        def __init__(self, value: object) -> None:
            super().__init__()
            self.value = value

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.value

    assert fingerprint(exported(Add(1))) != fingerprint(exported(Add(1.0)))


def test_what_happens_inside_a_branch_counts() -> None:
    assert fingerprint(exported(zoo.Branches(2.0))) != fingerprint(exported(zoo.Branches(3.0)))
    assert fingerprint(exported(zoo.Branches(2.0))) == fingerprint(exported(zoo.Branches(2.0)))


def test_constants_of_every_kind_count() -> None:
    class Constant(nn.Module):
        def __init__(self, value: torch.Tensor) -> None:
            super().__init__()
            self.register_buffer("value", value, persistent=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.value.to(x.dtype)

    kinds = [torch.tensor(True), torch.tensor(1), torch.tensor(1, dtype=torch.int8), torch.tensor(1.0)]
    kinds += [torch.tensor(1.0, dtype=torch.bfloat16), torch.ones(1), torch.zeros(1), torch.ones(32, 32).t()]
    assert len({fingerprint(exported(Constant(value))) for value in kinds}) == len(kinds)
