"""RED-CNN as an ONNX model (Chen et al., IEEE Transactions on Medical Imaging 36(12), 2017).

Five convolutions and five transposed ones, 5 x 5, stride 1, no padding, ReLU after each. What the encoder took in is
added on the way back before ReLU: the input to the last layer, the second layer's result to the third last, the fourth
layer's to the first.
"""

from __future__ import annotations

import onnx
from example_tools.layers import Layers

from red_cnn.weights import DEPTH, KERNEL, Weights

SHRINKS = DEPTH * (KERNEL - 1)
"""Pixels that the encoder takes off an axis."""
SKIPS = {1: "relu4", 3: "relu2", 5: "x"}
"""Decoder layer -> the value added to it."""


def red_cnn(weights: Weights, height: int, width: int) -> onnx.ModelProto:
    """The network for patches of ``height`` x ``width``: input ``x``, output ``denoised``, (1, 1, height, width).

    Raises:
        ValueError: the patch is too small for the encoder.
    """
    if min(height, width) <= SHRINKS:
        raise ValueError(
            f"RED-CNN takes patches of more than {SHRINKS} x {SHRINKS} pixels, got {height} x {width}: its five layers "
            "without padding leave nothing of smaller ones"
        )
    net, value = Layers(), "x"
    for number in range(1, DEPTH + 1):
        value = net.conv(f"conv{number}", value, weights[f"conv{number}.weight"], weights[f"conv{number}.bias"])
        value = net.relu(f"relu{number}", value)
    for number in range(1, DEPTH + 1):
        value = _decoder(net, weights, number, value)
    return net.model("red_cnn", (1, 1, height, width), value)


def _decoder(net: Layers, weights: Weights, number: int, value: str) -> str:
    """One layer of the decoder: transposed convolution, skip, ReLU."""
    name = f"tconv{number}"
    value = net.conv_transpose(name, value, weights[f"{name}.weight"], weights[f"{name}.bias"])
    if number in SKIPS:
        value = net.node("Add", f"skip{number}", [value, SKIPS[number]])
    return net.relu("denoised" if number == DEPTH else f"trelu{number}", value)
