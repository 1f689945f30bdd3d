from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from edgekit.convert import backend
from edgekit.convert.backend import BACKENDS, BackendInfo
from edgekit.errors import MissingConverterError, UsageError


def test_the_table_is_keyed_by_name() -> None:
    assert list(BACKENDS) == ["executorch", "litert", "coreml", "onnx", "mcu"]
    for name, info in BACKENDS.items():
        assert info.name == name and info.suffix.startswith(".")
        assert importlib.util.find_spec(info.module) is not None
        assert set(backend.versions(info)) == set(info.packages)


def test_an_unknown_format_is_a_usage_error_that_lists_the_known() -> None:
    with pytest.raises(UsageError, match="There is no format 'tensorrt'") as caught:
        backend.lookup("tensorrt")
    assert caught.value.code == 2
    assert caught.value.facts["known"] == sorted(BACKENDS)


def test_a_package_can_add_a_backend_but_not_replace_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = tmp_path / "more-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: more\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[edgekit.backends]\nmore = more_backend:INFO\nonnx = more_backend:INFO\n"
    )
    (tmp_path / "more_backend.py").write_text(
        "from edgekit.convert.backend import BackendInfo\n"
        "INFO = BackendInfo(name='more', label='more', suffix='.more', module='more_backend', extra='more',\n"
        "                   packages=(), imports=())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert backend.lookup("more").suffix == ".more"
    assert backend.lookup("onnx") is BACKENDS["onnx"]
    assert backend.backends()["onnx"] is BACKENDS["onnx"]


def test_a_precision_that_a_format_lacks_is_refused() -> None:
    backend.check(BACKENDS["coreml"], "fp16")
    with pytest.raises(UsageError, match="litert has no precision 'fp16'") as caught:
        backend.check(BACKENDS["litert"], "fp16")
    assert caught.value.next_step == "litert converts to: fp32."


def test_a_missing_package_is_named_with_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    absent = ("torch", "litert_torch")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in absent else found(name))
    with pytest.raises(MissingConverterError) as caught:
        backend.check(BACKENDS["litert"], "fp32")
    assert caught.value.message == "Converting to litert needs the packages torch, litert_torch."
    assert caught.value.next_step == 'pip install "edgekit[litert]"'
    assert caught.value.code == 11


def test_the_file_name_is_one_that_minibench_parses() -> None:
    assert backend.file_name("net", BACKENDS["executorch"], "fp32") == "net_xnnpack_fp32.pte"


def test_removing_takes_files_directories_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "package/inside").mkdir(parents=True)
    (tmp_path / "file").touch()
    for name in ("package", "file", "nothing"):
        backend.remove(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_table_is_read_without_any_converter() -> None:
    code = "import sys, edgekit.convert.backend; print(sorted({m.split('.')[0] for m in sys.modules}))"
    import subprocess

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("torch", "executorch", "litert_torch", "coremltools", "onnx", "numpy"):
        assert f"'{heavy}'" not in out


def test_a_backend_info_can_not_be_changed() -> None:
    with pytest.raises(AttributeError):
        BACKENDS["onnx"].suffix = ".x"  # type: ignore[misc]
    assert isinstance(BACKENDS["onnx"], BackendInfo)
