"""MCUFormer: a low-rank vision transformer whose search space and memory model fit a microcontroller.

Source: Liang et al., "MCUFormer: Deploying Vision Transformers on Microcontrollers with Limited Memory" (arXiv
2310.16898), written from a description only. The transformer is AutoFormer's (Chen et al., arXiv 2107.00651): class
token, learned positions, pre-norm blocks, 2-D relative positions for keys and values, mean of the image tokens. Every
qkv, proj, fc1 and fc2 is a product of three matrices of rank r. The published 73.62% is of one searched network whose
configuration is not published, so no accuracy is given here; counts are ours.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

RESOLUTION = 240
PER_HEAD = 64
CLIP = 14
TABLE_ROWS = 2 * CLIP + 2

EMBEDDINGS = (168, 192, 216)
DEPTHS = (12, 13, 14)
HEADS = (3, 4)
MLP_RATIOS = (3.5, 4.0)
RANKS = tuple(round(0.40 + 0.05 * step, 2) for step in range(12))
# Patch side -> zeros on each side of the image, so that a whole number of patches covers it.
PATCHES = {16: 0, 20: 0, 24: 0, 28: 6, 32: 8}


class Config(NamedTuple):
    """One network of the search space."""

    embedding: int = 192
    depth: int = 12
    heads: int = 3
    mlp_ratio: float = 4.0
    rank: float = 0.7
    patch: int = 20

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return (RESOLUTION + 2 * PATCHES[self.patch]) // self.patch

    def peak_bytes(self) -> int:
        """Activation memory of the widest step in int8: ``d * [(n^2 + 1) * (1 + m) + d * m * rank]`` bytes.

        n is the grid's side, d the embedding and m the MLP ratio. A network fits a board if this is at most its SRAM.
        """
        tokens = self.grid**2 + 1
        return int(self.embedding * (tokens * (1 + self.mlp_ratio) + self.embedding * self.mlp_ratio * self.rank))


def search_space() -> list[Config]:
    """Every configuration of the space, in a fixed order."""
    return [Config(*choice) for choice in product(EMBEDDINGS, DEPTHS, HEADS, MLP_RATIOS, RANKS, PATCHES)]


class LowRankLinear(nn.Module):
    """A linear layer as three: in to r, r to r, r to out; only the last has a bias."""

    def __init__(self, channels: int, out: int, rank: int) -> None:
        super().__init__()
        self.enter = nn.Linear(channels, rank, bias=False)
        self.core = nn.Linear(rank, rank, bias=False)
        self.leave = nn.Linear(rank, out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.leave(self.core(self.enter(x)))
        return y

    @torch.no_grad()
    def factorise(self, weight: torch.Tensor) -> None:
        """Set the three matrices to the best approximation of a dense ``weight`` (out, in), by its SVD."""
        u, s, v = torch.linalg.svd(weight, full_matrices=False)
        rank = self.core.in_features
        self.leave.weight.copy_(u[:, :rank])
        self.core.weight.copy_(torch.diag(s[:rank]))
        self.enter.weight.copy_(v[:rank])


def _rank(ratio: float, channels: int, out: int) -> int:
    return int(ratio * min(channels, out))


def _offsets(grid: int, axis: int) -> torch.Tensor:
    """Row of the position table for each pair of tokens along one axis; row 0 is for pairs with the class token."""
    steps = torch.arange(grid)
    distance = (steps[None, :] - steps[:, None]).clamp(-CLIP, CLIP) + CLIP + 1
    shape = (grid, 1, grid, 1) if axis == 0 else (1, grid, 1, grid)
    pairs = distance.reshape(shape).expand(grid, grid, grid, grid).reshape(grid**2, grid**2)
    return functional.pad(pairs, (1, 0, 1, 0))


class RelativePosition(nn.Module):
    """One learned vector per pair of tokens, the sum of a row's and a column's table entry: (T, T, 64)."""

    rows: torch.Tensor
    columns: torch.Tensor

    def __init__(self, grid: int) -> None:
        super().__init__()
        self.row_table = nn.Parameter(torch.randn(TABLE_ROWS, PER_HEAD) * 0.02)
        self.column_table = nn.Parameter(torch.randn(TABLE_ROWS, PER_HEAD) * 0.02)
        self.register_buffer("rows", _offsets(grid, 0), persistent=False)
        self.register_buffer("columns", _offsets(grid, 1), persistent=False)

    def forward(self) -> torch.Tensor:
        return functional.embedding(self.rows, self.row_table) + functional.embedding(self.columns, self.column_table)


class Attention(nn.Module):
    """Attention with low-rank projections and relative positions on the keys and the values."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        inner = config.heads * PER_HEAD
        # The rank follows the widths of the supernet, not those of the sampled network.
        widest, most = max(EMBEDDINGS), max(HEADS) * PER_HEAD
        self.qkv = LowRankLinear(config.embedding, 3 * inner, _rank(config.rank, widest, 3 * most))
        self.project = LowRankLinear(inner, config.embedding, _rank(config.rank, most, widest))
        self.key_position = RelativePosition(config.grid)
        self.value_position = RelativePosition(config.grid)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, _ = x.shape
        parts = self.qkv(x).chunk(3, -1)
        query, key, value = (part.reshape(batch, tokens, self.heads, PER_HEAD).transpose(1, 2) for part in parts)
        scores = query @ key.transpose(-2, -1) + self._per_token(query, self.key_position().transpose(1, 2))
        weights = torch.softmax(scores * PER_HEAD**-0.5, -1)
        y = weights @ value + self._per_token(weights, self.value_position())
        out: torch.Tensor = self.project(y.transpose(1, 2).reshape(batch, tokens, self.heads * PER_HEAD))
        return out

    def _per_token(self, x: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
        """Multiply each token's vectors of all heads, (N, heads, T, a), by that token's own matrix, (T, a, b)."""
        batch, heads, tokens, width = x.shape
        y = x.reshape(batch * heads, tokens, width).transpose(0, 1) @ matrices
        return y.transpose(0, 1).reshape(batch, heads, tokens, -1)


class Block(nn.Module):
    """Pre-norm attention and MLP, both residual."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, hidden = config.embedding, int(config.embedding * config.mlp_ratio)
        rank = _rank(config.rank, width, hidden)
        self.norm = nn.LayerNorm(width)
        self.attend = Attention(config)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(LowRankLinear(width, hidden, rank), nn.GELU(), LowRankLinear(hidden, width, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attend(self.norm(x))
        out: torch.Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class MCUFormer(nn.Module):
    """Input (N, 3, 240, 240) float32; output (N, classes) logits."""

    def __init__(self, config: Config, num_classes: int = 1000) -> None:
        super().__init__()
        padding = PATCHES[config.patch]
        self.embed = nn.Conv2d(3, config.embedding, config.patch, config.patch, padding)
        self.class_token = nn.Parameter(torch.randn(1, 1, config.embedding) * 0.02)
        self.position = nn.Parameter(torch.randn(1, config.grid**2 + 1, config.embedding) * 0.02)
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.embedding)
        self.classify = nn.Linear(config.embedding, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = self.embed(x).flatten(2).transpose(1, 2)
        first = self.class_token.expand(patches.shape[0], -1, -1)
        tokens = torch.cat([first, patches], 1) + self.position
        tokens = self.norm(self.blocks(tokens))
        logits: torch.Tensor = self.classify(tokens[:, 1:].mean(1))
        return logits


def build(
    embed: str = "192",
    depth: str = "12",
    heads: str = "3",
    mlp: str = "4",
    rank: str = "0.7",
    patch: str = "20",
    num_classes: int = 1000,
) -> MCUFormer:
    """A network of the search space from its options, as they stand behind ``zoo:mcuformer?``.

    Raises:
        ValueError: a value is outside the space.
    """
    config = Config(
        int(_choice(embed, "embed", EMBEDDINGS)),
        int(_choice(depth, "depth", DEPTHS)),
        int(_choice(heads, "heads", HEADS)),
        _choice(mlp, "mlp", MLP_RATIOS),
        _choice(rank, "rank", RANKS),
        int(_choice(patch, "patch", tuple(PATCHES))),
    )
    return MCUFormer(config, num_classes)


def _choice(text: str, key: str, allowed: tuple[float, ...]) -> float:
    for value in allowed:
        if text in (str(value), f"{value:g}", f"{value:.2f}"):
            return value
    raise ValueError(f"{key}={text[:20]} is not one of {', '.join(f'{value:g}' for value in allowed)}")
