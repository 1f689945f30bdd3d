"""The UCI digits that ship inside scikit-learn: 1797 grey images of 8 x 8 handwritten digits, here at 32 x 32.

``test_set`` and ``train_set`` return (inputs, labels): float32 (N, 1, 32, 32) of about -1 to 1, and int64 (N,).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

Digits = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]

_SPLIT_SEED = 0
_TEST_SHARE = 0.2


def test_set() -> Digits:
    """360 digits that training never sees: a fifth of every class."""
    return _digits(split()[1])


def train_set() -> Digits:
    """The other 1437 digits."""
    return _digits(split()[0])


def split() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The rows of the training and of the test set, always the same."""
    labels = load_digits().target
    rows = np.arange(len(labels))
    train, test = train_test_split(rows, test_size=_TEST_SHARE, random_state=_SPLIT_SEED, stratify=labels)
    return np.sort(train), np.sort(test)


def _digits(rows: npt.NDArray[np.int64]) -> Digits:
    digits = load_digits()
    small = digits.images[rows].astype(np.float32) / 8.0 - 1.0  # pixels count 0 to 16
    return _upsample(small)[:, None], digits.target[rows].astype(np.int64)


def _upsample(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(N, 8, 8) to (N, 32, 32), bilinear, pixel centres aligned."""
    places = np.clip((np.arange(32) + 0.5) / 4 - 0.5, 0, 7)
    low = np.minimum(places.astype(int), 6)
    weights = np.zeros((32, 8), dtype=np.float32)
    weights[np.arange(32), low] = 1 - (places - low)
    weights[np.arange(32), low + 1] = places - low
    large: npt.NDArray[np.float32] = weights @ images @ weights.T
    return large
