"""What a LEVELED graph costs on a server: time by counted work and measured costs of a unit of it.

The work of an operation is counted in what the evaluator spends its time on, per prime: number-theoretic transforms
(N log2 N), products of two polynomials with a third (N), one term of a basis conversion (N), and encodings of vectors
(a Fourier transform). Hybrid key switching follows Han and Ki (eprint 2019/688), linear transforms
the double hoisting of Bossuat et al. (eprint 2020/1203). What key switching leaves stays modulo Q P until it is needed
modulo Q; a rescale divides by P and its prime at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from math import ceil, log2, prod

import numpy as np

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.graph import Graph, Node, Value
from enclair.compiler.ir.ops.ciphers import AddCiphers, ConcatCiphers, SelectCiphers, SubtractCiphers
from enclair.compiler.ir.ops.ckks import (
    AddPlainVectors,
    DropToLevel,
    LinearTransform,
    MultiplyCiphers,
    MultiplyPlain,
    Relinearise,
    Rescale,
    RotateSlots,
)
from enclair.compiler.ir.types import CkksType
from enclair.compiler.ir.weight_columns import WeightMatrix, weight_matrices
from enclair.compiler.planner.ckks_plaintexts import Plaintexts, plaintexts_of

SUMS = (AddCiphers, SubtractCiphers, ConcatCiphers, SelectCiphers, DropToLevel)
"""Ops that take ciphertexts modulo Q P as they are, when all are."""
SERVER_SPECIAL_BITS = 50
"""The server's special primes are below 2^50, so that float64 holds their residues."""
NARROW_BITS = 31
"""Where all primes are below 2^31, keys and plaintexts take half the memory."""
NARROW_KEY, NARROW_PLAIN = 0.6, 0.9
"""What products with them then cost, in those with wide ones."""
KEY_MARGIN_BITS = 5
"""OpenFHE's P is so many bits longer than a merged digit."""
COLUMN_PRODUCTS, WEIGHT_PRODUCTS = 4 / 3, 1 / 15
"""Where weights are apart from vectors: the product of a vector and an input for all results, and its product with an
integer for one of them, in products with a plaintext that comes from memory for each."""
SPECIAL_MARGIN_BITS = 8
"""Their product is so many bits longer than a digit."""


@dataclass(frozen=True, slots=True)
class Work:
    """Counts, each for one prime: transforms; products of a plaintext with both polynomials, and of a digit with both
    of a key, which comes from memory; conversion terms; encoded vectors.
    """

    transforms: float = 0.0
    products: float = 0.0
    key_products: float = 0.0
    conversions: float = 0.0
    encodings: float = 0.0

    def __add__(self, other: Work) -> Work:
        """Both."""
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def times(self, count: float) -> Work:
        """So many times."""
        return Work(*(count * part for part in astuple(self)))


@dataclass(frozen=True, slots=True)
class UnitCosts:
    """Nanoseconds of one thread: a transform and an encoding per N log2 N, products and a conversion term per N.

    The defaults are of a machine with AVX-512 at about 2.5 GHz; ``enclair calibrate`` measures them.
    """

    transform: float = 0.22
    product: float = 5.6
    key_product: float = 2.7
    conversion: float = 0.8
    encoding: float = 2.1

    def milliseconds(self, work: Work, ring_dim: int) -> float:
        """Of work at a ring dimension."""
        deep = work.transforms * self.transform + work.encodings * self.encoding
        flat = work.products * self.product + work.key_products * self.key_product
        flat += work.conversions * self.conversion
        return 1e-6 * ring_dim * (deep * log2(ring_dim) + flat)


@dataclass(frozen=True, slots=True)
class TransformSteps:
    """Inputs that are rotated, baby and giant rotations, products with plaintexts, results; integers that such products
    are multiplied with, where weights are apart from vectors.
    """

    turned: int
    babies: int
    giants: int
    products: int
    results: int
    weights: int = 0


