"""Linear maps between layouts as generalised diagonals: which rotations of which ciphertexts, times what.

Positions are sums along the axes at which the map factors, so terms are found factor by factor: a convolution is never
multiplied out. Where the result repeats with a shorter period than the argument, a diagonal is folded: its entries go
to whichever copy of the result brings them to a rotation below the shorter period, and the copies are added up
afterwards by rotations by the period and its doubles (hybrid packing: Juvekar, Vaikuntanathan and Chandrakasan,
"GAZELLE", USENIX Security 2018, section 4.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.slot_layouts import Positions, Skewed, Slotted
from enclair.compiler.packing.slotted.maps import LinearMap, Matrix, Term

Reals: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = NDArray[np.int64]
Source: TypeAlias = Slotted | Skewed

Sets: TypeAlias = dict[tuple[int, int], int]
"""For each (row, column) a set of rotations, as the bits of an integer."""

MOST_VECTOR_BYTES = 1 << 28
"""Diagonals that together take more are written as masks times weights, several to a diagonal."""


@dataclass(frozen=True, slots=True)
class Periods:
    """How rotations reduce: modulo ``modulus``; entries go to slots modulo ``tile``, which repeats.

    Args:
        source: period of the argument.
        target: period of the result.
        skew: slots by which each copy of the argument is rotated further; 0 for none.
        slots: of a ciphertext.
    """

    source: int
    target: int
    skew: int
    slots: int

    @property
    def folded(self) -> bool:
        """Whether copies of the result must be added up."""
        return self.target < self.width

    @property
    def width(self) -> int:
        """The period that the argument has for certain."""
        return self.slots if self.skew else self.source

    @property
    def modulus(self) -> int:
        """Rotations are below it."""
        return self.skew or min(self.source, self.target)

    @property
    def tile(self) -> int:
        """Plaintexts repeat with this period."""
        return max(self.width, self.target)

    @property
    def sums(self) -> tuple[int, ...]:
        """Rotations that add up the copies, each once, in order."""
        steps, step = [], self.target
        while step < self.width:
            steps.append(step)
            step *= 2
        return tuple(steps)

    def place(self, slots: Numbers, rotation: int) -> Numbers:
        """Where the entries of a diagonal go: ``slots`` of the result, read ``rotation`` (below ``source``) further."""
        if not self.folded:
            return slots % self.target
        small = rotation % self.modulus
        copy = (rotation % self.target) // self.skew if self.skew else 0
        read = copy * self.source + (slots + rotation - copy * self.skew) % self.source
        return (read - small) % self.tile


def periods(source: Source, target: Slotted) -> Periods | None:
    """How rotations between two layouts reduce; None where copies could not be added up."""
    base = source.base if isinstance(source, Skewed) else source
    found = Periods(base.period, target.period, source.shift if isinstance(source, Skewed) else 0, target.slots)
    ratio = found.width // target.period if found.folded else 1
    fits = ratio & (ratio - 1) == 0 and (not found.folded or found.width % target.period == 0)
    fits = fits and (found.folded or target.period % base.period == 0)
    if found.skew:
        fits = fits and _skew_fits(found)
    return found if fits else None


def _skew_fits(found: Periods) -> bool:
    """Whether the copies of the argument meet all diagonals: period, result and skew divide each other as they must."""
    copies = found.slots // found.source
    return (
        found.folded
        and found.target <= found.source
        and found.source % found.target == 0
        and found.target % found.skew == 0
        and found.target // found.skew <= copies
    )


@dataclass(frozen=True, slots=True)
class Keys:
    """The terms of a transform without their plaintexts: each (row, column, rotation) once."""

    rows: Numbers
    cols: Numbers
    rotations: Numbers


@dataclass(frozen=True, slots=True)
class Diagonals:
    """The tables of a ``LinearTransform``; a term's plaintext is weights[t] * vectors[which[t]]."""

    rows: Numbers
    cols: Numbers
    rotations: Numbers
    which: Numbers
    weights: Reals
    vectors: Reals


@dataclass(frozen=True, slots=True)
class Entries:
    """Nonzeros of a factor, by where they lead: ciphertexts, rotation (below the source's period), slot, weight."""

    rows: Numbers
    cols: Numbers
    rotations: Numbers
    slots: Numbers
    weights: Reals

    def codes(self) -> Numbers:
        """Row, column and rotation as one number."""
        return (self.rows * _MOST_CIPHERS + self.cols) * _RADIX + self.rotations


