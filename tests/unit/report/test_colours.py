"""The style sheet's colours: enough contrast, and formats that the colour-blind can tell apart."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from edgekit.report.page import asset

FORMATS = [f"c{place}" for place in range(6)]
# Linear RGB as it is seen without one kind of cone (severity 1): G. Machado, M. Oliveira and L. Fernandes, A
# physiologically-based model for simulation of color vision deficiency, IEEE TVCG 15 (2009), table 1.
_MATRICES = {
    "protanopia": "0.152286 1.052583 -0.204868 0.114503 0.786281 0.099216 -0.003882 -0.048116 1.051998",
    "deuteranopia": "0.367322 0.860646 -0.227968 0.280085 0.672501 0.047413 -0.011820 0.042940 0.968881",
    "tritanopia": "1.255528 -0.076749 -0.178779 -0.078411 0.930809 0.147602 0.004733 0.691367 0.303900",
}
VISION = {"all cones": np.eye(3)} | {
    name: np.array(row.split(), dtype=float).reshape(3, 3) for name, row in _MATRICES.items()
}


def scheme(name: str) -> dict[str, str]:
    css = asset("report.css")
    blocks = re.findall(r":root[^{]*\{([^}]*)\}", css)
    assert len(blocks) == 2
    return dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})[0-9a-f]{0,2};", blocks[0 if name == "light" else 1]))


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    return float(linear(colour) @ (0.2126, 0.7152, 0.0722))


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio."""
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(rgb, 0, 1)
    f = np.cbrt(xyz / (0.9505, 1.0, 1.089))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("name", ["light", "dark"])
def test_texts_and_marks_have_contrast(name: str) -> None:
    colours = scheme(name)
    for token in ("ink", "muted", "link", "good", "bad", "doubt", *FORMATS):
        for ground in ("surface", "page", "raised"):
            ratio = contrast(colours[token], colours[ground])
            assert ratio >= 4.5, f"{token} on {ground}: {ratio:.2f}"


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("name", ["light", "dark"])
def test_the_formats_of_one_plot_are_told_apart(name: str, vision: str) -> None:
    colours = scheme(name)
    seen = {token: lab(VISION[vision] @ linear(colours[token])) for token in FORMATS}
    # Of the usual three formats; of six colours with the same contrast not all can differ this much.
    for one, other in itertools.combinations(FORMATS[:3], 2):
        assert np.linalg.norm(seen[one] - seen[other]) >= 30, (one, other)
    for one, other in itertools.combinations(FORMATS, 2):
        assert np.linalg.norm(seen[one] - seen[other]) >= 20, (one, other)
