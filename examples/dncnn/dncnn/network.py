"""DnCNN as an ONNX model of any image size (Zhang et al., IEEE Transactions on Image Processing 26(7), 2017).

3 x 3 convolutions with ReLU between them predict the noise, which is subtracted. The trained networks see an image
continued at its other end, so that is how it is padded here: padding is the client's work and costs no round.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from example_tools.layers import Layers

from dncnn.weights import Layer


def dncnn(layers: Sequence[Layer], height: int, width: int) -> onnx.ModelProto:
    """The network for images of ``height`` x ``width``: input ``x``, output ``denoised``, (1, 1, height, width)."""
    net, value = Layers(), "x"
    for number, layer in enumerate(layers, 1):
        value = net.conv(f"conv{number}", net.wrap(f"wrap{number}", value, 1), layer.weight)
        if layer.norm is not None:
            norm = layer.norm
            value = net.batch_norm(f"norm{number}", value, norm.scale, norm.bias, norm.mean, norm.variance)
        if number < len(layers):
            value = net.relu(f"relu{number}", value)
    return net.model("dncnn", (1, 1, height, width), net.node("Sub", "denoised", ["x", value]))
