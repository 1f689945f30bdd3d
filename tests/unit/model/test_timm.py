"""timm models by name, the torchvision work-around, and weights that make every block count."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from edgekit.errors import ModelError
from edgekit.export.inputs import golden_inputs
from edgekit.model.load import Model, load
from edgekit.model.request import LoadRequest
from edgekit.records import Preprocess, TensorSpec

ROOT = Path(__file__).parents[3]

# A late weight matters if adding one to it shows this much in the output.
VISIBLE = 1e-3


def loaded(spec: str, size: int = 64) -> tuple[Model, nn.Module]:
    model = load(LoadRequest(spec=spec, input_shape=((1, 3, size, size),)))
    assert model.module is not None
    return model, model.module


def change_from_one_weight(module: nn.Module, name: str, images: torch.Tensor) -> float:
    """The largest change of the output over a few single weights of a tensor, relative to the output's maximum.

    A few, because a unit that a ReLU keeps shut on these images can't show anything.
    """
    weight = dict(module.named_parameters())[name].data.flatten(1)
    with torch.no_grad():
        before = module(images)
        changes = []
        for row in range(0, len(weight), len(weight) // 4):
            old = weight[row, 0].item()
            weight[row, 0] = old + 1.0
            changes.append(float((module(images) - before).abs().max()))
            weight[row, 0] = old
    return max(changes) / float(before.abs().max())


def images(count: int, size: int) -> torch.Tensor:
    """The kind of input that parity is checked on."""
    spec = TensorSpec(name="x", shape=(1, 3, size, size))
    preprocess = Preprocess(height=size, width=size)
    (samples,), _ = golden_inputs([spec], directory=None, preprocess=preprocess, count=count)
    return torch.from_numpy(samples[:, 0])


@pytest.fixture(scope="module")
def mobilenet() -> nn.Module:
    return loaded("timm:mobilenetv2_035")[1]


@pytest.fixture(scope="module")
def efficientformer() -> nn.Module:
    # Its position biases are made for one size.
    return loaded("timm:efficientformer_l1", 224)[1]


def test_the_model_and_its_config() -> None:
    model = load(LoadRequest(spec="timm:mobilenetv3_small_050"))
    assert model.inputs[0].shape == (1, 3, 224, 224)
    assert model.weights == "random, seed 0"
    assert model.preprocess is not None
    assert (model.preprocess.height, model.preprocess.crop_fraction) == (224, 0.875)
    assert model.preprocess.source == "timm's config"
    assert model.module is not None
    assert not model.module.training


def test_one_weight_of_a_late_mobilenet_block_shows(mobilenet: nn.Module) -> None:
    for name in ("blocks.5.2.conv_pw.weight", "blocks.5.2.conv_pwl.weight", "blocks.6.0.conv_dw.weight"):
        assert change_from_one_weight(mobilenet, name, images(2, 64)) > VISIBLE, name


def test_one_weight_behind_a_layer_scale_shows(efficientformer: nn.Module) -> None:
    scales = [p for name, p in efficientformer.named_parameters() if name.endswith("gamma")]
    assert scales
    assert min(float(scale.min()) for scale in scales) > 0.1
    for name in ("stages.3.blocks.4.mlp.fc1.weight", "stages.3.blocks.4.token_mixer.qkv.weight"):
        assert change_from_one_weight(efficientformer, name, images(1, 224)) > VISIBLE, name


def test_the_output_varies_over_inputs(mobilenet: nn.Module) -> None:
    with torch.no_grad():
        outputs = mobilenet(images(6, 64))
    assert 0.05 < float(outputs.std(0).mean()) < 20
    assert len(outputs.argmax(1).unique()) > 1


def test_seeds_repeat(mobilenet: nn.Module) -> None:
    again = loaded("timm:mobilenetv2_035")[1]
    for (name, first), second in zip(mobilenet.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(first, second), name
    other = load(LoadRequest(spec="timm:mobilenetv2_035", seed=1, input_shape=((1, 3, 64, 64),))).module
    assert other is not None
    assert not torch.equal(next(mobilenet.parameters()), next(other.parameters()))


def test_options_change_the_model() -> None:
    model, module = loaded("timm:mobilenetv3_small_050?num_classes=7")
    with torch.no_grad():
        assert module(images(1, 64)).shape == (1, 7)
    assert model.name == "mobilenetv3_small_050_num_classes_7"
    grey = load(LoadRequest(spec="timm:mobilenetv3_small_050?in_chans=1"))
    assert grey.inputs[0].shape == (1, 1, 224, 224)
    assert grey.preprocess is None
    assert any("not used" in warning for warning in grey.warnings)


def test_attention_is_not_fused() -> None:
    _, module = loaded("timm:deit_tiny_patch16_224", 224)
    fused = [child.fused_attn for child in module.modules() if hasattr(child, "fused_attn")]
    assert fused
    assert not any(fused)


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(ModelError) as caught:
        load(LoadRequest(spec="timm:mobilnetv2_100"))
    assert caught.value.code == 10
    assert "mobilenetv2_100" in caught.value.next_step


def test_a_wrong_number_of_channels_is_named() -> None:
    with pytest.raises(ModelError) as caught:
        load(LoadRequest(spec="timm:mobilenetv3_small_050", input_shape=((1, 4, 64, 64),)))
    assert caught.value.facts["module"] == "conv_stem"
    assert caught.value.facts["expected_channels"] == 3


def test_a_state_dict_for_a_timm_model(tmp_path: Path, mobilenet: nn.Module) -> None:
    path = str(tmp_path / "weights.pt")
    torch.save(mobilenet.state_dict(), path)
    request = LoadRequest(spec=path, arch="timm:mobilenetv2_035", input_shape=((1, 3, 64, 64),))
    module = load(request).module
    assert module is not None
    with torch.no_grad():
        assert torch.equal(module(images(1, 64)), mobilenet(images(1, 64)))
    with pytest.raises(ModelError, match="MobileNet and EfficientNet family"):
        load(LoadRequest(spec=path))
    with pytest.raises(ModelError, match="mismatched"):
        load(LoadRequest(spec=path, arch="timm:mobilenetv2_050"))
    with pytest.raises(ModelError, match=r"classifier\.weight"):
        load(LoadRequest(spec=path, arch="timm:mobilenetv2_035?num_classes=10"))


FACTORY = """
import torch, torchvision, timm

def make():
    return timm.create_model("mobilenetv3_small_050", pretrained=False), torch.zeros(1, 3, 64, 64)
"""


def test_a_factory_may_import_torchvision(tmp_path: Path) -> None:
    """In a fresh process: whichever torchvision is installed, importing it before the work-around is what fails."""
    (tmp_path / "uses_timm.py").write_text(FACTORY)
    code = (
        "import sys\nfrom edgekit.model.load import load\nfrom edgekit.model.request import LoadRequest\n"
        f"print(load(LoadRequest(spec={str(tmp_path / 'uses_timm.py')!r} + ':make')).inputs[0].shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(1, 3, 64, 64)"
