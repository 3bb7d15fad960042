"""Converters of ONNX normalisations."""

from __future__ import annotations

import numpy as np

from enclair.compiler.ir.ops.normalisation import BatchNorm, GroupNorm, LayerNormalization
from enclair.frontends.errors import UnsupportedNodeError
from enclair.frontends.expression import Operand, apply, constant
from enclair.frontends.onnx_node import OnnxNode
from enclair.frontends.registry import converts


@converts("BatchNormalization", to=(BatchNorm,), note="inference only")
def batch_norm(node: OnnxNode) -> Operand:
    """With the stored mean and variance."""
    if node.integer("training_mode", 0):
        raise UnsupportedNodeError("batch statistics of the training mode", "call model.eval() before the export")
    return apply(BatchNorm(node.real("epsilon", 1e-5)), *map(node.arg, range(5)))


@converts("LayerNormalization", to=(LayerNormalization,), since=17, note="without the outputs Mean and InvStdDev")
def layer_norm(node: OnnxNode) -> Operand:
    """Over the axes from ``axis`` on; an absent beta is 0."""
    beta = node.arg(2) if node.has(2) else constant(np.zeros(node.shape(1)), "beta")
    return apply(LayerNormalization(node.axis(-1), node.real("epsilon", 1e-5)), node.arg(0), node.arg(1), beta)


@converts("InstanceNormalization", to=(GroupNorm,))
def instance_norm(node: OnnxNode) -> Operand:
    """As many groups as channels."""
    return apply(GroupNorm(node.shape()[1], node.real("epsilon", 1e-5)), *map(node.arg, range(3)))


@converts("GroupNormalization", to=(GroupNorm,), since=21)
def group_norm(node: OnnxNode) -> Operand:
    """Parameters for each channel."""
    return apply(GroupNorm(node.integer("num_groups", 1), node.real("epsilon", 1e-5)), *map(node.arg, range(3)))