@dataclass(frozen=True, slots=True)
class RingWork:
    """The work of operations on one ciphertext.

    Args:
        digit_size: primes in a digit.
        special: the server's special primes.
        narrow: whether all primes are below 2^31.
    """

    digit_size: int
    special: int
    narrow: bool = False

    def rotation_work(self, limbs: int) -> float:
        """Of a rotation, in transforms; the server merges digits by it."""
        digits = self.digits(limbs)
        return (limbs + self.special) * (digits * (1.5 if self.narrow else 2.0) + 2)

    def digits(self, limbs: int) -> int:
        """Digits of a ciphertext of so many primes."""
        return ceil(limbs / self.digit_size)

    def decompose(self, limbs: int) -> Work:
        """Digits of one polynomial, modulo all primes (ModUp)."""
        wide, size = limbs + self.special, min(limbs, self.digit_size)
        digits = self.digits(limbs)
        return Work(transforms=digits * wide, conversions=digits * (wide - size) * size)

    def inner_product(self, limbs: int) -> Work:
        """Digits times a key."""
        products = self.digits(limbs) * (limbs + self.special)
        return Work(key_products=products * (NARROW_KEY if self.narrow else 1.0))

    def mod_down(self, limbs: int) -> Work:
        """One polynomial divided by P."""
        return Work(transforms=limbs + self.special, conversions=limbs * self.special, products=limbs / 8)

    def key_switch(self, limbs: int) -> Work:
        """A rotation by itself, or a relinearisation; the result is modulo Q P."""
        return self.decompose(limbs) + self.inner_product(limbs)

    def rescale(self, limbs: int, *, extended: bool) -> Work:
        """Dividing both polynomials by the last of so many primes, and by P where they are extended."""
        if extended:
            return self.mod_down(limbs).times(2)
        return Work(transforms=2 * limbs, products=limbs / 4)

    def plain_products(self, rows: int) -> Work:
        """A product with a plaintext that is kept, added to a sum."""
        return Work(products=rows * (NARROW_PLAIN if self.narrow else 1.0))

    def is_extended(self, steps: TransformSteps, limbs: int) -> bool:
        """Whether the sums of a linear transform are modulo Q P: where that saves divisions of its inputs."""
        wide = limbs + self.special
        after = steps.giants or 2 * steps.results
        return steps.babies > 0 and after * wide + steps.products * self.special / 4 <= 2 * steps.babies * wide

    def sum_rows(self, steps: TransformSteps, limbs: int) -> int:
        """Primes that the sums of a linear transform are modulo."""
        return limbs + self.special * self.is_extended(steps, limbs)

    def linear_transform(self, steps: TransformSteps, limbs: int) -> Work:
        """A linear transform whose plaintexts are kept; the last division is its reader's."""
        extended = self.is_extended(steps, limbs)
        return (
            self.decompose(limbs).times(steps.turned + steps.giants)
            + self.inner_product(limbs).times(steps.babies + steps.giants)
            + self.mod_down(limbs).times(steps.giants if extended else 2 * steps.babies)
            + self.plain_products(self.sum_rows(steps, limbs)).times(_products(steps))
        )


def _products(steps: TransformSteps) -> float:
    """Products with plaintexts that come from memory."""
    if not steps.weights:
        return steps.products
    return COLUMN_PRODUCTS * steps.products + WEIGHT_PRODUCTS * steps.weights


USUAL = RingWork(digit_size=2, special=2)
"""Before parameters are chosen: digits of two primes of 40 bits."""


def ring_work(parameters: CkksParameters) -> RingWork:
    """The work of operations under parameters; the server merges digits of OpenFHE's where P allows it."""
    primes, size = parameters.primes, parameters.digit_size
    narrow = max(primes) < 2**NARROW_BITS
    whole = log2(prod(parameters.special_primes))
    choices = [_ring_work(primes, size * merged, narrow=narrow) for merged in range(1, parameters.digits + 1)]
    allowed = [ring for ring, bits in choices if ring == choices[0][0] or bits + KEY_MARGIN_BITS <= whole]
    return min(allowed, key=lambda ring: ring.rotation_work(len(primes)))


