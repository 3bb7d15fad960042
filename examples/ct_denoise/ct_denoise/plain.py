"""The denoiser en clair, by onnxruntime."""

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ct_denoise.network import Weights, denoiser, from_output, outside_range, to_input


def denoise_plain(hu: NDArray[np.floating], weights: Weights) -> NDArray[np.float64]:
    """Denoise a slice (height, width) in Hounsfield units; pixels outside the network's range stay as they are."""
    model = denoiser(weights, *hu.shape).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (output,) = session.run(["denoised"], {"x": to_input(hu)})
    return np.where(outside_range(hu), hu, from_output(output))
