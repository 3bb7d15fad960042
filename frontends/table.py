"""The table ONNX op -> ours in Markdown.

python -m enclair.frontends.table > docs/operators.md
"""

from __future__ import annotations

from enclair.frontends.families import TABLE
from enclair.frontends.limits import OPSETS
from enclair.frontends.registry import Rule

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
