"""What threads gain on LEVELED graphs."""

from __future__ import annotations

import pytest

from enclair.compiler.ir.graph import Builder, Graph
from enclair.compiler.ir.ops.ciphers import AddCiphers
from enclair.compiler.ir.ops.ckks import RotateSlots
from enclair.compiler.ir.types import CkksType
from enclair.compiler.planner.ckks_threads import ThreadedCost


def two_rotations(count: int, level: int) -> Graph:
    builder = Builder("g")
    x = builder.input("x", CkksType(count, 8, level, 2.0**40))
    turned = [builder.add(RotateSlots(steps), x, name=f"r{steps}") for steps in (1, 2)]
    return builder.build([builder.add(AddCiphers(), *turned, name="sum")])


def test_one_thread_does_all() -> None:
    cost = ThreadedCost(two_rotations(2, 3), {"r1": 8.0, "r2": 16.0, "sum": 4.0})
    assert cost.on(1) == pytest.approx(28)


def test_threads_share_primes_and_ciphertexts() -> None:
    cost = ThreadedCost(two_rotations(2, 3), {"r1": 8.0, "r2": 16.0, "sum": 4.0})
    assert cost.on(2) == pytest.approx(14)
    assert cost.critical_path == pytest.approx((16 + 4) / 8)
    assert cost.on(1000) == pytest.approx(cost.critical_path)


def test_one_prime_of_one_ciphertext_is_one_thread() -> None:
    cost = ThreadedCost(two_rotations(1, 0), {"r1": 8.0, "r2": 16.0, "sum": 4.0})
    assert cost.on(2) == pytest.approx(20)
