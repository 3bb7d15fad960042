"""enclair: run PyTorch and ONNX models on encrypted data, with the same answer as en clair.

Importing this package imports neither OpenFHE nor torch: ``enclair doctor`` must work where they cannot be imported.
"""

__version__ = "0.1.0"