def _ring_work(primes: tuple[int, ...], digit_size: int, *, narrow: bool) -> tuple[RingWork, float]:
    """The work with digits of a size, and the bits of the largest of them."""
    bits = max(log2(prod(primes[i : i + digit_size])) for i in range(0, len(primes), digit_size))
    each = NARROW_BITS if narrow else SERVER_SPECIAL_BITS
    return RingWork(digit_size, ceil((bits + SPECIAL_MARGIN_BITS) / each), narrow), bits


def step_costs(costs: UnitCosts, ring_dim: int, limbs: int, ring: RingWork = USUAL) -> dict[str, float]:
    """Milliseconds of the steps of linear transforms on one ciphertext, by what packing calls them."""
    steps = {
        "hoist": ring.decompose(limbs),
        "baby": ring.inner_product(limbs),
        "mod_down": ring.mod_down(limbs).times(2),
        "rotate": ring.key_switch(limbs) + ring.mod_down(limbs),
        "plain": ring.plain_products(limbs + ring.special),
        "multiply": Work(products=limbs / 2) + ring.key_switch(limbs) + ring.mod_down(limbs).times(2),
        "add": Work(products=limbs / 8),
    }
    return {name: costs.milliseconds(work, ring_dim) for name, work in steps.items()}


def transform_steps(graph: Graph, node: Node) -> TransformSteps:
    """What a ``LinearTransform`` takes, by its tables; terms of one place are one plaintext.

    Where weights are apart from vectors, there is a product for each vector and rotated input, whatever the result.
    """
    if not isinstance(node.op, LinearTransform):
        raise TypeError(f"{node} is not a linear transform")
    rows, cols, rotations, _, weights, _ = (graph.constant(arg) for arg in node.args[1:])
    kept = np.flatnonzero(weights)
    rows, cols, rotations = rows[kept], cols[kept], rotations[kept]
    babies = rotations % node.op.baby_steps if node.op.baby_steps else rotations
    giants = rotations - babies
    turned = _distinct(cols[babies != 0])
    products, multiplied = _distinct(rows, cols, rotations), 0
    if node.op.weight_scale is not None:
        products, multiplied = count_divided(_matrices(graph, node, node.op))
    return TransformSteps(
        turned,
        _distinct(cols[babies != 0], babies[babies != 0]),
        _distinct(rows[giants != 0], giants[giants != 0]),
        products,
        _distinct(rows),
        multiplied,
    )


def _matrices(graph: Graph, node: Node, op: LinearTransform) -> list[WeightMatrix]:
    """The weights of a linear transform apart from its vectors."""
    rows, cols, rotations, which, weights, _ = (graph.constant(arg) for arg in node.args[1:])
    slots = node.args[0].type.slots if isinstance(node.args[0].type, CkksType) else 0
    return weight_matrices((rows, cols, rotations, which), weights, op.baby_steps, slots)


def count_divided(matrices: list[WeightMatrix]) -> tuple[int, int]:
    """Columns, and the integers that their products are multiplied with."""
    columns = [m.cols.size for m in matrices]
    return sum(columns), sum(m.filled_rows * count for m, count in zip(matrices, columns, strict=True))


@dataclass(frozen=True, slots=True)
class TransformCounts:
    """What a linear transform takes, whatever the parameters."""

    steps: TransformSteps
    plaintexts: Plaintexts


Counts = Mapping[str, TransformCounts]
"""Of the linear transforms of a graph, by the names of their results."""


def count_transforms(graph: Graph) -> Counts:
    """Counts to price a graph with; most of the time that takes."""
    nodes = (node for node in graph.nodes if isinstance(node.op, LinearTransform))
    return {node.out.name: TransformCounts(transform_steps(graph, node), plaintexts_of(graph, node)) for node in nodes}


