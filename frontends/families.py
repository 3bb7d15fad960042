"""All families of converters: importing this module fills the table."""

from __future__ import annotations

from enclair.frontends import (
    ops_activations,
    ops_constants,
    ops_elementwise,
    ops_linear,
    ops_normalisation,
    ops_pooling,
    ops_reductions,
    ops_resize,
    ops_shape,
)
from enclair.frontends.registry import TABLE

__all__ = ["FAMILIES", "TABLE"]

FAMILIES = (
    ops_linear,
    ops_elementwise,
    ops_activations,
    ops_pooling,
    ops_reductions,
    ops_normalisation,
    ops_shape,
    ops_resize,
    ops_constants,
)
"""The modules whose converters fill the table."""
