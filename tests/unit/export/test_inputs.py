from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.errors import UsageError
from edgekit.export.inputs import golden_inputs, image_layout, preprocess_image, read_image
from edgekit.records import Preprocess, TensorSpec

ROOT = Path(__file__).parents[3]
IMAGE = TensorSpec(name="x", shape=(1, 3, 32, 24))
PREPROCESS = Preprocess(height=32, width=24)


def photo(width: int = 90, height: int = 70, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Smooth colours with an edge, so that orientation and interpolation show."""
    y, x = np.mgrid[0:height, 0:width]
    bands = [128 + 100 * np.sin((seed + k + 1) * x / 17 + y / 23) for k in range(3)]
    pixels = np.stack(bands, axis=-1)
    pixels[: height // 3, : width // 4] = 250
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode)


def refused(folder: Path, spec: TensorSpec | list[TensorSpec], name: str, match: str = ".") -> UsageError:
    specs = spec if isinstance(spec, list) else [spec]
    with pytest.raises(UsageError, match=match) as caught:
        golden_inputs(specs, directory=folder, preprocess=PREPROCESS)
    assert caught.value.code == 2
    assert name in caught.value.where
    assert caught.value.next_step
    return caught.value


# -- generated ---------------------------------------------------------------------------------------------------------


def test_pictures_have_the_model_s_shape_and_range() -> None:
    (raw,), source = golden_inputs([IMAGE], directory=None, preprocess=None, count=3)
    assert raw.shape == (3, 1, 3, 32, 24)
    assert raw.dtype == np.float32
    assert raw.min() >= 0
    assert raw.max() <= 1
    assert "natural statistics" in source
    assert "seed 0" in source
    (normalised,), _ = golden_inputs([IMAGE], directory=None, preprocess=PREPROCESS, count=3)
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (PREPROCESS.mean, PREPROCESS.std))
    assert np.allclose(normalised * std + mean, raw, atol=1e-6)


def test_pictures_are_like_photographs() -> None:
    spec = TensorSpec(name="x", shape=(1, 3, 128, 128))
    (stack,), _ = golden_inputs([spec], directory=None, preprocess=None, count=8)
    pictures = stack[:, 0].astype(np.float64)
    # Amplitude falls as about 1/f: octaves of frequency lose a factor of about two each.
    grey = pictures.mean(axis=1)
    amplitude = np.abs(np.fft.fft2(grey - grey.mean(axis=(1, 2), keepdims=True))).mean(axis=0)
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(128) * 128, np.fft.fftfreq(128) * 128))
    bands = [(3, 5), (6, 10), (12, 20), (24, 40)]
    levels = [np.log2(amplitude[(radius >= low) & (radius < high)].mean()) for low, high in bands]
    slope = np.polyfit(range(len(bands)), levels, 1)[0]
    assert -1.7 < slope < -0.7
    channels = pictures.transpose(1, 0, 2, 3).reshape(3, -1)
    assert np.corrcoef(channels)[0, 1] > 0.6
    assert 0.12 < pictures.std(axis=(1, 2, 3)).mean() < 0.3


def test_the_seed_decides_and_processes_agree() -> None:
    first = golden_inputs([IMAGE], directory=None, preprocess=PREPROCESS, seed=4)[0][0]
    assert np.array_equal(first, golden_inputs([IMAGE], directory=None, preprocess=PREPROCESS, seed=4)[0][0])
    assert not np.array_equal(first, golden_inputs([IMAGE], directory=None, preprocess=PREPROCESS, seed=5)[0][0])
    code = (
        "import hashlib\nfrom edgekit.export.inputs import golden_inputs\n"
        "from edgekit.records import Preprocess, TensorSpec\n"
        "x = golden_inputs([TensorSpec(name='x', shape=(1, 3, 32, 24))], directory=None,"
        " preprocess=Preprocess(height=32, width=24), seed=4)[0][0]\n"
        "print(hashlib.sha256(x.tobytes()).hexdigest())"
    )
    import hashlib

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(first.tobytes()).hexdigest()


def test_every_kind_of_input() -> None:
    specs = [
        TensorSpec(name="grey", shape=(2, 1, 8, 8), dtype="float16"),
        TensorSpec(name="last", shape=(1, 8, 9, 3)),
        TensorSpec(name="ids", shape=(1, 7), dtype="int64"),
        TensorSpec(name="mask", shape=(1, 7), dtype="bool"),
        TensorSpec(name="features", shape=(1, 64, 4)),
        TensorSpec(name="scalar", shape=()),
    ]
    arrays, source = golden_inputs(specs, directory=None, preprocess=None, count=5)
    assert [a.shape for a in arrays] == [(5, *s.shape) for s in specs]
    assert [str(a.dtype) for a in arrays] == [s.dtype for s in specs]
    assert arrays[2].min() >= 0
    assert arrays[2].max() < 10
    assert 0.8 < arrays[4].std() < 1.2
    assert "integers below 10" in source
    assert "standard normal" in source


def test_two_inputs_of_one_shape_differ() -> None:
    arrays, _ = golden_inputs([IMAGE, IMAGE], directory=None, preprocess=None, count=2)
    assert not np.array_equal(arrays[0], arrays[1])


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        (TensorSpec(name="x", shape=(1, 3, 20000, 20000)), 8),
        (TensorSpec(name="x", shape=(1, 2), dtype="float64"), 8),
        (TensorSpec(name="x", shape=(1, 2), dtype="complex64"), 8),
        (IMAGE, 0),
    ],
)
def test_requests_out_of_bounds(spec: TensorSpec, count: int) -> None:
    with pytest.raises(UsageError):
        golden_inputs([spec], directory=None, preprocess=None, count=count)


# -- images ------------------------------------------------------------------------------------------------------------


def test_the_arithmetic_is_torchvision_s() -> None:
    torch = pytest.importorskip("torch")
    from edgekit.model.torchvision_ops import make_importable

    make_importable()
    transforms = pytest.importorskip("torchvision.transforms")
    for interpolation in ("bicubic", "bilinear"):
        preprocess = Preprocess(height=64, width=64, interpolation=interpolation)
        for size in ((200, 131), (97, 240), (40, 50)):
            image = photo(*size)
            reference = transforms.Compose(
                [
                    transforms.Resize(73, transforms.InterpolationMode(interpolation)),
                    transforms.CenterCrop(64),
                    transforms.ToTensor(),
                    transforms.Normalize(torch.tensor(preprocess.mean), torch.tensor(preprocess.std)),
                ]
            )(image)
            ours = preprocess_image(image, preprocess, (1, 3, 64, 64))
            assert np.allclose(ours[0], reference.numpy(), atol=1e-5), (interpolation, size)


def test_a_folder_of_images(tmp_path: Path) -> None:
    for index, suffix in enumerate(("png", "jpg", "jpeg", "bmp", "webp", "PNG")):
        photo(seed=index).save(tmp_path / f"{9 - index}.{suffix}")
    (tmp_path / "labels.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (array,), source = golden_inputs([IMAGE], directory=tmp_path, preprocess=PREPROCESS, count=4)
    assert array.shape == (4, 1, 3, 32, 24)
    assert array.dtype == np.float32
    assert "4 of 6 images" in source
    assert "mean 0.485/0.456/0.406" in source
    # Sorted by name, so the last one saved comes first.
    assert np.array_equal(array[0, 0], preprocess_image(photo(seed=5), PREPROCESS, IMAGE.shape)[0])


def test_no_preprocessing_is_stated_and_scales_to_one(tmp_path: Path) -> None:
    photo().save(tmp_path / "a.png")
    (array,), source = golden_inputs([IMAGE], directory=tmp_path, preprocess=None)
    assert array.min() >= 0
    assert array.max() <= 1
    assert "states no preprocessing" in source


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the stored picture lies on its side
    upright = photo(60, 80)
    upright.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    turned = read_image(tmp_path / "turned.png", PREPROCESS, IMAGE.shape)
    assert np.array_equal(turned, preprocess_image(upright, PREPROCESS, IMAGE.shape))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_pixel_formats(mode: str) -> None:
    assert preprocess_image(photo(mode=mode), PREPROCESS, IMAGE.shape).shape == (1, 3, 32, 24)


def test_grey_inputs_channels_last_and_batches(tmp_path: Path) -> None:
    grey = preprocess_image(photo(), PREPROCESS, (1, 1, 32, 24))
    assert grey.shape == (1, 1, 32, 24)
    last = preprocess_image(photo(), PREPROCESS, (1, 32, 24, 3))
    first = preprocess_image(photo(), PREPROCESS, (1, 3, 32, 24))
    assert np.array_equal(last.transpose(0, 3, 1, 2), first)
    for index in range(5):
        photo(seed=index).save(tmp_path / f"{index}.png")
    pairs = TensorSpec(name="x", shape=(2, 3, 32, 24), dtype="float16")
    (array,), source = golden_inputs([pairs], directory=tmp_path, preprocess=PREPROCESS)
    assert array.shape == (2, 2, 3, 32, 24)
    assert array.dtype == np.float16
    assert "4 of 5 images" in source
    refused(tmp_path, TensorSpec(name="x", shape=(6, 3, 8, 8)), str(tmp_path), "one sample takes 6")


def test_layouts() -> None:
    assert image_layout((1, 3, 8, 9)) == (3, 8, 9)
    assert image_layout((1, 8, 9, 1)) == (1, 8, 9)
    assert image_layout((1, 4, 8, 8)) is None
    assert image_layout((1, 3)) is None


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + b"\0" * 100])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_files_that_are_no_images(tmp_path: Path, content: bytes, suffix: str) -> None:
    (tmp_path / f"bad.{suffix}").write_bytes(content)
    refused(tmp_path, IMAGE, f"bad.{suffix}")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp"])
def test_cut_off_images(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"cut.{suffix}"
    photo(300, 300).save(file)
    file.write_bytes(file.read_bytes()[:-600])
    refused(tmp_path, IMAGE, f"cut.{suffix}")


def test_a_decompression_bomb_is_not_decoded(tmp_path: Path) -> None:
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 100_000
    refused(tmp_path, IMAGE, "bomb.png", "81000000 pixels")
    Image.new("1", (20000, 20000)).save(tmp_path / "bomb.png")
    refused(tmp_path, IMAGE, "bomb.png")


def test_sixteen_bit_images_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(tmp_path / "deep.png")
    refused(tmp_path, IMAGE, "deep.png", "8 bits")


def test_images_for_an_input_that_is_no_image(tmp_path: Path) -> None:
    photo().save(tmp_path / "a.png")
    refused(tmp_path, TensorSpec(name="x", shape=(1, 10)), "a.png")
    refused(tmp_path, TensorSpec(name="x", shape=(1, 3, 8, 8), dtype="int64"), "a.png")
    with pytest.raises(UsageError, match="interpolation"):
        preprocess_image(photo(), Preprocess(height=8, width=8, interpolation="magic"), (1, 3, 8, 8))
    with pytest.raises(UsageError, match="2 values per pixel"):
        preprocess_image(photo(), Preprocess(height=8, width=8, mean=(0.5, 0.5)), (1, 3, 8, 8))


# -- arrays ------------------------------------------------------------------------------------------------------------


def test_a_folder_of_arrays_with_and_without_batch(tmp_path: Path) -> None:
    spec = TensorSpec(name="x", shape=(1, 4))
    np.save(tmp_path / "a.npy", np.arange(4, dtype=np.float32))
    np.save(tmp_path / "b.npy", np.ones((1, 4), np.float16))
    (array,), source = golden_inputs([spec], directory=tmp_path, preprocess=None)
    assert array.shape == (2, 1, 4)
    assert array.dtype == np.float32
    assert array[0, 0].tolist() == [0, 1, 2, 3]
    assert "2 of 2 .npy files" in source


def test_arrays_that_do_not_fit(tmp_path: Path) -> None:
    spec = TensorSpec(name="x", shape=(1, 4))
    file = tmp_path / "a.npy"
    np.save(file, np.zeros((4, 1), np.float32))
    refused(tmp_path, spec, "a.npy", r"shape \(4, 1\)")
    np.save(file, np.zeros(4, np.float64))
    assert "astype('float32')" in refused(tmp_path, spec, "a.npy", "float64").next_step
    np.save(file, np.array([1, 2, np.nan, 4], np.float32))
    refused(tmp_path, spec, "a.npy", "NaN")
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    refused(tmp_path, spec, "a.npy", "plain .npy")
    np.savez(tmp_path / "z.npz", a=np.zeros(4))
    (tmp_path / "z.npz").rename(file)
    refused(tmp_path, spec, "a.npy", "plain .npy")
    for content in (b"", b"hello", b"\x93NUMPY\x01\x00"):
        file.write_bytes(content)
        refused(tmp_path, spec, "a.npy")
    batch = TensorSpec(name="x", shape=(2, 4))
    np.save(file, np.zeros(4, np.float32))
    refused(tmp_path, batch, "a.npy", "takes")


def test_a_header_that_promises_terabytes(tmp_path: Path) -> None:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000), }".ljust(117) + "\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
    refused(tmp_path, TensorSpec(name="x", shape=(1, 4)), "a.npy")


def test_several_inputs(tmp_path: Path) -> None:
    specs = [IMAGE, TensorSpec(name="ids", shape=(1, 3), dtype="int64")]
    for index in range(3):
        (tmp_path / "input0").mkdir(exist_ok=True)
        (tmp_path / "input1").mkdir(exist_ok=True)
        photo(seed=index).save(tmp_path / "input0" / f"{index}.png")
        np.save(tmp_path / "input1" / f"{index}.npy", np.full(3, index, np.int32))
    arrays, source = golden_inputs(specs, directory=tmp_path, preprocess=PREPROCESS)
    assert [a.shape for a in arrays] == [(3, 1, 3, 32, 24), (3, 1, 3)]
    assert arrays[1][:, 0, 0].tolist() == [0, 1, 2]
    assert "input x:" in source
    assert "input ids:" in source
    (tmp_path / "input1" / "2.npy").unlink()
    refused(tmp_path, specs, str(tmp_path), r"\[3, 2\]")
    refused(tmp_path, [*specs, specs[1]], "input2", "no folder input2")


# -- folders -----------------------------------------------------------------------------------------------------------


def test_folders_that_can_not_be_used(tmp_path: Path) -> None:
    refused(tmp_path / "absent", IMAGE, "absent", "does not exist")
    refused(tmp_path, IMAGE, str(tmp_path), "no image")
    (tmp_path / "class_a").mkdir()
    refused(tmp_path, IMAGE, str(tmp_path), "Subfolders are not searched")
    (tmp_path / "file").touch()
    refused(tmp_path / "file", IMAGE, "file", "is not a folder")
    photo().save(tmp_path / "a.png")
    np.save(tmp_path / "b.npy", np.zeros(3))
    refused(tmp_path, IMAGE, "b.npy", "both images")
