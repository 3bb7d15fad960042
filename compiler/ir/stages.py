"""The stages a graph goes through, and which ops, types and places may occur in each."""

from __future__ import annotations

from enum import Enum

from typing_extensions import assert_never

from enclair.compiler.ir.errors import TypeRuleError
from enclair.compiler.ir.graph import Node
from enclair.compiler.ir.ops.convolution import PolynomialConvolution
from enclair.compiler.ir.ops.fixed import Dequantise, Quantise, Requantise, Shift
from enclair.compiler.ir.ops.packed import (
    AddCiphers,
    AddPlain,
    ConcatCiphers,
    HideUnheld,
    LinearCombination,
    MaskSlots,
    Pack,
    PolynomialCombination,
    SelectCiphers,
    SlotCombination,
    SubtractCiphers,
    Unpack,
)
from enclair.compiler.ir.types import TensorType

FIXED_POINT = (Quantise, Requantise, Dequantise, Shift)
CLIENT_PACKING = (Pack, Unpack)
ON_CIPHERS = (
    LinearCombination, SlotCombination, PolynomialCombination, PolynomialConvolution, MaskSlots, HideUnheld, AddPlain,
    AddCiphers, SubtractCiphers, ConcatCiphers, SelectCiphers,
)  # fmt: skip


class Stage(Enum):
    """How far a graph has been lowered."""

    TENSOR = "tensors of reals"
    PLACED = "tensors of reals, every node on the client or the server"
    FIXED = "fixed-point tensors, every node on the client or the server"
    CLIENT = "what the client does in one round"
    SERVER = "what the server does in one round, on ciphertexts"


def check_node(node: Node, stage: Stage) -> None:
    """Raise TypeRuleError if the node may not occur in the stage."""
    if stage is Stage.TENSOR:
        _forbid(node, FIXED_POINT + CLIENT_PACKING + ON_CIPHERS, stage)
    elif stage is Stage.PLACED:
        _forbid(node, FIXED_POINT + CLIENT_PACKING + ON_CIPHERS, stage)
        _placed(node)
    elif stage is Stage.FIXED:
        _forbid(node, CLIENT_PACKING + ON_CIPHERS, stage)
        _placed(node)
        _integers_on_server(node)
    elif stage is Stage.CLIENT:
        _forbid(node, ON_CIPHERS, stage)
    elif stage is Stage.SERVER:
        if not isinstance(node.op, ON_CIPHERS):
            raise TypeRuleError(f"{type(node.op).__name__} does not work on ciphertexts: pack the graph first")
    else:
        assert_never(stage)


def _forbid(node: Node, ops: tuple[type, ...], stage: Stage) -> None:
    if isinstance(node.op, ops):
        raise TypeRuleError(f"{type(node.op).__name__} may not occur in a graph of {stage.value}")


def _placed(node: Node) -> None:
    if node.place is None:
        raise TypeRuleError(f"{node.out} has no place: run PlaceOps first")


def _integers_on_server(node: Node) -> None:
    on_server = node.place is not None and node.place.side == "server"
    if on_server and not all(isinstance(v.type, TensorType) and v.type.is_fixed for v in (*node.args, node.out)):
        raise TypeRuleError("the server computes on integers only: run ToFixedPoint first")
