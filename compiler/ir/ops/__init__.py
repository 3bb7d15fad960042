"""Every op of the intermediate representation, by family. Importing it makes all of them known to the parser."""

from enclair.compiler.ir.ops import (
    activations,
    ciphers,
    ckks,
    elementwise,
    fixed,
    linear,
    normalisation,
    packed,
    polynomial,
    pooling,
    reductions,
    shape,
)

__all__ = [
    "activations",
    "ciphers",
    "ckks",
    "elementwise",
    "fixed",
    "linear",
    "normalisation",
    "packed",
    "polynomial",
    "pooling",
    "reductions",
    "shape",
]
