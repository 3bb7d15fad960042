"""Which unknown numbers the slots of an answer depend on: the server's graph, run on sets instead of integers.

No op moves a value from one slot to another, so every slot is a system of its own: from the known ciphertexts' slot s
to the answer's slot s. In one slot, each ciphertext gets a *form*, a sparse row of numbers modulo 2^64:

    column 0          a fingerprint: equal for equal sums of known and unknown numbers, zero where nothing is held
    the next columns  one per unknown number; not zero where the ciphertext depends on it
    the last column   not zero where a constant of this slot alone was added

If one layer is between the known and the answer, its weights are the unknown numbers (``LayerForms``): sums and moves
before and after it are known. If there are several, least squares finds the map that they make together
(``ComposedForms``): its coefficients are told apart by giving random numbers to the weights. Coefficients that are
equal for any weights get equal numbers, as they do at positions that see the same of the border.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, vstack

from enclair.compiler.ir.graph import Node
from enclair.compiler.ir.ops.ciphers import AddCiphers, ConcatCiphers, SelectCiphers, SubtractCiphers
from enclair.compiler.ir.ops.packed import AddPlain, LinearCombination, MaskSlots, SlotCombination
from enclair.compiler.report import slots
from enclair.compiler.report.slots import Table, Terms
from enclair.compiler.report.views import View

Words: TypeAlias = NDArray[np.uint64]
Form: TypeAlias = Any
"""A csr_array of uint64; scipy has no types."""
MINUS_ONE = np.uint64(2**64 - 1)


@dataclass(frozen=True, slots=True)
class Row:
    """A sum that the client sees.

    Args:
        unknowns: the unknown numbers in it.
        private: whether a constant of its slot alone is in it too.
        wanted: whether it is an element of the answer, or part of one; other slots may hold sums beyond the border.
    """

    unknowns: Words
    private: bool
    wanted: bool


class Forms:
    """Forms of every ciphertext of a view, slot by slot. Subclasses say what the unknown numbers are."""

    def __init__(self, view: View) -> None:
        self.view, self.random = view, np.random.default_rng(0)
        self.known = self._draw(sum(known.elements.shape[0] for known in view.known.values()))
        products = [node for node in view.nodes if slots.is_product(node)]
        sums = [(node, node.op) for node in view.nodes if isinstance(node.op, AddPlain)]
        self.terms = {node.out.name: slots.product_terms(view, node) for node in products}
        self.used = {n.out.name: slots.used_results(view, n) for n in products if isinstance(n.op, SlotCombination)}
        self.addends = {node.out.name: slots.addends(view, node, op) for node, op in sums}
        self.masks = {n.out.name: n.op.masked() for n in view.nodes if isinstance(n.op, MaskSlots)}
        sizes = {slots.weights(node).name: slots.weight_count(view, node) for node in products}
        sizes |= {node.args[1].name: view.arrays[node.args[1].name].size for node, _ in sums}
        self.numbers = {name: self._draw(size) for name, size in sorted(sizes.items()) if name in view.secret}
        self.wanted = slots.wanted(view)
        self.places, self.width = self._numbered()

    def rows(self, slot: int) -> list[Row]:
        """The different sums in one slot of the answer."""
        forms = {name: self._start(*given) for name, given in self._given(slot).items()}
        for node in self.view.nodes:
            forms[node.out.name] = self._form(node, [forms[arg.name] for arg in node.args if arg.name in forms], slot)
        return list(self._read(forms[self.view.answer.name], self.wanted[:, slot]))

    def _unknowns(self) -> dict[str, int]:
        """How many columns there are between the first and the last, by what they stand for."""
        raise NotImplementedError

    def _start(self, place: Table, numbers: Table, count: int) -> Form:
        """The form of known ciphertexts: at ``place`` they hold the slot's elements ``numbers``."""
        raise NotImplementedError

    def _multiply(self, name: str, terms: Terms, x: Form, count: int) -> Form:
        """The form of sums with secret weights."""
        raise NotImplementedError

    def _add(self, name: str, place: Table, ids: Table, form: Form) -> Form:
        """The form after adding elements ``ids`` of a secret constant to the ciphertexts ``place``."""
        raise NotImplementedError

    def _ids(self, columns: NDArray[Any], data: Words) -> Words:
        """Names of the unknown numbers in a row."""
        raise NotImplementedError

    def _numbered(self) -> tuple[dict[str, int], int]:
        """The first column of each of ``_unknowns``, and the number of all columns."""
        *starts, last = np.cumsum([1, *self._unknowns().values()]).tolist()
        return dict(zip(self._unknowns(), starts, strict=True)), last + 1

    def _given(self, slot: int) -> dict[str, tuple[Table, Table, int]]:
        """For all known ciphertexts: which hold something in a slot, the numbers of these elements, how many there are.

        Copies of an element have the same number: what they are multiplied by adds up.
        """
        numbers: dict[tuple[str, int], int] = {}
        given = {}
        for name, known in self.view.known.items():
            elements = known.elements[:, slot]
            keys = [(known.value, element) for element in elements.tolist() if element >= 0]
            found = [numbers.setdefault(key, len(numbers)) for key in keys]
            given[name] = np.flatnonzero(elements >= 0), np.array(found, dtype=np.int64), elements.size
        return given

    def _form(self, node: Node, args: list[Form], slot: int) -> Form:
        match node.op:
            case LinearCombination() | SlotCombination():
                return self._product(node, args[0], slot, node.op.outputs)
            case AddPlain():
                return self._sum(node, args[0], slot)
            case AddCiphers():
                return args[0] + args[1]
            case SubtractCiphers():
                return args[0] + args[1] * MINUS_ONE
            case ConcatCiphers():
                return vstack(args, format="csr")
            case SelectCiphers():
                return args[0][self.view.arrays[node.args[1].name]]
            case MaskSlots():
                return self._blanked(node, args[0], slot)
            case _:
                raise TypeError(f"{type(node.op).__name__} is not a server op")

    def _product(self, node: Node, x: Form, slot: int, count: int) -> Form:
        rows, cols, ids = self.terms[node.out.name]
        name = slots.weights(node).name
        values = self.view.arrays[name]
        if node.out.name in self.used:
            used = self.used[node.out.name][rows, slot]
            rows, cols, ids, values = rows[used], cols[used], ids[used], values[:, slot]
        if name in self.view.secret:
            return self._multiply(name, (rows, cols, ids), x, count)
        return _matrix(values.reshape(-1)[ids].astype(np.uint64), rows, cols, (count, x.shape[0])) @ x

    def _sum(self, node: Node, form: Form, slot: int) -> Form:
        table, name = self.addends[node.out.name], node.args[1].name
        place = np.flatnonzero(table[:, slot])
        if name not in self.view.secret:
            return form
        if slots.varies(table):
            return form + _matrix(_ones(place.size), place, np.full(place.size, self.width - 1), form.shape)
        return self._add(name, place, table[place, slot] - 1, form)

    def _blanked(self, node: Node, form: Form, slot: int) -> Form:
        numbers, vectors = self.masks[node.out.name]
        keep = _ones(form.shape[0])
        keep[numbers] = vectors[:, slot].astype(np.uint64)
        every = np.arange(keep.size)
        return _matrix(keep, every, every, (keep.size, keep.size)) @ form

    def _read(self, form: Form, wanted: NDArray[np.bool_]) -> Iterator[Row]:
        """The rows of a form, each once, without those that hold nothing."""
        fingerprints = form[:, [0]].toarray().reshape(-1)
        _, first = np.unique(fingerprints, return_index=True)
        for row in first[fingerprints[first] != 0]:
            span = slice(form.indptr[row], form.indptr[row + 1])
            columns, data = form.indices[span], form.data[span]
            inner = (columns > 0) & (columns < self.width - 1) & (data != 0)
            private = bool(((columns == self.width - 1) & (data != 0)).any())
            yield Row(np.unique(self._ids(columns[inner], data[inner])), private, bool(wanted[row]))

    def _draw(self, count: int) -> Words:
        return self.random.integers(1, 2**64, count, dtype=np.uint64)


