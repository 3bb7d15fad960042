"""Every op of the intermediate representation, by family. Importing it makes all of them known to the parser."""

from enclair.compiler.ir.ops import (
    activations,
    elementwise,
    fixed,
    linear,
    normalisation,
    packed,
    pooling,
    reductions,
    shape,
)

__all__ = [
    "activations",
    "elementwise",
    "fixed",
    "linear",
    "normalisation",
    "packed",
    "pooling",
    "reductions",
    "shape",
]
