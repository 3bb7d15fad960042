"""Parts of DEiT, a vision transformer (Touvron et al., ICML 2021): heads that classify its features, and one block.

No trained weights can be had without a hub, so weights are random; those of a block are drawn so wide that attention
has something to attend to (timm's own initialisation makes every softmax nearly uniform).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import timm
import torch
from deit_whole.network import PICTURES, crop
from numpy.typing import NDArray
from timm.data import resolve_model_data_config
from timm.models.vision_transformer import Block
from torch import nn

TINY, SMALL = "deit_tiny_patch16_224", "deit_small_patch16_224"
FEATURES = {TINY: 192, SMALL: 384}
CLASSES = 10
EPSILON = 1e-6
"""Of timm's vision transformers' LayerNorm."""


def linear_head(features: int, seed: int = 0) -> nn.Module:
    """LayerNorm and a linear layer: features (batch, features) to logits (batch, 10)."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.LayerNorm(features, EPSILON), nn.Linear(features, CLASSES)).eval()


def mlp_head(features: int, seed: int = 0) -> nn.Module:
    """LayerNorm, a hidden layer of as many neurons with GELU, a linear layer."""
    torch.manual_seed(seed)
    layers = (nn.LayerNorm(features, EPSILON), nn.Linear(features, features), nn.GELU(), nn.Linear(features, CLASSES))
    return nn.Sequential(*layers).eval()


def block(features: int, heads: int, seed: int = 0) -> nn.Module:
    """timm's block: LayerNorm, attention, residual; LayerNorm, MLP with GELU, residual. (batch, tokens, features)."""
    torch.manual_seed(seed)
    made = Block(features, heads, qkv_bias=True, norm_layer=partial(nn.LayerNorm, eps=EPSILON))
    for module in made.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
    return made.eval()


def backbone(name: str, seed: int = 0) -> Any:
    """DEiT with timm's random initialisation."""
    torch.manual_seed(seed)
    return timm.create_model(name, pretrained=False).eval()


def crops(model: Any, inputs: int, samples: int, seed: int = 0) -> NDArray[np.float32]:
    """Crops of photographs as timm prepares them, (inputs + samples, 3, height, width).

    Those to run are of another photograph than those to calibrate on.
    """
    config = {**resolve_model_data_config(model), "size": model.patch_embed.img_size}
    draw = np.random.default_rng(seed)
    names = [PICTURES[0]] * inputs + [PICTURES[1 + number % (len(PICTURES) - 1)] for number in range(samples)]
    return np.stack([crop(name, config, draw, whole=False) for name in names])


def tokens(model: Any, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a vision transformer's blocks give for images, before the last LayerNorm.

    Returns:
        (batch, 1 + patches, features): the class token first.
    """
    with torch.no_grad():
        found = model.forward_intermediates(
            torch.from_numpy(images), indices=1, output_fmt="NLC", return_prefix_tokens=True, intermediates_only=True
        )
    patches, prefix = found[0]
    return np.ascontiguousarray(torch.cat([prefix, patches], dim=1).numpy())
