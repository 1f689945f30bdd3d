from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.errors import UsageError
from edgekit.evaluate.data import Dataset, load_dataset, spaced
from edgekit.records import Preprocess, TensorSpec

SPECS = (TensorSpec(name="image", shape=(1, 1, 4, 4)),)
X = np.arange(5 * 16, dtype=np.float64).reshape(5, 1, 4, 4)
Y = np.array([0, 1, 2, 1, 0], dtype=np.int32)


def stacks(dataset: Dataset) -> list[np.ndarray]:
    return [np.load(path, allow_pickle=False) for path in dataset.inputs]


def save(path: Path, **arrays: object) -> str:
    np.savez(path, **arrays)  # type: ignore[arg-type]  # also what is no array, to be refused
    return str(path)


@pytest.mark.parametrize("names", [("inputs", "labels"), ("x", "y"), ("images", "labels"), ("image", "y")])
def test_npz(tmp_path: Path, names: tuple[str, str]) -> None:
    source = save(tmp_path / "set.npz", **{names[0]: X, names[1]: Y})
    with load_dataset(source, SPECS, parent=tmp_path) as dataset:
        (stack,) = stacks(dataset)
        assert (stack.shape, stack.dtype) == ((5, 1, 1, 4, 4), np.dtype(np.float32))
        assert np.array_equal(stack[:, 0], X)
        assert (dataset.name, dataset.count, dataset.labels.tolist()) == ("set", 5, Y.tolist())
    assert [path.name for path in tmp_path.iterdir()] == ["set.npz"]


def test_samples_with_their_batch_and_without_known_shape(tmp_path: Path) -> None:
    source = save(tmp_path / "set.npz", inputs=X[:, None], labels=Y)
    with load_dataset(source, SPECS) as dataset:
        assert np.array_equal(stacks(dataset)[0], X[:, None])
    unknown = save(tmp_path / "unknown.npz", inputs=X.astype(np.uint8), labels=Y)
    with load_dataset(unknown, None) as dataset:
        assert np.array_equal(stacks(dataset)[0], X[:, None])
        assert stacks(dataset)[0].dtype == np.float32


def test_several_inputs(tmp_path: Path) -> None:
    specs = (TensorSpec(name="a", shape=(1, 2)), TensorSpec(name="b", shape=(1, 3), dtype="int64"))
    a, b = np.ones((4, 2)), np.ones((4, 3), dtype=np.int32)
    for source in (
        save(tmp_path / "set.npz", b=b, a=a, labels=np.zeros(4)),
        write_function(tmp_path, "return (np.ones((4, 2)), np.ones((4, 3), dtype=int)), np.zeros(4)"),
        write_function(tmp_path, "return {'b': np.ones((4, 3), dtype=int), 'a': np.ones((4, 2))}, np.zeros(4)"),
    ):
        with load_dataset(source, specs) as dataset:
            first, second = stacks(dataset)
            assert (first.shape, second.shape, second.dtype) == ((4, 1, 2), (4, 1, 3), np.dtype(np.int64))
    with pytest.raises(UsageError, match="no arrays named a, b; it has: inputs"):
        load_dataset(save(tmp_path / "one.npz", inputs=a, labels=np.zeros(4)), specs)
    with pytest.raises(UsageError, match="The model has 2 inputs"):
        load_dataset(write_function(tmp_path, "return (np.ones((4, 2)),), np.zeros(4)"), specs)


_COUNT = iter(range(100))


def write_function(folder: Path, body: str) -> str:
    path = folder / f"own_{next(_COUNT)}.py"
    path.write_text(f"import numpy as np\ndef get():\n    {body}\n")
    return f"{path}:get"


def test_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "neighbour.py").write_text("import numpy as np\nX = np.zeros((3, 1, 4, 4))\n")
    spec = write_function(tmp_path, "import neighbour; return neighbour.X, [0, 1, 2]")
    with load_dataset(spec, SPECS) as dataset:
        assert dataset.labels.tolist() == [0, 1, 2]
    (tmp_path / "a_package").mkdir()
    (tmp_path / "a_package" / "sets.py").write_text("def get():\n    return [[[[0.5] * 4] * 4]] * 2, (1, 0)\n")
    monkeypatch.chdir(tmp_path)
    with load_dataset("a_package.sets:get", SPECS) as dataset:
        assert stacks(dataset)[0].shape == (2, 1, 1, 4, 4)


