"""What a client that keeps to the protocol learns from what it decrypts: the weights, after the stated queries."""

from __future__ import annotations

import numpy as np
import pytest
from tests.encrypted.attacks.equations import Solution, solve_convolution
from tests.encrypted.attacks.networks import FILTERS, KERNEL, layer, noise_image, red_cnn_head
from tests.encrypted.attacks.observation import Seen, query

from enclair.compiler.program import Program
from enclair.compiler.report import inspect
from enclair.compiler.report.model import Exposure
from enclair.compiler.report.systems import System
from enclair.runtime.backends.bfv.keys import generate_keys

FIRST, SECOND = 0, 1
"""The layers, each a round of its own."""


@pytest.fixture(scope="module")
def program() -> Program:
    return red_cnn_head(32)


@pytest.fixture(scope="module")
def queries(program: Program) -> list[list[Seen]]:
    """Two sessions under one key."""
    keys = generate_keys(program.parameters)
    return [query(program, keys, noise_image(32, seed)) for seed in (10, 11)]


def solved(queries: list[list[Seen]], number: int, kernel: int, pad: int) -> Solution:
    seen = [rounds[number] for rounds in queries]
    return solve_convolution([s.sent for s in seen], [s.received for s in seen], kernel, pad)


def assert_exact(solution: Solution, program: Program, number: int) -> None:
    weights, biases = layer(program, number)
    assert solution.unique
    np.testing.assert_array_equal(solution.weights, weights)
    np.testing.assert_array_equal(solution.biases, biases)


def claim(program: Program, number: int) -> Exposure:
    return inspect(program).exposures[number]


def test_a_program_of_128_bit_security_is_attacked(program: Program) -> None:
    assert program.parameters.secure
    assert layer(program, FIRST)[0].shape == (FILTERS, 1, KERNEL, KERNEL)


def test_one_image_gives_all_filters_of_the_first_layer(program: Program, queries: list[list[Seen]]) -> None:
    assert claim(program, FIRST).queries == 1
    assert_exact(solved(queries[:1], FIRST, KERNEL, 0), program, FIRST)


def test_the_layer_behind_takes_the_two_queries_that_the_report_says(
    program: Program, queries: list[list[Seen]]
) -> None:
    said = claim(program, SECOND)
    assert (said.queries, said.systems) == (2, (System(865, 784, 2, 4),))
    assert_exact(solved(queries, SECOND, 3, 1), program, SECOND)
    too_early = solved(queries[:1], SECOND, 3, 1)
    assert not too_early.unique
    assert (too_early.weights != layer(program, SECOND)[0]).mean() > 0.9


def test_one_equation_too_few_protects_a_filter_for_one_query() -> None:
    """25 pixels, and 25 weights and a bias."""
    program = red_cnn_head(5, pad=2, outputs=1, kernel=1)
    said = claim(program, FIRST)
    assert (said.queries, said.systems) == (2, (System(26, 25, 2, FILTERS),))
    keys = generate_keys(program.parameters)
    queries = [query(program, keys, noise_image(5, seed)) for seed in (10, 11)]
    too_early = solved(queries[:1], FIRST, KERNEL, 2)
    assert not too_early.unique
    assert (too_early.weights != layer(program, FIRST)[0]).mean() > 0.9
    assert_exact(solved(queries, FIRST, KERNEL, 2), program, FIRST)


@pytest.mark.slow
def test_the_published_second_layer_takes_four_queries() -> None:
    """96 channels into each filter of 5x5: 2401 unknowns in 784 pixels. Four of the 96 filters stand for all."""
    program = red_cnn_head(32, outputs=4, kernel=KERNEL)
    said = claim(program, SECOND)
    assert (said.queries, said.systems) == (4, (System(2401, 784, 4, 4),))
    keys = generate_keys(program.parameters)
    queries = [query(program, keys, noise_image(32, seed)) for seed in range(10, 14)]
    assert not solved(queries[:3], SECOND, KERNEL, 2).unique
    assert_exact(solved(queries, SECOND, KERNEL, 2), program, SECOND)
