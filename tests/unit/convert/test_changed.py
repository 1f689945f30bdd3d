from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import zoo
from torch import nn

from edgekit.convert import changed
from edgekit.convert.eager import outputs, replaced
from edgekit.export import provenance, rewrites


@pytest.fixture(scope="module")
def program() -> Any:
    torch.manual_seed(0)
    module, example = zoo.tiny()
    made = torch.export.export(module, example, strict=False)
    provenance.strip(made)
    rewrites.apply_all(made)
    return made


def constants(program: Any) -> dict[str, np.ndarray]:
    """The weights as a channels-last format keeps them, under names of its own."""
    made = {}
    for number, tensor in enumerate(program.state_dict.values()):
        value = tensor.detach().numpy()
        made[f"constant {number}"] = (value.transpose(0, 2, 3, 1) if value.ndim == 4 else value).copy()
    return made


def test_weights_are_recognised_in_another_layout(program: Any) -> None:
    found = changed.compare(program, constants(program).items())
    assert found == changed.Weights(len(program.state_dict), len(program.state_dict), ())
    assert found.sentence() is None


@pytest.mark.parametrize("amount", [0.5, -3.0, 1e30, float("nan"), float("inf")])
def test_one_changed_value_is_found_with_its_place(program: Any, amount: float) -> None:
    kept = constants(program)
    names = list(program.state_dict)
    place = names.index("blocks.1.pointwise.weight")
    kept[f"constant {place}"][5, 0, 0, 3] += np.float32(amount)
    found = changed.compare(program, kept.items())
    assert found.present == found.total - 1
    (entry,) = found.changed
    assert (entry.parameter, entry.constant, entry.count) == ("blocks.1.pointwise.weight", f"constant {place}", 1)
    assert entry.node == "conv2d_4"
    assert entry.largest == pytest.approx(abs(amount), nan_ok=True)
    ours = program.state_dict["blocks.1.pointwise.weight"].detach().numpy()
    assert np.argwhere(~(np.abs(entry.value - ours) <= 1e-6)).tolist() == [[5, 3, 0, 0]]
    sentence = found.sentence()
    assert sentence is not None and sentence.startswith(
        f"the file's constant 'constant {place}' differs from the model's blocks.1.pointwise.weight in 1 of 64 values"
    )


def test_changes_come_in_the_order_of_their_use(program: Any) -> None:
    kept = constants(program)
    for name in ("head.weight", "stem.0.weight", "blocks.0.pointwise.weight"):
        kept[f"constant {list(program.state_dict).index(name)}"].reshape(-1)[0] += 1.0
    found = changed.compare(program, kept.items())
    order = [entry.parameter for entry in found.changed]
    assert order == ["stem.0.weight", "blocks.0.pointwise.weight", "head.weight"]
    sentence = found.sentence()
    assert sentence is not None and sentence.endswith("; 2 more constants differ")


def test_a_file_of_other_weights_is_said_to_be_that(program: Any) -> None:
    other = {name: np.random.default_rng(1).normal(size=v.shape) for name, v in constants(program).items()}
    found = changed.compare(program, other.items())
    assert (found.present, found.changed) == (0, ())
    assert found.sentence() == (
        f"only 0 of the model's {found.total} weight tensors are in the file: it was made from other weights, or "
        "stores them in another form"
    )
    assert changed.compare(program, ()).present == 0


def test_rounding_to_half_precision_is_no_change(program: Any) -> None:
    half = {name: value.astype(np.float16) for name, value in constants(program).items()}
    assert changed.compare(program, half.items()).sentence() is None
    rounded = {name: value.astype(np.float32) for name, value in half.items()}
    sentence = changed.compare(program, rounded.items()).sentence()
    assert sentence is not None  # float32 has no reason to be rounded


def test_the_groups_of_a_transposed_convolution_are_recognised_by_their_values() -> None:
    torch.manual_seed(0)
    module = nn.ConvTranspose2d(8, 6, 3, groups=2).eval()
    program = torch.export.export(module, (torch.zeros(1, 8, 4, 4),), strict=False)
    grouped = module.weight.detach().numpy().reshape(2, 4, 3, 3, 3).transpose(0, 2, 1, 3, 4).reshape(6, 4, 3, 3)
    found = changed.compare(program, [("w", grouped.transpose(0, 2, 3, 1)), ("b", module.bias.detach().numpy())])
    assert found.present == found.total == 2


def test_a_program_runs_with_replaced_weights_and_keeps_its_own(program: Any) -> None:
    x = np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)
    (before,) = outputs(program, [x])
    with replaced(program, {"head.bias": program.state_dict["head.bias"].detach().numpy() + 1}):
        (during,) = outputs(program, [x])
    (after,) = outputs(program, [x])
    assert np.allclose(during, before + 1, atol=1e-6) and np.array_equal(before, after)
