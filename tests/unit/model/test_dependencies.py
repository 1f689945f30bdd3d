from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from edgekit.model.dependencies import ALWAYS_HASHED, Dependency, recording, unchanged
from edgekit.model.load import load
from edgekit.model.request import LoadRequest


def names(dependencies: tuple[Dependency, ...], folder: Path) -> list[str]:
    return [Path(d.path).name for d in dependencies if Path(d.path).is_relative_to(folder)]


def test_files_read_are_noted_and_files_written_are_not(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"abc")
    (tmp_path / "outside.txt").write_text("x")
    with recording() as recorder:
        (tmp_path / "weights.bin").read_bytes()
        os.close(os.open(tmp_path / "weights.bin", os.O_RDONLY))
        (tmp_path / "log.txt").write_text("hello")
        thread = threading.Thread(target=(tmp_path / "outside.txt").read_bytes)
        thread.start()
        thread.join()
        os.listdir(tmp_path)
    (tmp_path / "log.txt").read_text()
    assert names(recorder.dependencies(), tmp_path) == ["outside.txt", "weights.bin"]


def test_the_library_and_the_system_are_not_noted() -> None:
    with recording() as recorder:
        Path(os.__file__).read_bytes()
        Path(pytest.__file__).read_bytes()
        Path("/proc/self/status").read_bytes()
    kept = [d.path for d in recorder.dependencies()]
    assert not [path for path in kept if "site-packages" in path or path.startswith("/proc") or path == os.__file__]


def test_a_model_is_made_from_its_source_its_imports_and_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "recorded_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "layers.py").write_text("from torch import nn\nlayer = nn.Linear(4, 2)\n")
    (tmp_path / "size.txt").write_text("4")
    (package / "net.py").write_text(
        "import torch\nfrom recorded_package.layers import layer\n"
        f"def make():\n    return layer, torch.zeros(1, int(open({str(tmp_path / 'size.txt')!r}).read()))\n"
    )
    monkeypatch.chdir(tmp_path)
    with recording() as recorder:
        load(LoadRequest(spec="recorded_package.net:make"))
    found = recorder.dependencies()
    assert names(found, tmp_path) == ["__init__.py", "layers.py", "net.py", "size.txt"]
    assert unchanged(found)
    # Once more from the compiled files that the first import left, as the next process would.
    for name in [name for name in sys.modules if name.startswith("recorded_package")]:
        monkeypatch.delitem(sys.modules, name)
    with recording() as recorder:
        load(LoadRequest(spec="recorded_package.net:make"))
    assert names(recorder.dependencies(), tmp_path) == ["__init__.py", "layers.py", "net.py", "size.txt"]
    (package / "layers.py").write_text("from torch import nn\nlayer = nn.Linear(4, 3)\n")
    assert not unchanged(found)


def test_every_form_of_file_is_noted(
    pt2: str, torchscript: str, state_dict: str, source: str, small: object, tmp_path: Path
) -> None:
    from safetensors.torch import save_file
    from torch import nn

    assert isinstance(small, nn.Module)
    tensors = str(tmp_path / "w.safetensors")
    save_file(dict(small.state_dict()), tensors)
    shape = ((1, 3, 8, 8),)
    for spec, arch in ((pt2, None), (torchscript, None), (state_dict, source), (tensors, source)):
        with recording() as recorder:
            load(LoadRequest(spec=spec, arch=arch and f"{arch}:plain", input_shape=shape))
        found = names(recorder.dependencies(), tmp_path)
        assert Path(spec).name in found
        assert (Path(source).name in found) == (arch is not None)


@pytest.fixture
def noted(tmp_path: Path) -> tuple[Path, tuple[Dependency, ...]]:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"abcdef")
    with recording() as recorder:
        file.read_bytes()
    return file, recorder.dependencies()


def test_same_size_and_time_but_other_content(noted: tuple[Path, tuple[Dependency, ...]]) -> None:
    file, found = noted
    before = file.stat()
    file.write_bytes(b"abcdeX")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not unchanged(found)


def test_a_touched_file_is_the_same_and_a_removed_one_is_not(noted: tuple[Path, tuple[Dependency, ...]]) -> None:
    file, found = noted
    os.utime(file, ns=(1, 1))
    assert unchanged(found)
    file.unlink()
    assert not unchanged(found)
    file.mkdir()
    assert not unchanged(found)


def test_a_large_file_is_hashed_only_if_something_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "large.bin"
    with file.open("wb") as handle:
        handle.truncate(ALWAYS_HASHED + 1)
    with recording() as recorder, file.open("rb"):
        pass
    found = recorder.dependencies()
    hashed: list[str] = []
    from edgekit.model import dependencies

    whole = dependencies._sha256
    monkeypatch.setattr(dependencies, "_sha256", lambda path: (hashed.append(path), whole(path))[1])
    assert unchanged(found)
    assert not hashed
    before = file.stat()
    with file.open("r+b") as handle:
        handle.write(b"x")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not unchanged(found)
    assert hashed


def test_a_file_that_changed_during_the_load_is_never_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "moving.bin"
    file.write_bytes(b"one")
    with recording() as recorder:
        file.read_bytes()
        file.write_bytes(b"second")
        file.read_bytes()
    found = recorder.dependencies()
    assert found[0].sha256 == ""
    assert not unchanged(found)


def test_nothing_to_check_is_unchanged() -> None:
    assert unchanged(())


def test_recordings_do_not_mix(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.touch()
    second.touch()
    with recording() as outer:
        first.read_bytes()
        with recording() as inner:
            second.read_bytes()
    assert names(outer.dependencies(), tmp_path) == ["a", "b"]
    assert names(inner.dependencies(), tmp_path) == ["b"]
