from __future__ import annotations

import pytest

from edgekit.model.expressions import is_harmless

S = "Symbol('s53', positive=True, integer=True)"


@pytest.mark.parametrize(
    "text",
    [
        S,
        f"TruncToInt(Mul(Float('0.5', precision=53), ToFloat({S})))",
        f"Add(Mul(Integer(2), FloorDiv(Mul({S}, Symbol('s77')), Integer(3))), Integer(-1))",
        f"GreaterThan(Symbol('u0', integer=True), Pow({S}, Integer(2)))",
        "s0 + 2*s1 // 3 - 1",
        "Max(1, s0) >= 2",
    ],
)
def test_what_torch_writes(text: str) -> None:
    assert is_harmless(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "__import__('os').system('true')",
        "s0.__class__",
        "exec('1')",
        "Symbol('__class__')",
        "Symbol('s0', evil=print())",
        "Symbol(s0)",
        "(lambda: 1)()",
        "[s0]",
        "'a'",
        "x",
        "9**99",
        "Pow(Integer(9), Integer(999999))",
        "Pow(Integer(9), s0)",
        "Integer(" + "9" * 200 + ")",
        "Pow(Pow(Pow(Pow(s0, 8), 8), 8), 8)",
        "s0 if s0 else s1",
        "Max(*s0)",
        "Max(**s0)",
        "f'{s0}'",
        "(" * 300 + ")" * 300,
        "-" * 3000 + "1",
    ],
)
def test_what_torch_does_not_write(text: str) -> None:
    assert not is_harmless(text)
