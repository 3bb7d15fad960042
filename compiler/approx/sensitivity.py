"""How far an error in one activation moves the outputs: measured on samples, without derivatives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from enclair.compiler.approx.functions import facts_of
from enclair.compiler.approx.ranges import Samples
from enclair.compiler.approx.series import Reals
from enclair.compiler.ir.graph import Array, Graph, Node
from enclair.compiler.ir.reference import run

STEP = 2.0**-16
"""Injected error over the largest value of the activation."""
RANDOM_SIGNS = 2
"""Draws of signs for each sample."""
MOST_SAMPLES = 3


@dataclass(frozen=True, slots=True, eq=False)
class Sensitivity:
    """How far an output moves at most per unit of error in one value, on samples, and what is computed from there.

    Args:
        same: of an error that is the same in all elements.
        random: of errors of random signs.
        arguments: what the function that makes the value is given there, all elements in one row.
    """

    same: float
    random: float
    arguments: Reals

    @property
    def largest(self) -> float:
        """Of both kinds of errors."""
        return max(self.same, self.random)


def sensitivities(graph: Graph, names: Iterable[str], samples: Samples) -> dict[str, Sensitivity]:
    """For each named value, the largest |change of an output| over the error put into all of its elements.

    The error has one sign everywhere, or signs drawn at random; of a function whose error is relative it is
    relative too. The largest over samples spread evenly counts.
    """
    values = [_all_values(graph, sample) for sample in samples[:: max(1, len(samples) // MOST_SAMPLES)][:MOST_SAMPLES]]
    return {name: _sensitivity(graph, name, values) for name in names}


def _sensitivity(graph: Graph, name: str, samples: Sequence[Mapping[str, Array]]) -> Sensitivity:
    argument = graph.producers()[name].args[0].name
    moved = [_moved(graph, name, values) for values in samples]
    arguments = np.concatenate([np.ravel(values[argument]) for values in samples])
    return Sensitivity(max(same for same, _ in moved), max(random for _, random in moved), arguments)


def _all_values(graph: Graph, sample: Mapping[str, Array]) -> dict[str, Array]:
    values = dict(graph.arrays) | {value.name: np.asarray(sample[value.name], np.float64) for value in graph.inputs}

    def keep(node: Node, _: tuple[Array, ...], result: Array) -> None:
        values[node.out.name] = result

    run(graph, sample, keep)
    return values


def _moved(graph: Graph, name: str, values: Mapping[str, Array]) -> tuple[float, float]:
    """The largest moves of an output per unit of error at the value: of one sign, and of random signs."""
    node = graph.producers()[name]
    facts = facts_of(node.op)
    exact = values[name]
    unit = np.abs(exact) if facts is not None and facts.relative else np.ones_like(exact)
    size = STEP if facts is not None and facts.relative else STEP * max(float(np.abs(exact).max(initial=0)), 1e-9)

    def move(signs: Array) -> float:
        return _output_move(graph, name, exact + size * unit * signs, values) / size

    draw = np.random.default_rng(0)
    signs = [draw.choice([-1.0, 1.0], exact.shape) for _ in range(RANDOM_SIGNS)]
    return move(np.ones_like(exact)), max(map(move, signs))


def _output_move(graph: Graph, name: str, changed: Array, values: Mapping[str, Array]) -> float:
    """Recompute what depends on the value; the largest change of an output."""
    new = {name: changed}
    for node in graph.nodes:
        if node.out.name != name and any(arg.name in new for arg in node.args):
            new[node.out.name] = node.op.evaluate(*(new.get(arg.name, values[arg.name]) for arg in node.args))
    moves = (np.abs(new[v.name] - values[v.name]).max(initial=0) for v in graph.outputs if v.name in new)
    return float(max(moves, default=0.0))
