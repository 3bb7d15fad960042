"""Products on coefficients: the op alone, and what of it the client may see."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclair.compiler.ir.errors import TypeRuleError
from enclair.compiler.ir.layouts import Axes, Coefficients, Tiles, Viewed, encoding_of
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.ciphers import ConcatCiphers
from enclair.compiler.ir.ops.packed import (
    AddPlain,
    HideUnheld,
    MaskSlots,
    PolynomialCombination,
    SlotCombination,
    Unpack,
)
from enclair.compiler.ir.slots import pack, unpack
from enclair.compiler.ir.types import CipherType, Encoding, SlotsType, TensorType, Type, parse_type

SLOTS = 32
SOURCE, TARGET = Coefficients((3, 6), 4, 2, 1, SLOTS), Coefficients((3, 5), 4, 4, 2, SLOTS)
ROWS = CipherType(3, SLOTS, 4, Encoding.COEFFICIENTS)
TILES = Tiles((1, 1, 2, 2), Axes(0, 1, 2, 3), (1, 1), (2, 2), (0, 0), (2, 2), SLOTS)


@st.composite
def products(draw: st.DrawFn) -> tuple[PolynomialCombination, int, int, int]:
    """An op with its rows, features and outputs."""
    rows, features, outputs = (draw(st.integers(1, most)) for most in (9, 7, 7))
    slots, span = draw(st.sampled_from([(16, 2), (16, 16), (32, 4), (32, 1), (64, 8)]))
    packed = draw(st.integers(1, slots // span))
    shared = draw(st.integers(1, slots // span // packed))
    source = Coefficients((rows, features), span, packed, 1, slots)
    return (
        PolynomialCombination(source, Coefficients((rows, outputs), span, shared, packed, slots)),
        rows,
        features,
        outputs,
    )


@given(products(), st.integers(0, 99))
def test_the_held_coefficients_are_the_product(product: tuple[PolynomialCombination, int, int, int], seed: int) -> None:
    op, rows, features, outputs = product
    rng = np.random.default_rng(seed)
    x, weights = rng.integers(-50, 50, (rows, features)), rng.integers(-50, 50, (features, outputs))
    sums = op.evaluate(pack(op.source, x), weights)
    np.testing.assert_array_equal(unpack(op.target, sums), x @ weights)
    np.testing.assert_array_equal(unpack(op.target, HideUnheld(op.target).evaluate(sums)), x @ weights)


@given(products(), st.integers(0, 99))
def test_weights_take_their_place_once(product: tuple[PolynomialCombination, int, int, int], seed: int) -> None:
    op, _, features, outputs = product
    weights = np.random.default_rng(seed).integers(1, 1000, (features, outputs))
    found, powers = op.polynomials(weights)
    assert np.unique(powers).size == powers.size == found.shape[2]
    assert found.any(axis=(0, 1)).all()
    np.testing.assert_array_equal(np.sort(np.abs(found[found != 0])), np.sort(weights.flat))


def test_what_lies_between_outputs_is_hidden_and_nothing_else() -> None:
    unheld = HideUnheld(TARGET).unheld()
    assert unheld.shape == (2, SLOTS)
    assert (~unheld).sum() == 3 * 5
    hidden = HideUnheld(TARGET).evaluate(np.ones((2, SLOTS), dtype=np.int64))
    np.testing.assert_array_equal(hidden, ~unheld)


def test_a_layout_in_coefficients_stays_one_under_another_shape() -> None:
    assert encoding_of(Viewed(SOURCE, (18,))) is Encoding.COEFFICIENTS
    assert encoding_of(Viewed(TILES, (4,))) is Encoding.SLOTS


@pytest.mark.parametrize("type_", [ROWS, SlotsType(2, 8, -1, Encoding.COEFFICIENTS), CipherType(1, 8, 0)], ids=str)
def test_types_print_their_encoding(type_: Type) -> None:
    assert parse_type(str(type_)) == type_


def in_slots(count: int) -> CipherType:
    return CipherType(count, SLOTS, 4)


PRODUCT = PolynomialCombination(SOURCE, TARGET)
WEIGHTS, TABLE = TensorType((6, 5), 2), TensorType((1,), 0)
REFUSED = {
    "in slots": (
        PRODUCT, (in_slots(3), WEIGHTS), "needs 3 ciphertexts in coefficients, got cipher<3x32"
    ),
    "too few": (
        PRODUCT, (CipherType(2, SLOTS, 4, Encoding.COEFFICIENTS), WEIGHTS), "got cipher<2x32"
    ),
    "weights": (PRODUCT, (ROWS, TensorType((5, 6), 2)), r"weights of shape \(5, 6\) do not"),
    "spans": (
        PolynomialCombination(SOURCE, Coefficients((3, 5), 8, 2, 2, SLOTS)), (ROWS, WEIGHTS), "do not take Coefficients"
    ),
    "too close": (
        PolynomialCombination(SOURCE, Coefficients((3, 5), 4, 4, 1, SLOTS)),
        (ROWS, WEIGHTS),
        "2 features of a source need outputs as many powers of Y apart, 4 of them within 8; they are 1 apart",
    ),
    "too many": (
        PolynomialCombination(SOURCE, Coefficients((3, 5), 4, 5, 2, SLOTS)), (ROWS, WEIGHTS), "5 of them within 8"
    ),
    "unpack": (Unpack(SOURCE), (SlotsType(3, SLOTS, 4),), "the layout is of coefficients, got slots<3x32"),
    "plain": (AddPlain(SOURCE), (in_slots(3), TensorType((6,), 4)), "the layout is of coefficients, got cipher<3x32"),
    "hide": (HideUnheld(SOURCE), (in_slots(3),), "the layout is of coefficients"),
    "hide others": (HideUnheld(TARGET), (ROWS,), "a layout of 2 x 32 does not fit cipher<3x32"),
    "mask": (MaskSlots(TILES), (CipherType(4, SLOTS, 0, Encoding.COEFFICIENTS),), "MaskSlots multiplies slot by slot"),
    "vectors": (SlotCombination(1), (ROWS, TABLE, TABLE, TensorType((1, SLOTS), 0)), "SlotCombination multiplies slot"),
    "concat": (ConcatCiphers(), (ROWS, in_slots(3)), "scales, slots or encodings differ"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=list(REFUSED))
def test_what_has_no_meaning_is_refused(case: tuple[Op, tuple[Type, ...], str]) -> None:
    op, args, message = case
    with pytest.raises(TypeRuleError, match=message):
        op.result_type(*args)
