"""A worst-case known answer, run whenever keys are made or read: BFV fails silently, so the parameters must show that
they do not.

The largest values go through the server's own operations: sums that use up the room for noise, an encryption of zero,
flooding, dropping to one prime.
"""

from __future__ import annotations

import math

import numpy as np

from enclair.compiler.parameters import BfvParameters, sum_room_bits
from enclair.runtime.backends.bfv.evaluate import BfvEvaluator
from enclair.runtime.backends.bfv.secret import BfvKeyHolder
from enclair.runtime.backends.interface import Integers
from enclair.runtime.backends.simulated import wrap
from enclair.runtime.errors import WrongAnswerError

ONE_TO_ONE = np.zeros((1, 1, 1), dtype=np.int64)
EACH = np.arange(2)[None, :, None]
"""Two results, one from each ciphertext; a third has no term."""


def prove_keys(keys: BfvKeyHolder) -> None:
    """Check that known answers come out right.

    Raises:
        WrongAnswerError: one does not.
    """
    parameters = keys.parameters
    evaluator = BfvEvaluator(parameters, keys.public_key())
    values = extreme_values(parameters)
    sums = evaluator.load(keys.encrypt(values), len(values))
    expected = values
    for weight in room_filling_weights(parameters):
        sums = evaluator.linear_combination(sums, EACH, ONE_TO_ONE + weight, EACH.swapaxes(1, 2), 3)
        expected = wrap(expected.astype(object) * weight, parameters.modulus)
    answers = keys.decrypt(evaluator.answer(sums), len(expected) + 1)
    if not np.array_equal(answers[:-1], expected) or answers[-1].any():
        raise WrongAnswerError(
            f"a known answer came out wrong under {parameters.to_json()}: the keys do not belong together, or"
            " OpenFHE cannot decrypt"
            " with these parameters; make new keys, and if that does not help, compile with a smaller plaintext modulus"
        )


def extreme_values(parameters: BfvParameters) -> Integers:
    """(2, slots): the largest magnitudes with alternating signs, and a ramp over the whole range."""
    largest, slots = parameters.largest_value, parameters.slots
    alternating = np.where(np.arange(slots) % 2 == 0, largest, -largest)
    ramp = [-largest + i * 2 * largest // (slots - 1) for i in range(slots)]
    return np.array([alternating, ramp], dtype=np.int64)


def room_filling_weights(parameters: BfvParameters) -> list[int]:
    """Powers of two with alternating signs whose product fills the room for sums, each below half of the smallest
    plaintext modulus.
    """
    most = min(parameters.plaintext_moduli).bit_length() - 3
    bits = max(0, math.floor(sum_room_bits(parameters)))
    steps = [most] * (bits // most) + [bits % most]
    return [-((-1) ** i) * 2**step for i, step in enumerate(steps)]
