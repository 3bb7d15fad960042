"""What the examples of whole networks share: ONNX from layers, pictures, one run under encryption, its report."""
