"""Parameters of windows, norms and resizes that a conversion from PyTorch does not reach, made with the builder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mil_programs import MilCase, mb, random, relative, run_mil_cases
from torch.nn import functional as F

X = random(2, 4, 8, 7)
K = random(6, 4, 2, 3, seed=1) * 0.3
T = random(4, 3, 3, 2, seed=2) * 0.3
BIAS = random(3, seed=3)
LINE = np.array([[[0.0, 1.0]]], dtype=np.float32)
GRID = np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)
PER_CHANNEL = random(4, seed=4)


def t(value: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(value)


def _conv(pads: tuple[int, int, int, int], strides: tuple[int, int]) -> torch.Tensor:
    """pads: left, right, top, bottom."""
    return F.conv2d(F.pad(t(X), pads), t(K), stride=strides)


def _mean(windows: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    return windows.sum((-1, -2)) / valid.sum((-1, -2))


def _windows(value: torch.Tensor, size: tuple[int, int], stride: int) -> torch.Tensor:
    return value.unfold(2, size[0], stride).unfold(3, size[1], stride)


def _excluded(pads: tuple[int, int, int, int], size: tuple[int, int], stride: int) -> torch.Tensor:
    return _mean(_windows(F.pad(t(X), pads), size, stride), _windows(F.pad(torch.ones_like(t(X)), pads), size, stride))


# A kernel of 2x3 on 8x7 with stride 2: "same" pads 0 rows and 2 columns; with stride 1: 1 row and 2 columns.
CONVOLUTIONS = [
    MilCase("valid", lambda x: mb.conv(x=x, weight=K, pad_type="valid"), {"x": X}, _conv((0, 0, 0, 0), (1, 1))),
    MilCase("same", lambda x: mb.conv(x=x, weight=K, pad_type="same"), {"x": X}, _conv((1, 1, 0, 1), (1, 1))),
    MilCase(
        "same_lower", lambda x: mb.conv(x=x, weight=K, pad_type="same_lower"), {"x": X}, _conv((1, 1, 1, 0), (1, 1))
    ),
    MilCase(
        "same_strided",
        lambda x: mb.conv(x=x, weight=K, pad_type="same", strides=[2, 2]),
        {"x": X},
        _conv((1, 1, 0, 0), (2, 2)),
    ),
    MilCase(
        "uneven",
        lambda x: mb.conv(x=x, weight=K, pad_type="custom", pad=[0, 2, 3, 1], strides=[1, 2]),
        {"x": X},
        _conv((3, 1, 0, 2), (1, 2)),
    ),
    MilCase(
        "transposed",
        lambda x: mb.conv_transpose(x=x, weight=T, bias=BIAS, pad_type="valid", strides=[2, 3]),
        {"x": X},
        F.conv_transpose2d(t(X), t(T), t(BIAS), (2, 3)),
    ),
    MilCase(
        "transposed_custom",
        lambda x: mb.conv_transpose(x=x, weight=T, pad_type="custom", pad=[1, 0, 0, 1], strides=[2, 2]),
        {"x": X},
        F.conv_transpose2d(t(X), t(T), None, 2)[:, :, 1:, :-1],
    ),
    MilCase(
        "transposed_same",
        lambda x: mb.conv_transpose(x=x, weight=T, pad_type="same", strides=[2, 2]),
        {"x": X},
        F.conv_transpose2d(t(X), t(T), None, 2)[:, :, :16, :14],
    ),
    MilCase(
        "transposed_output_shape",
        lambda x: mb.conv_transpose(
            x=x, weight=T, bias=BIAS, pad_type="custom", pad=[1, 1, 1, 1], strides=[2, 2], output_shape=[2, 3, 16, 13]
        ),
        {"x": X},
        F.conv_transpose2d(t(X), t(T), t(BIAS), 2, padding=1, output_padding=(1, 1)),
    ),
]

POOLS = [
    MilCase(
        "max_same",
        lambda x: mb.max_pool(x=x, kernel_sizes=[2, 3], pad_type="same"),
        {"x": X},
        F.max_pool2d(F.pad(t(X), (1, 1, 0, 1), value=-9e9), (2, 3), 1),
    ),
    MilCase(
        "max_uneven",
        lambda x: mb.max_pool(x=x, kernel_sizes=[2, 2], strides=[2, 2], pad_type="custom", pad=[0, 1, 1, 0]),
        {"x": X - 5},
        F.max_pool2d(F.pad(t(X - 5), (1, 0, 0, 1), value=-9e9), 2),
    ),
    MilCase(
        "average_same_lower",
        lambda x: mb.avg_pool(x=x, kernel_sizes=[2, 3], pad_type="same_lower", exclude_padding_from_average=True),
        {"x": X},
        _excluded((1, 1, 1, 0), (2, 3), 1),
    ),
    MilCase(
        "average_excluded",
        lambda x: mb.avg_pool(
            x=x,
            kernel_sizes=[3, 3],
            strides=[2, 2],
            pad_type="custom",
            pad=[2, 0, 0, 2],
            exclude_padding_from_average=True,
        ),
        {"x": X},
        _excluded((0, 2, 2, 0), (3, 3), 2),
    ),
    MilCase(
        "average_included",
        lambda x: mb.avg_pool(x=x, kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[2, 0, 0, 2]),
        {"x": X},
        F.avg_pool2d(F.pad(t(X), (0, 2, 2, 0)), 3, 2),
    ),
    MilCase(
        "average_ceil",
        lambda x: mb.avg_pool(
            x=x, kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1], ceil_mode=True
        ),
        {"x": X},
        F.avg_pool2d(t(X), 3, 2, 1, ceil_mode=True),
    ),
    MilCase(
        "average_line",
        lambda x: mb.avg_pool(x=x, kernel_sizes=[3], pad_type="valid", strides=[2]),
        {"x": X[0]},
        F.avg_pool1d(t(X[0]), 3, 2),
    ),
    MilCase(
        "l2",
        lambda x: mb.l2_pool(x=x, kernel_sizes=[2, 3], pad_type="valid", strides=[2, 2]),
        {"x": X},
        F.lp_pool2d(t(X), 2, (2, 3), 2),
    ),
]


def _layer(axes: tuple[int, ...], gamma: np.ndarray, epsilon: float) -> np.ndarray:
    centred = X - X.mean(axes, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axes, keepdims=True) + epsilon) * gamma


NORMS = [
    MilCase(
        "layer_middle",
        lambda x: mb.layer_norm(x=x, axes=[-3, 2], gamma=K[0, :, 0, :1] * np.ones((4, 8), np.float32), epsilon=1e-3),
        {"x": X},
        _layer((1, 2), (K[0, :, 0, :1] * np.ones((4, 8), np.float32))[None, :, :, None], 1e-3),
    ),
    MilCase("l2", lambda x: mb.l2_norm(x=x), {"x": X}, X / np.sqrt((X**2).sum((1, 2, 3), keepdims=True) + 1e-6)),
    MilCase(
        "response",
        lambda x: mb.local_response_norm(x=x, size=3, alpha=0.1, beta=0.7, k=1.5),
        {"x": X},
        F.local_response_norm(t(X), 3, 0.1, 0.7, 1.5),
    ),
    MilCase(
        "instance",
        lambda x: mb.instance_norm(x=x, gamma=PER_CHANNEL, beta=PER_CHANNEL, epsilon=1e-3),
        {"x": X},
        F.instance_norm(t(X), weight=t(PER_CHANNEL), bias=t(PER_CHANNEL), eps=1e-3),
    ),
    MilCase(
        "batch",
        lambda x: mb.batch_norm(x=x, mean=PER_CHANNEL, variance=PER_CHANNEL**2 + 0.1),
        {"x": X},
        F.batch_norm(t(X), t(PER_CHANNEL), t(PER_CHANNEL**2 + 0.1)),
    ),
]


def _line(mode: str, width: int, expected: list[float]) -> MilCase:
    """The examples in the documentation of resize_bilinear; it prints two digits."""
    return MilCase(
        f"{mode.lower()}_{width}",
        lambda x: mb.resize_bilinear(x=x, target_size_height=1, target_size_width=width, sampling_mode=mode),
        {"x": LINE},
        np.array([[expected]], dtype=np.float32),
        tolerance=5e-3,
    )


RESIZES = [
    _line("UNALIGN_CORNERS", 5, [0, 0.1, 0.5, 0.9, 1]),
    _line("STRICT_ALIGN_CORNERS", 5, [0, 0.25, 0.5, 0.75, 1]),
    _line("ALIGN_CORNERS", 5, [0, 0.25, 0.5, 0.75, 1]),
    _line("DEFAULT", 5, [0, 0.4, 0.8, 1, 1]),
    _line("OFFSET_CORNERS", 5, [0.1, 0.3, 0.5, 0.7, 0.9]),
    _line("UNALIGN_CORNERS", 6, [0, 0, 1 / 3, 2 / 3, 1, 1]),
    _line("STRICT_ALIGN_CORNERS", 6, [0, 0.2, 0.4, 0.6, 0.8, 1]),
    _line("DEFAULT", 6, [0, 1 / 3, 2 / 3, 1, 1, 1]),
    _line("OFFSET_CORNERS", 6, [0.08, 0.25, 0.42, 0.58, 0.75, 0.92]),
    _line("ALIGN_CORNERS", 1, [0.5]),
    _line("STRICT_ALIGN_CORNERS", 1, [0.0]),
    MilCase(
        "unaligned_image",
        lambda x: mb.resize_bilinear(x=x, target_size_height=11, target_size_width=5, sampling_mode="UNALIGN_CORNERS"),
        {"x": X},
        F.interpolate(t(X), (11, 5), mode="bilinear", align_corners=False),
    ),
    MilCase(
        "upsample_asymmetric",
        lambda x: mb.upsample_bilinear(
            x=x, scale_factor_height=1, scale_factor_width=3, align_corners=False, half_pixel_centers=False
        ),
        {"x": np.array([[[1.0, 2.0]]], dtype=np.float32)},
        np.array([[[1, 4 / 3, 5 / 3, 2, 2, 2]]], dtype=np.float32),
    ),
    MilCase(
        "upsample_fraction",
        lambda x: mb.upsample_bilinear(x=x, scale_factor_height=1.0, scale_factor_width=2.6, align_corners=False),
        {"x": LINE},
        np.array([[[0, 0.1, 0.5, 0.9, 1]]], dtype=np.float32),
    ),
    MilCase(
        "nearest_fraction",
        lambda x: mb.upsample_nearest_neighbor(x=x, scale_factor_height=2.0, scale_factor_width=1.5),
        {"x": X},
        F.interpolate(t(X), (16, 10), mode="nearest"),
    ),
    MilCase(
        "nearest_size",
        lambda x: mb.resize_nearest_neighbor(x=x, target_size_height=5, target_size_width=20),
        {"x": X},
        F.interpolate(t(X), (5, 20), mode="nearest-exact"),
    ),
    MilCase("crop", lambda x: mb.crop(x=x, crop_height=[1, 2], crop_width=[0, 3]), {"x": X}, X[:, :, 1:6, :4]),
    MilCase(
        "crop_resize",
        lambda x: mb.crop_resize(
            x=x,
            roi=np.array([1, 1, 2, 2], np.float32).reshape(1, 1, 4, 1, 1),
            target_height=4,
            target_width=4,
            sampling_mode="ALIGN_CORNERS",
        ),
        {"x": GRID},
        np.linspace([6, 6 + 1 / 3, 6 + 2 / 3, 7], [10, 10 + 1 / 3, 10 + 2 / 3, 11], 4).reshape(1, 1, 1, 4, 4),
    ),
    MilCase(
        "crop_resize_outside",
        lambda x: mb.crop_resize(
            x=x,
            roi=np.array([0, 0.1, 0.3, 1.3, 1], np.float32).reshape(1, 1, 5, 1, 1),
            target_height=2,
            target_width=2,
            normalized_coordinates=True,
            sampling_mode="ALIGN_CORNERS",
            pad_value=10.0,
        ),
        {"x": GRID},
        np.array([3.1, 5.2, 10, 10], np.float32).reshape(1, 1, 1, 2, 2),
    ),
]

FAMILIES = {"conv": CONVOLUTIONS, "pool": POOLS, "norm": NORMS, "resize": RESIZES}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[np.ndarray]]]:
    folder = tmp_path_factory.mktemp("mil")
    return {name: run_mil_cases(family, folder / f"{name}.mlpackage", "iOS16") for name, family in FAMILIES.items()}


@pytest.mark.parametrize(
    ("family", "case"),
    [pytest.param(name, case, id=f"{name}-{case.name}") for name, family in FAMILIES.items() for case in family],
)
def test_parameters(results: dict[str, dict[str, list[np.ndarray]]], family: str, case: MilCase) -> None:
    (actual,) = results[family][case.name]
    assert relative(actual, np.asarray(case.expected)) < case.tolerance
