"""How many queries give enough equations for the unknown numbers.

A query gives one equation for every different sum that the client sees. Sums that share no unknown number are systems
of their own. With inputs in general position, q queries determine the unknowns of a system if every unknown can be
given an equation of its own among those it occurs in: a flow from unknowns to equations, of which q queries give q
times as many. The least such q is a linear program.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from enclair.compiler.report import slots
from enclair.compiler.report.forms import ComposedForms, LayerForms, Words
from enclair.compiler.report.views import View


@dataclass(frozen=True, slots=True)
class Equations:
    """Sums over the same unknown numbers.

    Args:
        unknowns: their names.
        count: how many a query gives.
        constants: further unknown numbers, each in some of these sums and nowhere else.
        copies: how many times the same occurs with other unknowns.
        wanted: whether the answer's elements are among them.
    """

    unknowns: Words
    count: int
    constants: int = 0
    copies: int = 1
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class System:
    """Equations that share unknown numbers.

    Args:
        unknowns: how many.
        equations: how many a query gives.
        queries: how many give enough.
        copies: how many systems are like this one.
    """

    unknowns: int
    equations: int
    queries: int
    copies: int


def equations_of(view: View) -> list[Equations]:
    """The sums that an answer shows, those over the same unknown numbers together."""
    forms = (ComposedForms if slots.is_composed(view) else LayerForms)(view)
    by_slot = slots.is_by_slot(view)
    found: dict[bytes, Equations] = {}
    for slot, size in slots.slot_kinds(view):
        rows = view.rows if size % view.rows == 0 else 1
        apart = np.uint64(slot + 1) << np.uint64(48) if by_slot else np.uint64(0)
        for row in forms.rows(slot):
            unknowns = np.sort(row.unknowns ^ apart)
            count, copies = (rows, size // rows) if by_slot else (size, 1)
            more = Equations(unknowns, count, count // rows if row.private else 0, copies, row.wanted)
            found[unknowns.tobytes()] = _together(found.get(unknowns.tobytes()), more)
    useful = [e for e in found.values() if e.unknowns.size or e.constants]
    return _about_the_answer(useful) if slots.is_composed(view) else useful


def systems_of(equations: Sequence[Equations]) -> tuple[System, ...]:
    """The systems that the equations fall into, those alike together, the one that takes most queries first."""
    if not equations:
        return ()
    counted: Counter[tuple[int, int, int]] = Counter()
    solved: dict[bytes, tuple[int, int, int]] = {}
    for part in _parts(equations):
        incidence, sizes = _grouped(part)
        key = b"".join([incidence.tobytes(), sizes.tobytes(), *(b"%d,%d;" % (e.count, e.constants) for e in part)])
        if key not in solved:
            solved[key] = _measured(part, incidence, sizes)
        counted[solved[key]] += part[0].copies
    found = [System(unknowns, count, queries, copies) for (unknowns, count, queries), copies in counted.items()]
    return tuple(sorted(found, key=lambda s: (-s.queries, -s.unknowns, -s.equations)))


def commonest(equations: Iterable[Equations]) -> System | None:
    """The sums of the kind there are most of, taken alone: of an image, those that see nothing of its border."""
    best = max(equations, key=lambda e: (e.count * e.copies, e.unknowns.size), default=None)
    if best is None:
        return None
    unknowns = best.unknowns.size + best.constants
    return System(unknowns, best.count, ceil(unknowns / best.count), best.copies)


def _about_the_answer(equations: list[Equations]) -> list[Equations]:
    """Without the sums beyond the border that have coefficients of their own: these say nothing about the answer."""
    asked = [e.unknowns for e in equations if e.wanted]
    names = np.unique(np.concatenate([np.zeros(0, dtype=np.uint64), *asked]))
    return [e for e in equations if e.wanted or np.isin(e.unknowns, names).all()]


def _together(known: Equations | None, more: Equations) -> Equations:
    if known is None:
        return more
    count, constants = known.count + more.count, known.constants + more.constants
    return Equations(known.unknowns, count, constants, more.copies, known.wanted or more.wanted)


def _parts(equations: Sequence[Equations]) -> list[list[Equations]]:
    """Equations that share unknowns, directly or through others."""
    _, columns = np.unique(np.concatenate([e.unknowns for e in equations]), return_inverse=True)
    rows = np.repeat(np.arange(len(equations)), [e.unknowns.size for e in equations])
    incidence: Any = coo_array(
        (np.ones(rows.size), (rows, columns)), shape=(len(equations), columns.max(initial=-1) + 1)
    )
    shared = csr_array(incidence)
    _, labels = connected_components(shared @ shared.T, directed=False)
    parts: dict[int, list[Equations]] = {}
    for label, equation in zip(labels.tolist(), equations, strict=True):
        parts.setdefault(label, []).append(equation)
    return list(parts.values())


def _grouped(part: Sequence[Equations]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which equations the unknowns occur in, (groups, equations), and how many unknowns occur in the same ones."""
    names = np.unique(np.concatenate([e.unknowns for e in part]))
    incidence = np.array([np.isin(names, e.unknowns, assume_unique=True) for e in part]).T.reshape(
        names.size, len(part)
    )
    groups, sizes = np.unique(incidence, axis=0, return_counts=True)
    return groups, sizes


def _measured(
    part: Sequence[Equations], incidence: NDArray[np.bool_], sizes: NDArray[np.int64]
) -> tuple[int, int, int]:
    """Unknowns, equations and queries of a system."""
    unknowns = int(sizes.sum()) + sum(e.constants for e in part)
    return unknowns, sum(e.count for e in part), _queries(part, incidence, sizes)


def _queries(part: Sequence[Equations], incidence: NDArray[np.bool_], sizes: NDArray[np.int64]) -> int:
    counts, constants = np.array([e.count for e in part]), np.array([e.constants for e in part])
    if len(part) == 1:
        return ceil((int(sizes.sum()) + int(constants[0])) / int(counts[0]))
    group, equation = np.nonzero(incidence)
    flows = np.arange(group.size)
    supply = coo_array((np.ones(flows.size), (group, flows)), shape=(sizes.size, flows.size + 1))
    rows, columns = np.append(equation, np.arange(len(part))), np.append(flows, np.full(len(part), flows.size))
    used = coo_array((np.append(np.ones(flows.size), -counts), (rows, columns)), shape=(len(part), flows.size + 1))
    cost = np.append(np.zeros(flows.size), 1.0)
    solution = linprog(cost, A_ub=used.tocsr(), b_ub=-constants, A_eq=supply.tocsr(), b_eq=sizes)
    return max(1, ceil(float(solution.fun) - 1e-6))
