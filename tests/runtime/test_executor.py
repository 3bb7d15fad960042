"""Each server op calls the evaluator's operation with what the op says."""

from __future__ import annotations

import numpy as np
import pytest
from tests.runtime.programs import SMALL

from enclair.compiler.ir.layouts import Coefficients
from enclair.compiler.ir.ops.ciphers import ConcatCiphers, SelectCiphers
from enclair.compiler.ir.ops.packed import AddPlain, HideUnheld, PolynomialCombination
from enclair.compiler.ir.slots import pack
from enclair.compiler.ir.types import Encoding
from enclair.runtime.backends.bfv.evaluate import BfvEvaluator
from enclair.runtime.backends.bfv.secret import BfvKeyHolder
from enclair.runtime.backends.clear import ClearEvaluator
from enclair.runtime.executor import apply

SOURCE = Coefficients((8, 4), span=8, features=2, step=1, slots=64)
LAYOUT = Coefficients((8, 4), span=8, features=2, step=2, slots=64)


def draw(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 1000, (count, 64))


def test_ops_on_coefficients(keys: BfvKeyHolder, evaluator: BfvEvaluator) -> None:
    """Encrypted, they give what the ops mean."""
    form, x = Encoding.COEFFICIENTS, pack(SOURCE, draw(8)[:, :4])
    weights, constant = np.random.default_rng(1).integers(-50, 50, (4, 4)), np.arange(32).reshape(8, 4)
    steps = (
        (PolynomialCombination(SOURCE, LAYOUT), [weights]),
        (AddPlain(LAYOUT), [constant]),
        (HideUnheld(LAYOUT), []),
    )
    encrypted, expected = evaluator.load(keys.encrypt(x, form), len(x)), x
    for op, args in steps:
        encrypted, expected = apply(op, [encrypted, *args], evaluator), op.evaluate(expected, *args)
    got, held = keys.decrypt(evaluator.answer(encrypted), 2, form), LAYOUT.index() >= 0
    np.testing.assert_array_equal(got[held], expected[held])
    assert np.abs(got[~held]).min() > 0
    assert held.any()
    assert not held.all()


@pytest.mark.parametrize("op", [ConcatCiphers(), SelectCiphers()], ids=str)
def test_moves(op: ConcatCiphers | SelectCiphers) -> None:
    x = draw(3)
    args = [x, x[:1]] if isinstance(op, ConcatCiphers) else [x, np.array([2, 0, 0])]
    np.testing.assert_array_equal(apply(op, list(args), ClearEvaluator(SMALL)), op.evaluate(*args))