@dataclass(frozen=True, slots=True)
class _Group:
    """The entries of a factor on one diagonal; ``pattern`` numbers their slots and weights over the first weight."""

    row: int
    col: int
    rotation: int
    slots: Numbers
    shares: Reals
    scale: float
    pattern: int


@dataclass(frozen=True, slots=True)
class _Part:
    """A group of each factor: some entries of one diagonal."""

    groups: tuple[_Group, ...]
    rotation: int

    @property
    def scale(self) -> float:
        """By what the shares are multiplied."""
        return prod(group.scale for group in self.groups)

    def entries(self) -> tuple[Numbers, Reals]:
        """Slots (before the modulus) and shares."""
        slots, shares = np.zeros(1, dtype=np.int64), np.ones(1)
        for group in self.groups:
            slots = np.add.outer(slots, group.slots).reshape(-1)
            shares = np.multiply.outer(shares, group.shares).reshape(-1)
        return slots, shares


@dataclass(frozen=True, slots=True)
class _Split:
    """A map with factors that meet the axes of both layouts."""

    map: LinearMap
    source: list[Positions]
    target: list[Positions]


def _split(map_: LinearMap, source: Slotted, target: Slotted) -> _Split:
    """Multiply factors out until both layouts are sums along them."""
    for candidate in _coarser(map_):
        along_in, along_out = source.along(candidate.split_in), target.along(candidate.split_out)
        if along_in is not None and along_out is not None:
            return _Split(candidate, along_in, along_out)
    raise ValueError(f"no layout of {map_.shape_in} to {map_.shape_out}")


def _coarser(map_: LinearMap) -> Iterator[LinearMap]:
    """The map, then with ever more of its last factors merged."""
    yield map_
    factors = len(map_.split_in)
    for size in range(2, factors):
        yield map_.merged([*[1] * (factors - size), size])
        yield map_.merged([size, *[1] * (factors - size)])
    if factors > 1:
        yield map_.flat()


def _entries(factor: Matrix, source: Positions, target: Positions, period: int) -> Entries:
    rows, cols = np.repeat(np.arange(factor.shape[0]), np.diff(factor.indptr)), factor.indices.astype(np.int64)
    slots = target[1][rows]
    return Entries(target[0][rows], source[0][cols], (source[1][cols] - slots) % period, slots, factor.data)


@dataclass(slots=True)
class Transform:
    """A linear map between two layouts, as diagonals.

    Args:
        map: of tensors.
        source: layout of the argument.
        target: layout of the result.
    """

    map: LinearMap
    source: Source
    target: Slotted
    periods: Periods
    _parts: _Split = field(init=False)
    _entries: dict[tuple[int, int], Entries] = field(default_factory=dict)

    def __post_init__(self) -> None:
        base = self.source.base if isinstance(self.source, Skewed) else self.source
        self._parts = _split(self.map, base.viewed(self.map.shape_in), self.target.viewed(self.map.shape_out))

    def keys(self) -> Keys:
        """Every (row, column, rotation) that has a term, sorted."""
        total: Sets = {}
        for found in self._rotation_sets():
            for place, rotations in found.items():
                total[place] = total.get(place, 0) | rotations
        rows, cols, rotations_ = [], [], []
        for (row, col), found_here in sorted(total.items()):
            small = _members(_reduced(found_here, self.periods.source, self.periods.modulus))
            rotations_.append(small)
            rows.append(np.full(small.size, row))
            cols.append(np.full(small.size, col))
        empty = np.zeros(0, dtype=np.int64)
        return Keys(*(np.concatenate(parts or [empty]) for parts in (rows, cols, rotations_)))

    def entries(self, term: Term, number: int) -> Entries:
        """The nonzeros of a factor; those of one matrix are found once."""
        at = (id(term[number]), number)
        if at not in self._entries:
            positions = self._parts.source[number], self._parts.target[number]
            self._entries[at] = _entries(term[number], *positions, self.periods.source)
        return self._entries[at]

    def _sets_of(self, term: Term, number: int) -> Sets:
        """The rotations of a factor; those of a full matrix without looking at its entries."""
        factor = term[number]
        if factor.nnz < factor.shape[0] * factor.shape[1] or factor.nnz < _FEW:
            return _sets(self.entries(term, number), self.periods.source)
        return _full_sets(self._parts.source[number], self._parts.target[number], self.periods.source)

    def split_terms(self) -> tuple[Term, ...]:
        """The terms with factors along which both layouts are sums."""
        return self._parts.map.terms

    def _rotation_sets(self) -> Iterator[Sets]:
        """Sets of rotations; terms that differ in other factors than the widest are joined before that is added."""
        period = self.periods.source
        joined: dict[frozenset[tuple[tuple[int, int], int]], tuple[Sets, Sets]] = {}
        sets: dict[tuple[int, int], Sets] = {}
        for term in self.split_terms():
            wide = widest(term)
            for number in range(len(term)):
                if (id(term[number]), number) not in sets:
                    sets[id(term[number]), number] = self._sets_of(term, number)
            rest: Sets = {(0, 0): 1}
            for number in range(len(term)):
                if number != wide:
                    rest = _combined(rest, sets[id(term[number]), number], period)
            dense = sets[id(term[wide]), wide]
            _, others = joined.setdefault(frozenset(dense.items()), (dense, {}))
            for place, rotations in rest.items():
                others[place] = others.get(place, 0) | rotations
        return (_combined(rest, dense, period) for dense, rest in joined.values())

    def diagonals(self) -> Diagonals:
        """The tables, rows first; an empty map has one zero term."""
        return _Collector(self).collect()


