"""What a client can do with the ciphertexts of an answer, beside decrypting them.

It made the query, so that it knows each ciphertext of it, and the noise in it. An answer that is a bare sum
``sum_k w_k ct_k`` is a linear equation for the weights in every residue, and in every coefficient of its noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from tests.encrypted.attacks.modular import solve_modular
from tests.encrypted.attacks.ring import Numbers, centred, coefficients, noise_of_zeros

from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.bfv.ring import open_ring
from enclair.runtime.backends.bfv.secret import BfvKeyHolder
from enclair.runtime.backends.frames import Limbs


def divide_residues(parameters: BfvParameters, query: Limbs, answers: Limbs) -> Numbers:
    """The weights (answers, N) of answers ``w ct``, from each residue of the mask: answer / query, modulo a prime.

    Args:
        parameters: of both.
        query: the ciphertext (2, limbs, N) that was multiplied.
        answers: (answers, 2, limbs or 1, N).
    """
    prime = parameters.primes[0]
    inverses = np.array([pow(int(residue), -1, prime) for residue in query[1, 0]], dtype=object)
    return centred(answers[:, 1, 0].astype(object) * inverses % prime, prime)


def divide_polynomials(parameters: BfvParameters, query: Limbs, answers: Limbs) -> Numbers:
    """The coefficients (answers, N) of polynomials w of answers ``w ct``, from all residues of the mask together.

    Args:
        parameters: of both.
        query: the ciphertext (2, limbs, N) that was multiplied.
        answers: (answers, 2, limbs or 1, N).
    """
    prime, transform = parameters.primes[0], open_ring(parameters.primes, parameters.ring_dim).transforms[0]
    values = (divide_residues(parameters, query, answers) % prime).astype(np.uint64)
    return centred(transform.coefficients(values).astype(object), prime)


def eliminate_residues(parameters: BfvParameters, query: Limbs, answers: Limbs, start: int = 0) -> Numbers:
    """The weights (terms, answers) of answers ``sum_k w_k ct_k``: as many residues of the masks as there are terms.

    Args:
        parameters: of both.
        query: the ciphertexts (terms, 2, limbs, N) that were summed.
        answers: (answers, 2, limbs or 1, N).
        start: of the residues to take, from the first prime.
    """
    taken = slice(start, start + len(query))
    matrix, right = (part[:, 1, 0, taken].T.astype(object) for part in (query, answers))
    return centred(solve_modular(matrix, right, parameters.primes[0]), parameters.primes[0])


def guess_weights(parameters: BfvParameters, query: Limbs, answers: Limbs, most: int) -> NDArray[np.int64]:
    """The weights (answers,) of answers ``w ct`` of one prime: of all in [-most, most] the one that fits best.

    Dropping primes rounds ``w a / q1``, so that ``w a / Q`` and the answer's ``a / q0`` agree modulo 1 but for the
    rounding.

    Args:
        parameters: of both.
        query: the ciphertext (2, limbs, N) that was multiplied.
        answers: (answers, 2, 1, N).
        most: bound of the weights.
    """
    candidates = np.arange(-most, most + 1)
    asked = _turns(parameters, query[1])
    return np.array([candidates[_misfit(candidates, asked, _turns(parameters, a[1])).argmin()] for a in answers])


def regress_noise(keys: BfvKeyHolder, query: Limbs, answers: Limbs) -> NDArray[np.float64]:
    """The weights (terms, answers) that explain the noise of answers best, where the query was zeros.

    Args:
        keys: the client's.
        query: encryptions (terms, 2, limbs, N) of zeros.
        answers: sums of them, (answers, 2, limbs or 1, N). What dropped primes divided the noise by is made up for.
    """
    lost = np.prod([float(prime) for prime in keys.parameters.primes[answers.shape[2] :]])
    known, seen = (np.stack([noise_of_zeros(keys, c) for c in part], axis=1).astype(float) for part in (query, answers))
    solution: NDArray[np.float64] = np.linalg.lstsq(known, seen * lost, rcond=None)[0]
    return solution


def _turns(parameters: BfvParameters, mask: Limbs) -> NDArray[np.float64]:
    """A few coefficients of a mask (limbs, N), as parts of their modulus."""
    modulus = np.prod([int(prime) for prime in parameters.primes[: len(mask)]], dtype=object)
    return np.array([float(c) / float(modulus) for c in coefficients(parameters, mask)[:64]])


def _misfit(candidates: NDArray[np.int64], asked: NDArray[np.float64], got: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each candidate's product is from what came, all around the circle, the mean over coefficients."""
    gap = candidates[:, None] * asked - got
    return np.asarray(np.abs(gap - np.rint(gap)).mean(axis=1))
