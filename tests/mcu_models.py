"""Very small .tflite models for the tests of the path to a board."""

from __future__ import annotations

import numpy as np
from tflite_maker import Maker
from tiny_networks import Network


def small() -> bytes:
    """Convolution, depthwise, addition, pooling, fully connected, softmax; 3 KB packed."""
    net = Network(7)
    x = net.conv(net.input(1, 16, 16, 3), 8, 3, 2, "RELU")
    x = net.add(x, net.conv(net.depthwise(x, 3, activation="RELU"), 8))
    return net.build(net.softmax(net.dense(net.reshape(net.average_pool(x, (8, 8)), 1, 8), 10)))


def heavy() -> bytes:
    """Nothing to send, and much to do: some 60 million multiply-accumulates."""
    net = Network(11)
    x = net.conv(net.input(1, 32, 32, 3), 64, 3, activation="RELU")
    x = net.conv(net.conv(x, 64, 3, activation="RELU"), 32, 3, activation="RELU")
    return net.build(net.dense(net.reshape(net.average_pool(x, (32, 32)), 1, 32), 4))


def weighty(inputs: int, outputs: int) -> bytes:
    """So many weights, and little else."""
    net = Network(9)
    return net.build(net.dense(net.input(1, inputs), outputs))


def wide(side: int) -> bytes:
    """A convolution whose input and output have 16 * side * side bytes each."""
    net = Network(10)
    return net.build(net.conv(net.conv(net.input(1, side, side, 16), 16, 3, activation="RELU"), 2, 3))


def in_float() -> bytes:
    """A model that nobody quantised."""
    maker = Maker()
    x = maker.input((1, 4, 4, 2), dtype="float32")
    y = maker.tensor((1, 4, 4, 3), dtype="float32")
    w = maker.constant(np.ones((3, 1, 1, 2), np.float32))
    b = maker.constant(np.zeros(3, np.float32))
    maker.operator("CONV_2D", [x, w, b], [y], padding="SAME", fused_activation_function="NONE")
    maker.output(y)
    return maker.build()
