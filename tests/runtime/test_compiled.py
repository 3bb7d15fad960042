"""Compiled code runs from installations that cannot be written to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from enclair.runtime.limbs.compiled import INT, WORD, compiled, high_product, read


def test_high_products() -> None:
    @compiled(WORD, WORD, returns=WORD)
    def high(a: int, b: int) -> int:
        return high_product(a, b)

    for a, b in ((2**64 - 1, 2**64 - 1), (2**63, 3), (12345, 678), (0, 2**64 - 1)):
        assert high(np.uint64(a), np.uint64(b)) == a * b >> 64


def test_machine_code_that_cannot_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    real = numba.njit

    def refuse(*args: object, cache: bool, **options: object) -> object:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(*args, **options)

    monkeypatch.setattr("enclair.runtime.limbs.compiled.njit", refuse)

    @compiled(read(INT, 1), returns=INT)
    def total(numbers: np.ndarray) -> int:
        return numbers.sum()

    frozen = np.arange(4)
    frozen.setflags(write=False)
    assert total(frozen) == 6


def test_code_without_avx512(tmp_path: Path) -> None:
    """The kernel gives the same residues on a processor that has no AVX-512."""
    script = """
import numpy as np
from enclair.runtime.limbs.sums import linear_combination
x = np.random.default_rng(0).integers(0, 2**53, (6, 1, 2, 1, 64), dtype=np.uint64)
w = np.random.default_rng(1).integers(-2048, 2048, (1, 5, 6))
out = linear_combination(x, np.arange(6)[None, None], [w], np.arange(5).reshape(1, 5, 1), 5, (2**53 - 111,))
assert (out.astype(object) == np.tensordot(w[0].astype(object), x.astype(object), 1) % (2**53 - 111)).all()
"""
    environment = os.environ | {
        "NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2", "NUMBA_CACHE_DIR": str(tmp_path)
    }  # fmt: skip
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
