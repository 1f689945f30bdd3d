"""Fused attention becomes products and a softmax, with every form of mask and scale that torch has, or stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rewrite_proof import Program, convert, error, exported, prove, random, refuse, targets
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention as attend

from edgekit.export.rewrites import explicit_attention, fold_constants

FUSED = "aten.scaled_dot_product_attention.default"


def qkv(*batch: int, rows: int = 6, keys: int = 7, depth: int = 8, width: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    return (
        random(*batch, rows, depth),
        random(*batch, keys, depth, seed=1),
        random(*batch, keys, width, seed=2),
    )


class Masked(nn.Module):
    """Attention with a mask that the module keeps."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend(q, k, v, attn_mask=self.mask)


def holes(*shape: int) -> Tensor:
    """Truth values with at least one true in every row."""
    mask = random(*shape, seed=3) > 0
    mask[..., 0] = True
    return mask


MASKS = {
    "float": random(6, 7),
    "per head": random(1, 4, 6, 7),
    "per sample": random(2, 1, 6, 7),
    "per sample and head": random(2, 4, 6, 7),
    "per key": random(1, 7),
    "per row": random(6, 1),
    "with infinities": torch.zeros(6, 7).masked_fill(~holes(6, 7), -torch.inf),
    "truth values": holes(6, 7),
    "truth values per sample": holes(2, 1, 6, 7),
    "all true": torch.ones(6, 7, dtype=torch.bool),
}


def plain(program: Program) -> bool:
    return FUSED not in targets(program) and all(len(n.meta["val"].shape) <= 4 for n in program.graph.nodes if n.users)


@pytest.mark.parametrize("batch", [(), (3,), (2, 4), (1, 4), (2, 3, 2)])
@pytest.mark.parametrize("options", [{}, {"scale": 0.3}, {"is_causal": True}])
def test_any_rank_scale_and_a_causal_mask(batch: tuple[int, ...], options: dict[str, Any]) -> None:
    program = prove(explicit_attention, lambda q, k, v: attend(q, k, v, **options), *qkv(*batch))
    assert FUSED not in targets(program)


@pytest.mark.parametrize("kind", MASKS)
def test_a_mask_of_the_model_is_added(kind: str) -> None:
    program = prove(explicit_attention, Masked(MASKS[kind]), *qkv(2, 4))
    assert plain(program)
    assert ("aten.add.Tensor" in targets(program)) == (kind != "all true")


@pytest.mark.parametrize("mask", [None, random(5, 7), holes(5, 7), random(1, 6, 5, 7), random(2, 1, 5, 7)])
def test_grouped_queries_share_their_keys(mask: Tensor | None) -> None:
    q, _, _ = qkv(2, 6, rows=5)
    _, k, v = qkv(2, 2)

    class Grouped(nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return attend(q, k, v, attn_mask=mask, enable_gqa=True)

    program = exported(Grouped(), q, k, v)
    fold_constants.apply(program)  # a tensor that the module doesn't own is copied first
    assert explicit_attention.apply(program) == 1
    assert error(program, Grouped(), q, k, v) <= explicit_attention.BOUND
    assert not [t for t in targets(program) if "repeat" in t or "expand" in t]


def test_layers_share_one_copy_of_equal_masks() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Masked(holes(6, 6)), Masked(holes(6, 6))

        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return self.first(self.second(q, k, v), k, v)

    program = prove(explicit_attention, Twice(), *qkv(1, 2, keys=6, width=8), places=2)
    assert len(program.constants) == 1 and not program.state_dict


def test_what_torchs_decompositions_leave_is_found_as_well() -> None:
    def flash(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, scale=0.5)[0] * 2

    assert "flash" not in str(targets(prove(explicit_attention, flash, *qkv(1, 2, keys=6, width=8))))


def test_a_view_that_relied_on_the_fused_layout_still_works() -> None:
    def heads_last(x: Tensor) -> Tensor:
        q = x.view(2, 6, 4, 8).transpose(1, 2)
        return attend(q, q, q).transpose(1, 2).view(2, 6, 32) + 1

    prove(explicit_attention, heads_last, random(2, 6, 32))


class Encoder(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True, **options)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


@pytest.mark.parametrize("options", [{}, {"norm_first": True, "activation": "gelu"}])
def test_torchs_encoder_layer_exports_without_its_fast_path(options: dict[str, Any]) -> None:
    program = prove(explicit_attention, Encoder(**options), random(2, 6, 16))
    assert not [t for t in targets(program) if "transformer" in t or "multi_head" in t or "scaled" in t]


def test_what_a_softmax_can_not_say_stays() -> None:
    blocked = torch.zeros(6, 7)
    blocked[2] = -torch.inf  # torch defines the result of this row as zero
    refuse(explicit_attention, Masked(blocked), *qkv(2, 4))
    refuse(explicit_attention, Masked(blocked == 0), *qkv(2, 4))
    refuse(explicit_attention, lambda q, k, v, m: attend(q, k, v, attn_mask=m), *qkv(2, 4), random(6, 7))
    refuse(explicit_attention, lambda q, k, v: attend(q, k, v, dropout_p=0.5), *qkv(2, 4))


def test_what_broadcasts_or_is_not_float32_stays() -> None:
    q, k, v = qkv(2, 4)
    refuse(explicit_attention, lambda q, k, v: attend(q, k, v), q, k[:1], v[:1])
    refuse(explicit_attention, lambda q, k, v: attend(q, k, v), *(t.double() for t in (q, k, v)))


@pytest.mark.parametrize(
    ("format_name", "model"),
    [
        ("executorch", Masked(holes(6, 7))),
        ("executorch", lambda q, k, v: attend(q, k, v, is_causal=True)),
        ("litert", lambda q, k, v: attend(q, k, v, is_causal=True)),
    ],
)
def test_the_delegate_takes_all_of_it(format_name: str, model: Callable[..., Any], tmp_path: Path) -> None:
    conversion, parity = convert(format_name, tmp_path, model, *qkv(1, 2))
    assert parity.passed and conversion.partitions == 1 and not conversion.undelegated_ops


def test_xnnpack_would_leave_the_guards_outside(tmp_path: Path) -> None:
    conversion, _ = convert("executorch", tmp_path, attend, *qkv(1, 2), without=("explicit_attention",))
    outside = {op.op for op in conversion.undelegated_ops or ()}
    assert conversion.partitions == 3 and {"aten.any.out", "aten.where.self_out"} <= outside
