"""timm's vision transformers, unmodified, and the pictures they classify."""

from __future__ import annotations

from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from skimage import data
from skimage.transform import resize
from timm.data import resolve_model_data_config
from timm.models.vision_transformer import VisionTransformer

NAME = "deit_tiny_patch16_224"
PICTURES = ("astronaut", "chelsea", "coffee", "rocket")
"""The first is classified, the others calibrate."""


class WeightsMissing(OSError):
    """Pretrained weights cannot be had."""


def network(name: str, seed: int, *, pretrained: bool) -> Any:
    """The model ``name``, pretrained or with timm's random initialisation.

    Raises:
        WeightsMissing: the hub of the weights cannot be reached.
    """
    torch.manual_seed(seed)
    try:
        return timm.create_model(name, pretrained=pretrained).eval()
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsMissing(
            f"the pretrained weights of {name} cannot be fetched ({reason}): leave out --pretrained"
        ) from error


def small_network(seed: int) -> Any:
    """A small one of the same class: 32 x 32 pixels, 16 patches, 24 features, 2 blocks, 5 classes."""
    torch.manual_seed(seed)
    return VisionTransformer(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=5).eval()


def images(model: Any, batch: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A batch to classify, and four to calibrate on, (batch, 3, height, width): crops of photographs as timm does."""
    config = {**resolve_model_data_config(model), "size": model.patch_embed.img_size}
    draw = np.random.default_rng(seed)
    first = [crop(PICTURES[0], config, draw, whole=number == 0) for number in range(batch)]
    others = [crop(PICTURES[1 + number % 3], config, draw, whole=number < 3) for number in range(4 * batch)]
    return np.stack(first), np.stack(others)


def crop(name: str, config: dict[str, Any], draw: np.random.Generator, *, whole: bool) -> NDArray[np.float32]:
    """The middle square of a photograph, or a random one of half its extent or more, normalised for the model."""
    photograph = getattr(data, name)()
    extent = min(photograph.shape[:2])
    side = extent if whole else int(draw.integers(extent // 2, extent + 1))
    top, left = ((n - side) // 2 if whole else int(draw.integers(0, n - side + 1)) for n in photograph.shape[:2])
    square = resize(photograph[top : top + side, left : left + side], config["size"], anti_aliasing=True)
    return ((square - config["mean"]) / config["std"]).transpose(2, 0, 1).astype(np.float32)
