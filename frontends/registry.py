"""The table ONNX op -> converter. Each family module adds its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from enclair.compiler.ir.ops.base import Op
from enclair.frontends.expression import Operand
from enclair.frontends.limits import OPSETS
from enclair.frontends.onnx_node import OnnxNode

Converter: TypeAlias = Callable[[OnnxNode], "Operand | tuple[Operand, ...]"]


@dataclass(frozen=True, slots=True)
class Rule:
    """How one ONNX op is converted: into which ops, since which opset, with which restrictions."""

    onnx_op: str
    ours: tuple[type[Op], ...]
    since: int
    note: str
    convert: Converter


TABLE: dict[str, Rule] = {}
"""Every ONNX op that has a converter, by name."""


def converts(
    *onnx_ops: str, to: tuple[type[Op], ...] = (), since: int = OPSETS[0], note: str = ""
) -> Callable[[Converter], Converter]:
    """Decorator: add a converter to the table under the names of its ONNX ops."""

    def add(convert: Converter) -> Converter:
        for onnx_op in onnx_ops:
            TABLE[onnx_op] = Rule(onnx_op, to, since, note, convert)
        return convert

    return add
