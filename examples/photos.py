"""Writes real photographs as golden inputs: ``python examples/photos.py OUTDIR``.

The two sample photographs that ship inside scikit-learn (china.jpg and flower.jpg, 640 x 427), whole and in three
square crops each: eight PNG files, for ``edgekit convert ... --inputs OUTDIR``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_sample_image

SIDE = 320


def photos() -> dict[str, Image.Image]:
    """The pictures by file name without suffix."""
    found = {}
    for name in ("china", "flower"):
        whole = Image.fromarray(load_sample_image(f"{name}.jpg"))
        right, lower = whole.width - SIDE, whole.height - SIDE
        found[name] = whole
        for part, (left, top) in {"left": (0, 0), "middle": (right // 2, lower // 2), "right": (right, lower)}.items():
            found[f"{name}_{part}"] = whole.crop((left, top, left + SIDE, top + SIDE))
    return found


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outdir", type=Path)
    folder = parser.parse_args().outdir
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in photos().items():
        picture.save(folder / f"{name}.png")
        print(folder / f"{name}.png")


if __name__ == "__main__":
    main()
