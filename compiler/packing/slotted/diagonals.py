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

import numpy as np

from enclair.compiler.ir.slot_layouts import Positions, Skewed, Slotted
from enclair.compiler.packing.slotted.maps import LinearMap, Term
from enclair.compiler.packing.slotted.periods import Numbers, Periods, Source
from enclair.compiler.packing.slotted.rotation_sets import (
    Entries,
    Reals,
    Sets,
    combined,
    entries_of,
    full_sets,
    members,
    reduced,
    sets_of,
)

_FEW = 64
"""Entries that are sorted faster than sets are added."""
MOST_VECTOR_BYTES = 1 << 28
"""Diagonals that together take more are written as masks times weights, several to a diagonal."""


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
            small = members(reduced(found_here, self.periods.source, self.periods.modulus))
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
            self._entries[at] = entries_of(term[number], *positions, self.periods.source)
        return self._entries[at]

    def _sets_of(self, term: Term, number: int) -> Sets:
        """The rotations of a factor; those of a full matrix without looking at its entries."""
        factor = term[number]
        if factor.nnz < factor.shape[0] * factor.shape[1] or factor.nnz < _FEW:
            return sets_of(self.entries(term, number), self.periods.source)
        return full_sets(self._parts.source[number], self._parts.target[number], self.periods.source)

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
                    rest = combined(rest, sets[id(term[number]), number], period)
            dense = sets[id(term[wide]), wide]
            _, others = joined.setdefault(frozenset(dense.items()), (dense, {}))
            for place, rotations in rest.items():
                others[place] = others.get(place, 0) | rotations
        return (combined(rest, dense, period) for dense, rest in joined.values())

    def diagonals(self) -> Diagonals:
        """The tables, rows first; an empty map has one zero term."""
        return _Collector(self).collect()


def widest(term: Term) -> int:
    """The factor with the most nonzeros a row: that of the channels."""
    return int(np.argmax([factor.nnz / max(1, factor.shape[0]) for factor in term]))


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
