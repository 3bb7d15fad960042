"""How far an error in one activation moves the outputs: measured on samples, without derivatives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from enclair.compiler.approx.functions import facts_of
from enclair.compiler.approx.ranges import Samples
from enclair.compiler.ir.graph import Array, Graph, Node
from enclair.compiler.ir.reference import run

STEP = 2.0**-16
"""Injected error over the largest value of the activation."""
RANDOM_SIGNS = 1
MOST_SAMPLES = 3


def sensitivities(graph: Graph, names: Iterable[str], samples: Samples) -> dict[str, float]:
    """For each named value, the largest |change of an output| over the error put into all of its elements.

    The error has one sign everywhere, or signs drawn at random; of a function whose error is relative it is
    relative too. The largest over these and over samples spread evenly counts.
    """
    wanted = list(names)
    found = dict.fromkeys(wanted, 0.0)
    for sample in samples[:: max(1, len(samples) // MOST_SAMPLES)][:MOST_SAMPLES]:
        values = _all_values(graph, sample)
        for name in wanted:
            found[name] = max(found[name], _moved(graph, name, values))
    return found


def _all_values(graph: Graph, sample: Mapping[str, Array]) -> dict[str, Array]:
    values = dict(graph.arrays) | {value.name: np.asarray(sample[value.name], np.float64) for value in graph.inputs}

    def keep(node: Node, _: tuple[Array, ...], result: Array) -> None:
        values[node.out.name] = result

    run(graph, sample, keep)
    return values


def _moved(graph: Graph, name: str, values: Mapping[str, Array]) -> float:
    """The largest move of an output per unit of error at the value."""
    node = graph.producers()[name]
    facts = facts_of(node.op)
    exact = values[name]
    unit = np.abs(exact) if facts is not None and facts.relative else np.ones_like(exact)
    size = STEP if facts is not None and facts.relative else STEP * max(float(np.abs(exact).max(initial=0)), 1e-9)
    random = np.random.default_rng(0)
    patterns = [np.ones_like(exact), *(random.choice([-1.0, 1.0], exact.shape) for _ in range(RANDOM_SIGNS))]
    return max(_output_move(graph, name, exact + size * unit * signs, values) for signs in patterns) / size


def _output_move(graph: Graph, name: str, changed: Array, values: Mapping[str, Array]) -> float:
    """Recompute what depends on the value; the largest change of an output."""
    new = {name: changed}
    for node in graph.nodes:
        if node.out.name != name and any(arg.name in new for arg in node.args):
            new[node.out.name] = node.op.evaluate(*(new.get(arg.name, values[arg.name]) for arg in node.args))
    moves = (np.abs(new[v.name] - values[v.name]).max(initial=0) for v in graph.outputs if v.name in new)
    return float(max(moves, default=0.0))
