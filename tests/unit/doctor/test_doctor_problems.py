from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from edgekit.doctor.problems import History, Problem, findings, source_node
from edgekit.export import provenance
from edgekit.export.provenance import NodeOrigin
from edgekit.export.rewrites import explicit_alpha, float_scalars, graph


def origins(*names: str) -> dict[str, NodeOrigin]:
    return {
        name: NodeOrigin(
            name=name, op=f"aten.{name.split('_')[0]}.default", module=f"blocks.{i} (B)", source=f"m.py:{i}"
        )
        for i, name in enumerate(names)
    }


def history(removed: dict[str, str], **neighbours: list[str]) -> History:
    names = {*removed, *neighbours, *(n for near in neighbours.values() for n in near)}
    return History(removed=removed, stands_for={name: name for name in names}, neighbours=neighbours)


def test_the_same_trouble_in_many_places_is_one_finding() -> None:
    known = origins("roll", "roll_1", "roll_2")
    problems = [Problem(name, "undelegated", "no such operator", "aten.roll.default") for name in known]
    (found,) = findings("executorch", problems, problems, history({}), known)
    assert (found.count, found.module, found.source) == (3, "blocks.0 (B)", "m.py:0")
    assert found.modules == ("blocks.0 (B)", "blocks.1 (B)", "blocks.2 (B)")
    assert (found.rewrite, found.proved) == (None, None) and "torch.cat" in found.remedy


def test_the_first_place_is_the_first_one_in_the_model() -> None:
    known = origins("roll", "roll_1")
    problems = [Problem("roll_1", "undelegated", "c"), Problem("roll", "undelegated", "c")]
    assert findings("executorch", problems, problems, history({}), known)[0].module == "blocks.0 (B)"


def test_other_causes_are_other_findings() -> None:
    known = origins("conv2d", "conv2d_1")
    problems = [Problem("conv2d", "undelegated", "kernel too large"), Problem("conv2d_1", "undelegated", "groups")]
    assert len(findings("executorch", problems, problems, history({}), known)) == 2


def test_what_is_gone_after_the_rewrites_is_mended_by_the_one_that_took_the_operator_away() -> None:
    before = [Problem("alias", "fails", "unsupported")]
    past = history({"alias": "remove_identities", "other": "fold_batch_norm"})
    (found,) = findings("coreml", before, [], past, origins("alias"))
    assert found.rewrite == "remove_identities" and "remove_identities" in found.remedy


def test_an_operator_that_stays_was_mended_by_the_nearest_change() -> None:
    past = history({"far": "a", "near": "b"}, mul=["x", "near"], near=["mul"], x=["mul", "far"], far=["x"])
    (found,) = findings("litert", [Problem("mul", "fails", "refused")], [], past, origins("mul"))
    assert found.rewrite == "b"


def test_what_is_still_there_is_said_once_and_is_not_mended() -> None:
    past = history({"other": "fold_batch_norm"}, mean=["other"])
    past.stands_for["mean_9"] = "mean"  # a rewrite made it in place of the exported one
    before, after = [Problem("mean", "splits", "keepdim", partitions=2)], [Problem("mean_9", "undelegated", "keepdim")]
    (found,) = findings("executorch", before, after, past, origins("mean"))
    assert (found.severity, found.rewrite, found.module) == ("undelegated", None, "blocks.0 (B)")


def test_failing_is_another_trouble_than_being_outside_the_delegate() -> None:
    past = history({"sort": "r"})
    found = findings(
        "executorch", [Problem("sort", "fails", "c")], [Problem("sort", "undelegated", "d")], past, origins("sort")
    )
    assert [(f.severity, f.rewrite) for f in found] == [("undelegated", None), ("fails", "r")]


