"""How many rotations known networks take: baby steps, giant steps, and rotations by themselves."""

from __future__ import annotations

import numpy as np
import pytest
from tests.packed_models import Network, lenet, lola, mlp

from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.ops.ckks import LinearTransform, RotateSlots
from enclair.compiler.ir.types import CkksType
from enclair.compiler.packing.slotted.pack import Packed, pack
from enclair.compiler.packing.slotted.rotation_costs import count_steps


def rotations(packed: Packed) -> tuple[int, int, int]:
    """Baby steps, giant steps, rotations by themselves."""
    babies = giants = alone = 0
    for node in packed.server.nodes:
        if isinstance(node.op, LinearTransform) and isinstance(node.out.type, CkksType):
            rows, cols, steps = np.unique(np.stack([packed.server.constant(a) for a in node.args[1:4]]), axis=1)
            counted = count_steps(rows, cols, steps, node.op.baby_steps, node.out.type.slots)
            babies, giants = babies + counted.babies, giants + counted.giants
        elif isinstance(node.op, RotateSlots) and isinstance(node.out.type, CkksType):
            alone += node.out.type.count
    return babies, giants, alone


@pytest.mark.parametrize(
    ("graph", "slots", "most"),
    [
        (mlp(784, 128, 128, 10), 4096, (37, 9, 8)),
        (lola(), 4096, (33, 11, 7)),
        (lenet(), 8192, (260, 40, 9)),
    ],
    ids=["mlp", "lola", "lenet"],
)
def test_networks(graph: Graph, slots: int, most: tuple[int, int, int]) -> None:
    found = rotations(pack(graph, slots))
    assert all(count <= limit for count, limit in zip(found, most, strict=True)), found


def conv(inputs: int, outputs: int, size: int, stride: int = 1) -> Graph:
    net = Network("conv")
    return net.build(net.conv(net.square(net.input(1, inputs, size, size)), outputs, stride=stride))


@pytest.mark.parametrize("stride", [1, 2])
def test_one_channel_takes_a_rotation_for_each_tap_but_one(stride: int) -> None:
    assert rotations(pack(conv(1, 1, 32, stride), 1024)) == (8, 0, 0)


def test_outputs_share_the_rotations_of_an_input() -> None:
    assert rotations(pack(conv(1, 16, 64), 4096)) == (8, 0, 0)


def test_channels_in_one_ciphertext_take_rotations_for_their_distances() -> None:
    babies, giants, alone = rotations(pack(conv(4, 4, 16), 1024))
    assert alone == 0
    assert babies + giants <= 2 * 9 - 1 + 1
