"""Fewer rotation keys, and the same values."""

from __future__ import annotations

import numpy as np
import pytest
from tests.packed_models import lola, mlp, random_inputs

from enclair.compiler.errors import CompileError
from enclair.compiler.ir.key_needs import key_needs
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.verify import verify
from enclair.compiler.packing.slotted.pack import PackingOptions, pack
from enclair.compiler.packing.slotted.rotation_keys import (
    limit_rotation_keys,
    rotation_uses,
    shortest_compositions,
)


@pytest.mark.parametrize("most", [8, 9, 11])
def test_composed_rotations_keep_the_values(most: int) -> None:
    graph = mlp(60, 32, 16, 5)
    packed = pack(graph, 256)
    limited = limit_rotation_keys(packed.server, most)
    verify(limited, Stage.PACKED)
    assert len(rotation_uses(limited)) <= most < len(rotation_uses(packed.server))
    sent = run(packed.prologue, random_inputs(graph))
    want, got = run(packed.server, sent), run(limited, sent)
    for name in want:
        np.testing.assert_allclose(got[name], want[name], atol=1e-12)


def test_convolutions_too() -> None:
    graph = lola()
    packed = pack(graph, 1024)
    limited = limit_rotation_keys(packed.server, 10)
    sent = run(packed.prologue, random_inputs(graph))
    want, got = run(packed.server, sent), run(limited, sent)
    for name in want:
        np.testing.assert_allclose(got[name], want[name], atol=1e-10)


def test_a_graph_within_the_limit_stays() -> None:
    server = pack(mlp(8, 4), 16).server
    assert limit_rotation_keys(server, 16) is server


def test_rotations_are_those_that_the_client_makes_keys_for() -> None:
    server = pack(mlp(60, 32, 16, 5), 256).server
    assert tuple(sorted(rotation_uses(server))) == key_needs([server]).rotations


def test_too_few_keys_are_refused() -> None:
    server = pack(mlp(60, 32, 16, 5), 256).server
    wanted = r"max_rotation_keys is 7; with 256 slots every rotation can be made of 8 keys, not of fewer: raise it to 8"
    with pytest.raises(CompileError, match=wanted):
        limit_rotation_keys(server, 7)


def test_compositions_are_shortest() -> None:
    last = shortest_compositions(frozenset({1, 2, 4, 8, 15}), 16)
    lengths = {0: 0}
    for steps in (15, 14, 13, 7, 3):
        length, rest = 0, steps
        while rest:
            rest, length = (rest - int(last[rest])) % 16, length + 1
        lengths[steps] = length
    assert lengths == {0: 0, 15: 1, 14: 2, 13: 3, 7: 2, 3: 2}


def test_no_more_keys_than_packing_may_ask_for() -> None:
    packed = pack(mlp(60, 32, 16, 5), 256, options=PackingOptions(max_rotation_keys=9))
    assert len(rotation_uses(packed.server)) <= 9
