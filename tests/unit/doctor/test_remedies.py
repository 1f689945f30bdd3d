from __future__ import annotations

import pytest

from edgekit.convert import remedies
from edgekit.convert.remedies import remedy_for


@pytest.mark.parametrize(
    ("op", "severity", "says"),
    [
        ("aten.fft_rfft2.default", "fails", "DFT"),
        ("aten._fft_r2c.default", "fails", "DFT"),
        ("aten.linalg_svdvals.default", "fails", "outside the model"),
        ("aten.sort.default", "fails", "topk"),
        ("aten.upsample_bicubic2d.vec", "fails", "bilinear"),
        ("aten._upsample_bicubic2d_aa.vec", "fails", "antialias"),
        ("aten.__and__.Scalar", "fails", "arithmetic"),
        ("aten.scatter_.src", "fails", "torch.cat"),
        ("cond", "fails", "torch.where"),
        ("mylib.my_op.default", "fails", "PyTorch's own operators"),
        ("aten.some_new_operator.default", "fails", "Replace the operator"),
        ("aten.mean.dim", "splits", "keepdim=True"),
        ("aten.roll.default", "undelegated", "torch.cat"),
        ("aten.expand.default", "undelegated", "broadcast"),
        ("aten.argmax.default", "undelegated", "still runs"),
        ("aten.exp.default", "precision", "float32"),
        ("aten.gelu.default", "wrong", "Check this output"),
    ],
)
def test_an_operator_has_a_remedy_for_its_trouble(op: str, severity: str, says: str) -> None:
    assert says in remedy_for(op, severity)


def test_every_remedy_is_one_or_two_sentences() -> None:
    for table in (remedies._FAILS, remedies._OUTSIDE):
        for _, sentence in table:
            assert sentence[0].isupper() and sentence.endswith(".") and 20 < len(sentence) < 240
