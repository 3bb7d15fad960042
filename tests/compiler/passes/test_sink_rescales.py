"""Rescales move behind rotate-and-sum: values, types and outputs stay, and nothing is left to move."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from tests.ckks_graphs import SLOTS, STEPS, Packed, ckks, inputs_of, packed_graphs, parameters_for

from enclair.compiler.ir.graph import Builder, Graph, Value
from enclair.compiler.ir.key_needs import key_needs
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.ciphers import AddCiphers, SubtractCiphers
from enclair.compiler.ir.ops.ckks import MultiplyPlain, Rescale, RotateSlots
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import CkksType
from enclair.compiler.ir.verify import verify
from enclair.compiler.passes.expand_polynomials import ExpandPolynomials
from enclair.compiler.passes.place_levels import PlaceLevels
from enclair.compiler.passes.sink_rescales import SinkRescales
from enclair.compiler.planner.ckks_noise import noise_model, predict


def folded(p: Packed, x: Value) -> Value:
    """A product, and rotations of its sums added up."""
    y = p.builder.add(MultiplyPlain(), x, p.vectors(x, 0.5))
    for steps in p.draw(st.lists(st.sampled_from((1, 2, 4, 8)), min_size=1, max_size=4)):
        turned = p.builder.add(RotateSlots(steps), y)
        both = (y, turned) if p.draw(st.booleans()) else (turned, y)
        y = p.builder.add(p.draw(st.sampled_from((AddCiphers(), AddCiphers(), SubtractCiphers()))), *both)
    return y


def leveled(graph: Graph) -> Graph:
    expanded = ExpandPolynomials()(graph)
    return PlaceLevels(parameters_for(expanded))(expanded)


@given(packed_graphs((*STEPS, folded, folded, folded), most=8))
def test_values_types_and_keys_stay(graph: Graph) -> None:
    before = leveled(graph)
    after = SinkRescales()(before)
    event("moved" if after != before else "nothing to move")
    verify(after, Stage.LEVELED)
    assert (after.inputs, after.outputs) == (before.inputs, before.outputs)
    needs, needed = key_needs([after]), key_needs([before])
    assert (needs.rotations, needs.relinearise) == (needed.rotations, needed.relinearise)
    assert all(now >= then for now, then in zip(needs.levels, needed.levels, strict=True))
    assert sorted(type(node.op).__name__ for node in after.nodes) == sorted(
        type(node.op).__name__ for node in before.nodes
    )
    inputs = inputs_of(graph)
    for name, want in run(before, inputs).items():
        np.testing.assert_array_equal(run(after, inputs)[name], want)


@given(packed_graphs((*STEPS, folded, folded, folded), most=8))
def test_twice_is_once(graph: Graph) -> None:
    once = SinkRescales()(leveled(graph))
    assert SinkRescales()(once) == once


def ladder(*steps: int, last: Op | None = None, kept: int | None = None) -> Graph:
    """x times a vector, and so many rotate-and-sums; perhaps with a value on the way as another output."""
    b = Builder("ladder")
    y = b.add(MultiplyPlain(), b.input("x", CkksType(1, SLOTS)), b.constant("v", np.linspace(-1, 1, SLOTS)[None]))
    values = [y]
    for step in steps:
        values.append(b.add(AddCiphers(), values[-1], b.add(RotateSlots(step), values[-1])))
    if last is not None:
        values.append(b.add(last, values[-1], b.add(RotateSlots(1), values[-1])))
    return leveled(b.build([values[-1], *([] if kept is None else [values[kept]])]))


def rescaled_after(graph: Graph) -> list[int]:
    """How many rotations stand before each rescale."""
    rotations, found = 0, []
    for node in graph.nodes:
        rotations += isinstance(node.op, RotateSlots)
        if isinstance(node.op, Rescale):
            found.append(rotations)
    return found


@pytest.mark.parametrize("steps", [(8,), (8, 4), (8, 4, 2, 1)])
def test_a_rescale_moves_behind_all_steps(steps: tuple[int, ...]) -> None:
    before = ladder(*steps)
    after = SinkRescales()(before)
    assert rescaled_after(before) == [0]
    assert rescaled_after(after) == [len(steps)]
    assert isinstance(after.nodes[-1].op, Rescale)
    assert all(ckks(node.out).level == 1 for node in after.nodes[:-1])
    assert after.outputs == before.outputs


def test_a_rescale_stays_before_what_is_read_elsewhere_or_is_no_sum() -> None:
    assert rescaled_after(SinkRescales()(ladder(8, 4, kept=0))) == [0]
    assert rescaled_after(SinkRescales()(ladder(8, 4, kept=1))) == [1]
    assert rescaled_after(SinkRescales()(ladder(8, last=SubtractCiphers()))) == [1]
    assert rescaled_after(SinkRescales()(ladder(last=SubtractCiphers()))) == [0]


def test_the_noise_gets_less() -> None:
    before = ladder(8, 4, 2, 1)
    inputs, model = inputs_of(before), noise_model(parameters_for(before))
    bounds = [predict(graph, inputs, model, 64).bound for graph in (before, SinkRescales()(before))]
    assert bounds[1] < bounds[0]
