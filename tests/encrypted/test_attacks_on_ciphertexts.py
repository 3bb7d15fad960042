"""What an answer's ciphertext adds to what it decrypts to: all weights if it is a bare sum, nothing as it is sent."""

from __future__ import annotations

import numpy as np
import pytest
from tests.encrypted.attacks.chance import is_uniform, most_hits, same_distribution
from tests.encrypted.attacks.ciphertexts import (
    divide_polynomials,
    divide_residues,
    eliminate_residues,
    guess_weights,
    regress_noise,
)
from tests.encrypted.attacks.limbs import BareEvaluator, DroppingEvaluator, RerandomisingEvaluator
from tests.encrypted.attacks.networks import FILTERS, red_cnn_head
from tests.encrypted.attacks.ring import noise_of_zeros
from tests.encrypted.attacks.sums import Sums, asked, first_round

from enclair.compiler.ir.ops.convolution import PolynomialConvolution
from enclair.compiler.ir.ops.packed import dense_polynomials
from enclair.compiler.program import Program
from enclair.runtime.backends.bfv.evaluate import BfvEvaluator
from enclair.runtime.backends.bfv.keys import generate_keys
from enclair.runtime.backends.bfv.secret import BfvKeyHolder
from enclair.runtime.backends.interface import Integers

TERMS, LARGEST = 25, 2**11
WEIGHTS = np.random.default_rng(1).integers(-LARGEST, LARGEST + 1, (FILTERS, TERMS))
"""Those of 96 filters of 25 taps."""


@pytest.fixture(scope="module")
def program() -> Program:
    return red_cnn_head(12, outputs=1, kernel=1, on_tiles=True)


@pytest.fixture(scope="module")
def keys(program: Program) -> BfvKeyHolder:
    return generate_keys(program.parameters)


@pytest.fixture(scope="module")
def on_coefficients() -> tuple[Program, BfvKeyHolder]:
    """The same with one ciphertext an image, and keys for it."""
    program = red_cnn_head(12, outputs=1, kernel=1)
    return program, generate_keys(program.parameters)


@pytest.fixture(scope="module")
def image(keys: BfvKeyHolder) -> Sums:
    """25 ciphertexts of pixels."""
    return asked(keys, np.random.default_rng(2).integers(-LARGEST, LARGEST, (TERMS, keys.parameters.slots)))


@pytest.fixture(scope="module")
def zeros(keys: BfvKeyHolder) -> Sums:
    """25 ciphertexts of a black image, whatever the weights: the decrypted answers are zeros."""
    return asked(keys, np.zeros((TERMS, keys.parameters.slots), dtype=np.int64))


def test_dividing_a_bare_product_by_the_query_gives_its_weight(image: Sums) -> None:
    weights = WEIGHTS[:, :1]
    found = divide_residues(image.keys.parameters, image.query[0], image.answers(BareEvaluator, weights))
    assert (found == weights).all()


def test_dividing_an_answer_by_the_query_gives_random_numbers(image: Sums) -> None:
    weights, parameters = WEIGHTS[:, :1], image.keys.parameters
    found = divide_residues(parameters, image.query[0], image.answers(BfvEvaluator, weights))
    assert (found == weights).sum() <= most_hits(found.size, 1 / parameters.primes[0])
    assert is_uniform(found % parameters.primes[0], parameters.primes[0])


def test_dropped_primes_alone_hide_no_weight(image: Sums) -> None:
    weights, parameters = WEIGHTS[:16, :1], image.keys.parameters
    found = guess_weights(parameters, image.query[0], image.answers(DroppingEvaluator, weights), LARGEST)
    np.testing.assert_array_equal(found, weights[:, 0])
    found = guess_weights(parameters, image.query[0], image.answers(BfvEvaluator, weights), LARGEST)
    assert (found == weights[:, 0]).sum() <= most_hits(len(weights), 1 / (2 * LARGEST + 1))


def test_elimination_in_a_session_gives_all_weights_of_bare_sums(program: Program, keys: BfvKeyHolder) -> None:
    """Those of 96 filters from 25 residues of each answer, without decrypting; which tap is which is public."""
    query, answers = first_round(program, keys, BareEvaluator)
    found = eliminate_residues(keys.parameters, query, answers)
    (weights,) = (array for array in program.fixed.arrays.values() if array.shape == (FILTERS, 1, 5, 5))
    taps = {tuple(tap) for tap in weights.reshape(FILTERS, TERMS).T.tolist()}
    assert {tuple(tap) for tap in found.tolist()} == taps


