"""Handwritten digits that come with scikit-learn, in the size that the classifiers take.

1797 images of 8 x 8 pixels and 17 grey levels (Alpaydin and Kaynak, UCI machine learning repository, 1998), enlarged
to 28 x 28 by interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from full_models.classifiers import PIXELS

HELD_OUT = 360
GREY_LEVELS = 16.0
SPLIT_SEED = 0


@dataclass(frozen=True)
class Digits:
    """Images (count, 1, 28, 28) between 0 and 1, labels (count) from 0 to 9."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def load() -> tuple[Digits, Digits]:
    """1437 digits to train on, 360 held out; each class has the same share in both."""
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(
        enlarged(images), labels.astype(np.int64), test_size=HELD_OUT, random_state=SPLIT_SEED, stratify=labels
    )
    train_images, test_images, train_labels, test_labels = parts
    return Digits(train_images, train_labels), Digits(test_images, test_labels)


def enlarged(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    """Images of 8 x 8 pixels in rows of 64 as images (count, 1, 28, 28), bilinear, between 0 and 1."""
    images = rows.reshape(-1, 8, 8) / GREY_LEVELS
    large = zoom(images, (1, PIXELS / 8, PIXELS / 8), order=1, mode="nearest", grid_mode=True)
    return np.ascontiguousarray(large[:, None], dtype=np.float32)
