"""Models that drop values at random or come in training form: converted as they are used, never silently."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import zoo
from rewrite_proof import exported, random, targets
from torch import nn
from torch.nn import functional

import edgekit
from edgekit.convert import events
from edgekit.errors import ExportError
from edgekit.export.export import export, reference
from edgekit.export.fingerprint import fingerprint
from edgekit.export.rewrites import training_form
from edgekit.model.load import Model, load
from edgekit.model.request import LoadRequest

X = random(2, 4, 6, 6)


def timms_drop_path(x: torch.Tensor) -> torch.Tensor:
    kept = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(0.9)
    kept.div_(0.9)
    return x * kept


def unscaled_drop_path(x: torch.Tensor) -> torch.Tensor:
    return x * x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(0.9)


def classic_drop_path(x: torch.Tensor) -> torch.Tensor:
    kept = 0.8 + torch.rand((x.shape[0], 1, 1, 1), dtype=x.dtype, device=x.device)
    kept.floor_()
    return x.div(0.8) * kept


def classic_drop_path_behind(x: torch.Tensor) -> torch.Tensor:
    kept = torch.floor(torch.rand(x.shape[0], 1, 1, 1) + 0.8)
    return kept * x / 0.8


def compared(x: torch.Tensor) -> torch.Tensor:
    return x * (torch.rand_like(x) < 0.75).float() / 0.75


def compared_the_other_way(x: torch.Tensor) -> torch.Tensor:
    return x / 0.75 * (torch.rand(x.shape) > 0.25)


def torchvisions_stochastic_depth(x: torch.Tensor) -> torch.Tensor:
    noise = torch.empty([x.shape[0], 1, 1, 1], dtype=x.dtype).bernoulli_(0.5)
    noise.div_(0.5)
    return x * noise


def from_probabilities(x: torch.Tensor) -> torch.Tensor:
    return x * torch.bernoulli(torch.full_like(x, 0.9)) * (1 / 0.9)


def from_ones(x: torch.Tensor) -> torch.Tensor:
    return x / 0.9 * torch.bernoulli(torch.ones(x.shape[0], 1, 1, 1) * 0.9)


def uniform_in_place(x: torch.Tensor) -> torch.Tensor:
    return (x * 1).mul_((torch.empty(x.shape).uniform_() < 0.6) / 0.6)


def dropout(x: torch.Tensor) -> torch.Tensor:
    return functional.dropout(x)


def dropout_in_place(x: torch.Tensor) -> torch.Tensor:
    return functional.dropout(functional.dropout2d(x + 0, 0.2), 0.1, inplace=True)


def alpha_dropouts(x: torch.Tensor) -> torch.Tensor:
    return functional.feature_alpha_dropout(functional.alpha_dropout(x, training=True), training=True)


PATHS: list[tuple[Callable[[torch.Tensor], torch.Tensor], int]] = [
    (timms_drop_path, 1), (unscaled_drop_path, 1), (classic_drop_path, 1), (classic_drop_path_behind, 1),
    (compared, 1), (compared_the_other_way, 1), (torchvisions_stochastic_depth, 1), (from_probabilities, 1),
    (from_ones, 1), (uniform_in_place, 1), (dropout, 1), (dropout_in_place, 2), (alpha_dropouts, 2),
]  # fmt: skip


@pytest.mark.parametrize(("drop", "places"), PATHS)
def test_what_is_dropped_at_random_is_kept(drop: Callable[[torch.Tensor], torch.Tensor], places: int) -> None:
    program = exported(lambda x: torch.sin(x) + drop(torch.cos(x)), X)
    assert training_form.random_nodes(program)
    assert training_form.apply(program) == places
    assert training_form.apply(program) == 0
    assert not training_form.random_nodes(program)
    assert torch.equal(program.module()(X), torch.sin(X) + torch.cos(X))
    assert not {"aten.rand.default", "aten.bernoulli_.float", "aten.new_empty.default"} & set(targets(program))


def test_the_dropout_of_fused_attention_goes() -> None:
    x = X.reshape(1, 2, 12, 12)
    program = exported(lambda q: functional.scaled_dot_product_attention(q, q, q, dropout_p=0.3), x)
    assert training_form.apply(program) == 1
    assert torch.equal(program.module()(x), functional.scaled_dot_product_attention(x, x, x))


def test_rrelu_and_recurrent_layers_take_their_inference_form() -> None:
    class Layers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.slope, self.memory = nn.RReLU(), nn.LSTM(6, 5, num_layers=2, dropout=0.4, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.memory(self.slope(x))[0]

    torch.manual_seed(0)
    model = Layers().train()
    program = torch.export.export(model, (X[0],), strict=False)
    assert [change.kind for change in training_form.rewrite(program)] == ["random", "random"]
    assert not training_form.random_nodes(program)
    torch.testing.assert_close(program.module()(X[0]), model.eval()(X[0]))


class Trained(nn.Module):
    """A small network as it is while it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.Dropout(0.3)
        self.instance = nn.InstanceNorm2d(6, track_running_stats=True)
        self.plain = nn.InstanceNorm2d(6)
        self.head = nn.Linear(6, 3)
        for norm in (self.norm, self.instance):
            norm.running_mean.uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(1))
            norm.running_var.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.plain(torch.relu(self.instance(self.norm(self.conv(x)))))
        return self.head(self.drop(x.square().mean((2, 3))))


