"""Linear maps on tensors as sums of Kronecker products of sparse matrices.

A convolution is one product a kernel tap: (channels) x (rows) x (columns). Maps compose without being multiplied out
as long as their factors meet at the same axes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from math import prod
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Matrix: TypeAlias = Any
"""A scipy.sparse.csr_array of float64, (outputs, inputs)."""
Term: TypeAlias = tuple[Matrix, ...]
Shape: TypeAlias = tuple[int, ...]


def matrix(dense_or_sparse: Any) -> Matrix:
    """As a sparse matrix without stored zeros."""
    made = sp.csr_array(dense_or_sparse, dtype=np.float64)
    made.sum_duplicates()
    made.eliminate_zeros()
    return made


def identity(extent: int) -> Matrix:
    """The identity matrix."""
    return sp.csr_array(sp.eye_array(extent, format="csr", dtype=np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class LinearMap:
    """The sum over ``terms`` of Kronecker products of their factors, on C-ordered flat tensors.

    All terms have as many factors, and factor k has one shape in all terms.
    """

    shape_in: Shape
    shape_out: Shape
    terms: tuple[Term, ...]

    @property
    def split_in(self) -> Shape:
        """Columns of each factor."""
        return tuple(factor.shape[1] for factor in self.terms[0])

    @property
    def split_out(self) -> Shape:
        """Rows of each factor."""
        return tuple(factor.shape[0] for factor in self.terms[0])

    @property
    def nonzeros(self) -> int:
        """Nonzeros of all terms, multiplied out."""
        return sum(prod(factor.nnz for factor in term) for term in self.terms)

    @property
    def is_identity(self) -> bool:
        """Whether the map changes nothing in the flat tensor."""
        return len(self.terms) == 1 and all(_is_identity(factor) for factor in self.terms[0])

    @property
    def reorders(self) -> bool:
        """Whether the map only reorders elements."""
        return len(self.terms) == 1 and all(_is_permutation(factor) for factor in self.terms[0])

    @property
    def weight(self) -> float | None:
        """The one weight that all nonzeros have; None if they differ, or factors must be multiplied out to know."""
        if len(self.terms) != 1 or any(
            not factor.nnz or np.any(factor.data != factor.data[0]) for factor in self.terms[0]
        ):
            return None
        return prod(float(factor.data[0]) for factor in self.terms[0])

    def unweighted(self) -> LinearMap:
        """The same map with ones for its nonzeros, where they are all equal."""
        ones = tuple(factor if factor.data[0] == 1 else matrix(factor / factor.data[0]) for factor in self.terms[0])
        return replace(self, terms=(ones,))

    def new_positions(self) -> NDArray[np.int64] | None:
        """Where each element goes, if the map only reorders elements; else None."""
        if not self.reorders:
            return None
        new = np.zeros(1, dtype=np.int64)
        for factor in self.terms[0]:
            new = np.add.outer(new * factor.shape[0], np.argsort(factor.indices)).reshape(-1)
        return new

    def merged(self, groups: list[int]) -> LinearMap:
        """The same map with neighbouring factors multiplied out: ``groups`` are how many of them, in order."""
        if all(size == 1 for size in groups):
            return self
        return replace(self, terms=tuple(_merge(term, groups) for term in self.terms))

    def flat(self) -> LinearMap:
        """The same map with one factor and one term."""
        whole = self.merged([len(self.terms[0])])
        total = reduce(lambda a, b: a + b, (term[0] for term in whole.terms))
        return replace(whole, terms=((matrix(total),),))

    def viewed(self, shape_out: Shape) -> LinearMap:
        """The same map with a result of another shape and the same flat order."""
        return replace(self, shape_out=shape_out)

    def after(self, inner: LinearMap) -> LinearMap:
        """The composition: this map of the inner one's result."""
        inner_groups, outer_groups = meeting(inner.split_out, self.split_in)
        inner, outer = inner.merged(inner_groups), self.merged(outer_groups)
        products: dict[tuple[int, int], Matrix] = {}
        terms = [
            tuple(_product(products, a, b) for a, b in zip(o, i, strict=True)) for o in outer.terms for i in inner.terms
        ]
        return LinearMap(inner.shape_in, outer.shape_out, _kept(terms))

    def plus(self, other: LinearMap) -> LinearMap:
        """The sum of two maps of one tensor."""
        mine, others = _common(self, other)
        return replace(self, terms=_kept([*self.merged(mine).terms, *other.merged(others).terms]))

    def times(self, factor: float) -> LinearMap:
        """The multiple of the map."""
        return replace(self, terms=tuple((term[0] * factor, *term[1:]) for term in self.terms))

    def apply(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The map of a tensor, for tests and biases."""
        total = np.zeros(self.shape_out)
        for term in self.terms:
            value = x.reshape(self.split_in)
            for axis, factor in enumerate(term):
                moved = np.moveaxis(value, axis, 0)
                product = (factor @ moved.reshape(moved.shape[0], -1)).reshape(factor.shape[0], *moved.shape[1:])
                value = np.moveaxis(product, 0, axis)
            total += value.reshape(self.shape_out)
        return total


def identity_map(shape_in: Shape, shape_out: Shape) -> LinearMap:
    """The map that changes the shape at most."""
    split = shape_in or (1,)
    return LinearMap(shape_in, shape_out, (tuple(identity(extent) for extent in split),))


def composed_nonzeros(outer: LinearMap, inner: LinearMap) -> float:
    """About how many nonzeros the composition has."""
    per_output = outer.nonzeros / max(1, prod(outer.split_out)) * (inner.nonzeros / max(1, prod(inner.split_out)))
    return min(per_output * prod(outer.split_out), float(prod(outer.split_out)) * prod(inner.split_in))


def meeting(left: Shape, right: Shape) -> tuple[list[int], list[int]]:
    """How many neighbours of each of two splits of one extent to merge so that they become the same split."""
    left_groups, right_groups = [], []
    i = j = 0
    while i < len(left) and j < len(right):
        start_i, start_j = i, j
        a, b = left[i], right[j]
        i, j = i + 1, j + 1
        while a != b:
            if a < b:
                a, i = a * left[i], i + 1
            else:
                b, j = b * right[j], j + 1
        left_groups.append(i - start_i)
        right_groups.append(j - start_j)
    left_groups[-1] += len(left) - i
    right_groups[-1] += len(right) - j
    return left_groups, right_groups


def _common(a: LinearMap, b: LinearMap) -> tuple[list[int], list[int]]:
    """Groups under which two maps have factors of the same shapes."""
    if (a.split_in, a.split_out) == (b.split_in, b.split_out):
        return [1] * len(a.split_in), [1] * len(b.split_in)
    return [len(a.split_in)], [len(b.split_in)]


def _product(known: dict[tuple[int, int], Matrix], a: Matrix, b: Matrix) -> Matrix:
    """a @ b, one matrix for all products of the same two: what is found of it later is found once."""
    if _is_identity(a):
        return b
    if _is_identity(b):
        return a
    if (id(a), id(b)) not in known:
        known[id(a), id(b)] = matrix(a @ b)
    return known[id(a), id(b)]


def _kept(terms: list[Term]) -> tuple[Term, ...]:
    """The terms that are not zero; one zero term if none is left. Equal factors are summed where they allow it."""
    kept = [term for term in terms if all(factor.nnz for factor in term)]
    if kept and len(kept[0]) == 1 and len(kept) > 1:
        kept = [(matrix(reduce(lambda x, y: x + y, (term[0] for term in kept))),)]
    return tuple(kept) or (tuple(sp.csr_array(factor.shape, dtype=np.float64) for factor in terms[0]),)


def _merge(term: Term, groups: list[int]) -> Term:
    merged, at = [], 0
    for size in groups:
        factors = term[at : at + size]
        merged.append(reduce(lambda a, b: sp.csr_array(sp.kron(a, b, format="csr")), factors))
        at += size
    return tuple(merged)


def _is_permutation(factor: Matrix) -> bool:
    n, m = factor.shape
    return bool(
        n == m == factor.nnz
        and np.all(factor.data == 1)
        and np.all(np.diff(factor.indptr) == 1)
        and np.unique(factor.indices).size == n
    )


def _is_identity(factor: Matrix) -> bool:
    n, m = factor.shape
    return bool(
        n == m and factor.nnz == n and np.all(factor.data == 1) and np.array_equal(factor.indices, np.arange(n))
        and np.array_equal(factor.indptr, np.arange(n + 1))
    )  # fmt: skip
