"""What a server holds at once: ciphertexts that are selected or put together are not there twice."""

from __future__ import annotations

import numpy as np

from enclair.compiler.ir.graph import Builder, Graph
from enclair.compiler.ir.ops.ciphers import ConcatCiphers, SelectCiphers
from enclair.compiler.ir.ops.ckks import DropToLevel
from enclair.compiler.ir.types import CkksType
from enclair.compiler.planner.ckks_alive import rows_alive
from enclair.compiler.planner.ckks_costs import RingWork

RING = RingWork(digit_size=1, special=2)
HIGH, LOW = 2 * (3 + 1 + 2), 2 * (1 + 1 + 2)
"""Rows of a ciphertext of level 3, and of one of level 1, with the special primes."""


def selected(numbers: list[list[int]], *, whole: bool) -> Graph:
    """Parts of four ciphertexts, each brought to a lower level; and those ciphertexts themselves at the end."""
    b = Builder("parts")
    x = b.input("x", CkksType(4, 8, 3, 2.0**30))
    parts = [b.add(SelectCiphers(), x, b.constant("which", np.array(of), 0)) for of in numbers]
    lower = [b.add(DropToLevel(1), part) for part in parts]
    return b.build([*lower, b.add(DropToLevel(2), x)] if whole else lower)


def test_selected_ciphertexts_are_not_copied() -> None:
    assert rows_alive(selected([[0, 1], [1, 2]], whole=True), RING) == 4 * HIGH + 4 * LOW + 4 * (HIGH - 2)


def test_ciphertexts_that_no_value_has_any_more_are_gone() -> None:
    """Of four one is selected: the other three go with the value that had them."""
    b = Builder("one")
    x = b.input("x", CkksType(4, 8, 3, 2.0**30))
    one = b.add(SelectCiphers(), x, b.constant("which", np.array([2]), 0))
    graph = b.build([b.add(DropToLevel(1), b.add(ConcatCiphers(), *[one] * 9))])
    assert rows_alive(graph, RING) == max(4 * HIGH, HIGH + 9 * LOW)


def test_concatenated_ciphertexts_are_not_copied() -> None:
    b = Builder("together")
    x, y = (b.input(name, CkksType(2, 8, 3, 2.0**30)) for name in "xy")
    graph = b.build([b.add(ConcatCiphers(), x, y)])
    assert rows_alive(graph, RING) == 4 * HIGH
