"""Keys made once for all runtime tests."""

from __future__ import annotations

import pytest
from tests.runtime.programs import SMALL, SMALL_CRT

from enclair.runtime.backends.bfv.evaluate import BfvEvaluator
from enclair.runtime.backends.bfv.keys import generate_keys
from enclair.runtime.backends.bfv.secret import BfvKeyHolder


@pytest.fixture(scope="session")
def keys() -> BfvKeyHolder:
    return generate_keys(SMALL)


@pytest.fixture(scope="session")
def evaluator(keys: BfvKeyHolder) -> BfvEvaluator:
    return BfvEvaluator(SMALL, keys.public_key())


@pytest.fixture(scope="session")
def crt_keys() -> BfvKeyHolder:
    return generate_keys(SMALL_CRT)


@pytest.fixture(scope="session")
def crt_evaluator(crt_keys: BfvKeyHolder) -> BfvEvaluator:
    return BfvEvaluator(SMALL_CRT, crt_keys.public_key())
