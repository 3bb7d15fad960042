"""Place ops on the two sides: fewest rounds first, then fewest elements over the wire.

A node computed by the server in round r can read what the client had after round r - 1 and what the server has from
rounds up to r; one computed by the client in round r can read the server's answers of rounds up to r. The earliest
schedule gives every node its least round, so the number of rounds is minimal; a mixed integer program (HiGHS) then
picks, among all placements with that many rounds, one with the least traffic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from enclair.compiler.errors import CompileError
from enclair.compiler.ir.graph import Graph, Node, Place
from enclair.compiler.ir.types import TensorType
from enclair.compiler.planner.sides import Side

UPLOAD_WEIGHT = 3.0
"""An element sent up costs more than one sent down: halos and copies, and answers are dropped to one prime."""
SERVER_WEIGHT = 1e-3
"""Ties go to the client: it computes in the clear."""


def fewest_rounds(graph: Graph, sides: Mapping[str, Side]) -> int:
    """The least number of rounds, by the earliest schedule in half steps (client 0, server 1, client 2, ...)."""
    step = {value.name: 0 for value in graph.inputs}
    for node in graph.nodes:
        earliest = max((step[arg.name] for arg in node.args if arg.name in step), default=0)
        wrong = {Side.SERVER: earliest % 2 == 0, Side.CLIENT: earliest % 2 == 1, Side.EITHER: False}
        step[node.out.name] = earliest + wrong[sides[node.out.name]]
    return max((-(-step[value.name] // 2) for value in graph.outputs if value.name in step), default=0)


def place(graph: Graph, sides: Mapping[str, Side]) -> dict[str, Place]:
    """A place for every node, by name of its result."""
    return _Placement(graph, sides, fewest_rounds(graph, sides)).solve()


@dataclass(slots=True)
class _Problem:
    """Rows of the mixed integer program: sum of coefficients times variables >= bound."""

    rows: list[int]
    columns: list[int]
    coefficients: list[float]
    bounds: list[float]

    def require(self, terms: Mapping[int, float], at_least: float) -> None:
        row = len(self.bounds)
        self.rows += [row] * len(terms)
        self.columns += terms.keys()
        self.coefficients += terms.values()
        self.bounds.append(at_least)


class _Placement:
    """Variables per value v: s (1 on the server), r (round), down and up (1 if it crosses)."""

    def __init__(self, graph: Graph, sides: Mapping[str, Side], rounds: int) -> None:
        self.graph, self.sides, self.rounds = graph, sides, rounds
        names = [value.name for value in graph.inputs] + [node.out.name for node in graph.nodes]
        self.base = {name: 4 * number for number, name in enumerate(names)}

    def solve(self) -> dict[str, Place]:
        problem = _Problem([], [], [], [])
        for node in self.graph.nodes:
            for arg in node.args:
                if arg.name in self.base:
                    self._edge(problem, self.base[arg.name], self.base[node.out.name])
        for value in self.graph.outputs:
            if value.name in self.base:
                s, down = self.base[value.name], self.base[value.name] + 2
                problem.require({down: 1, s: -1}, 0)
        solution = self._minimise(problem)
        return {node.out.name: self._place(solution, node) for node in self.graph.nodes}

    def _edge(self, problem: _Problem, u: int, v: int) -> None:
        """v reads u: not before it, a round later when it goes up, and crossings are paid for."""
        problem.require({v + 1: 1, u + 1: -1}, 0)
        problem.require({v + 1: 1, u + 1: -1, v: -1, u: 1}, 0)
        problem.require({u + 2: 1, u: -1, v: 1}, 0)
        problem.require({u + 3: 1, u: 1, v: -1}, 0)

    def _minimise(self, problem: _Problem) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        count = 4 * len(self.base)
        cost, low, high = np.zeros(count), np.zeros(count), np.ones(count)
        for value in self.graph.values():
            if value.name in self.base:
                self._column(value.name, value.type.size if isinstance(value.type, TensorType) else 1, cost, low, high)
        if not problem.bounds:
            return low
        shape = (len(problem.bounds), count)
        matrix = coo_array((problem.coefficients, (problem.rows, problem.columns)), shape=shape).tocsr()
        constraint = LinearConstraint(matrix, np.array(problem.bounds), np.inf)
        result = milp(cost, constraints=constraint, bounds=Bounds(low, high), integrality=np.ones(count))
        if result.x is None:
            raise CompileError(f"no placement with {self.rounds} rounds was found: {result.message}")
        return np.asarray(np.rint(result.x))

    def _column(self, name: str, size: int, cost: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:  # type: ignore[type-arg]
        s = self.base[name]
        side = self.sides.get(name, Side.CLIENT)
        low[s], high[s] = float(side is Side.SERVER), float(side is not Side.CLIENT)
        high[s + 1] = self.rounds if name in self.sides else 0
        cost[s : s + 4] = SERVER_WEIGHT * size, SERVER_WEIGHT, size, UPLOAD_WEIGHT * size

    def _place(self, solution: np.ndarray[tuple[int], np.dtype[np.float64]], node: Node) -> Place:
        s = self.base[node.out.name]
        return Place("server" if solution[s] else "client", int(solution[s + 1]))


def with_places(graph: Graph, places: Mapping[str, Place]) -> Graph:
    """The graph with every node placed, ordered round by round, the server's part of a round before the client's."""
    placed = [replace(node, place=places[node.out.name]) for node in graph.nodes]
    placed.sort(key=lambda node: (places[node.out.name].round, places[node.out.name].side == "client"))
    return replace(graph, nodes=tuple(placed))
