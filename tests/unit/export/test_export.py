from __future__ import annotations

from pathlib import Path

import pytest
import torch
import zoo
from torch import nn

from edgekit.errors import ExportError
from edgekit.export import provenance
from edgekit.export.export import ExportedModel, export
from edgekit.export.fingerprint import fingerprint
from edgekit.model.load import Model, load
from edgekit.model.request import LoadRequest

ZOO = zoo.__file__


def loaded(name: str, file: str = ZOO) -> Model:
    return load(LoadRequest(spec=f"{file}:{name}"))


def refused(name: str, file: str = ZOO) -> ExportError:
    with pytest.raises(ExportError) as caught:
        export(loaded(name, file))
    assert caught.value.code == 11
    assert caught.value.next_step
    return caught.value


def line_of(text: str, file: str = ZOO) -> str:
    """``file:line`` of the one line that holds the text."""
    (number,) = [k for k, line in enumerate(Path(file).read_text().splitlines(), 1) if text in line]
    return f"{file}:{number}"


@pytest.fixture(scope="module")
def tiny() -> ExportedModel:
    return export(loaded("tiny"))


def test_the_identity_is_that_of_the_users_model_not_of_the_rewritten_one(tiny: ExportedModel) -> None:
    with torch.no_grad():
        program = torch.export.export(tiny.eager, (torch.zeros(1, 3, 32, 32),), strict=False)
    assert tiny.sha256 == fingerprint(program)
    assert tiny.sha256 != fingerprint(tiny.program)


def test_shapes_and_parameters_are_the_models(tiny: ExportedModel) -> None:
    assert [(i.name, i.shape, i.dtype) for i in tiny.inputs] == [("x", (1, 3, 32, 32), "float32")]
    assert [(o.name, o.shape, o.dtype) for o in tiny.outputs] == [("output_0", (1, 10), "float32")]
    assert tiny.parameters == sum(p.numel() for p in tiny.eager.parameters())
    assert tiny.rewrites == ("fold_batch_norm×3",)


def test_the_reference_is_the_untouched_module(tiny: ExportedModel) -> None:
    x = (torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2)),)
    with torch.no_grad():
        torch.testing.assert_close(tiny.program.module()(*x), tiny.eager(*x), rtol=1e-5, atol=1e-6)
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in tiny.eager.modules())


def test_an_archive_is_its_own_reference_and_is_not_changed_by_the_rewrites(tmp_path: Path) -> None:
    module, example = zoo.tiny()
    torch.export.save(torch.export.export(module, example), tmp_path / "tiny.pt2")
    made = export(load(LoadRequest(spec=str(tmp_path / "tiny.pt2"))))
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    assert made.rewrites == ("fold_batch_norm×3",)
    with torch.no_grad():
        assert torch.equal(made.eager(x), module(x))


def test_every_operator_knows_its_module_and_its_line(tiny: ExportedModel) -> None:
    by_module = {(origin.module, origin.op): origin for origin in tiny.origins.values()}
    depthwise = by_module["blocks.1.depthwise (Conv2d)", "aten.conv2d.default"]
    # torch's own frames are left out: the line is the one in the user's file.
    assert depthwise.source == line_of("self.pointwise(torch.relu(") + " in forward"
    assert by_module["(top) (Tiny)", "aten.mean.dim"].source == line_of("self.blocks(self.stem(x))") + " in forward"
    assert next(iter(tiny.origins)).startswith("conv2d")  # execution order
    assert {n.name for n in tiny.program.graph.nodes if n.op == "call_function"} <= set(tiny.origins)


def test_the_graph_carries_no_provenance(tiny: ExportedModel) -> None:
    for node in tiny.program.graph.nodes:
        assert set(node.meta) <= {"val", "tensor_meta"}, node.name


def test_installed_packages_are_named_from_their_root() -> None:
    node = torch.fx.Graph().placeholder("x")
    frame = '  File "/home/a/torch/.venv/lib/python3.11/site-packages/timm/layers/x.py", line 7, in forward\n    y\n'
    node.meta["stack_trace"] = frame
    assert provenance.origin(node).source == "timm/layers/x.py:7 in forward"


def test_a_users_folder_may_be_called_torch_or_edgekit(tmp_path: Path) -> None:
    folder = tmp_path / "torch" / "nn" / "edgekit" / "torch" / "_x"
    folder.mkdir(parents=True)
    file = folder / "model.py"
    file.write_text(Path(ZOO).read_text())
    error = refused("data_dependent", str(file))
    assert error.where.startswith(line_of("if y.sum() > 0", str(file)))
    made = export(loaded("tiny", str(file)))
    assert all(origin.source.startswith(str(file)) for origin in made.origins.values())


def test_control_flow_that_depends_on_data_names_its_line() -> None:
    error = refused("data_dependent")
    assert error.where == line_of("if y.sum() > 0") + " in forward"
    assert "control flow depends on the values" in error.message
    assert "torch.where" in error.next_step


def test_an_output_whose_shape_depends_on_data_is_named() -> None:
    error = refused("gives_nonzero")
    assert error.where == f"output 1, {line_of('torch.nonzero(x > 0)')} in forward"
    assert "The shape of output 1 depends on the input's values" in error.message
    assert "mask" in error.next_step


def test_an_output_that_is_no_tensor_is_named() -> None:
    error = refused("gives_number")
    assert error.message == "Output 1 of the model is int, not a tensor."


def test_a_model_that_keeps_state_is_refused() -> None:
    error = refused("counts_calls")
    assert "its own buffer 'calls'" in error.message
    assert error.where == line_of("self.calls[0] += 1") + " in forward"


def test_a_model_that_writes_into_its_input_is_refused() -> None:
    error = refused("writes_input")
    assert "its own input 'x'" in error.message
    assert error.where == line_of("x[:, 0].mul_(2.0)") + " in forward"
    assert "clone" in error.next_step


def test_state_is_also_seen_in_a_program_that_was_made_functional(tmp_path: Path) -> None:
    for name, text in (("counts_calls", "its own buffer 'calls'"), ("writes_input", "its own input 'x'")):
        module, example = getattr(zoo, name)()
        program = torch.export.export(module, example).run_decompositions()
        path = tmp_path / f"{name}.pt2"
        torch.export.save(program, path)
        with pytest.raises(ExportError, match=text):
            export(load(LoadRequest(spec=str(path))))


def test_writing_into_its_own_intermediates_is_no_state() -> None:
    assert export(loaded("works_in_place")).outputs[0].shape == (1, 4, 30, 30)


def test_what_torch_export_refuses_is_quoted(tmp_path: Path) -> None:
    file = tmp_path / "stubborn.py"
    file.write_text(
        "import torch\nfrom torch import nn\nclass Net(nn.Module):\n"
        "    def forward(self, x):\n        if torch.compiler.is_exporting():\n"
        "            raise ValueError('not this way')\n        return x\n"
        "def make():\n    return Net(), (torch.zeros(1, 2),)\n"
    )
    error = refused("make", str(file))
    assert "not this way" in error.message
    assert error.where == f"{file}:6 in forward"
