from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.bundle.gather import given
from edgekit.bundle.records import Tensor
from edgekit.errors import BundleError, UsageError
from edgekit.records import Preprocess

IMAGE = Tensor(name="x", identifier="x", shape=(1, 3, 8, 8))


def written(folder: Path, content: bytes | str) -> Path:
    path = folder / "given.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# -- labels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", ["cat\ndog\n", "cat\ndog", "cat\r\ndog\r\n", "\ufeffcat\ndog\n", "  cat \n dog\t\n"]
)
def test_labels_are_the_lines_of_a_text(tmp_path: Path, content: str) -> None:
    assert given.load_labels(written(tmp_path, content)) == ("cat", "dog")


def test_labels_may_have_any_printable_character(tmp_path: Path) -> None:
    labels = ('say "hi" $x \\(y) */', "日本 é 💥", "@NAME@ %s")
    assert given.load_labels(written(tmp_path, "\n".join(labels) + "\n")) == labels


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"cat\n\ndog\n", "line 2 is empty"),
        (b"", "line 1 is empty"),
        (b"cat\ndo\x07g\n", "line 2 has a control character"),
        ("cat\u2028dog\n".encode(), "line 1 has a control character"),
        (b"x" * 1001, "line 1 is longer than 1000 characters"),
        (b"cat\n\xff\xfe", "no UTF-8 text"),
        (b"a\n" * 100_001, "100001 lines"),
    ],
)
def test_what_is_no_list_of_labels_is_refused(tmp_path: Path, content: bytes, what: str) -> None:
    with pytest.raises(BundleError, match=what) as caught:
        given.load_labels(written(tmp_path, content))
    assert caught.value.where.endswith("given.txt") and "one label per line" in caught.value.next_step


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BundleError, match="larger than 16384 KiB"):
        given.load_labels(path)
    with pytest.raises(BundleError, match="larger than 64 KiB"):
        given.load_preprocess(path)


@pytest.mark.parametrize("load", [given.load_labels, given.load_preprocess])
def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path, load: object) -> None:
    with pytest.raises(UsageError, match="can't be read: No such file"):
        load(tmp_path / "none")
    with pytest.raises(UsageError, match="can't be read"):
        load(tmp_path)


@pytest.mark.parametrize("shape", [(1, 3), (3,), (1, 8, 8, 3)])
def test_labels_are_as_many_as_the_last_axis(shape: tuple[int, ...]) -> None:
    given.check_labels(("a", "b", "c"), shape, "net")
    with pytest.raises(BundleError, match="net has 3 classes .* and 2 labels") as caught:
        given.check_labels(("a", "b"), shape, "net")
    assert caught.value.where == "--labels"


# -- preprocessing -----------------------------------------------------------------------------------------------------


def test_preprocessing_is_the_records_fields(tmp_path: Path) -> None:
    text = 'height = 8\nwidth = 8\ncrop_fraction = 1.0\ninterpolation = "bilinear"\nmean = [0.5]\nstd = [0.25]\n'
    assert given.load_preprocess(written(tmp_path, text)) == Preprocess(
        height=8, width=8, crop_fraction=1.0, interpolation="bilinear", mean=(0.5,), std=(0.25,), source="command line"
    )


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("depth = 3", "unknown field `depth`"),
        ("height = 0", "height and width are whole numbers"),
        ("width = 20000", "height and width are whole numbers"),
        ('height = "8"', "Expected `int`"),
        ("crop_fraction = 0.0", "crop_fraction is from 0.1 to 1"),
        ('interpolation = "cubic"', "interpolation is one of"),
        ("mean = [nan]", "finite numbers"),
        ("std = [0.0]", "std is above 0"),
        ('source = "two\\nlines"', "one line of text"),
        ("mean = [", "is no preprocessing"),
        ("\x00", "is no preprocessing"),
    ],
)
def test_what_is_no_preprocessing_is_refused(tmp_path: Path, line: str, what: str) -> None:
    fields = {"height": "height = 8", "width": "width = 8", line.partition(" ")[0]: line}
    with pytest.raises(BundleError, match=what):
        given.load_preprocess(written(tmp_path, "\n".join(fields.values())))


def test_preprocessing_without_a_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="missing required field `height`"):
        given.load_preprocess(written(tmp_path, 'interpolation = "bilinear"\n'))


def test_preprocessing_has_to_make_the_input() -> None:
    fits = Preprocess(height=8, width=8, interpolation="bilinear")
    given.check_preprocess(fits, IMAGE, "net")
    with pytest.raises(BundleError, match=r"makes images of 8 x 8; net takes 16 x 8"):
        given.check_preprocess(fits, Tensor(name="x", identifier="x", shape=(1, 3, 16, 8)), "net")
    with pytest.raises(BundleError):  # no image
        given.check_preprocess(fits, Tensor(name="x", identifier="x", shape=(1, 5)), "net")
    with pytest.raises(BundleError):  # can't be had bit for bit
        given.check_preprocess(Preprocess(height=8, width=8, interpolation="lanczos"), IMAGE, "net")
