"""The stages a graph goes through, and which ops, types and places may occur in each."""

from __future__ import annotations

from enum import Enum

from typing_extensions import assert_never

from enclair.compiler.ir.errors import TypeRuleError
from enclair.compiler.ir.graph import Node
from enclair.compiler.ir.ops.ciphers import AddCiphers, ConcatCiphers, SelectCiphers, SubtractCiphers
from enclair.compiler.ir.ops.ckks import (
    AddPlainVectors,
    DropToLevel,
    EvaluatePolynomial,
    LinearTransform,
    MultiplyCiphers,
    MultiplyPlain,
    PackReals,
    Relinearise,
    Rescale,
    RotateSlots,
    UnpackReals,
)
from enclair.compiler.ir.ops.convolution import PolynomialConvolution
from enclair.compiler.ir.ops.fixed import Dequantise, Quantise, Requantise, Shift
from enclair.compiler.ir.ops.packed import (
    AddPlain,
    HideUnheld,
    LinearCombination,
    MaskSlots,
    Pack,
    PolynomialCombination,
    SlotCombination,
    Unpack,
)
from enclair.compiler.ir.types import CkksType, TensorType

FIXED_POINT = (Quantise, Requantise, Dequantise, Shift)
CLIENT_PACKING = (Pack, Unpack, PackReals, UnpackReals)
ON_CIPHERS = (
    LinearCombination, SlotCombination, PolynomialCombination, PolynomialConvolution, MaskSlots, HideUnheld, AddPlain,
    AddCiphers, SubtractCiphers, ConcatCiphers, SelectCiphers,
)  # fmt: skip
ON_CKKS = (
    LinearTransform, RotateSlots, MultiplyCiphers, MultiplyPlain, AddPlainVectors, AddCiphers, SubtractCiphers,
    ConcatCiphers, SelectCiphers,
)  # fmt: skip
LEVELING = (Relinearise, Rescale, DropToLevel)
NOT_ON_TENSORS = FIXED_POINT + CLIENT_PACKING + ON_CIPHERS + ON_CKKS + LEVELING + (EvaluatePolynomial,)


class Stage(Enum):
    """How far a graph has been lowered."""

    TENSOR = "tensors of reals"
    PLACED = "tensors of reals, every node on the client or the server"
    FIXED = "fixed-point tensors, every node on the client or the server"
    CLIENT = "what the client does in one round"
    SERVER = "what the server does in one round, on ciphertexts"
    PACKED = "CKKS ciphertexts without levels"
    LEVELED = "CKKS ciphertexts with levels and scales"


def check_node(node: Node, stage: Stage) -> None:
    """Raise TypeRuleError if the node may not occur in the stage."""
    if stage is Stage.TENSOR:
        _forbid(node, NOT_ON_TENSORS, stage)
    elif stage is Stage.PLACED:
        _forbid(node, NOT_ON_TENSORS, stage)
        _placed(node)
    elif stage is Stage.FIXED:
        _forbid(node, tuple(set(NOT_ON_TENSORS) - set(FIXED_POINT)), stage)
        _placed(node)
        _integers_on_server(node)
    elif stage is Stage.CLIENT:
        _forbid(node, tuple(set(NOT_ON_TENSORS) - set(FIXED_POINT) - set(CLIENT_PACKING)), stage)
    elif stage is Stage.SERVER:
        if not isinstance(node.op, ON_CIPHERS):
            raise TypeRuleError(f"{type(node.op).__name__} does not work on ciphertexts: pack the graph first")
    elif stage is Stage.PACKED:
        _on_ckks(node, (*ON_CKKS, EvaluatePolynomial), stage, leveled=False)
    elif stage is Stage.LEVELED:
        _on_ckks(node, ON_CKKS + LEVELING, stage, leveled=True)
    else:
        assert_never(stage)


def _on_ckks(node: Node, ops: tuple[type, ...], stage: Stage, *, leveled: bool) -> None:
    if not isinstance(node.op, ops):
        raise TypeRuleError(f"{type(node.op).__name__} may not occur in a graph of {stage.value}")
    for value in (*node.args, node.out):
        if isinstance(value.type, CkksType) and (value.type.level is not None) != leveled:
            raise TypeRuleError(f"{value} of type {value.type} may not occur in a graph of {stage.value}")


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
