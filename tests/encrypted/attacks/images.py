"""Pictures to hide: phantoms of random ellipses, as clients send them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float64]
"""(count, extent, extent) in [-1, 1]."""


def phantoms(count: int, extent: int, seed: int) -> Images:
    """Air with up to four ellipses of random place, size, angle and density, and some noise."""
    random = np.random.default_rng(seed)
    return np.stack([_phantom(random, extent) for _ in range(count)])


def two_pictures(count: int, extent: int, seed: int) -> Images:
    """Each is one of the same two phantoms: to be told apart, not reconstructed."""
    pictures = phantoms(2, extent, seed)
    return np.asarray(pictures[np.random.default_rng(seed + 1).integers(0, 2, count)])


def _phantom(random: np.random.Generator, extent: int) -> Images:
    y, x = np.mgrid[-1 : 1 : extent * 1j, -1 : 1 : extent * 1j]
    image = np.full((extent, extent), -0.8)
    for _ in range(random.integers(1, 5)):
        (cx, cy), (a, b), angle = random.uniform(-0.5, 0.5, 2), random.uniform(0.3, 0.9, 2), random.uniform(0, np.pi)
        u, v = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle), (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        image[(u / a) ** 2 + (v / b) ** 2 < 1] += random.uniform(0.2, 0.6)
    return np.clip(image + random.normal(0, 0.02, image.shape), -1, 1)
