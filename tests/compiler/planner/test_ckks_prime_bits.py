"""Bits of primes: scales for a tolerance, first primes for what values may reach."""

from __future__ import annotations

from enclair.compiler.parameters import INSECURE
from enclair.compiler.planner.ckks_prime_bits import PrimeBits, larger_bits


def test_first_primes_have_fifty_bits_at_most() -> None:
    found = {bits.scale: bits for bits in larger_bits(16384, 3, 38, (11, 7), 4)}
    assert found[38] == PrimeBits(38, (49, 45), 42)
    assert found[41] == PrimeBits(41, (48,), 45)
    assert found[44] == PrimeBits(44, (), 48)
    assert max(found) == 46


def test_without_least_room_scales_stop_earlier() -> None:
    assert max(bits.scale for bits in larger_bits(16384, 3, 38, (11, 7))) == 43


def test_equal_rooms_are_tried_once() -> None:
    assert next(larger_bits(16384, 3, 38, (5, 5), 5)) == PrimeBits(38, (43,), 43)


def test_scales_for_which_there_are_no_primes_are_left_out() -> None:
    assert min(bits.scale for bits in larger_bits(131072, 7, 20, (2,))) > 20


def test_the_least_room_is_for_where_no_other_fits() -> None:
    """Three levels of 36 bits, a last prime of 50 and a special one of 60 may take 219 bits; 218 are secure."""
    wide = PrimeBits(46, (50, 49), 46).fitting(16384, 7)
    assert [{each.first_bits for each in choices} for choices in wide] == [{50}, {49}]
    tight = PrimeBits(36, (50,), 48).fitting(8192, 3)
    assert [{each.first_bits for each in choices} for choices in tight] == [{48}]
    assert PrimeBits(36, (50,)).fitting(8192, 3) == []
    assert PrimeBits(36, (50,)).fitting(8192, 3, INSECURE)
