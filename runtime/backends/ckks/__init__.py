"""The CKKS backend: OpenFHE makes keys, encrypts and decrypts; ``evaluate`` computes on residues by itself.

Waiting OpenMP threads must sleep, or a busy machine computes several times slower; OpenMP reads the policy once, when
OpenFHE is loaded.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
