"""Calibration data from folders and files, and what is refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.errors import UsageError
from edgekit.export.inputs import golden_inputs, read_image
from edgekit.quantize import calibration
from edgekit.quantize.calibration import SYNTHETIC_COUNT, Calibration, load_calibration
from edgekit.records import Preprocess, TensorSpec

IMAGE = TensorSpec(name="image", shape=(1, 3, 16, 16))
VECTOR = TensorSpec(name="vector", shape=(1, 4))
SCALED = Preprocess(height=16, width=16, crop_fraction=1.0, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def samples(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)


def picture(path: Path, level: int, size: tuple[int, int] = (20, 18)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level // 2, 255 - level)).save(path)
    return path


def load(source: Path | None, spec: TensorSpec = VECTOR, limit: int = 128) -> Calibration:
    return load_calibration((spec,), source, limit=limit)


def refused(source: Path, spec: TensorSpec = VECTOR) -> str:
    with pytest.raises(UsageError) as caught:
        load(source, spec)
    assert caught.value.next_step
    return caught.value.message


def test_without_data_it_is_synthetic_and_says_so() -> None:
    made = load(None, IMAGE)
    assert (made.synthetic, made.count, made.inputs[0].shape) == (
        True,
        SYNTHETIC_COUNT,
        (SYNTHETIC_COUNT, 1, 3, 16, 16),
    )
    assert made.warning is not None and f"{SYNTHETIC_COUNT} synthetic inputs" in made.warning
    assert load(None, IMAGE).sha256 == made.sha256


def test_synthetic_data_is_not_what_parity_is_judged_on() -> None:
    (judged,), _ = golden_inputs((IMAGE,), directory=None, preprocess=None, count=SYNTHETIC_COUNT)
    (made,) = load(None, IMAGE).inputs
    assert not any(np.array_equal(a, b) for a in judged for b in made)


def test_images_are_found_below_and_prepared_as_the_model_says(tmp_path: Path) -> None:
    files = [picture(tmp_path / kind / f"{k}.png", 40 * k + 7) for kind in ("cat", "dog") for k in range(3)]
    picture(tmp_path / ".hidden" / "no.png", 9)
    made = load_calibration((IMAGE,), tmp_path, SCALED)
    wanted = np.stack([read_image(file, SCALED, IMAGE.shape) for file in files])
    np.testing.assert_array_equal(made.inputs[0], wanted)
    assert not made.synthetic and made.warning is None
    assert made.source.startswith(f"6 of 6 images in {tmp_path}")


def test_a_limit_takes_from_every_class(tmp_path: Path) -> None:
    for k in range(20):
        picture(tmp_path / ("a" if k < 10 else "b") / f"{k:02}.png", 10 * k)
    whole, part = load(tmp_path, IMAGE), load(tmp_path, IMAGE, limit=4)
    np.testing.assert_array_equal(part.inputs[0], whole.inputs[0][[0, 5, 10, 15]])


def test_other_preprocessing_is_other_data(tmp_path: Path) -> None:
    picture(tmp_path / "one.png", 50)
    plain, scaled = load(tmp_path, IMAGE), load_calibration((IMAGE,), tmp_path, SCALED)
    assert plain.sha256 != scaled.sha256


def test_an_npy_holds_the_samples_along_its_first_axis(tmp_path: Path) -> None:
    values = samples(10)
    np.save(tmp_path / "with.npy", values[:, None])
    np.save(tmp_path / "without.npy", values)
    made = load(tmp_path / "without.npy")
    np.testing.assert_array_equal(made.inputs[0], values[:, None])
    assert load(tmp_path / "with.npy").sha256 == made.sha256
    np.testing.assert_array_equal(load(tmp_path / "with.npy", limit=3).inputs[0], values[[0, 3, 6], None])


def test_the_digest_follows_the_values_and_the_dtype(tmp_path: Path) -> None:
    digests = set()
    for number, values in enumerate((samples(4), samples(4, seed=1), samples(3), samples(4)[::-1])):
        np.save(tmp_path / f"{number}.npy", values)
        digests.add(load(tmp_path / f"{number}.npy").sha256)
    np.save(tmp_path / "half.npy", np.zeros((4, 4), np.float16))
    digests.add(load(tmp_path / "half.npy").sha256)
    np.save(tmp_path / "bytes.npy", np.zeros((4, 4), np.uint8))
    digests.add(load(tmp_path / "bytes.npy", TensorSpec(name="v", shape=(1, 4), dtype="uint8")).sha256)
    assert len(digests) == 6


@pytest.mark.parametrize("name", ["vector", "inputs", "whatever"])
def test_an_npz_names_the_input(tmp_path: Path, name: str) -> None:
    np.savez(tmp_path / "d.npz", **{name: samples(5)})
    np.testing.assert_array_equal(load(tmp_path / "d.npz").inputs[0], samples(5)[:, None])


def test_an_npz_of_evaluate_can_be_used_with_its_labels(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "d.npz", inputs=samples(5), labels=np.arange(5))
    assert load(tmp_path / "d.npz").count == 5


def test_several_inputs_come_by_name(tmp_path: Path) -> None:
    specs = (VECTOR, TensorSpec(name="other", shape=(2, 3), dtype="int32"))
    np.savez(tmp_path / "d.npz", other=np.arange(24, dtype=np.int32).reshape(4, 2, 3), vector=samples(4))
    first, second = load_calibration(specs, tmp_path / "d.npz").inputs
    assert (first.shape, second.shape, second.dtype) == ((4, 1, 4), (4, 2, 3), np.int32)
    np.savez(tmp_path / "uneven.npz", other=np.zeros((3, 2, 3), np.int32), vector=samples(4))
    with pytest.raises(UsageError, match=r"different numbers of samples: \[4, 3\]"):
        load_calibration(specs, tmp_path / "uneven.npz")
    with pytest.raises(UsageError, match=r"has 2 inputs; .*one\.npy holds one array"):
        np.save(tmp_path / "one.npy", samples(3))
        load_calibration(specs, tmp_path / "one.npy")


def test_a_folder_of_npy_files(tmp_path: Path) -> None:
    for k, row in enumerate(samples(3)):
        np.save(tmp_path / f"{k}.npy", row)
    np.testing.assert_array_equal(load(tmp_path).inputs[0][:, 0], samples(3))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((5, 3), np.float32), r"has the shape (5, 3); input vector takes (N, 1, 4) or (N, 4)"),
        (np.float32(1), "has the shape ()"),
        (np.zeros((0, 4), np.float32), "holds no samples"),
        (np.zeros((2, 4)), "holds float64, which does not fit into float32"),
        (np.zeros((2, 4), np.complex64), "holds complex64"),
        (np.zeros((2, 4), np.uint8), "holds uint8; input vector takes float32"),
        (np.full((2, 4), np.nan, np.float32), "holds NaN or infinite values"),
        (np.full((2, 4), np.inf, np.float32), "holds NaN or infinite values"),
        (np.full((2, 4), None), "can't be read"),
    ],
    ids=["shape", "scalar", "empty", "double", "complex", "pixels", "nan", "infinite", "objects"],
)
def test_wrong_arrays_are_refused(tmp_path: Path, values: np.ndarray, said: str) -> None:
    np.save(tmp_path / "d.npy", values, allow_pickle=True)
    np.savez(tmp_path / "d.npz", vector=values)
    assert said in refused(tmp_path / "d.npy")
    assert said in refused(tmp_path / "d.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 but no archive", b"\x93NUMPY\x01\0\xff\xff{"])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    for name in ("d.npy", "d.npz"):
        (tmp_path / name).write_bytes(content)
        assert "can't be read" in refused(tmp_path / name)


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "d.npz", vector=samples(500))
    whole = bytearray((tmp_path / "d.npz").read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 40] = b"\xff" * 40
    (tmp_path / "d.npz").write_bytes(whole)
    assert "can't be read" in refused(tmp_path / "d.npz")


def test_a_header_that_promises_more_than_there_is_takes_no_memory(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 1, 4)}
    )  # 16 TiB
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("vector.npy", header.getvalue() + b"\0" * 64)
    assert "not what its header says" in refused(tmp_path / "d.npz")


def test_a_member_over_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "d.npz", vector=np.zeros((100, 4), np.float32))
    monkeypatch.setattr(calibration, "MAX_BYTES", 1024)
    with pytest.raises(UsageError, match="unpacks to 1728 bytes; the limit is 1024"):
        load(tmp_path / "d.npz", limit=2)
    with pytest.raises(UsageError, match="2048 bytes; the limit is 1024"):
        load(tmp_path / "d.npz")


def test_wrong_places_are_refused(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "none")
    assert "There is no file" in refused(tmp_path / "none.npy")
    assert "There is no file" in refused(tmp_path / "none.npz")
    (tmp_path / "text.txt").write_text("x")
    assert "neither a folder" in refused(tmp_path / "text.txt")
    (tmp_path / "empty").mkdir()
    assert "holds no image" in refused(tmp_path / "empty")
    np.savez(tmp_path / "d.npz", a=samples(1), b=samples(1))
    assert "has no arrays named vector; it has: a, b" in refused(tmp_path / "d.npz")


def test_images_need_a_model_that_takes_images(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 3)
    assert "holds images, but input vector has the shape (1, 4)" in refused(tmp_path)
    pair = TensorSpec(name="pair", shape=(2, 3, 16, 16))
    assert "holds 1 images, but one sample takes 2" in refused(tmp_path, pair)
    np.save(tmp_path / "b.npy", samples(1))
    assert "holds both images (a.png) and .npy files (b.npy)" in refused(tmp_path, IMAGE)
    (tmp_path / "b.npy").unlink()
    (tmp_path / "a.png").write_bytes(b"\x89PNG no picture")
    assert "a.png is not an image" in refused(tmp_path, IMAGE)


def test_a_limit_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="0 calibration samples"):
        load(tmp_path, limit=0)
