from __future__ import annotations

from typing import Any

import pytest
import torch
import zoo
from torch import nn

from edgekit.doctor import cost
from edgekit.export import provenance
from edgekit.model.zoo.counting import count_macs


def exported(module: nn.Module, *shapes: tuple[int, ...]) -> tuple[Any, Any]:
    program = torch.export.export(module.eval(), tuple(torch.zeros(s) for s in shapes), strict=False)
    origins = provenance.collect(program)
    provenance.strip(program)
    return program, origins


@pytest.mark.parametrize("name", ["tiny", "products", "attention", "two_inputs_two_outputs"])
def test_multiply_accumulates_are_those_of_the_module(name: str) -> None:
    module, inputs = getattr(zoo, name)()
    shapes = [tuple(value.shape) for value in inputs]
    assert cost.cost(*exported(module, *shapes)).macs == count_macs(module, *shapes) > 0


class Chain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).flatten(1).relu().reshape(1, 8, 16, 16)


def test_traffic_is_what_goes_in_and_out_of_operators_that_move_data() -> None:
    counted = cost.cost(*exported(Chain(), (1, 3, 16, 16)))
    image, result, weights = 3 * 256 * 4, 8 * 256 * 4, (24 + 8) * 4
    assert counted.traffic_bytes == (image + weights + result) + (result + result)  # the views are free
    assert counted.operators == 2 and counted.weight_bytes == weights


def test_the_peak_is_the_largest_sum_of_what_lives_together() -> None:
    counted = cost.cost(*exported(Chain(), (1, 3, 16, 16)))
    assert counted.peak_activation_bytes == 2 * 8 * 256 * 4  # what the relu reads and writes; the image is gone


def test_working_in_place_needs_no_second_tensor() -> None:
    class InPlace(Chain):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x).relu_()

    counted = cost.cost(*exported(InPlace(), (1, 3, 16, 16)))
    assert counted.peak_activation_bytes == (3 + 8) * 256 * 4
    assert counted.operators == 2


def test_a_tensor_that_is_used_late_is_kept_until_then() -> None:
    class Late(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x.relu().sigmoid().tanh()) + x

    assert cost.cost(*exported(Late(), (1, 256))).peak_activation_bytes == 3 * 256 * 4


def test_a_shared_weight_is_counted_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x))

    assert cost.cost(*exported(Tied(), (1, 8))).weight_bytes == 64 * 4


def test_the_blocks_with_the_most_work_are_named_and_add_up() -> None:
    module, _ = zoo.tiny()
    counted = cost.cost(*exported(module, (1, 3, 32, 32)))
    assert [entry.module for entry in counted.top_macs] == ["stem", "blocks.0", "blocks.1", "head"]
    assert sum(entry.macs for entry in counted.top_macs) == counted.macs
    assert sum(entry.traffic_bytes for entry in counted.top_traffic) == counted.traffic_bytes


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("stages.2.blocks.4.mlp.fc1 (Linear)", "stages.2.blocks.4"),
        ("blocks.0 (Block)", "blocks.0"),
        ("stem.0 (Conv2d)", "stem"),
        ("local.0.0.expand.0 (Conv2d)", "local.0.0"),
        ("head.fc (Linear)", "head"),
        ("(top) (Net)", "(top)"),
    ],
)
def test_a_layer_belongs_to_the_repeated_part_around_it(module: str, expected: str) -> None:
    assert cost.block(module) == expected
