"""The denoiser as an ONNX model of any image size, built from its trained weights.

Four 3 x 3 convolutions of 16 channels predict the noise, which is subtracted:
``denoised = x - conv(relu(conv(relu(conv(relu(conv(x)))))))``, x in units of 1000 HU. The scaling is linear and
clips nothing, so that whole Hounsfield units go through unrounded.
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

UNIT_HU = 1000.0
RANGE_HU = (-1024.0, 3071.0)
"""What the network is made for, the range of 12 bits: pixels outside are kept, see ``outside_range``."""
WEIGHTS = Path(__file__).resolve().parent.parent / "denoiser.safetensors"
OPSET = 20
IR_VERSION = 10

Weights = dict[str, NDArray[np.float32]]


def load_weights(path: Path = WEIGHTS) -> Weights:
    """Tensors ``conv1.weight`` (out, in, 3, 3), ``conv1.bias`` (out), and so on."""
    if not path.is_file():
        raise FileNotFoundError(f"the trained weights are needed at {path}: make them with train.py")
    return load_file(path)


def depth(weights: Weights) -> int:
    """The number of convolutions."""
    return sum(name.endswith(".weight") for name in weights)


def denoiser(weights: Weights, height: int, width: int) -> onnx.ModelProto:
    """The network for slices of ``height`` x ``width``: input ``x``, output ``denoised``, (1, 1, height, width)."""
    last = depth(weights)
    nodes, value = [], "x"
    for layer in range(1, last + 1):
        names = [f"conv{layer}.weight", f"conv{layer}.bias"]
        nodes.append(helper.make_node("Conv", [value, *names], [f"conv{layer}"], f"conv{layer}", pads=[1, 1, 1, 1]))
        value = f"conv{layer}"
        if layer < last:
            nodes.append(helper.make_node("Relu", [value], [f"relu{layer}"], f"relu{layer}"))
            value = f"relu{layer}"
    nodes.append(helper.make_node("Sub", ["x", value], ["denoised"], "residual"))
    return checked(nodes, weights, height, width)


def checked(nodes: list[onnx.NodeProto], weights: Weights, height: int, width: int) -> onnx.ModelProto:
    """The nodes as a model with its types, its declared range and its unit."""
    image = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, height, width]) for name in ("x", "denoised")
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in sorted(weights.items())]
    graph = helper.make_graph(nodes, "ct_denoiser", image[:1], image[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    helper.set_model_props(model, {"unit": f"{UNIT_HU:g} HU", "range_hu": f"{RANGE_HU[0]:g}..{RANGE_HU[1]:g}"})
    onnx.checker.check_model(model, full_check=True)
    return model


def to_input(hu: NDArray[np.floating]) -> NDArray[np.float32]:
    """A slice (height, width) as the network's input (1, 1, height, width), clipped to its range."""
    return (np.clip(hu, *RANGE_HU) / UNIT_HU).astype(np.float32)[None, None]


def input_range() -> tuple[float, float]:
    """The network's range in its own units, rounded as its inputs are: what ``to_input`` stays within."""
    low, high = (float(np.float32(hu / UNIT_HU)) for hu in RANGE_HU)
    return low, high


def from_output(denoised: NDArray[np.floating]) -> NDArray[np.float64]:
    """The network's output (1, 1, height, width) in Hounsfield units (height, width)."""
    return denoised[0, 0].astype(np.float64) * UNIT_HU


def outside_range(hu: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Where a slice leaves the network's range (metal, unmarked padding): such pixels are kept as they are."""
    return (hu < RANGE_HU[0]) | (hu > RANGE_HU[1])
