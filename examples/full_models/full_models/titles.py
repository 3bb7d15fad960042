"""The models' names, without what it takes to make them."""

TITLES = {
    "mlp": "MLP 784-128-128-10, squares",
    "lola": "LoLA CNN, squares",
    "lenet": "LeNet-5, squares",
    "lenet-relu": "LeNet-5, ReLU",
    "conv1": "3 x 3, 1 -> 16 channels, 64 x 64",
    "conv16": "3 x 3, 16 -> 16 channels, 64 x 64",
    "denoiser128": "CT denoiser, squares, 128 x 128",
    "denoiser256": "CT denoiser, squares, 256 x 256",
    "head": "LayerNorm, linear, 192 features",
    "head384": "LayerNorm, linear, 384 features",
    "mlp-head": "LayerNorm, MLP with GELU, 192",
    "mlp-head384": "LayerNorm, MLP with GELU, 384",
    "block": "DeiT block, 4 tokens, 192 features",
}
"""By the name that ``run.py`` and ``benchmarks/full.py`` take; ``catalogue.MODELS`` makes them."""