def test_elimination_in_a_session_gives_random_numbers_of_answers(program: Program, keys: BfvKeyHolder) -> None:
    query, answers = first_round(program, keys, BfvEvaluator)
    prime = keys.parameters.primes[0]
    found = np.stack([eliminate_residues(keys.parameters, query, answers, start) for start in (0, 1000, 2000)])
    assert (np.abs(found) <= LARGEST).sum() <= most_hits(found.size, (2 * LARGEST + 1) / prime)
    assert is_uniform(found % prime, prime)


def test_dividing_in_a_session_gives_all_kernels_of_bare_products(
    on_coefficients: tuple[Program, BfvKeyHolder],
) -> None:
    """On coefficients an answer over its query is the filter, as a polynomial."""
    program, keys = on_coefficients
    query, answers = first_round(program, keys, BareEvaluator)
    server = program.rounds[0].server
    (node,) = (node for node in server.nodes if isinstance(node.op, PolynomialConvolution))
    kernels = dense_polynomials(*node.op.polynomials(server.constant(node.args[1])), keys.parameters.slots)
    np.testing.assert_array_equal(divide_polynomials(keys.parameters, query[0], answers), kernels[:, 0])


def test_dividing_in_a_session_gives_random_polynomials_of_answers(
    on_coefficients: tuple[Program, BfvKeyHolder],
) -> None:
    program, keys = on_coefficients
    query, answers = first_round(program, keys, BfvEvaluator)
    prime = keys.parameters.primes[0]
    found = divide_polynomials(keys.parameters, query[0], answers)
    assert (np.abs(found) <= LARGEST).sum() <= most_hits(found.size, (2 * LARGEST + 1) / prime)
    assert is_uniform(found % prime, prime)


def test_two_answers_to_an_upload_have_no_residue_in_common(image: Sums) -> None:
    first, second = (image.answers(BfvEvaluator, WEIGHTS[:8]) for _ in range(2))
    prime = image.keys.parameters.primes[0]
    assert (first == second).sum() <= most_hits(first.size, 1 / prime)
    assert is_uniform(first, prime)
    assert is_uniform((first.astype(object) - second) % prime, prime)
    np.testing.assert_array_equal(*(image.answers(BareEvaluator, WEIGHTS[:8]) for _ in range(2)))


def test_the_noise_of_bare_sums_gives_all_weights_though_zeros_are_decrypted(zeros: Sums) -> None:
    assert not zeros.decrypted(WEIGHTS[:8]).any()
    found = regress_noise(zeros.keys, zeros.query, zeros.answers(BareEvaluator, WEIGHTS[:8]))
    np.testing.assert_array_equal(np.rint(found), WEIGHTS[:8].T)


def test_fresh_masks_alone_leave_the_weights_in_the_noise(zeros: Sums) -> None:
    """32 answers to one upload: the noise of the encryptions of zero averages out."""
    repeated = np.repeat(WEIGHTS[:1], 32, axis=0)
    found = regress_noise(zeros.keys, zeros.query, zeros.answers(RerandomisingEvaluator, repeated))
    assert np.abs(found.mean(axis=1) - WEIGHTS[0]).max() < 3


def test_the_noise_of_answers_gives_nothing(zeros: Sums) -> None:
    """Estimates spread over 2^60 and more, so that one within the range of weights is less likely than 2^-20."""
    found = np.rint(regress_noise(zeros.keys, zeros.query, zeros.answers(BfvEvaluator, WEIGHTS[:8])))
    assert (np.abs(found) <= LARGEST).sum() <= most_hits(found.size, 2.0**-20)


def test_the_noise_of_answers_does_not_depend_on_the_weights(zeros: Sums) -> None:
    """Weights that are all small, and all large, on a black image."""
    small, large = np.full((4, TERMS), 1), np.full((4, TERMS), LARGEST)

    def noise(server: type[BfvEvaluator], weights: Integers) -> np.ndarray:
        return np.concatenate([noise_of_zeros(zeros.keys, cipher) for cipher in zeros.answers(server, weights)])

    assert not same_distribution(noise(BareEvaluator, small), noise(BareEvaluator, large))
    assert same_distribution(noise(BfvEvaluator, small), noise(BfvEvaluator, large))
