"""Compare low-dose, non-local means and the network on two held-out patients and on the slice of the demo.

python examples/ct_denoise/evaluate.py [--data DIR] [--dose I0 ...] [--json]
"""

import sys

import numpy as np
from ct_denoise.comparison import Method, main
from ct_denoise.metrics import nonlocal_means
from ct_denoise.network import load_weights
from ct_denoise.plain import denoise_plain


def methods() -> dict[str, Method]:
    """By name; non-local means is told the true noise level."""
    weights = load_weights()
    return {
        "low_dose": lambda low, _: low,
        "nonlocal_means": lambda low, hu: nonlocal_means(low, float(np.std(low - hu))),
        "network": lambda low, _: denoise_plain(low, weights),
    }


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0], methods()))
