"""Text from outside stays text wherever a bundle shows it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.bundle import text
from tests.unit.bundle import made

ANY = st.text() | st.text(st.characters(categories=["Cs", "Cc", "Zl", "Po"]))


@given(ANY)
def test_one_line_is_one_line_that_can_be_written(outside: str) -> None:
    line = text.one_line(outside)
    assert line.isprintable() and line == line.strip() and "  " not in line
    line.encode()
    assert len(text.one_line(outside, 5)) <= 5


@given(ANY)
def test_printable_text_can_be_shown(outside: str) -> None:
    shown = text.printable(outside)
    assert shown.isprintable() and (shown == outside) == outside.isprintable()
    shown.encode()


@pytest.mark.parametrize(("outside", "expected"), [
    ("a\n# b|c *d* <e>", r"a # b\|c \*d\* \<e\>"), ("# title", r"\# title"), ("- item", r"\- item"),
    ("1. first", r"1\. first"), ("12) x", r"12\) x"), ("+ x", r"\+ x"), ("===", r"\==="),
    ("[a](javascript:b)", r"\[a\](javascript:b)"), ("&lt;", r"\&lt;"), ("mobilenet-v2 (w1.0)", "mobilenet-v2 (w1.0)"),
    ("x" * 201, "x" * 199 + "…"),
])  # fmt: skip
def test_markdown_shows_it_as_it_is(outside: str, expected: str) -> None:
    assert text.markdown(outside) == expected


@pytest.mark.parametrize("outside", made.HOSTILE)
def test_markdown_of_hostile_texts_has_no_bare_sign(outside: str) -> None:
    shown = text.markdown(outside)
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", shown)  # without what is escaped
    assert not set("\\`*_[]<>|~$&") & set(bare) and not bare.startswith(("#", "+", "-", "="))


def test_shapes() -> None:
    assert (text.shape((1, 3, 8, 8)), text.shape((5,)), text.shape(())) == ("1 x 3 x 8 x 8", "5", "scalar")


def test_words_fill_lines_of_120() -> None:
    lines = text.wrapped([f"{value}," for value in np.arange(200).tolist()], 4).split("\n")
    assert all(line.startswith("    ") and 110 < len(line) <= 120 for line in lines[:-1])
    assert "".join(lines).replace(" ", "") == "".join(f"{value}," for value in range(200))
    assert text.wrapped(["x" * 300, "y"], 2) == f"  {'x' * 300}\n  y" and text.wrapped([], 2) == ""


def test_empty_lines_stay_empty() -> None:
    assert text.indented("a\n\n b", 2) == "  a\n\n   b"
