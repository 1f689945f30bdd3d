"""Grids: what is refused, what they become, and when two are the same."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgekit.errors import EdgekitError, ModelError, UsageError
from edgekit.records import Plan
from edgekit.sweep import grid as grids
from edgekit.sweep import grid_file
from edgekit.sweep.grid import Exclude, Grid, GridFile, ModelEntry, settle

ZOO = "zoo:mobilevig_ti"


def settled(folder: Path, text: str) -> Grid:
    path = folder / "phones.toml"
    path.write_text(text)
    return settle(grid_file.load(path), path.parent, path.stem)


@pytest.mark.parametrize(
    ("text", "where", "step"),
    [
        ("format = ['onnx']", "phones.toml: format", "Did you mean formats?"),
        ("[plan]\nrepeat = 3", "phones.toml: plan.repeat", "Did you mean repeats?"),
        ("models = [{spec = 'a', wheights = 'b'}]", "phones.toml: models[0].wheights", "Did you mean weights?"),
        ("[[exclude]]\nthread = 1", "phones.toml: exclude[0].thread", "Did you mean threads?"),
        ("xyzzy = 1", "phones.toml: xyzzy", "The keys there are formats, precisions"),
        ("threads = [0]", "phones.toml: threads[0]", "Correct the value."),
        ("threads = []", "phones.toml: threads", "Correct the value."),
        ("models = 'a'", "phones.toml: models", "Correct the value."),
        ("clocks = 'fast'", "phones.toml: clocks", "Correct the value."),
        ("engine = 'c'", "phones.toml: engine", "Correct the value."),
        ("models = [", "phones.toml", "edgekit sweep --help"),
        ("\x00", "phones.toml", "edgekit sweep --help"),
    ],
)
def test_a_wrong_file_is_refused_by_its_key(tmp_path: Path, text: str, where: str, step: str) -> None:
    with pytest.raises(UsageError) as caught:
        settled(tmp_path, text)
    assert caught.value.where.endswith(where) and step in caught.value.next_step


def test_files_are_bounded(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="larger than"):
        settled(tmp_path, "#" * grid_file.MAX_BYTES + "\n")
    with pytest.raises(UsageError, match="can't be read"):
        grid_file.load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("formats = ['onnx']", UsageError, "has no model"),
        ("models = ['zoo:no_such_model']", ModelError, "no model zoo:no_such_model"),
        ("models = ['gone.pt2']", ModelError, "There is no file"),
        ("zoo = ['no_such*']", UsageError, "No model of the zoo fits"),
        (
            f"models = ['{ZOO}', {{spec = '{ZOO}', pretrained = true}}]",
            UsageError,
            "Two models are called mobilevig_ti",
        ),
        (f"models = [{{spec = '{ZOO}', name = '../x'}}]", UsageError, "is not a name"),
        (f"models = ['{ZOO}']\nname = 'a b'", UsageError, "is not a name"),
        (f"models = ['{ZOO}']\ninputs = 'gone'", UsageError, "There are no golden inputs"),
        (f"models = ['{ZOO}']\ncalibration = 'gone'", UsageError, "There are no calibration data"),
        (f"models = ['{ZOO}']\n[plan]\nrepeats = 0", UsageError, "repeats must be at least 1"),
        (f"models = [{{spec = '{ZOO}', input_shape = 'big'}}]", UsageError, "is not a shape"),
    ],
)
def test_what_is_not_possible_is_refused(tmp_path: Path, text: str, kind: type[EdgekitError], message: str) -> None:
    with pytest.raises(kind, match=message):
        settled(tmp_path, text)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def make(): ...")
    (tmp_path / "w.safetensors").write_bytes(b"weights")
    (tmp_path / "photos").mkdir()
    made = settled(tmp_path, '''
models = [
    "net.py:make",
    {spec = "zoo:mobilevig_ti", weights = "w.safetensors", name = "mine", calibration = "synthetic"},
]
inputs = "photos"
''')  # fmt: skip
    assert made.name == "phones"
    assert made.models["net_make"].spec == f"{tmp_path}/net.py:make"
    assert made.models["net_make"].inputs == str(tmp_path / "photos")
    assert made.models["mine"].weights == str(tmp_path / "w.safetensors")
    assert made.models["mine"].calibration == "synthetic"
    assert set(made.files) == {str(tmp_path / name) for name in ("net.py", "w.safetensors", "photos")}


@pytest.mark.parametrize(("file", "name"), [("my grid", "my_grid"), ("phones.v2", "phones.v2"), ("--", "mobilevig_ti")])
def test_a_grid_is_called_like_its_file(file: str, name: str) -> None:
    assert settle(GridFile(models=(ZOO,)), Path(), file).name == name


def test_a_grid_of_another_version_is_refused() -> None:
    text = settle(GridFile(models=(ZOO,)), Path()).text
    with pytest.raises(UsageError, match="unknown field") as caught:
        grids.read(text.replace('"parity"', '"proof"'))
    assert "begin a new sweep" in caught.value.next_step


def test_patterns_take_the_models_that_can_be_built() -> None:
    made = settle(GridFile(zoo=("mobilevig_*", "mobilevig_ti")), Path())
    assert {"mobilevig_ti", "mobilevig_s", "mobilevig_m", "mobilevig_b"} == set(made.models)
    assert made.name.endswith("-and-3-more")


def test_the_digest_depends_on_what_is_measured_only(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def make(): ...")
    text = 'models = ["net.py:make"]\nformats = ["onnx", "litert"]\n'
    one = settled(tmp_path, text)
    assert settled(tmp_path, "# a comment\nformats = ['onnx', 'litert', 'onnx']\nmodels = ['./net.py:make']\n") == one
    assert settled(tmp_path, text).sha256 == one.sha256 == grids.read(one.text).sha256
    assert grids.read(one.text) == one and grids.changed_files(one) == []
    others = [
        settled(tmp_path, text + "threads = [2]\n"),
        settled(tmp_path, text + "[plan]\nrepeats = 4\n"),
        settled(tmp_path, text + "name = 'other'\n"),
        settled(tmp_path, text + "seed = 1\n"),
    ]
    (tmp_path / "net.py").write_text("def make():  ...")
    others.append(settled(tmp_path, text))
    assert len({one.sha256, *(other.sha256 for other in others)}) == 6
    assert grids.changed_files(one) == [str(tmp_path / "net.py")]


def test_a_folder_of_data_counts_by_its_names_and_sizes(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.npy").write_bytes(b"123")
    asked = GridFile(models=(ZOO,), inputs="photos")
    one = settle(asked, tmp_path)
    (folder / "b.npy").write_bytes(b"1")
    assert settle(asked, tmp_path).sha256 != one.sha256


def test_a_record_is_checked_like_a_file() -> None:
    with pytest.raises(UsageError, match="Expected `int` >= 1"):
        grids.checked(GridFile(models=(ZOO,), threads=(0,)))
    assert grids.checked(GridFile(models=[ZOO])).models == (ZOO,)  # type: ignore[arg-type]


def test_the_request_says_how_to_load_and_convert() -> None:
    entry = ModelEntry(spec=ZOO, pretrained=True, input_shape="1,3,64,64", input_spec="{'x': (1,3,64,64)}",
                       calibration="synthetic")  # fmt: skip
    made = settle(GridFile(models=(entry,), seed=7, golden_count=3, parity=False, plan=Plan(repeats=5)), Path())
    request = grids.convert_request(made, "mobilevig_ti", ("onnx",), "fp32", jobs=2, memory_limit_bytes=1, cache="c")
    assert (request.load.spec, request.load.pretrained, request.load.seed) == (ZOO, True, 7)
    assert request.load.input_shape == ((1, 3, 64, 64),) and request.load.input_spec is not None
    assert (request.formats, request.precision, request.golden.count) == (("onnx",), "fp32", 3)
    assert request.check_parity is False and request.calibration.source == "synthetic"


def test_exclusions_match_every_pattern_that_is_given() -> None:
    rule = Exclude(model="mobile*", threads=(2, 4))
    assert rule.matches("mobilevig", "onnx", "fp32", 2, "host")
    assert not rule.matches("mobilevig", "onnx", "fp32", 1, "host")
    assert not rule.matches("resnet", "onnx", "fp32", 2, "host")
    assert Exclude(device="adb:*", format="onnx").matches("m", "onnx", "fp32", 1, "adb:1")
    assert not Exclude(device="adb:*", precision="int8").matches("m", "onnx", "fp32", 1, "adb:1")
    assert msgspec.convert({"threads": 2}, Exclude).matches("m", "f", "p", 2, "d")
