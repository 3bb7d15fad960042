"""What obfuscation does not stop: on ciphertexts, the filters up to their order, the factors, sessions linked."""

from __future__ import annotations

import numpy as np
import pytest
from tests.encrypted.attacks.equations import solve_convolution
from tests.encrypted.attacks.networks import FILTERS, KERNEL, layer, noise_image, red_cnn_head
from tests.encrypted.attacks.obfuscation import Answer, linked, obfuscated_query, rows_of, sorted_filters
from tests.encrypted.attacks.observation import Seen

from enclair.compiler.obfuscation import SplitPoint, analyse
from enclair.compiler.program import Program
from enclair.runtime.backends.bfv.keys import generate_keys
from enclair.runtime.session import Session

Query = tuple[Answer, list[Seen]]


@pytest.fixture(scope="module")
def program() -> Program:
    return red_cnn_head(32)


@pytest.fixture(scope="module")
def queries(program: Program) -> list[Query]:
    """Two sessions under one key, with permutations and factors."""
    keys = generate_keys(program.parameters)
    return [obfuscated_query(program, keys, noise_image(32, seed)) for seed in (10, 11)]


@pytest.fixture(scope="module")
def point(program: Program) -> SplitPoint:
    return analyse(program).points[0]


def test_the_first_layer_is_obfuscated(program: Program, queries: list[Query], point: SplitPoint) -> None:
    assert point.channels == FILTERS
    weights, biases = layer(program, 0)
    orders = []
    for answer, rounds in queries:
        assert answer.factors.max() <= point.largest_factor
        solution = solve_convolution([rounds[0].sent], [rounds[0].received], KERNEL, 0)
        rows = rows_of(solution.weights, solution.biases).tolist()
        orders.append([rows.index(row) for row in rows_of(weights, biases).tolist()])
    assert orders[0] != orders[1]
    assert list(range(FILTERS)) not in orders


def test_one_image_gives_all_filters_up_to_their_order(program: Program, queries: list[Query]) -> None:
    rounds = queries[0][1]
    solution = solve_convolution([rounds[0].sent], [rounds[0].received], KERNEL, 0)
    assert solution.unique
    wanted = rows_of(*layer(program, 0))
    np.testing.assert_array_equal(sorted_filters(solution)[0], wanted[np.lexsort(wanted.T[::-1])])


def test_one_image_gives_all_factors(queries: list[Query], point: SplitPoint) -> None:
    for answer, _ in queries:
        np.testing.assert_array_equal(answer.divisors(), answer.factors)
        assert len(set(answer.factors.tolist())) > 1
        assert 1 < answer.factors.max() <= point.largest_factor


def test_filters_link_sessions_and_give_the_layer_behind(program: Program, queries: list[Query]) -> None:
    """Its 865 unknowns take two queries of 784 equations, whose channels stand in two orders."""
    solution = linked([rounds for _, rounds in queries], 0, KERNEL)
    assert solution.unique
    first = rows_of(*layer(program, 0))
    weights, biases = layer(program, 1)
    np.testing.assert_array_equal(solution.weights, weights[:, np.lexsort(first.T[::-1])])
    np.testing.assert_array_equal(solution.biases, biases)


def test_encrypted_outputs_stay_as_they_are(program: Program) -> None:
    inputs = noise_image(32, 12)
    plain = Session(program, "clear").run(inputs).outputs
    hidden = Session(program, "bfv", obfuscate=("permute", "scale")).run(inputs).outputs
    for name, array in plain.items():
        np.testing.assert_array_equal(hidden[name], array)
