"""The attacks' own tools: they compute what they say, and their bounds can be passed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.encrypted.attacks.chance import is_uniform, most_hits, most_wins, same_distribution
from tests.encrypted.attacks.limbs import of_upload
from tests.encrypted.attacks.modular import solve_modular
from tests.encrypted.attacks.ring import coefficients, noise_of_zeros
from tests.runtime.bfv import algebra
from tests.runtime.programs import SMALL

from enclair.runtime.backends.bfv.keys import generate_keys

PRIME = 2**61 - 1
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "attacks.py"


def test_linear_equations_are_solved_modulo_a_prime() -> None:
    random = np.random.default_rng(0)
    matrix, solution = (random.integers(0, PRIME, shape).astype(object) for shape in ((9, 9), (9, 3)))
    matrix[0, 0] = 0
    np.testing.assert_array_equal(solve_modular(matrix, matrix @ solution % PRIME, PRIME), solution)


def test_equations_without_one_solution_are_refused() -> None:
    with pytest.raises(ZeroDivisionError, match="the matrix is singular modulo 7: take other equations"):
        solve_modular(np.array([[1, 2], [8, 9]], dtype=object), np.ones((2, 1), dtype=object), 7)


def test_coefficients_are_those_of_the_slow_transform() -> None:
    keys = generate_keys(SMALL)
    limbs = of_upload(keys.parameters, keys.encrypt(np.zeros((1, 64), dtype=np.int64)), 1)[0, 0]
    assert coefficients(SMALL, limbs[1]).tolist() == algebra.coefficients(SMALL, limbs[1])
    assert np.abs(noise_of_zeros(keys, limbs)).max() == algebra.noise_of(keys, limbs)


def test_what_is_not_uniform_is_found() -> None:
    residues = np.random.default_rng(0).integers(0, PRIME, 100_000)
    assert is_uniform(residues, PRIME)
    assert not is_uniform(residues, PRIME + PRIME // 20)
    assert not is_uniform(residues.astype(object) ** 2 // PRIME, PRIME)


def test_two_distributions_are_told_apart() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 10_000))
    assert same_distribution(first, second)
    assert not same_distribution(first, second * 1.3)


@pytest.mark.parametrize("games", [30, 100, 1000])
def test_luck_wins_no_more_than_the_bound_but_for_one_run_in_a_billion(games: int) -> None:
    assert games / 2 < most_wins(games) < games
    assert most_wins(games) == most_hits(games, 0.5)
    assert most_hits(games, 2.0**-60) == 0


def test_the_benchmark_refuses_too_few_pairs() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--pairs", "20"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--pairs must be at least 300, or luck could win every game; got 20" in done.stderr
