"""The memory demands of well-known networks, and irregular ones, without their weights."""

from __future__ import annotations

import random

from tests.unit.mcu.programs import program, step


class Net:
    """Layers one after the other; every method gives the buffer it wrote."""

    def __init__(self, side, channels):
        self.sizes, self.steps = [side * side * channels], []
        self.side, self.channels, self.at = side, channels, 0

    def add(self, name, reads, size, scratch=0, overlaps=()):
        self.sizes.append(size)
        made = len(self.sizes) - 1
        shares = [(read, made, distance) for read, distance in overlaps]
        self.steps.append(step(f"{name}{len(self.steps)}", reads, [made], scratch, shares))
        self.at = made
        return made

    def same(self, name, reads, scratch=0, shared=True):
        """A layer of the input's size, element by element."""
        size = self.sizes[reads[0]]
        return self.add(name, reads, size, scratch, [(r, 0) for r in reads if shared and self.sizes[r] == size])

    def spatial(self, name, channels, stride, scratch, *, pad, in_place=False):
        side = self.side // stride
        row, read = side * channels, self.side * self.channels
        distance = max((r + 1) * row - max(0, r * stride - pad) * read for r in range(side))
        old, self.side, self.channels = self.at, side, channels
        return self.add(name, [old], side * row, scratch, [(old, None if in_place else distance)])

    def pointwise(self, channels):
        pixels, old = self.side**2, self.channels
        distance = max(channels, pixels * channels - (pixels - 1) * old)
        self.channels = channels
        return self.add("conv", [self.at], pixels * channels, 8 * old, [(self.at, distance)])

    def depthwise(self, stride, scratch):
        return self.spatial("dw", self.channels, stride, scratch, pad=int(stride == 1), in_place=stride == 1)

    def finish(self, classes):
        pooled = self.add("pool", [self.at], self.channels)
        last = self.add("fc", [pooled], classes, 8 * self.channels)
        return program(self.sizes, self.steps, [0], [last])


def visual_wake_words():
    """MobileNetV1-0.25 at 96 pixels."""
    net = Net(96, 3)
    net.spatial("conv", 8, 2, 864, pad=0)
    widths = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    for channels, stride in widths:
        net.depthwise(stride, 2 * (net.side + 2) ** 2)
        net.pointwise(channels)
    return net.finish(2)


def mobilenet_v2():
    """Width 0.35 at 144 pixels: 64 steps with residuals."""
    net = Net(144, 3)
    net.spatial("conv", 16, 2, 864, pad=0)
    for expand, channels, count, first in [(1, 8, 1, 1), (6, 8, 2, 2), (6, 16, 3, 2), (6, 24, 4, 2), (6, 32, 3, 1),
                                           (6, 56, 3, 2), (6, 112, 1, 1)]:  # fmt: skip
        for number in range(count):
            kept, before = net.at, net.channels
            if expand > 1:
                net.pointwise(before * expand)
            net.depthwise(first if number == 0 else 1, (net.side + 2) ** 2 + 72)
            net.pointwise(channels)
            if number:
                net.same("add", [kept, net.at])
    net.pointwise(1280)
    return net.finish(1000)


def vit_block(tokens=49, width=192, heads=3):
    """Attention head by head with the results joined in one buffer, and an MLP of four times the width."""
    net = Net(1, tokens * width)
    head = tokens * width // heads

    def norm(read):
        mean = net.add("mean", [read], tokens)
        apart = net.same("sub", [read, mean], shared=True)
        square = net.same("square", [apart])
        root = net.same("rsqrt", [net.add("mean", [square], tokens)])
        return net.same("mul", [apart, root])

    normed = norm(0)
    query, key, value = (net.same(name, [normed], 768, shared=False) for name in "qkv")
    net.sizes.append(tokens * width)
    joined = len(net.sizes) - 1
    for _ in range(heads):
        q, k, v = (net.add(name, [whole], head) for name, whole in (("q", query), ("k", key), ("v", value)))
        scores = net.same("softmax", [net.add("scores", [q, k], tokens**2)])
        mixed = net.add("mix", [scores, v], head)
        net.steps.append(step(f"join{len(net.steps)}", [mixed], [joined]))
    stream = net.same("add", [0, net.same("proj", [joined], 768, shared=False)])
    hidden = net.add("fc1", [norm(stream)], 4 * tokens * width, 768)
    out = net.add("fc2", [net.same("gelu", [hidden])], tokens * width, 3072)
    return program(net.sizes, net.steps, [0], [net.same("add", [stream, out])])


def irregular(seed, steps):
    """Branches and residuals at random, with sizes that fit each other badly."""
    chance = random.Random(seed)
    sizes, made = [4 * chance.randint(50, 2000)], []
    for number in range(steps):
        reads = sorted({max(0, len(sizes) - 1 - int(chance.expovariate(0.5))) for _ in range(chance.choice((1, 1, 2)))})
        sizes.append(4 * chance.randint(50, 2000))
        write = len(sizes) - 1
        shares = [(r, write, chance.choice((None, 0, 4 * chance.randint(0, 200)))) for r in reads]
        made.append(step(f"s{number}", reads, [write], 8 * chance.randint(0, 100), shares))
    read = {b for s in made for b in s.reads}
    return program(sizes, made, [0], [b for b in range(1, len(sizes)) if b not in read])