def saved(path: Path, model: nn.Module, decomposed: bool = False) -> Path:
    """A .pt2 file of the model as it trains."""
    program = torch.export.export(model.train(), (X,), strict=False)
    torch.export.save(program.run_decompositions() if decomposed else program, path)
    return path


def test_a_program_in_training_form_uses_its_running_statistics(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Trained()
    path = saved(tmp_path / "net.pt2", model)
    made = export(load(LoadRequest(spec=str(path))))
    norms, drops = made.warnings[1], made.warnings[0]
    assert drops.startswith("net drops values at random; converted in its inference form: 1 place (")
    assert "test_training_form.py:" in drops
    assert norms.startswith("net normalises by the statistics of each batch; converted with its running statistics: 2")
    assert made.rewrites[0] == "training_form×3"
    with torch.no_grad():
        expected = model.eval()(X)
        torch.testing.assert_close(made.eager(X), expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(made.program.module()(X), expected, rtol=1e-5, atol=1e-6)
    assert not any("tracked" in name for name in made.program.state_dict)


def test_a_functional_program_in_training_form_gives_no_new_statistics(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.3))
    model[1].running_mean.fill_(0.2)
    made = export(load(LoadRequest(spec=str(saved(tmp_path / "net.pt2", model, decomposed=True)))))
    assert made.rewrites[0] == "training_form×2" and len(made.outputs) == 1
    with torch.no_grad():
        torch.testing.assert_close(made.program.module()(X), model.eval()(X), rtol=1e-5, atol=1e-6)


def test_other_state_than_a_norms_is_still_refused(tmp_path: Path) -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(4)
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return self.norm(x) * self.calls

    for decomposed in (False, True):
        path = saved(tmp_path / "net.pt2", Counts(), decomposed)
        with pytest.raises(ExportError, match="its own buffer 'calls'"):
            export(load(LoadRequest(spec=str(path))))


FILE = """
import torch
from torch import nn
from torch.nn import functional

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        y = self.conv(x)
        kept = x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(0.5).div_(0.5)
        return x + y * kept  # whatever the mode

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.blocks, self.head = nn.Sequential(Block(), Block()), nn.Linear(3, 5)

    def forward(self, x):
        return self.head(functional.dropout(self.blocks(x).mean((2, 3)), 0.2))

class Noise(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)  # no inference form is known

class Unread(nn.Module):
    def forward(self, x):
        torch.rand(3)
        return x * 2

def drops():
    return Net(), (torch.zeros(1, 3, 8, 8),)

def noise():
    return Noise(), (torch.zeros(1, 3, 8, 8),)

def unread():
    return Unread(), (torch.zeros(1, 3, 8, 8),)
"""


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "dropping.py"
    path.write_text(FILE)
    return path


def loaded(path: Path, name: str) -> Model:
    return load(LoadRequest(spec=f"{path}:{name}"))


def test_a_module_that_drops_in_eval_mode_is_its_inference_form_and_says_so(model_file: Path) -> None:
    made, again = export(loaded(model_file, "drops")), export(loaded(model_file, "drops"))
    assert made.sha256 == again.sha256
    (warning,) = made.warnings
    assert warning.startswith("dropping_drops drops values at random; converted in its inference form: 3 places (")
    assert f"{model_file}:14 in forward" in warning and f"{model_file}:23 in forward" in warning
    x = random(1, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(made.eager(x), made.eager(x))
        module: Any = loaded(model_file, "drops").module
        hidden = x
        for block in module.blocks:
            hidden = hidden + block.conv(hidden)
        torch.testing.assert_close(made.eager(x), module.head(hidden.mean((2, 3))))
        torch.testing.assert_close(made.program.module()(x), made.eager(x), rtol=1e-5, atol=1e-6)


def test_randomness_without_a_known_inference_form_is_refused(model_file: Path) -> None:
    with pytest.raises(ExportError, match="draws random numbers \\(randn_like\\)") as caught:
        export(loaded(model_file, "noise"))
    assert caught.value.where == f"{model_file}:27 in forward"
    assert caught.value.next_step and caught.value.code == 11


def test_random_numbers_that_nobody_reads_are_no_matter(model_file: Path) -> None:
    made = export(loaded(model_file, "unread"))
    assert made.warnings == () and made.rewrites == ()


def test_the_reference_is_the_module_unless_it_draws_random_numbers(model_file: Path) -> None:
    exact = load(LoadRequest(spec=f"{zoo.__file__}:tiny"))
    x = random(1, 3, 8, 8)
    state = torch.get_rng_state()
    assert reference(exact) is exact.module
    assert torch.equal(state, torch.get_rng_state())
    dropping = reference(loaded(model_file, "drops"))
    with torch.no_grad():
        assert torch.equal(dropping(x), dropping(x))
    assert torch.equal(reference(loaded(model_file, "unread"))(x), x * 2)
    with pytest.raises(ExportError, match="draws random numbers"):
        reference(loaded(model_file, "noise"))


def test_a_model_in_evaluation_form_is_left_alone() -> None:
    model = Trained().eval()
    program = torch.export.export(model, (X,), strict=False)
    before = fingerprint(program)
    assert training_form.apply(program) == 0 and not training_form.random_nodes(program)
    assert fingerprint(program) == before


def test_a_mask_that_is_not_understood_is_not_taken_for_one() -> None:
    def stretched(x: torch.Tensor) -> torch.Tensor:
        return x[:1] * (torch.rand(2, 4, 6, 6) < 0.5) / 0.5

    def added(x: torch.Tensor) -> torch.Tensor:
        return x + (torch.rand_like(x) < 0.5).float()

    def scaled_first(x: torch.Tensor) -> torch.Tensor:
        return x * ((torch.rand_like(x) < 0.5).float() * 3.0)

    for function in (stretched, added, scaled_first):
        program = exported(function, X)
        assert training_form.apply(program) == 0
        assert training_form.random_nodes(program)


def test_a_dropping_model_converts_and_passes_parity_with_a_warning(model_file: Path) -> None:
    told: list[events.Event] = []
    artifacts = edgekit.convert(f"{model_file}:drops", ["onnx", "coreml"], on_event=told.append)
    assert [artifact.parity.passed for artifact in artifacts] == [True, True]
    (ready,) = (event for event in told if isinstance(event, events.ExportedReady))
    assert any("drops values at random" in warning for warning in ready.exported.warnings)
    assert all("training_form×3" in artifact.rewrites for artifact in artifacts)
