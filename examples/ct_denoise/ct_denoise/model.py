"""The denoiser in PyTorch, to train it. Running it needs no torch: see ``network.py``."""

from itertools import pairwise
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from ct_denoise.network import Weights

CHANNELS = 16
DEPTH = 4


class Denoiser(nn.Module):
    """``x - net(x)``: 3 x 3 convolutions with ReLU between them predict the noise of (batch, 1, height, width)."""

    def __init__(self, channels: int = CHANNELS, depth: int = DEPTH) -> None:
        super().__init__()
        widths = [1, *[channels] * (depth - 1), 1]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(into, out, kernel_size=3, padding=1) for into, out in pairwise(widths)
        )
        nn.init.zeros_(self.convolutions[-1].weight)
        nn.init.zeros_(self.convolutions[-1].bias)

    def responses(self, x: Tensor) -> list[Tensor]:
        """What each convolution gives, before its ReLU; the last is the noise."""
        found = [self.convolutions[0](x)]
        for convolution in self.convolutions[1:]:
            found.append(convolution(torch.relu(found[-1])))
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Subtract the predicted noise; units of 1000 HU in and out."""
        return x - self.responses(x)[-1]


def weights_of(model: Denoiser) -> Weights:
    """The weights under the names that ``network.denoiser`` reads."""
    return {
        f"conv{layer}.{name}": tensor.detach().numpy().copy()
        for layer, convolution in enumerate(model.convolutions, 1)
        for name, tensor in convolution.named_parameters()
    }


def model_of(weights: Weights) -> Denoiser:
    """The model that has these weights."""
    channels, depth = weights["conv1.weight"].shape[0], len(weights) // 2
    model = Denoiser(channels, depth)
    with torch.no_grad():
        for layer, convolution in enumerate(model.convolutions, 1):
            for name, tensor in convolution.named_parameters():
                tensor.copy_(torch.from_numpy(weights[f"conv{layer}.{name}"]))
    return model.eval()


def export(model: Denoiser, path: Path, height: int = 128, width: int = 128) -> None:
    """Write the model as PyTorch exports it: ONNX of one static shape, weights inside."""
    sample = torch.zeros(1, 1, height, width)
    names = {"input_names": ["x"], "output_names": ["denoised"]}
    program = torch.onnx.export(model.eval(), (sample,), dynamo=True, external_data=False, verbose=False, **names)
    program.save(path, external_data=False)
    onnx.checker.check_model(onnx.load(path), full_check=True)