def widest(term: Term) -> int:
    """The factor with the most nonzeros a row: that of the channels."""
    return int(np.argmax([factor.nnz / max(1, factor.shape[0]) for factor in term]))


def _combined(a: Sets, b: Sets, period: int) -> Sets:
    """All sums of a place and rotation of each."""
    joined: Sets = {}
    for (row, col), mine in a.items():
        for (more_row, more_col), theirs in b.items():
            at = (row + more_row, col + more_col)
            joined[at] = joined.get(at, 0) | _sums(mine, theirs, period)
    return joined


def _sets(entries: Entries, period: int) -> Sets:
    """The rotations of a factor's entries for each (row, column)."""
    codes = np.unique(entries.codes())
    places, rotations = np.divmod(codes, _RADIX)
    starts = np.flatnonzero(np.diff(places, prepend=-1)).tolist()
    found = {}
    for start, stop in zip(starts, [*starts[1:], codes.size], strict=True):
        place = divmod(int(places[start]), _MOST_CIPHERS)
        found[place] = _bits(rotations[start:stop], period)
    return found


def _full_sets(source: Positions, target: Positions, period: int) -> Sets:
    """The rotations from every position of a source to every position of a target."""
    reads = {int(c): _bits(source[1][source[0] == c] % period, period) for c in np.unique(source[0])}
    writes = {int(c): _bits(-target[1][target[0] == c] % period, period) for c in np.unique(target[0])}
    return {(row, col): _sums(a, b, period) for row, b in writes.items() for col, a in reads.items()}


def _bits(numbers: Numbers, period: int) -> int:
    flags = np.zeros(period, dtype=np.uint8)
    flags[numbers] = 1
    return int.from_bytes(np.packbits(flags, bitorder="little").tobytes(), "little")


