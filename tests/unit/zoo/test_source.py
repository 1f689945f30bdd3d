from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgekit.errors import ModelError, UsageError
from edgekit.model import timm_source, zoo
from edgekit.model.load import load
from edgekit.model.request import LoadRequest, name_of
from edgekit.model.zoo.source import build


def test_a_zoo_model_has_the_entrys_input_and_preprocessing() -> None:
    model = load(LoadRequest(spec="zoo:mcunet_in0"))
    assert model.weights == "random, seed 0"
    assert model.inputs[0].shape == (1, 3, 48, 48)
    assert model.preprocess is not None and model.preprocess.height == 48
    assert model.preprocess.source == "edgekit's zoo"
    assert model.module is not None and not model.module.training
    assert not any(parameter.requires_grad for parameter in model.module.parameters())
    assert model.warnings == ()


def test_a_library_model_through_the_zoo() -> None:
    model = load(LoadRequest(spec="zoo:mobilenetv3_small_050", input_shape=((1, 3, 64, 64),)))
    assert model.preprocess is not None and model.preprocess.source == "timm's config"
    assert model.inputs[0].shape == (1, 3, 64, 64)
    assert load(LoadRequest(spec="zoo:tv_squeezenet1_1", input_shape=((1, 3, 64, 64),))).preprocess is not None


def test_the_entrys_preprocessing_is_the_librarys() -> None:
    for name in ("mobilenetv1_125", "tresnet_m", "efficientnet_lite0", "mobilevit_xxs", "tinynet_b"):
        entry = zoo.find(name)
        with torch.device("meta"):
            inputs, preprocess, _ = timm_source.config_of(build(entry, {}))
        assert (entry.inputs(), entry.preprocess) == (inputs, preprocess)


def test_the_seed_decides_the_weights() -> None:
    def weights(seed: int) -> torch.Tensor:
        module = load(LoadRequest(spec="zoo:xlsr_x2", seed=seed, input_shape=((1, 3, 16, 16),))).module
        assert module is not None
        return torch.cat([parameter.flatten() for parameter in module.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_real_weights_for_a_zoo_architecture(tmp_path: Path) -> None:
    saved = load(LoadRequest(spec="zoo:mcunet_in0", seed=7)).module
    assert saved is not None
    file = tmp_path / "weights.pt"
    torch.save(saved.state_dict(), file)
    model = load(LoadRequest(spec=str(file), arch="zoo:mcunet_in0"))
    x = torch.rand(1, 3, 48, 48)
    assert model.module is not None and torch.equal(model.module(x), saved(x))
    assert model.weights == "file weights.pt, arch zoo:mcunet_in0"
    assert model.preprocess is not None and model.inputs[0].shape == (1, 3, 48, 48)
    with pytest.raises(ModelError, match="does not fit zoo:mcunet_in1") as caught:
        load(LoadRequest(spec=str(file), arch="zoo:mcunet_in1"))
    assert caught.value.facts["mismatched_count"] > 0


def test_options() -> None:
    model = load(LoadRequest(spec="zoo:mcunet_in0?num_classes=7"))
    assert model.module is not None and model.module(torch.rand(1, 3, 48, 48)).shape == (1, 7)
    subnet = load(LoadRequest(spec="zoo:ofa_mbv3?ks=3,5,7,5,3&e=3&d=2&r=128"))
    assert subnet.inputs[0].shape == (1, 3, 128, 128)
    assert name_of("zoo:ofa_mbv3?ks=3,5,7,5,3&e=3&d=2&r=128") == "ofa_mbv3_ks_3_5_7_5_3_e_3_d_2_r_128"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("zoo:mobilvig_ti", "no model zoo:mobilvig_ti"),
        ("zoo:fmvit", "can't be built: the authors' repository is an empty placeholder"),
        ("zoo:sinet?width=2", "no option 'width'"),
        ("zoo:espcn_x3?num_classes=2", "no option 'num_classes'"),
        ("zoo:sinet?num_classes=0", "not a number of classes"),
        ("zoo:sinet?num_classes=９", "not a number of classes"),
        ("zoo:sinet?" + "&".join("num_classes=2" for _ in range(40)), "options of zoo:sinet can't be read"),
        ("zoo:ofa_mbv3?ks=4", "ks=4 has a value that is not one of 3, 5, 7"),
        ("zoo:ofa_mbv3?d=2,3", "d=2,3 has 2 values"),
        ("zoo:ofa_mbv3?r=1024", "r=1024 has a value that is not one of 128 to 256"),
        ("zoo:ofa_mbv3?w=9", "w=9 is not one of 1.0, 1.2"),
        ("zoo:ofa_mbv3?e=" + "6," * 500, "e=6,6"),
        ("zoo:mcuformer?rank=2", "rank=2 is not one of 0.4"),
        ("zoo:mcuformer?patch=17", "patch=17 is not one of 16"),
    ],
)
def test_what_can_not_be_built(spec: str, message: str) -> None:
    with pytest.raises(ModelError, match="^.*" + message.replace("?", r"\?")) as caught:
        load(LoadRequest(spec=spec))
    assert caught.value.code == 10 and caught.value.next_step


def test_a_wrong_input_shape_names_the_place() -> None:
    with pytest.raises((ModelError, UsageError), match="expects 3 input channels and got 4"):
        load(LoadRequest(spec="zoo:mobilevig_ti", input_shape=((1, 4, 64, 64),)))