class LayerForms(Forms):
    """The unknown numbers are the weights and constants of layers side by side."""

    def _unknowns(self) -> dict[str, int]:
        return {name: numbers.size for name, numbers in self.numbers.items()}

    def _start(self, place: Table, numbers: Table, count: int) -> Form:
        return _matrix(self.known[numbers], place, np.zeros_like(place), (count, self.width))

    def _multiply(self, name: str, terms: Terms, x: Form, count: int) -> Form:
        rows, cols, ids = terms
        products = self.numbers[name][ids] * x[:, [0]].toarray().reshape(-1)[cols]
        alive = products != 0
        return self._marked(name, rows[alive], ids[alive], products[alive], (count, self.width))

    def _add(self, name: str, place: Table, ids: Table, form: Form) -> Form:
        return form + self._marked(name, place, ids, self.numbers[name][ids], form.shape)

    def _marked(self, name: str, rows: Table, ids: Table, numbers: Words, shape: tuple[int, ...]) -> Form:
        """Numbers in the fingerprints, and marks in the columns of the unknown."""
        columns = np.concatenate([np.zeros_like(ids), ids + self.places[name]])
        return _matrix(np.concatenate([numbers, _ones(rows.size)]), np.tile(rows, 2), columns, shape)

    def _ids(self, columns: NDArray[Any], data: Words) -> Words:
        del data
        return columns.astype(np.uint64)


class ComposedForms(Forms):
    """The unknown numbers are the coefficients of known ciphertexts, and constants."""

    def _unknowns(self) -> dict[str, int]:
        return {"elements": self.known.size, "constant": 1}

    def _start(self, place: Table, numbers: Table, count: int) -> Form:
        columns = np.concatenate([np.zeros_like(place), numbers + self.places["elements"]])
        data = np.concatenate([self.known[numbers], _ones(place.size)])
        return _matrix(data, np.tile(place, 2), columns, (count, self.width))

    def _multiply(self, name: str, terms: Terms, x: Form, count: int) -> Form:
        rows, cols, ids = terms
        return _matrix(self.numbers[name][ids], rows, cols, (count, x.shape[0])) @ x

    def _add(self, name: str, place: Table, ids: Table, form: Form) -> Form:
        columns = np.repeat([0, self.places["constant"]], place.size)
        return form + _matrix(np.tile(self.numbers[name][ids], 2), np.tile(place, 2), columns, form.shape)

    def _ids(self, columns: NDArray[Any], data: Words) -> Words:
        return np.where(columns == self.places["constant"], ~data, data)


def _ones(count: int) -> Words:
    return np.ones(count, dtype=np.uint64)


def _matrix(data: Words, rows: NDArray[Any], cols: NDArray[Any], shape: tuple[int, ...]) -> Form:
    return coo_array((data, (rows, cols)), shape=shape).tocsr()
