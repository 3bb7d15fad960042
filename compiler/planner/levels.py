"""At which level and scale every value of a PACKED graph is made: the lowest level that its readers allow.

A product leaves its value at about the square of the scale; rescaling brings it back and spends a level. Sums are taken
before that: a *sum* here is a tree of additions and subtractions of which only the root is read by anything else, and
it is relinearised and rescaled once. Its *summands* are products, and values that are made elsewhere.

With r the level that the readers of the root need, products are computed at r + 1, and their arguments needed there. A
summand that is needed at a higher level anyway is multiplied by one, so that it joins the products before they are
rescaled; any other joins after. (Lazy relinearisation and rescaling: Kim, Park, Kim, Kim and An, eprint 2021/1118;
exact scales: Kim, Papadimitriou and Polyakov, eprint 2020/1118, and Bossuat et al., eprint 2020/1203.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from enclair.compiler.ir.graph import Graph, Node, Value
from enclair.compiler.ir.ops.ciphers import AddCiphers, SubtractCiphers
from enclair.compiler.ir.ops.ckks import AddPlainVectors, LinearTransform, MultiplyCiphers, MultiplyPlain
from enclair.compiler.ir.types import CkksType

ADDITIVE = (AddCiphers, SubtractCiphers, AddPlainVectors)
BY_PLAINTEXT = (LinearTransform, MultiplyPlain)
PRODUCTS = (*BY_PLAINTEXT, MultiplyCiphers)


@dataclass(frozen=True, slots=True)
class Summand:
    """``times`` times a value; ``product`` is the node that makes it where that belongs to the sum."""

    times: int
    value: Value
    product: Node | None = None


@dataclass(frozen=True, slots=True)
class Sum:
    """What is added: values, and constant vectors with a sign."""

    summands: tuple[Summand, ...]
    vectors: tuple[tuple[int, Value], ...]

    @property
    def products(self) -> tuple[Summand, ...]:
        """The summands that are products."""
        return tuple(summand for summand in self.summands if summand.product is not None)

    @property
    def values(self) -> tuple[Summand, ...]:
        """The summands that are made elsewhere."""
        return tuple(summand for summand in self.summands if summand.product is None)


class LevelPlan:
    """Levels of the values of a PACKED graph without EvaluatePolynomial.

    Args:
        graph: the graph.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.readers = graph.consumers()
        self.producers = graph.producers()
        self.outputs = {value.name for value in graph.outputs}

    @cached_property
    def levels(self) -> Mapping[str, int]:
        """Value name -> the level that its readers need."""
        levels = dict.fromkeys((value.name for value in self.graph.outputs), 0)
        for node in reversed(self.graph.nodes):
            level = levels[node.out.name] + isinstance(node.op, PRODUCTS)
            for arg in node.args:
                if isinstance(arg.type, CkksType):
                    levels[arg.name] = max(levels.get(arg.name, 0), level)
        return levels

    @property
    def depth(self) -> int:
        """L: the highest level of all."""
        return max(self.levels.values(), default=0)

    def is_inside(self, value: Value) -> bool:
        """Whether a value only exists within a sum."""
        made, readers = self.producers.get(value.name), self.readers[value.name]
        if made is None or value.name in self.outputs or len(readers) != 1:
            return False
        return isinstance(made.op, ADDITIVE + PRODUCTS) and isinstance(readers[0].op, ADDITIVE)

    def root_of(self, node: Node) -> Value:
        """The sum to which a node belongs."""
        while self.is_inside(node.out):
            node = self.readers[node.out.name][0]
        return node.out

    def sum_of(self, root: Node) -> Sum:
        """What a sum adds; equal summands once, with how often. A product alone is the sum of itself."""
        times: dict[str, int] = {}
        summands: dict[str, Summand] = {}
        vectors: list[tuple[int, Value]] = []
        for sign, item in self._flattened(root):
            if isinstance(item, Value) and not isinstance(item.type, CkksType):
                vectors.append((sign, item))
                continue
            value, product = (item.out, item) if isinstance(item, Node) else (item, None)
            times[value.name] = times.get(value.name, 0) + sign
            summands[value.name] = Summand(0, value, product)
        found = [Summand(times[name], s.value, s.product) for name, s in summands.items()]
        return Sum(tuple(s for s in found if s.times) or tuple(found[:1]), tuple(vectors))

    def _flattened(self, root: Node) -> Iterator[tuple[int, Node | Value]]:
        """Signs with products, values, and constant vectors, from left to right; those of nested sums too."""
        waiting: list[tuple[int, Node | Value]] = [(1, root)]
        while waiting:
            sign, item = waiting.pop()
            if isinstance(item, Value) and self.is_inside(item):
                item = self.producers[item.name]
            if isinstance(item, Node) and isinstance(item.op, ADDITIVE):
                signs = (sign, -sign if isinstance(item.op, SubtractCiphers) else sign)
                waiting += list(zip(signs, item.args, strict=True))[::-1]
            else:
                yield sign, item
