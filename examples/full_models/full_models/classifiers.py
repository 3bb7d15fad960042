"""Three classifiers of digits, 28 x 28 pixels, as the packages that compute on ciphertexts measure them.

Each linear layer has batch normalisation behind it, which compiling folds. Names and shapes of the layers are those of
Orion's models (Ebel et al., ASPLOS 2025), so that weights of one can be loaded into the other.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from full_models.activations import Square

Activation = Callable[[], nn.Module]
PIXELS, CLASSES = 28, 10


class Mlp(nn.Module):
    """784 - 128 - 128 - 10 (Mohassel and Zhang, SecureML, S&P 2017)."""

    def __init__(self, activation: Activation = Square, width: int = 128) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.fc1, self.bn1, self.act1 = nn.Linear(PIXELS**2, width), nn.BatchNorm1d(width), activation()
        self.fc2, self.bn2, self.act2 = nn.Linear(width, width), nn.BatchNorm1d(width), activation()
        self.fc3 = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, 1, 28, 28) to logits (batch, 10)."""
        x = self.act1(self.bn1(self.fc1(self.flatten(x))))
        x = self.act2(self.bn2(self.fc2(x)))
        return self.fc3(x)


class Lola(nn.Module):
    """A convolution of 2 x 2 with stride 2 to 5 channels, 100 neurons (after Brutzkus et al., LoLa, ICML 2019)."""

    def __init__(self, activation: Activation = Square, width: int = 100) -> None:
        super().__init__()
        self.conv1, self.bn1, self.act1 = nn.Conv2d(1, 5, 2, stride=2), nn.BatchNorm2d(5), activation()
        self.flatten = nn.Flatten()
        self.fc1, self.bn2, self.act2 = nn.Linear(5 * 14 * 14, width), nn.BatchNorm1d(width), activation()
        self.fc2 = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, 1, 28, 28) to logits (batch, 10)."""
        x = self.flatten(self.act1(self.bn1(self.conv1(x))))
        return self.fc2(self.act2(self.bn2(self.fc1(x))))


class LeNet(nn.Module):
    """LeNet-5 with 32 and 64 channels and 512 neurons, strides in the place of pools (after EVA, PLDI 2020)."""

    def __init__(self, activation: Activation = Square, channels: int = 32, width: int = 512) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, channels, 5, stride=2, padding=2), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, 2 * channels, 5, stride=2, padding=2), nn.BatchNorm2d(2 * channels)
        self.fc1, self.bn3 = nn.Linear(7 * 7 * 2 * channels, width), nn.BatchNorm1d(width)
        self.act1, self.act2, self.act3 = activation(), activation(), activation()
        self.flatten = nn.Flatten()
        self.fc2 = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, 1, 28, 28) to logits (batch, 10)."""
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.flatten(self.act2(self.bn2(self.conv2(x))))
        return self.fc2(self.act3(self.bn3(self.fc1(x))))
