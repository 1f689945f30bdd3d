from __future__ import annotations

import keyword
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.bundle.gather.contract import identifiers
from edgekit.bundle.names import MAX_IDENTIFIER, camel, identifier, pascal
from tests.unit.bundle.made import HOSTILE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mobilenetv2_100", "mobilenetv2_100"), ("MobileNetV2", "mobile_net_v2"), ("input.1", "input_1"),
        ("Größe", "groe"), ("日本", "model"), ("7up", "model_7up"), ("class", "model_class"),
        ("__x__", "x"), ("ek_thing", "model_ek_thing"), ("serving_default_args_0:0", "serving_default_args_0_0"),
    ],
)  # fmt: skip
def test_identifiers_are_snake_case_and_no_keyword(text: str, expected: str) -> None:
    assert identifier(text, "model") == expected


@given(st.text(max_size=200) | st.sampled_from(HOSTILE))
def test_any_text_becomes_an_identifier(text: str) -> None:
    made = identifier(text, "input")
    assert re.fullmatch(r"[a-z][a-z0-9_]*", made, re.ASCII) and len(made) <= MAX_IDENTIFIER
    assert not keyword.iskeyword(made) and not made.endswith("_") and "__" not in made
    for other in (pascal(made), camel(made)):
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", other, re.ASCII)


@given(st.lists(st.sampled_from(["x", "X", "x_2", "x2", "x 2", "2", "", "日", "class", "Y" * 50]), max_size=12))
def test_identifiers_of_several_names_differ_in_every_case(names: list[str]) -> None:
    made = identifiers(names, "input")
    assert len(made) == len(names)
    assert len({camel(one).lower() for one in made}) == len(names)
    assert all(len(one) <= MAX_IDENTIFIER for one in made)


def test_the_later_of_two_names_gets_the_number() -> None:
    assert identifiers(["image", "Image", "IMAGE"], "input") == ["image", "image_2", "image_3"]