def test_the_same_data_has_the_same_digest(tmp_path: Path) -> None:
    first = save(tmp_path / "a.npz", inputs=X, labels=Y)
    np.savez_compressed(tmp_path / "b.npz", x=X, y=Y)
    big_endian = save(tmp_path / "c.npz", inputs=X.astype(">f8"), labels=Y)
    other = save(tmp_path / "d.npz", inputs=X, labels=Y + 1)
    digests = []
    for source in (first, str(tmp_path / "b.npz"), big_endian, other):
        with load_dataset(source, SPECS) as dataset:
            digests.append(dataset.sha256)
    assert len(set(digests[:3])) == 1
    assert digests[3] != digests[0]


def test_a_limit_takes_evenly_spaced_samples(tmp_path: Path) -> None:
    assert spaced(10, 5).tolist() == [0, 2, 4, 6, 8]
    assert spaced(10, 3).tolist() == [0, 3, 6]
    assert spaced(3, 5).tolist() == [0, 1, 2]
    with load_dataset(save(tmp_path / "a.npz", inputs=X, labels=Y), SPECS, limit=2) as dataset:
        assert np.array_equal(stacks(dataset)[0][:, 0], X[[0, 2]])
        assert dataset.labels.tolist() == [0, 2]
    with pytest.raises(UsageError, match="not positive"):
        load_dataset(str(tmp_path / "a.npz"), SPECS, limit=0)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": X}, "no array 'labels' or 'y'; it has: inputs"),
        ({"labels": Y}, "no arrays named inputs"),
        ({"inputs": X[:0], "labels": Y[:0]}, "holds no samples"),
        ({"inputs": X[:4], "labels": Y}, "same number of samples"),
        ({"inputs": np.float32(1), "labels": Y}, "same number of samples"),
        ({"inputs": X[:, :, :3], "labels": Y}, r"have shape \(1, 3, 4\); input 'image' expects \(1, 4, 4\)"),
        ({"inputs": np.full_like(X, np.nan), "labels": Y}, "NaN"),
        ({"inputs": X.astype(str), "labels": Y}, "an array of <U"),
        ({"inputs": X.astype(complex), "labels": Y}, "complex"),
        ({"inputs": np.array([object()] * 5), "labels": Y}, "can't be read"),
    ],
)
def test_bad_arrays(tmp_path: Path, arrays: dict[str, object], message: str) -> None:
    source = save(tmp_path / "bad.npz", **arrays)
    with pytest.raises(UsageError, match=message) as caught:
        load_dataset(source, SPECS, parent=tmp_path)
    assert "bad.npz" in caught.value.message
    assert caught.value.next_step
    assert [path.name for path in tmp_path.iterdir()] == ["bad.npz"]


def test_floats_are_not_rounded_into_integers(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="float64; input 'image' expects uint8"):
        load_dataset(
            save(tmp_path / "a.npz", inputs=X, labels=Y), (TensorSpec(name="image", shape=(1, 1, 4, 4), dtype="uint8"),)
        )


def test_files_that_are_no_npz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "cut.npz").write_bytes(Path(save(tmp_path / "a.npz", inputs=X, labels=Y)).read_bytes()[:300])
    with zipfile.ZipFile(tmp_path / "odd.npz", "w") as archive:
        archive.writestr("labels.npy", b"not an array")
    for name in ("text.npz", "cut.npz", "odd.npz"):
        with pytest.raises(UsageError, match=name):
            load_dataset(str(tmp_path / name), SPECS)
    monkeypatch.setattr("edgekit.evaluate.data.MAX_NPZ_BYTES", 100)
    with pytest.raises(UsageError, match="unpacks to"):
        load_dataset(str(tmp_path / "a.npz"), SPECS)


@pytest.mark.parametrize("source", ["nowhere", "nowhere.npz", "nowhere.py:get", "no_such_module:get", "a:b:c", ""])
def test_nothing_there(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        load_dataset(source, SPECS)
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 3", "returned a int"),
        ("raise KeyError('lost')", "KeyError: 'lost'"),
        ("raise SystemExit(4)", "SystemExit: 4"),
        ("return [[1, 2], [3]], [0, 1]", "not an array"),
        ("return np.zeros((2, 1, 4, 4)), np.array([None, None])", "an array of object"),
    ],
)
def test_functions_that_fail(tmp_path: Path, body: str, message: str) -> None:
    spec = write_function(tmp_path, body)
    with pytest.raises(UsageError, match=message) as caught:
        load_dataset(spec, SPECS)
    if body.startswith("raise"):
        assert caught.value.where == f"{spec.removesuffix(':get')}:3"