def test_what_is_left_comes_first_and_then_the_most_severe() -> None:
    known = origins("a", "b", "c", "d")
    past = history({"d": "r"})
    before = [Problem("d", "fails", "w")]
    after = [Problem("a", "undelegated", "x"), Problem("b", "fails", "y"), Problem("c", "splits", "z", partitions=1)]
    found = findings("executorch", before, after, past, known)
    assert [(f.severity, f.rewrite) for f in found] == [
        ("fails", None), ("splits", None), ("undelegated", None), ("fails", "r"),
    ]  # fmt: skip


def test_a_remedy_for_this_problem_goes_before_that_for_the_operator() -> None:
    (found,) = findings("coreml", [], [Problem("mul", "wrong", "c", remedy="Do this.")], history({}), origins("mul"))
    assert found.remedy == "Do this."


def test_what_an_operator_becomes_is_counted() -> None:
    problems = [Problem("roll", "undelegated", "c", op) for op in ("aten.arange", "aten.index", "aten.index")]
    (found,) = findings("executorch", [], problems, history({}), origins("roll"))
    assert found.becomes == ("2 aten.index", "1 aten.arange") and found.count == 1


def test_a_problem_that_can_not_be_traced_back_is_still_a_finding() -> None:
    (found,) = findings("executorch", [], [Problem("", "undelegated", "c", "aten.full.default")], history({}), {})
    assert (found.op, found.module, found.source, found.count) == ("aten.full.default", "", "", 1)
    (found,) = findings("executorch", [], [Problem("", "fails", "c")], history({}), {})
    assert found.op == "(unknown operator)"


class Twice(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.softmax(x, -1).relu()


@pytest.fixture
def program() -> Any:
    made = torch.export.export(Twice(), (torch.zeros(1, 4),), strict=False)
    provenance.strip(made)
    return made


def test_a_history_knows_what_replaced_an_exported_node(program: Any) -> None:
    past = History.of(program)
    (relu,) = (n for n in program.graph.nodes if n.name == "relu")
    made = graph.call(program, relu, torch.ops.aten.clamp_min.default, relu.args[0], 0.0)
    graph.replace(program, relu, made)
    graph.finish(program)
    past.record("first", program)
    assert past.removed == {"relu": "first"} and past.stands_for[made.name] == "relu"
    again = graph.call(program, made, torch.ops.aten.relu.default, made.args[0])
    graph.replace(program, made, again)
    past.record("second", program)
    assert past.mender("relu") == "first"
    assert past.removed_by("first") == past.removed_by("second") == ["relu"]


def test_the_nodes_of_a_decomposed_program_are_traced_to_the_exported_ones(program: Any) -> None:
    known = {node.name for node in program.graph.nodes if node.op == "call_function"}
    core = program.run_decompositions()
    traced = {str(n.target): source_node(n, known) for n in core.graph.nodes if n.op == "call_function"}
    assert traced == {"aten._softmax.default": "softmax", "aten.relu.default": "relu"}
    assert source_node(next(iter(core.graph.nodes)), {"elsewhere"}) == ""


def test_a_number_that_a_rewrite_changes_in_place_is_its_doing() -> None:
    class Scaled(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sub(x.relu(), x, alpha=2.5) + 1

    made = torch.export.export(Scaled(), (torch.zeros(1, 4),), strict=False)
    provenance.strip(made)
    past = History.of(made)
    for rewrite in (explicit_alpha, float_scalars):
        assert rewrite.apply(made) == 1
        past.record(rewrite.__name__.rpartition(".")[2], made)
    assert past.removed == {"sub": "explicit_alpha", "add": "float_scalars"}
    assert past.applied == ["explicit_alpha", "float_scalars"]
    assert past.removed_by("explicit_alpha") == ["sub"] and past.mender("relu") == "explicit_alpha"


def test_a_neighbour_of_what_is_replaced_is_not_changed_itself(program: Any) -> None:
    past = History.of(program)
    (softmax,) = (n for n in program.graph.nodes if n.name == "softmax")
    graph.replace(program, softmax, graph.call(program, softmax, torch.ops.aten.relu.default, softmax.args[0]))
    graph.finish(program)
    past.record("first", program)
    assert past.removed == {"softmax": "first"}
