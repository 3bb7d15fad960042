"""Known answers, asked for whenever keys are made or read: CKKS computes garbage with a wrong key, and says nothing.

Fresh keys answer through the server's own operations: the mean of one vector rotated by every key that serves the same
level, and one square. Noise is below the tolerance: switching keys leaves coefficients of about sqrt(N / 18) from
rounding and less from the keys, so slots of N / 4, and rotations add up by their squares; an encryption under the
public key leaves slots of 3.7 N. What a wrong key leaves is far above: residues are then uniform modulo Q.
"""

from __future__ import annotations

import math

import numpy as np

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.types import CkksType
from enclair.runtime.backends.ckks.answers import AnsweringEvaluator
from enclair.runtime.backends.ckks.ciphers import Ciphers
from enclair.runtime.backends.ckks.context import open_context
from enclair.runtime.backends.ckks.secret import CkksKeyHolder
from enclair.runtime.backends.ckks.wire import read_public_key
from enclair.runtime.backends.interface import Payload
from enclair.runtime.errors import DecryptionFailed, WrongAnswerError
from enclair.runtime.limbs.compiled import Floats
from enclair.runtime.rns.wire import write_ciphertexts

KEPT_KEYS = 0
"""Bytes: each rotation key answers once."""
TOLERANCE = 64
"""Slots of a sum of n terms may be off by so many times N sqrt(n), before they are divided by the scale."""


def prove_keys(keys: CkksKeyHolder) -> None:
    """Check that the keys give known answers, every evaluation key among them.

    Raises:
        WrongAnswerError: one is wrong.
    """
    prove_secret(keys)
    if not keys.needs.count:
        return
    evaluator = AnsweringEvaluator(keys.parameters, keys.needs, keys.public_key(), key_bytes=KEPT_KEYS)
    if keys.needs.rotations:
        _prove_rotations(keys, evaluator)
    if keys.needs.relinearise:
        _prove_square(keys, evaluator)


def prove_secret(keys: CkksKeyHolder) -> None:
    """Check that secret and public key belong together: what either encrypts, the secret one decrypts.

    Raises:
        WrongAnswerError: they do not.
    """
    parameters, context = keys.parameters, open_context(keys.parameters)
    type_, values = _type(parameters, 0), known_values(parameters)
    tag, residues = read_public_key(keys.public_key(), parameters)
    scaled = values[0] * (parameters.scales[0] / 2.0**parameters.scale_bits)
    cipher = context.scheme.Encrypt(context.read_public_key(residues, tag), context.encode(scaled, 0))
    public = write_ciphertexts([context.write_ciphertext(cipher, 0)], parameters.primes[:1])
    for payload in (public, keys.encrypt(values, type_)):
        _compare(keys, payload, type_, values, 1, "an encryption")


def known_values(parameters: CkksParameters) -> Floats:
    """(1, slots): no two neighbours alike, in [-1, 1] or the half of what level 0 holds."""
    places, largest = np.arange(parameters.slots), min(1.0, parameters.primes[0] / (4 * parameters.scales[0]))
    values: Floats = largest * np.sin(1.0 + 0.7 * places * places)[None]
    return values


def _prove_rotations(keys: CkksKeyHolder, evaluator: AnsweringEvaluator) -> None:
    by_level: dict[int, list[int]] = {}
    for step, level in zip(keys.needs.rotations, _levels(keys)[keys.needs.relinearise :], strict=True):
        by_level.setdefault(level, []).append(step)
    for level, steps in by_level.items():
        _prove_level(keys, evaluator, level, steps)


def _prove_level(keys: CkksKeyHolder, evaluator: AnsweringEvaluator, level: int, steps: list[int]) -> None:
    type_, terms = _type(keys.parameters, level), 1 + len(steps)
    values = known_values(keys.parameters) / terms
    x = evaluator.load(keys.encrypt(values, type_), type_)
    total, expected = x, values
    for step in steps:
        total = evaluator.add(total, evaluator.rotate(x, step))
        expected = expected + np.roll(values, -step, axis=1)
    _check_answer(keys, evaluator, total, expected, terms, "a rotation")


def _levels(keys: CkksKeyHolder) -> tuple[int, ...]:
    return keys.needs.key_levels(keys.parameters.levels)


def _prove_square(keys: CkksKeyHolder, evaluator: AnsweringEvaluator) -> None:
    type_, values = _type(keys.parameters, _levels(keys)[0]), known_values(keys.parameters)
    x = evaluator.load(keys.encrypt(values, type_), type_)
    square = evaluator.rescale(evaluator.relinearise(evaluator.multiply(x, x)))
    _check_answer(keys, evaluator, square, values * values, 1, "a product")


def _check_answer(
    keys: CkksKeyHolder, evaluator: AnsweringEvaluator, x: Ciphers, expected: Floats, terms: int, what: str
) -> None:
    type_ = CkksType(1, keys.parameters.slots, x.level, x.scale)
    _compare(keys, evaluator.answer(x), type_, expected, terms, what)


def _compare(keys: CkksKeyHolder, payload: Payload, type_: CkksType, expected: Floats, terms: int, what: str) -> None:
    scale = type_.scale or 1.0
    bound = TOLERANCE * keys.parameters.ring_dim * math.sqrt(terms) / scale
    try:
        farthest = float(np.abs(keys.decrypt(payload, type_) - expected).max())
    except DecryptionFailed:
        farthest = math.inf
    if not farthest <= bound:
        raise WrongAnswerError(
            f"{what} came out wrong by {farthest:.3g}, at most {bound:.3g} is noise, under"
            f" {keys.parameters.to_json()}: the keys do not belong together; make new keys"
        )


def _type(parameters: CkksParameters, level: int) -> CkksType:
    return CkksType(1, parameters.slots, level, parameters.scales[level])