def graph_work(graph: Graph, ring: RingWork, counts: Counts | None = None) -> dict[str, Work]:
    """The work of each node of a LEVELED graph, by the name of its result."""
    counts = count_transforms(graph) if counts is None else counts
    extended: set[str] = set()
    found: dict[str, Work] = {}
    for node in graph.nodes:
        limbs = _limbs(node)
        read = [arg.name in extended for arg in node.args if isinstance(arg.type, CkksType)]
        found[node.out.name] = _work(graph, node, ring, limbs, counts, extended=all(read))
        if _leaves_extended(node, ring, limbs, counts) or (isinstance(node.op, SUMS) and all(read)):
            extended.add(node.out.name)
        elif any(read) and not isinstance(node.op, Rescale):
            downs = sum(is_wide * _count(arg) for is_wide, arg in zip(read, node.args, strict=False))
            found[node.out.name] += ring.mod_down(limbs).times(2 * downs)
    return found


def _work(graph: Graph, node: Node, ring: RingWork, limbs: int, counts: Counts, *, extended: bool) -> Work:
    """What a node does with its arguments as they should be."""
    count, parts = _count(node.args[0]), getattr(node.args[0].type, "parts", 2)
    match node.op:
        case LinearTransform():
            counted = counts[node.out.name]
            rows = ring.sum_rows(counted.steps, limbs)
            return ring.linear_transform(counted.steps, limbs) + _made_again(counted.plaintexts, ring, rows)
        case RotateSlots() | Relinearise():
            return ring.key_switch(limbs).times(count)
        case Rescale():
            return ring.rescale(limbs, extended=extended).times(count)
        case MultiplyCiphers():
            return Work(products=limbs * count / 2)
        case MultiplyPlain():
            return Work(products=limbs * count * parts / 8) + _encoded(graph, node, limbs)
        case AddPlainVectors():
            return Work(products=limbs * count / 8) + _encoded(graph, node, limbs)
        case AddCiphers() | SubtractCiphers():
            return Work(products=(limbs + ring.special * extended) * count * parts / 16)
        case _:
            return Work()


def _made_again(plaintexts: Plaintexts, ring: RingWork, rows: int) -> Work:
    """Residues of plaintexts that are not kept."""
    again = plaintexts.made_again(rows, narrow=ring.narrow)
    return Work(transforms=again, conversions=again)


def _leaves_extended(node: Node, ring: RingWork, limbs: int, counts: Counts) -> bool:
    """Whether an op leaves its result modulo Q P, whatever its arguments are."""
    if isinstance(node.op, LinearTransform):
        steps = counts[node.out.name].steps
        return steps.giants > 0 or ring.is_extended(steps, limbs)
    return isinstance(node.op, RotateSlots | Relinearise)


def _limbs(node: Node) -> int:
    """Primes of the first argument."""
    x = node.args[0].type
    if not isinstance(x, CkksType) or x.level is None:
        raise TypeError(f"{node} has no level: place levels first")
    return x.level + 1


def _count(value: Value) -> int:
    return value.type.count if isinstance(value.type, CkksType) else 0


def _encoded(graph: Graph, node: Node, limbs: int) -> Work:
    """Plaintext vectors; one number for all slots needs no encoding."""
    vectors = graph.constant(node.args[1])
    return Work(transforms=len(vectors) * limbs, encodings=len(vectors)) if vectors.shape[1] > 1 else Work()


@dataclass(frozen=True, slots=True)
class GraphCost:
    """Milliseconds of each node by the name of its result, and of all on one thread."""

    nodes: Mapping[str, float]
    total: float


def graph_cost(graph: Graph, parameters: CkksParameters, costs: UnitCosts, counts: Counts | None = None) -> GraphCost:
    """What a LEVELED graph takes; ``counts`` saves time where it is priced under several parameters."""
    work = graph_work(graph, ring_work(parameters), counts)
    nodes = {name: costs.milliseconds(done, parameters.ring_dim) for name, done in work.items()}
    return GraphCost(nodes, sum(nodes.values()))


def _distinct(*columns: np.ndarray) -> int:  # type: ignore[type-arg] # integers of any kind
    return len(set(zip(*(column.tolist() for column in columns), strict=True)))
