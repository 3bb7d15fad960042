"""enclair: run PyTorch and ONNX models on encrypted data, with the same answer as en clair.

Importing this package imports neither OpenFHE nor torch: ``enclair doctor`` must work where they cannot be imported.
It sets ``OMP_WAIT_POLICY=passive`` unless it is set: OpenMP reads it once, when OpenFHE is loaded, and on a busy
machine its default makes two threads several times slower than one.
"""

import os

__version__ = "0.1.0"

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