def test_a_file_that_cannot_be_imported_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "late.py"
    path.write_text("def get(:\n")
    with pytest.raises(UsageError, match="can't be imported: SyntaxError"):
        load_dataset(f"{path}:get", SPECS)
    path.write_text("def get():\n    return [[[[0.0] * 4] * 4]], [0]\n")
    with load_dataset(f"{path}:get", SPECS) as dataset:
        assert dataset.count == 1


def make_folders(root: Path) -> Path:
    """Classes b, a and c with 2, 1 and 1 images of one brightness each."""
    for place, level in {"b/2.png": 200, "b/1.PNG": 100, "a/x.jpg": 50, "c/deep.bmp": 250}.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (level, level, level)).save(root / place)
    (root / "b" / "notes.txt").write_text("not an image")
    (root / "b" / ".hidden.png").write_bytes(b"")
    (root / ".git").mkdir()
    return root


PLAIN = Preprocess(height=4, width=4, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), crop_fraction=1.0)
COLOUR = (TensorSpec(name="image", shape=(1, 3, 4, 4)),)


def test_folders_of_images(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "photos")
    with load_dataset(str(root), COLOUR, PLAIN) as dataset:
        (stack,) = stacks(dataset)
        assert stack.shape == (4, 1, 3, 4, 4)
        assert np.allclose(stack.mean(axis=(1, 2, 3, 4)) * 255, [50, 100, 200, 250], atol=1.5)
        assert (dataset.labels.tolist(), dataset.name) == ([0, 1, 1, 2], "photos")
        whole = dataset.sha256
    with load_dataset(str(root), COLOUR, PLAIN, limit=2) as dataset:
        assert dataset.labels.tolist() == [0, 1]
        assert dataset.sha256 != whole
    with load_dataset(str(root), (TensorSpec(name="i", shape=(1, 1, 6, 6)),), None) as dataset:
        assert stacks(dataset)[0].shape == (4, 1, 1, 6, 6)
        assert dataset.sha256 == whole


def test_labels_txt_numbers_the_classes(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "photos")
    (root / "labels.txt").write_text("zebra\nc\nb\na\n\n")
    with load_dataset(str(root), COLOUR, PLAIN) as dataset:
        assert sorted(dataset.labels.tolist()) == [1, 2, 2, 3]
        brightness = stacks(dataset)[0].mean(axis=(1, 2, 3, 4)) * 255
        assert dict(zip(dataset.labels.tolist(), np.round(brightness), strict=True))[1] == 250
    (root / "labels.txt").write_text("a\nb\n")
    with pytest.raises(UsageError, match="does not list the folder c"):
        load_dataset(str(root), COLOUR, PLAIN)
    (root / "labels.txt").write_text("a\nb\nc\na\n")
    with pytest.raises(UsageError, match="lists a folder twice"):
        load_dataset(str(root), COLOUR, PLAIN)


def test_bad_folders(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no class folders"):
        load_dataset(str(tmp_path / "empty"), COLOUR, PLAIN)
    (tmp_path / "empty" / "cat").mkdir()
    with pytest.raises(UsageError, match="no images"):
        load_dataset(str(tmp_path / "empty"), COLOUR, PLAIN)
    root = make_folders(tmp_path / "photos")
    with pytest.raises(UsageError, match="input shape is not known"):
        load_dataset(str(root), None, PLAIN)
    with pytest.raises(UsageError, match=r"does not take one float image .* but float32 \(1, 10\)"):
        load_dataset(str(root), (TensorSpec(name="x", shape=(1, 10)),), PLAIN)
    (root / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match=r"broken\.png"):
        load_dataset(str(root), COLOUR, PLAIN, parent=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_full_disk_is_noticed_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))  # a disk can't be filled in a test
    with pytest.raises(UsageError, match="MiB are free"):
        load_dataset(save(tmp_path / "a.npz", inputs=X, labels=Y), SPECS)
