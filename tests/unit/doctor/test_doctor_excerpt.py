from __future__ import annotations

from typing import Any

import torch
from torch import nn

from edgekit.doctor.eager import run
from edgekit.doctor.excerpt import constants, excerpt, is_operator, parts, signature


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.register_buffer("scale", torch.linspace(1.0, 2.0, 4)[:, None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x) * self.scale.exp()
        low, high = y.split([1, 3], 1)
        y = torch.cat([high, low], 1)
        return y.relu_() + y.amax((2, 3), keepdim=True)


X = torch.linspace(-1.0, 1.0, 3 * 64).reshape(1, 3, 8, 8)


def exported() -> Any:
    torch.manual_seed(0)
    return torch.export.export(Net().eval(), (X,), strict=False)


def nodes(program: Any, *names: str) -> list[Any]:
    return [node for node in program.graph.nodes if node.name in names]


def values(program: Any) -> dict[str, torch.Tensor]:
    """Every value of one run, copied at once: an operator in place comes later."""
    seen: dict[str, torch.Tensor] = {}

    def keep(node: Any, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            seen[node.name] = value.clone()

    run(program, (X,), keep)
    return seen


def test_an_excerpt_computes_what_the_program_computes_there() -> None:
    program = exported()
    whole = values(program)
    part = excerpt(program, nodes(program, "conv2d", "mul"), joined=True)
    assert [spec.kind.name for spec in part.graph_signature.input_specs].count("USER_INPUT") == 1
    assert sorted(part.state_dict) == ["conv.bias", "conv.weight", "scale"]
    (result,) = run(part, (X,))  # the constant scale.exp() came along
    assert torch.equal(result, whole["mul"])


def test_what_the_nodes_read_from_elsewhere_becomes_an_input() -> None:
    program = exported()
    whole = values(program)
    part = excerpt(program, nodes(program, "cat"), joined=True)
    low, high = whole["mul"].split([1, 3], 1)
    (result,) = run(part, (high, low))
    assert torch.equal(result, whole["cat"])


def test_an_operator_with_several_results_returns_those_that_are_read() -> None:
    program = exported()
    (split,) = nodes(program, "split_with_sizes", "split")
    assert len(parts(split)) == 2
    part = excerpt(program, [split], joined=True)
    whole = values(program)["mul"]
    for mine, theirs in zip(run(part, (whole,)), whole.split([1, 3], 1), strict=True):
        assert torch.equal(mine, theirs)


def test_nodes_that_stand_alone_do_not_read_each_other() -> None:
    program = exported()
    both = nodes(program, "cat", "add")
    together, alone = (excerpt(program, both, joined=joined) for joined in (True, False))
    inputs = [[s.kind.name for s in part.graph_signature.input_specs].count("USER_INPUT") for part in (together, alone)]
    assert len(run(alone, [torch.ones(s.shape) for s in _inputs(alone)])) == 2
    assert inputs[1] >= inputs[0]


def _inputs(program: Any) -> list[torch.Tensor]:
    return list(program.example_inputs[0])


def test_working_in_place_leaves_the_excerpts_input_alone() -> None:
    program = exported()
    part = excerpt(program, nodes(program, "relu_"), joined=True)
    x = torch.full((1, 4, 8, 8), -1.0)
    (result,) = run(part, (x,))
    assert torch.equal(result, torch.zeros_like(x)) and torch.equal(x, torch.full((1, 4, 8, 8), -1.0))
    functional = part.run_decompositions({})
    assert functional.graph_signature.user_inputs_to_mutate == {}


def test_the_program_is_not_changed_by_an_excerpt_of_it() -> None:
    program = exported()
    before = str(program.graph)
    excerpt(program, nodes(program, "conv2d", "mul", "relu_"), joined=True)
    assert str(program.graph) == before


def test_what_depends_on_parameters_only_is_constant() -> None:
    program = exported()
    names = {node.name for node in constants(program) if is_operator(node)}
    assert names == {"exp"}


def test_equal_signatures_are_equal_operators_on_equal_shapes() -> None:
    class Same(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x + 1).relu() + (x + 1).relu() + (x + 2)

    program = torch.export.export(Same(), (X,), strict=False)
    fixed = constants(program)
    kept = {node.name: signature(node, fixed) for node in program.graph.nodes if is_operator(node)}
    assert kept["add"] == kept["add_1"] and kept["relu"] == kept["relu_1"]
    assert len({kept["add"], kept["relu"], kept["add_2"], kept["add_3"]}) == 4
