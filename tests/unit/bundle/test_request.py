from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.bundle.request import ForModel, SourceText, checked_name, for_model, for_models, source_text, source_texts
from edgekit.errors import UsageError


@pytest.mark.parametrize(
    ("argument", "text", "name"),
    [
        ("model.tflite", "model.tflite", None),
        ("net=model.tflite", "model.tflite", "net"),
        ("net=a=b.tflite", "a=b.tflite", "net"),
        ("my net=0123456789ab", "0123456789ab", "my net"),
    ],
)
def test_a_source_may_be_named(argument: str, text: str, name: str | None) -> None:
    assert source_text(argument) == SourceText(text, name)


def test_a_file_whose_name_has_an_equals_sign_is_that_file(tmp_path: Path) -> None:
    file = tmp_path / "size=8.tflite"
    file.touch()
    assert source_text(str(file)) == SourceText(str(file))
    assert source_texts([file, "net=x"]) == (SourceText(str(file)), SourceText("x", "net"))
    assert source_texts(file) == (SourceText(str(file)),)


@pytest.mark.parametrize("argument", ["", "=", "=model.tflite", "net=", "net=a\0b"])
def test_an_argument_without_a_part_is_refused(argument: str) -> None:
    with pytest.raises(UsageError, match="lacks a part") as caught:
        for_model(argument, "--labels")
    assert caught.value.where == "--labels" and "MODEL=VALUE" in caught.value.next_step


@pytest.mark.parametrize("name", ["", " ", "--", "two\nlines", "x" * 101, "bell\a"])
def test_a_name_is_one_line_with_a_letter_or_a_digit(name: str) -> None:
    with pytest.raises(UsageError, match="can't be a name"):
        checked_name(name, "--name")


@pytest.mark.parametrize("name", ["net", "mobilenetv2_100", "Ziffern für alle", "数字", "7"])
def test_names_may_have_any_letters(name: str) -> None:
    assert checked_name(name, "--name") == name


def test_programs_give_a_value_for_all_models_or_by_model() -> None:
    assert for_models(None) == ()
    assert for_models(Path("labels.txt")) == (ForModel("labels.txt"),)
    assert for_models({"a": Path("a.txt"), "b": "b.txt"}) == (ForModel("a.txt", "a"), ForModel("b.txt", "b"))
