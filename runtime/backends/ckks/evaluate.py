"""The server's operations on CKKS ciphertexts, on residues: no OpenFHE, no secret.

What key switching leaves is kept extended, modulo Q and the special primes, until something needs it modulo Q: a
rescaling then divides by the special primes and its own at once, and sums of such results are brought back once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from enclair.compiler.ir.blends import MOST_KEPT_BYTES
from enclair.compiler.ir.key_needs import NO_USES, KeyUses
from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.ir.types import CkksType
from enclair.runtime.backends.ckks.ciphers import Ciphers, Counts
from enclair.runtime.backends.ckks.key_ring import KeyRing
from enclair.runtime.backends.ckks.linear import Plaintexts, Work, count_work, encode, prepare
from enclair.runtime.backends.ckks.plan import Plan, Sizes, make_plan
from enclair.runtime.backends.ckks_interface import Reals
from enclair.runtime.backends.interface import Integers, Payload
from enclair.runtime.errors import RuntimeFailure
from enclair.runtime.limbs.compiled import Floats
from enclair.runtime.limbs.workers import spread
from enclair.runtime.rns import elementwise, operations
from enclair.runtime.rns.keys import EvaluationKeys, open_ring
from enclair.runtime.rns.ring import RingParameters
from enclair.runtime.rns.transforms import order
from enclair.runtime.rns.wire import read_ciphertexts, write_ciphertexts

SAME_SCALE = 2.0**-40


@dataclass(frozen=True, eq=False)
class PreparedTransform:
    """A linear transform for inputs of a level.

    Args:
        plan: what is to be done.
        plaintexts: of the plan.
        level: of the inputs.
        plain_scale: of weights times vectors.
    """

    plan: Plan
    plaintexts: Plaintexts
    level: int
    plain_scale: float


class CkksEvaluator:
    """Evaluates under the keys of one client."""

    def __init__(
        self,
        parameters: RingParameters,
        keys: EvaluationKeys,
        *,
        plaintext_bytes: int = MOST_KEPT_BYTES,
        key_bytes: int | None = None,
        key_uses: KeyUses = NO_USES,
    ) -> None:
        """Make the tables of the ring; keys are brought to it when they are first needed.

        Args:
            parameters: of the program.
            keys: of the client.
            key_bytes: memory that brought rotation keys may take, beside those of one operation; no cap if not given.
            key_uses: by the program, in its order: says which keys to keep below the cap.
            plaintext_bytes: memory that the residues of the plaintexts of one linear transform may take between its
                inputs.
        """
        self.ring = open_ring(parameters)
        self.counts = Counts()
        self._keys = KeyRing(parameters, keys, self.ring, key_bytes, key_uses)
        self._key_id = keys.key_id
        self._plaintext_bytes = plaintext_bytes

    @property
    def key_id(self) -> str:
        """32 hex digits that name the client's key."""
        return self._key_id

    def load(self, payload: Payload, type_: CkksType) -> Ciphers:
        """The ciphertexts of a payload.

        Raises:
            PayloadError: wrong length, or a residue that is not below its prime.
            RuntimeFailure: the type has no level or scale.
        """
        level, scale = _placed(type_)
        words = read_ciphertexts(payload, type_.count, self._primes(level), self.ring.ring_dim, type_.parts)
        return self.from_words(words, level, scale)

    def from_words(
        self, words: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.uint64]]], level: int, scale: float
    ) -> Ciphers:
        """Ciphertexts of residues (parts, limbs, N) in OpenFHE's order, one array each."""
        primes = np.array(self._primes(level), dtype=np.uint64)

        def read(one: np.ndarray[tuple[int, ...], np.dtype[np.uint64]]) -> Floats:
            out = np.empty(one.shape)
            rows = np.ascontiguousarray(one).reshape(-1, self.ring.ring_dim)
            elementwise.from_words(rows, order(self.ring.ring_dim), primes, out.reshape(rows.shape))
            return out

        parts = words[0].shape[0] if len(words) else 2
        return Ciphers(tuple(spread(read, words)), level, scale, parts)

    def to_words(self, x: Ciphers) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint64]]]:
        """The reverse of ``from_words``."""
        x = self._settled(x)
        primes = np.array(self._primes(x.level), dtype=np.uint64)

        def write(one: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
            out = np.empty(one.shape, dtype=np.uint64)
            rows = one.reshape(-1, self.ring.ring_dim)
            elementwise.to_words(rows, order(self.ring.ring_dim), primes, out.reshape(rows.shape))
            return out

        return spread(write, x.elements)

    def dump(self, x: Ciphers) -> Payload:
        """The payload of ciphertexts; ``load`` reads it back."""
        return write_ciphertexts(self.to_words(x), self._primes(x.level))

    def answer(self, x: Ciphers) -> Payload:
        """The payload to send back."""
        return self.dump(x)

    def count(self, x: Ciphers) -> int:
        """Number of ciphertexts."""
        return len(x.elements)

    def select(self, x: Ciphers, numbers: Integers) -> Ciphers:
        """The ciphertexts with these numbers."""
        return replace(x, elements=tuple(x.elements[i] for i in np.asarray(numbers).tolist()))

    def concat(self, batches: Sequence[Ciphers]) -> Ciphers:
        """All ciphertexts of the batches, one after another."""
        first, *rest = self._alike(batches)
        for other in rest:
            _check_alike("concat", first, other)
        return replace(first, elements=sum((batch.elements for batch in [first, *rest]), ()))

    def add(self, x: Ciphers, y: Ciphers) -> Ciphers:
        """The sums, ciphertext by ciphertext."""
        return self._add(x, y, subtract=False)

    def subtract(self, x: Ciphers, y: Ciphers) -> Ciphers:
        """The differences, ciphertext by ciphertext."""
        return self._add(x, y, subtract=True)

    def _add(self, x: Ciphers, y: Ciphers, *, subtract: bool) -> Ciphers:
        x, y = self._alike([x, y])
        _check_alike("subtract" if subtract else "add", x, y)
        primes = operations.moduli(self.ring, x.level, extended=x.extended)
        pairs = list(zip(x.elements, y.elements, strict=True))
        sums = spread(lambda pair: operations.add(*pair, primes, subtract=subtract), pairs)
        return replace(x, elements=tuple(sums))

    def add_plain(self, x: Ciphers, vectors: Reals) -> Ciphers:
        """Each ciphertext plus its vector (1 or count, 1 or slots), encoded at its scale and level.

        Raises:
            ValueRangeError: a plaintext too large to encode.
        """
        x = self._settled(x)
        primes = operations.moduli(self.ring, x.level)

        def add(pair: tuple[Floats, Floats]) -> Floats:
            element, plain = pair
            out = element.copy()
            out[:1] = operations.add(element[:1], plain[None], primes)
            return out

        pairs = list(zip(x.elements, self._encoded(x, vectors, x.scale), strict=True))
        return replace(x, elements=tuple(spread(add, pairs)))

    def multiply_plain(self, x: Ciphers, vectors: Reals, plain_scale: float) -> Ciphers:
        """Each ciphertext times its vector, encoded at ``plain_scale``; vectors as in ``add_plain``.

        Raises:
            ValueRangeError: a plaintext too large to encode.
        """
        x = self._settled(x)
        primes = operations.moduli(self.ring, x.level)

        def multiply(pair: tuple[Floats, Floats]) -> Floats:
            element, plain = pair
            out = np.empty_like(element)
            elementwise.multiply(element, plain, primes, out)
            return out

        pairs = list(zip(x.elements, self._encoded(x, vectors, plain_scale), strict=True))
        self.counts.plain_products += len(pairs)
        return replace(x, elements=tuple(spread(multiply, pairs)), scale=x.scale * plain_scale)

    def _encoded(self, x: Ciphers, vectors: Reals, scale: float) -> list[Floats]:
        """An element (limbs, N) for each ciphertext."""
        rows, slots, count = self.ring.rows(x.level, extended=False), self.ring.ring_dim // 2, len(x.elements)
        vectors = np.asarray(vectors, dtype=np.float64)
        if vectors.ndim != 2 or vectors.shape[0] not in {1, count} or vectors.shape[1] not in {1, slots}:
            raise RuntimeFailure(
                f"plaintexts for {count} ciphertexts need vectors (1 or {count}, 1 or {slots}), got {vectors.shape}:"
                " compile again"
            )
        made = spread(lambda v: encode(self.ring, np.broadcast_to(v, (slots,)), scale, rows), list(vectors))
        self.counts.transforms += len(made) * rows.size
        return made * count if len(made) == 1 else made

    def multiply(self, x: Ciphers, y: Ciphers) -> Ciphers:
        """The products, ciphertext by ciphertext, of three parts; the same batch twice is squared."""
        settled = self._settled(x)
        x, y = settled, settled if x is y else self._settled(y)
        if (x.level, x.parts, len(x.elements)) != (y.level, y.parts, len(y.elements)) or x.parts != 2:
            raise RuntimeFailure(
                f"multiply needs as many ciphertexts of two parts at one level, got {_text(x)} and {_text(y)}:"
                " compile again"
            )
        primes = operations.moduli(self.ring, x.level)

        def multiply(pair: tuple[Floats, Floats]) -> Floats:
            out = np.empty((3, *pair[0].shape[1:]))
            elementwise.multiply_ciphers(*pair, primes, out)
            return out

        self.counts.products += len(x.elements)
        products = spread(multiply, list(zip(x.elements, y.elements, strict=True)))
        return replace(x, elements=tuple(products), scale=x.scale * y.scale, parts=3)

    def relinearise(self, x: Ciphers) -> Ciphers:
        """Products of three parts to two.

        Raises:
            MissingKeyError: there is no relinearisation key.
        """
        key = self._keys.relinearisation(x.level)
        made = spread(lambda one: operations.relinearise(self.ring, one, key, x.level), x.elements)
        self.counts.relinearisations += len(made)
        self._count_decompositions(x, len(made))
        return replace(x, elements=tuple(made), parts=2, extended=True)

    def _count_decompositions(self, x: Ciphers, count: int) -> None:
        rows = self.ring.rows(x.level, extended=True).size
        self.counts.decompositions += count
        self.counts.transforms += count * len(self.ring.digits(x.level)) * rows

    def rescale(self, x: Ciphers) -> Ciphers:
        """Divided by the last prime: one level lower."""
        if x.level == 0:
            raise RuntimeFailure(f"rescale needs a level to spend, got {_text(x)}: compile with more levels")
        prime = self.ring.primes[x.level]
        divide: Callable[[Floats], Floats] = (
            (lambda one: operations.mod_down(self.ring, one, x.level, drop=1))
            if x.extended
            else (lambda one: operations.rescale(self.ring, one, x.level))
        )
        made = spread(divide, x.elements)
        polynomials = len(made) * x.parts
        self.counts.rescales += polynomials
        self.counts.mod_downs += polynomials if x.extended else 0
        self.counts.transforms += polynomials * self.ring.rows(x.level, extended=x.extended).size
        return replace(x, elements=tuple(made), level=x.level - 1, scale=x.scale / prime, extended=False)

    def drop(self, x: Ciphers, level: int) -> Ciphers:
        """Brought to a lower level; value and scale stay."""
        if not 0 <= level <= x.level:
            raise RuntimeFailure(f"drop to level {level} needs a higher level, got {_text(x)}: compile again")
        rows = [*range(level + 1), *(range(x.level + 1, x.level + 1 + len(self.ring.special)) if x.extended else ())]
        return replace(x, elements=tuple(np.ascontiguousarray(one[:, rows]) for one in x.elements), level=level)

    def rotate(self, x: Ciphers, steps: int) -> Ciphers:
        """Slot i gets what slot i + steps held.

        Raises:
            MissingKeyError: there is no key for it.
        """
        x, steps = self._settled(x), steps % (self.ring.ring_dim // 2)
        if steps == 0:
            return x
        key = self._keys.rotation(steps, x.level)
        made = spread(lambda one: operations.rotate(self.ring, one, key, x.level, steps), x.elements)
        self.counts.rotations += len(made)
        self._count_decompositions(x, len(made))
        return replace(x, elements=tuple(made), extended=True)

    def prepare_linear_transform(
        self,
        type_: CkksType,
        op: LinearTransform,
        rows: Integers,
        cols: Integers,
        rotations: Integers,
        which: Integers,
        weights: Reals,
        vectors: Reals,
    ) -> PreparedTransform:
        """The plan, and the plaintexts as far as they may be kept.

        Raises:
            ValueRangeError: a plaintext too large to encode.
            RuntimeFailure: the type has no level, the op no scale, or one with which sums are not exact.
        """
        level, _ = _placed(type_)
        if op.plain_scale is None:
            raise RuntimeFailure(f"a linear transform on ciphertexts needs a plain_scale, got {op}: place levels first")
        vectors = np.asarray(vectors, dtype=np.float64)
        special, constant = len(self.ring.special), vectors.shape[1] == 1
        sizes = Sizes(self.ring.ring_dim // 2, level + 1, special, constant)
        tables = (rows, cols, rotations, which)
        plan = make_plan(tables, weights, op.outputs, op.baby_steps, sizes, op.weight_scale)
        plaintexts = prepare(self.ring, plan, vectors, level, op.plain_scale, self._plaintext_bytes)
        return PreparedTransform(plan, plaintexts, level, op.plain_scale)

    def linear_transform(
        self,
        x: Ciphers,
        op: LinearTransform,
        rows: Integers,
        cols: Integers,
        rotations: Integers,
        which: Integers,
        weights: Reals,
        vectors: Reals,
        prepared: PreparedTransform | None = None,
    ) -> Ciphers:
        """``LinearTransform``; ``prepared`` is what ``prepare_linear_transform`` made of the same tables.

        Raises:
            MissingKeyError: there is no key for one of its rotations.
            ValueRangeError: a plaintext too large to encode.
        """
        x = self._settled(x)
        if prepared is None:
            type_ = CkksType(len(x.elements), self.ring.ring_dim // 2, x.level, x.scale)
            prepared = self.prepare_linear_transform(type_, op, rows, cols, rotations, which, weights, vectors)
        if prepared.level != x.level:
            raise RuntimeFailure(
                f"the linear transform was prepared for level {prepared.level}, got {_text(x)}:"
                " prepare it for this level"
            )
        plan, plaintexts = prepared.plan, prepared.plaintexts
        keys = self._keys.rotations(plan.rotations, x.level)
        made, extended = Work(self.ring, keys, plan, plaintexts, x.elements, x.level).run()
        count_work(plan, plaintexts, x.level, self.ring, self.counts)
        return Ciphers(made, x.level, x.scale * prepared.plain_scale, extended=extended)

    def _settled(self, x: Ciphers) -> Ciphers:
        """Modulo Q alone."""
        if not x.extended:
            return x
        made = spread(lambda one: operations.mod_down(self.ring, one, x.level), x.elements)
        self.counts.mod_downs += len(made) * x.parts
        self.counts.transforms += len(made) * x.parts * self.ring.rows(x.level, extended=True).size
        return replace(x, elements=tuple(made), extended=False)

    def _alike(self, batches: Sequence[Ciphers]) -> list[Ciphers]:
        """All extended, or none."""
        if len({batch.extended for batch in batches}) == 1:
            return list(batches)
        return [self._settled(batch) for batch in batches]

    def _primes(self, level: int) -> tuple[int, ...]:
        return self.ring.primes[: level + 1]


def _placed(type_: CkksType) -> tuple[int, float]:
    if type_.level is None or type_.scale is None:
        raise RuntimeFailure(f"ciphertexts need a level and a scale, got {type_}: place levels first")
    return type_.level, type_.scale


def _check_alike(what: str, x: Ciphers, y: Ciphers) -> None:
    counts_differ = what != "concat" and len(x.elements) != len(y.elements)
    scales_differ = abs(x.scale - y.scale) > SAME_SCALE * x.scale
    if (x.level, x.parts) != (y.level, y.parts) or counts_differ or scales_differ:
        raise RuntimeFailure(
            f"{what} needs ciphertexts alike in number, level, parts and scale, got {_text(x)} and"
            f" {_text(y)}: compile again"
        )


def _text(x: Ciphers) -> str:
    return f"{len(x.elements)} ciphertexts of {x.parts} parts, level {x.level}, scale {x.scale}"
