"""Small int8 networks of the kinds that microcontrollers run, with random weights; every layer moves the output."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tflite_maker import Maker

SPREAD = 45.0  # standard deviation of stored values that a layer's output scale is chosen for


class Network:
    """Layers on a Maker; scales follow from the weights, so that no layer saturates or vanishes."""

    def __init__(self, seed: int = 0) -> None:
        self.maker = Maker()
        self.chance = np.random.default_rng(seed)

    def input(self, *shape: int) -> int:
        return self.maker.input(shape, 0.02, -4)

    def shape(self, x: int) -> tuple[int, ...]:
        return tuple(self.maker.graph.tensors[x].shape)

    def scale(self, x: int) -> float:
        return float(self.maker.graph.tensors[x].quantization.scale[0])

    def made(self, shape: tuple[int, ...], scale: float, activation: str = "NONE") -> int:
        return self.maker.tensor(shape, scale, int(self.chance.integers(-20, 20)) if activation == "NONE" else -100)

    def _weights(self, x: int, shape: tuple[int, ...], axis: int, taps: int) -> tuple[int, int, float]:
        """Weights, bias and the output's scale."""
        scales = self.chance.uniform(0.004, 0.012, shape[axis]).astype(np.float32)
        weights = np.clip(np.round(self.chance.normal(0, 40, shape)), -127, 127).astype(np.int8)
        bias = np.round(self.chance.normal(0, 40 * 60 * math.sqrt(taps) / 4, shape[axis])).astype(np.int32)
        w = self.maker.constant(weights, scales.tolist(), axis=axis)
        b = self.maker.constant(bias, (scales * np.float32(self.scale(x))).tolist())
        return w, b, self.scale(x) * 0.008 * 40 * 60 * math.sqrt(taps) / SPREAD

    def conv(
        self, x: int, out_c: int, kernel: Any = 1, stride: Any = 1, activation: str = "NONE", padding: str = "SAME"
    ) -> int:
        return self._convolution("CONV_2D", x, out_c, _pair(kernel), _pair(stride), activation, padding)

    def depthwise(
        self, x: int, kernel: Any = 3, stride: Any = 1, activation: str = "NONE", padding: str = "SAME"
    ) -> int:
        channels = self.shape(x)[3]
        return self._convolution("DEPTHWISE_CONV_2D", x, channels, _pair(kernel), _pair(stride), activation, padding)

    def _convolution(
        self,
        kind: str,
        x: int,
        out_c: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        activation: str,
        padding: str,
    ) -> int:
        _, height, width, in_c = self.shape(x)
        depthwise = kind == "DEPTHWISE_CONV_2D"
        shape = (1, *kernel, out_c) if depthwise else (out_c, *kernel, in_c)
        taps = kernel[0] * kernel[1] * (1 if depthwise else in_c)
        w, b, scale = self._weights(x, shape, 3 if depthwise else 0, taps)
        sizes = [
            -(-side // s) if padding == "SAME" else (side - k) // s + 1
            for side, k, s in zip((height, width), kernel, stride, strict=True)
        ]
        y = self.made((1, *sizes, out_c), scale, activation)
        self.maker.operator(kind, [x, w, b], [y], padding=padding, stride_h=stride[0], stride_w=stride[1],
                            fused_activation_function=activation)  # fmt: skip
        return y

    def dense(self, x: int, out_c: int, activation: str = "NONE") -> int:
        in_c = self.shape(x)[-1]
        scale = float(np.float32(self.chance.uniform(0.004, 0.012)))
        weights = np.clip(np.round(self.chance.normal(0, 40, (out_c, in_c))), -127, 127).astype(np.int8)
        bias = np.round(self.chance.normal(0, 600 * math.sqrt(in_c), out_c)).astype(np.int32)
        w = self.maker.constant(weights, scale)
        b = self.maker.constant(bias, float(np.float32(scale) * np.float32(self.scale(x))))
        y = self.made((1, out_c), self.scale(x) * scale * 2400 * math.sqrt(in_c) / SPREAD, activation)
        self.maker.operator("FULLY_CONNECTED", [x, w, b], [y], fused_activation_function=activation)
        return y

    def add(self, a: int, b: int, activation: str = "NONE") -> int:
        y = self.made(self.shape(a), math.hypot(self.scale(a), self.scale(b)), activation)
        self.maker.operator("ADD", [a, b], [y], fused_activation_function=activation)
        return y

    def mul(self, a: int, b: int) -> int:
        y = self.made(self.shape(a), self.scale(a) * self.scale(b) * 120)
        self.maker.operator("MUL", [a, b], [y])
        return y

    def hard_swish(self, x: int) -> int:
        y = self.made(self.shape(x), self.scale(x) * 0.8)
        self.maker.operator("HARD_SWISH", [x], [y])
        return y

    def hard_sigmoid(self, x: int) -> int:
        """relu6(x + 3) / 6, as converters write it; of the values' own spread instead of 3."""
        spread = self.scale(x) * SPREAD
        shift = self.maker.constant(np.array(127, np.int8), spread / 127, 0)
        moved = self.maker.tensor(self.shape(x), spread / 60, -128)
        self.maker.operator("ADD", [x, shift], [moved], fused_activation_function="RELU")
        sixth = self.maker.constant(np.array(127, np.int8), 1 / 127 / spread, 0)
        y = self.maker.tensor(self.shape(x), 1 / 64, -128)
        self.maker.operator("MUL", [moved, sixth], [y])
        return y

    def mean(self, x: int, *, keep: bool) -> int:
        _, _, _, channels = self.shape(x)
        y = self.made((1, 1, 1, channels) if keep else (1, channels), self.scale(x) * 0.5)
        self.maker.operator("MEAN", [x, self.maker.constant(np.array([1, 2], np.int32))], [y], keep_dims=keep)
        return y

    def average_pool(self, x: int, size: tuple[int, int]) -> int:
        _, height, width, channels = self.shape(x)
        quantisation = self.maker.graph.tensors[x].quantization
        y = self.maker.tensor(
            (1, height // size[0], width // size[1], channels), self.scale(x), int(quantisation.zeroPoint[0])
        )
        self.maker.operator("AVERAGE_POOL_2D", [x], [y], padding="VALID", stride_h=size[0], stride_w=size[1],
                            filter_height=size[0], filter_width=size[1])  # fmt: skip
        return y

    def reshape(self, x: int, *shape: int) -> int:
        quantisation = self.maker.graph.tensors[x].quantization
        y = self.maker.tensor(shape, self.scale(x), int(quantisation.zeroPoint[0]))
        self.maker.operator("RESHAPE", [x, self.maker.constant(np.array(shape, np.int32))], [y], new_shape=list(shape))
        return y

    def pad(self, x: int, *amounts: tuple[int, int]) -> int:
        quantisation = self.maker.graph.tensors[x].quantization
        shape = [side + sum(amount) for side, amount in zip(self.shape(x), amounts, strict=True)]
        y = self.maker.tensor(shape, self.scale(x), int(quantisation.zeroPoint[0]))
        self.maker.operator("PAD", [x, self.maker.constant(np.array(amounts, np.int32))], [y])
        return y

    def softmax(self, x: int) -> int:
        y = self.maker.tensor(self.shape(x), 1 / 256, -128)
        self.maker.operator("SOFTMAX", [x], [y], beta=1.0)
        return y

    def build(self, *outputs: int) -> bytes:
        self.maker.output(*outputs)
        return self.maker.build()


def mobilenet_v3() -> bytes:
    """Inverted residuals with hard-swish and squeeze-and-excite, the first convolution behind an explicit PAD."""
    net = Network(1)
    x = net.pad(net.input(1, 32, 32, 3), (0, 0), (0, 1), (0, 1), (0, 0))
    x = net.hard_swish(net.conv(x, 8, 3, 2, padding="VALID"))
    for stride, excite in ((1, True), (2, False), (1, True)):
        y = net.hard_swish(net.conv(x, 24))
        y = net.hard_swish(net.depthwise(y, 3 if excite else 5, stride))
        if excite:
            y = net.mul(y, net.hard_sigmoid(net.conv(net.conv(net.mean(y, keep=True), 8, activation="RELU"), 24)))
        y = net.conv(y, 8)
        x = net.add(x, y) if stride == 1 else y
    x = net.hard_swish(net.conv(x, 48))
    return net.build(net.dense(net.reshape(net.mean(x, keep=True), 1, 48), 10))


def resnet_8() -> bytes:
    """MLPerf Tiny's image classification model at half its width."""
    net = Network(2)
    x = net.conv(net.input(1, 32, 32, 3), 8, 3, activation="RELU")
    for channels, stride in ((8, 1), (16, 2), (32, 2)):
        y = net.conv(net.conv(x, channels, 3, stride, "RELU"), channels, 3)
        x = net.add(net.conv(x, channels, 1, stride) if stride == 2 else x, y, "RELU")
    x = net.average_pool(x, (8, 8))
    logits = net.dense(net.reshape(x, 1, 32), 10)
    return net.build(logits, net.softmax(logits))


def ds_cnn() -> bytes:
    """MLPerf Tiny's keyword spotting model at a quarter of its width: 49x10 features, an uneven first window."""
    net = Network(3)
    x = net.conv(net.reshape(net.input(1, 490), 1, 49, 10, 1), 16, (10, 4), (2, 2), "RELU")
    for _ in range(3):
        x = net.conv(net.depthwise(x, 3, activation="RELU"), 16, activation="RELU")
    x = net.average_pool(x, (25, 5))
    return net.build(net.dense(net.reshape(x, 1, 16), 12))


def autoencoder() -> bytes:
    """MLPerf Tiny's anomaly detection model, narrower."""
    net = Network(4)
    x = net.input(1, 160)
    for width in (32, 32, 8, 32, 32):
        x = net.dense(x, width, "RELU")
    return net.build(net.dense(x, 160))


def _pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)
