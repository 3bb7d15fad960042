"""The table of ONNX operators in Markdown: what each becomes, and where split mode computes it.

python -m enclair.operators > docs/operators.md
"""

from __future__ import annotations

from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.elementwise import Add, Div, Mul, Sub
from enclair.compiler.ir.ops.normalisation import BatchNorm
from enclair.compiler.ir.ops.pooling import AveragePool
from enclair.compiler.ir.ops.reductions import ReduceMean
from enclair.compiler.ir.ops.shape import Pad
from enclair.compiler.planner.sides import LINEAR, MOVES, SUMS
from enclair.frontends.families import TABLE
from enclair.frontends.limits import OPSETS
from enclair.frontends.registry import Rule

_WEIGHTED: tuple[type[Op], ...] = (*LINEAR, BatchNorm)
_PRODUCTS, _ADDITIONS = (Mul, Div), (Add, Sub)
_FREE: tuple[type[Op], ...] = (*MOVES, *SUMS, Pad, AveragePool, ReduceMean)
"""Ops that the server can do, and that have no weights."""

_HEAD = f"""# Supported ONNX operators

enclair reads ONNX opsets {OPSETS[0]} to {OPSETS[1]}. A node whose arguments are all constants is computed when the
model is converted, whatever its operator.

The last column says who computes an operator in `split` mode. *Weights* are the model's learned constants, single
numbers too. *Either*: on the side that gives the fewest rounds, then the fewest bytes. What has no packed form where it
stands moves to the client; `enclair inspect` says what was placed where.

| ONNX operator | opsets | becomes | notes | side |
|---|---|---|---|---|
"""


def markdown() -> str:
    """The table as a Markdown page."""
    return _HEAD + "".join(_row(TABLE[name]) for name in sorted(TABLE))


def side(ours: tuple[type[Op], ...]) -> str:
    """Who computes what an operator becomes: the op that is hardest to place decides."""
    if not ours:
        return "neither"
    if not set(ours) <= {*_WEIGHTED, *_PRODUCTS, *_ADDITIONS, *_FREE}:
        return "client"
    if set(ours) & set(_WEIGHTED):
        return "server with weights, else client"
    if ours[0] in _ADDITIONS:
        return "server with weights, else either"
    if set(ours) & set(_PRODUCTS):
        return "server by weights, either by a number, else client"
    return "either with zeros, else client" if ours[0] is Pad else "either"


def _row(rule: Rule) -> str:
    ours = ", ".join(f"`{op.__name__}`" for op in rule.ours) or "nothing"
    return f"| {rule.onnx_op} | {rule.since}-{OPSETS[1]} | {ours} | {rule.note} | {side(rule.ours)} |\n"


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - this is its purpose