def _members(bits: int) -> Numbers:
    raw = np.frombuffer(bits.to_bytes(bits.bit_length() // 8 + 1, "little"), dtype=np.uint8)
    return np.flatnonzero(np.unpackbits(raw, bitorder="little"))


def _sums(a: int, b: int, period: int) -> int:
    """All sums of members of two sets, modulo the period."""
    few, many = (a, b) if a.bit_count() <= b.bit_count() else (b, a)
    total = 0
    for step in _members(few).tolist():
        total |= many << step
    return _reduced(total, 2 * period, period)


def _reduced(bits: int, extent: int, modulus: int) -> int:
    """A set of numbers below ``extent``, modulo a number that divides it."""
    total, mask = 0, (1 << modulus) - 1
    for start in range(0, extent, modulus):
        total |= (bits >> start) & mask
    return total


_FEW = 64
"""Entries that are sorted faster than sets are added."""
_RADIX = 1 << 20
"""Above every rotation."""
_MOST_CIPHERS = 1 << 20
"""Above every number of a ciphertext."""


class _Collector:
    """Gathers weights and patterns by diagonal, and writes every distinct plaintext once."""

    def __init__(self, transform: Transform) -> None:
        self.transform = transform
        self.periods = transform.periods
        self.patterns: dict[bytes, int] = {}
        self.vectors: dict[tuple[int, ...], int] = {}
        self.factors: dict[tuple[int, int], list[_Group]] = {}
        self.made: list[Reals] = []
        self.distinct: dict[bytes, int] = {}
        self.contributions: dict[tuple[int, int, int], list[_Part]] = {}

    def collect(self) -> Diagonals:
        """The tables."""
        masks = self._crowded() and self._memory() > MOST_VECTOR_BYTES
        for term in self.transform.split_terms():
            wide = widest(term)
            factors = [self._factor(term, number, single=masks and number == wide) for number in range(len(term))]
            for combination in product(*factors):
                self._add(combination)
        return self._tables(masks)

    def _factor(self, term: Term, number: int, *, single: bool) -> list[_Group]:
        at = (id(term[number]), number)
        if at not in self.factors:
            self.factors[at] = self._groups(self.transform.entries(term, number), single=single)
        return self.factors[at]

    def _memory(self) -> int:
        """Bytes of one vector for each diagonal."""
        return self.transform.keys().rows.size * self.periods.slots * 8

    def _crowded(self) -> bool:
        """Whether entries of one factor share a diagonal: its plaintexts are no masks times weights."""
        term = self.transform.split_terms()[0]
        codes = self.transform.entries(term, widest(term)).codes()
        return np.unique(codes).size < codes.size

    def _groups(self, entries: Entries, *, single: bool) -> list[_Group]:
        codes = entries.codes()
        order = np.argsort(codes, kind="stable")
        ends = np.arange(1, codes.size) if single else np.flatnonzero(np.diff(codes[order])) + 1
        return [self._group(entries, chosen) for chosen in np.split(order, ends) if chosen.size]

    def _group(self, entries: Entries, chosen: Numbers) -> _Group:
        first = chosen[0]
        scale = float(entries.weights[first])
        slots, shares = entries.slots[chosen], entries.weights[chosen] / scale
        shared = slots.tobytes() if np.all(shares == 1) else str(len(self.patterns)).encode()
        pattern = self.patterns.setdefault(shared, len(self.patterns))
        at = int(entries.rows[first]), int(entries.cols[first]), int(entries.rotations[first])
        return _Group(*at, slots, shares, scale, pattern)

    def _add(self, groups: tuple[_Group, ...]) -> None:
        rotation = sum(group.rotation for group in groups) % self.periods.source
        key = (sum(g.row for g in groups), sum(g.col for g in groups), rotation % self.periods.modulus)
        self.contributions.setdefault(key, []).append(_Part(groups, rotation))

    def _tables(self, masks: bool) -> Diagonals:
        terms: list[tuple[int, int, int, int, float]] = []
        for key, parts in sorted(self.contributions.items()):
            if masks or len(parts) == 1:
                terms += [(*key, self._shared(part), part.scale) for part in parts]
            else:
                terms.append((*key, len(self.made), 1.0))
                self.made.append(self._sum(parts))
        terms, vectors = terms or [(0, 0, 0, 0, 0.0)], self.made or [np.zeros(self.periods.tile)]
        rows, cols, rotations, which, weights = zip(*terms, strict=True)
        whole = np.tile(np.stack(vectors), self.periods.slots // self.periods.tile)
        row, col, rotation, number = (np.array(column, dtype=np.int64) for column in (rows, cols, rotations, which))
        return Diagonals(row, col, rotation, number, np.array(weights), whole)

    def _shared(self, part: _Part) -> int:
        """The number of a vector that all parts with the same patterns have."""
        patterns = (*(group.pattern for group in part.groups), part.rotation if self.periods.folded else 0)
        if patterns not in self.vectors:
            slots, shares = part.entries()
            vector = np.zeros(self.periods.tile)
            vector[self.periods.place(slots, part.rotation)] = shares
            where = self.distinct.setdefault(vector.tobytes(), len(self.made))
            if where == len(self.made):
                self.made.append(vector)
            self.vectors[patterns] = where
        return self.vectors[patterns]

    def _sum(self, parts: list[_Part]) -> Reals:
        """One period of a plaintext that several parts share."""
        total = np.zeros(self.periods.tile)
        for part in parts:
            slots, shares = part.entries()
            total[self.periods.place(slots, part.rotation)] += part.scale * shares
        return total
