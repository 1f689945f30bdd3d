"""The parts of the own models that are not plain layers, each against a direct computation."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from edgekit.model.zoo import emo, hardnet, mcuformer, mobilemamba, mobilevig, mobilevigv2, ofa, ssdlite
from edgekit.model.zoo.blocks import divisible


def test_divisible_rounds_but_not_far_down() -> None:
    assert [divisible(value) for value in (3, 16, 19.2, 28.8, 134.4, 12)] == [8, 16, 24, 32, 136, 16]


def test_mobilevig_takes_the_largest_difference_to_its_row_and_column() -> None:
    conv = mobilevig.GraphConv(2).eval()
    conv.mix = torch.nn.Identity()
    x = torch.randn(1, 2, 7, 7)
    shifted = [torch.roll(x, steps, axis) for axis in (2, 3) for steps in (2, 4, 6)]
    smallest = torch.stack(shifted).amin(0)
    assert torch.equal(conv(x), torch.cat([x, torch.relu(x - smallest)], 1))


@pytest.mark.parametrize(("side", "distance"), [(14, 4), (7, 2), (6, 8)])
def test_mobilevigv2_looks_at_four_neighbours_and_subtracts_the_other_way(side: int, distance: int) -> None:
    conv = mobilevigv2.GraphConv(2, distance).eval()
    conv.mix = torch.nn.Identity()
    x = torch.randn(1, 2, side, side)
    shifted = [torch.roll(x, sign * distance, axis) for axis in (2, 3) for sign in (1, -1)]
    assert torch.equal(conv(x), torch.cat([x, torch.relu(torch.stack(shifted).amax(0) - x)], 1))


def test_mcuformer_low_rank_layer_is_the_best_approximation() -> None:
    weight = torch.randn(20, 4) @ torch.randn(4, 12)
    layer = mcuformer.LowRankLinear(12, 20, 4)
    layer.factorise(weight)
    x = torch.randn(3, 12)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), x @ weight.t() + layer.leave.bias, rtol=1e-4, atol=1e-4)


def test_mcuformer_relative_positions() -> None:
    positions = mcuformer.RelativePosition(3)
    table = positions()
    assert table.shape == (10, 10, 64)
    # From the token in row 0, column 2 to the one in row 1, column 0; the class token comes first.
    one, other = 1 + 2, 1 + 3
    expected = positions.row_table[14 + 1 + 1] + positions.column_table[14 + 1 - 2]
    assert torch.equal(table[one, other], expected)
    assert torch.equal(table[0, 5], positions.row_table[0] + positions.column_table[0])


def test_mcuformer_search_space_and_memory_model() -> None:
    space = mcuformer.search_space()
    assert len(set(space)) == len(space) == 3 * 3 * 2 * 2 * 12 * 5
    assert mcuformer.Config(192, 12, 3, 4.0, 0.7, 20).peak_bytes() == int(192 * (145 * 5 + 192 * 4 * 0.7))
    fits = {patch: [config.peak_bytes() <= 320 * 1024 for config in space if config.patch == patch]
            for patch in mcuformer.PATCHES}  # fmt: skip
    assert 0.6 < sum(fits[16]) / len(fits[16]) < 0.8
    assert 0.9 < sum(fits[20]) / len(fits[20]) < 1
    assert all(all(fits[patch]) for patch in (24, 28, 32))
    assert [mcuformer.Config(patch=patch).grid for patch in mcuformer.PATCHES] == [15, 12, 10, 9, 8]


@pytest.mark.parametrize("patch", ["28", "32"])
def test_mcuformer_pads_for_large_patches(patch: str) -> None:
    module = mcuformer.build("168", "12", "3", "3.5", "0.40", patch, num_classes=5).eval()
    assert module(torch.rand(1, 3, 240, 240)).shape == (1, 5)


def test_ofa_options_reach_their_blocks() -> None:
    kernels = ",".join(str((3, 5, 7)[block % 3]) for block in range(20))
    network = ofa.build(ks=kernels, e="3,4,6,3,4", d="2,3,4,2,3", w="1.0", r="160")
    found = [[block.depthwise[0].kernel_size[0] for block in stage] for stage in network.stages]
    assert found == [[(3, 5, 7)[(4 * stage + block) % 3] for block in range(depth)]
                     for stage, depth in enumerate((2, 3, 4, 2, 3))]  # fmt: skip
    hidden = [stage[1].depthwise[0].out_channels for stage in network.stages]
    assert hidden == [24 * 3, 40 * 4, 80 * 6, 112 * 3, 160 * 4]
    assert network.input_size == (3, 160, 160)


def test_emo_windows_are_dilated() -> None:
    attend = emo.WindowAttention(8, 4).eval()
    x = torch.randn(2, 8, 14, 14)
    with torch.no_grad():
        for row in range(2):
            for column in range(2):
                alone = attend(x[:, :, row::2, column::2])
                torch.testing.assert_close(attend(x)[:, :, row::2, column::2], alone, rtol=1e-4, atol=1e-5)


def test_emo_pads_a_map_that_no_window_fits() -> None:
    attend = emo.WindowAttention(8, 4).eval()
    x = torch.randn(1, 8, 5, 5)
    with torch.no_grad():
        padded = attend(functional.pad(x, (0, 2, 0, 2)))
        torch.testing.assert_close(attend(x), padded[:, :, :5, :5])


def test_hardnet_links() -> None:
    assert [hardnet.links(layer) for layer in (1, 2, 3, 4, 6, 8)] == [[0], [1, 0], [2], [3, 2, 0], [5, 4], [7, 6, 4, 0]]
    assert [hardnet.width(layer, 48, 16, 1.6) for layer in (0, 1, 2, 4)] == [48, 16, 26, 40]


@pytest.mark.parametrize("length", [1, 2, 9, 36])
@pytest.mark.parametrize("backward", [False, True])
def test_mobilemamba_scan_is_the_recurrence(length: int, backward: bool) -> None:
    decay, entry = torch.rand(2, 3, length, dtype=torch.float64), torch.randn(2, 3, length, dtype=torch.float64)
    state, expected = torch.zeros(2, 3, dtype=torch.float64), torch.zeros(2, 3, length, dtype=torch.float64)
    for position in reversed(range(length)) if backward else range(length):
        state = decay[..., position] * state + entry[..., position]
        expected[..., position] = state
    torch.testing.assert_close(mobilemamba.scan(decay, entry, backward), expected)


def test_mobilemamba_wavelet_branch_is_the_haar_transform_and_its_inverse() -> None:
    block = mobilemamba.WaveletScan(16, 3)
    x = torch.randn(1, 16, 6, 6)
    bands = functional.conv2d(x, block.bands, stride=2, groups=16)
    there_and_back = functional.pixel_shuffle(functional.conv2d(bands, block.merge, groups=16), 2)
    torch.testing.assert_close(there_and_back, x)
    torch.testing.assert_close(functional.conv_transpose2d(bands, block.bands, stride=2, groups=16), x)
    torch.testing.assert_close(bands[:, 0], functional.avg_pool2d(x, 2)[:, 0] * 2)


def test_ssdlite_boxes_are_torchvisions() -> None:
    from edgekit.model.torchvision_ops import make_importable

    make_importable()
    from torchvision.models.detection import _utils, ssdlite320_mobilenet_v3_large
    from torchvision.models.detection.image_list import ImageList

    whole = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None).eval()
    ours = ssdlite.flat(whole).eval()
    assert ours.state_dict().keys() == whole.state_dict().keys()
    x = torch.rand(1, 3, 320, 320)
    with torch.no_grad():
        boxes, scores = ours(x)
        maps = list(whole.backbone(x).values())
        head = whole.head(maps)
        anchors = whole.anchor_generator(ImageList(x, [(320, 320)]), maps)[0]
    assert isinstance(whole.box_coder, _utils.BoxCoder)
    expected = whole.box_coder.decode_single(head["bbox_regression"][0], anchors) / 320
    torch.testing.assert_close(boxes[0], expected)
    torch.testing.assert_close(scores, torch.softmax(head["cls_logits"], -1))
