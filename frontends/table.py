"""The whole table ONNX op -> ours; as a program it prints the table in Markdown.

python -m enclair.frontends.table > docs/operators.md
"""

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
from enclair.frontends.limits import OPSETS
from enclair.frontends.registry import TABLE, Rule

__all__ = ["FAMILIES", "TABLE", "markdown"]

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

_HEAD = f"""# Supported ONNX operators

enclair reads ONNX opsets {OPSETS[0]} to {OPSETS[1]}. A node whose arguments are all constants is computed when the
model is converted, whatever its operator.

| ONNX operator | opsets | becomes | notes | side |
|---|---|---|---|---|
"""


def markdown() -> str:
    """The table as a Markdown page."""
    return _HEAD + "".join(_row(TABLE[name]) for name in sorted(TABLE))


def _row(rule: Rule) -> str:
    ours = ", ".join(f"`{op.__name__}`" for op in rule.ours) or "nothing"
    return f"| {rule.onnx_op} | {rule.since}-{OPSETS[1]} | {ours} | {rule.note} | |\n"


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - this is its purpose
