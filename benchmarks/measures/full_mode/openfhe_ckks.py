"""The same operations by OpenFHE: what the program's counts alone would take with OpenFHE's own evaluation.

Each operation is timed at each level that the program uses, at its ring, primes and digits, one thread, and multiplied
by how often the program does it. Encoding plaintexts, additions and what an executor adds are not counted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openfhe

import enclair
from enclair.compiler.ckks_parameters import CkksParameters
from measures.full_mode.counts import (
    CIPHER,
    DECOMPOSED,
    FULL,
    HOISTED,
    PLAIN,
    RELINEARISED,
    RESCALED,
    Counts,
    count_program,
)
from measures.full_mode.files import PROGRAM

ROTATION = 1
REPEATED = 5


def limit(folder: Path) -> dict[str, Any]:
    """Milliseconds by operation and level, and the seconds of the program in a folder with them."""
    program = enclair.load(folder / PROGRAM)
    if not isinstance(program.parameters, CkksParameters):
        raise TypeError(f"OpenFHE's CKKS is timed for programs of full mode, got {program!r}")
    counts = count_program(program)
    costs = measure(program.parameters, tuple(counts))
    return {"milliseconds": costs, "seconds": seconds(counts, costs)}


def seconds(counts: Counts, costs: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """Seconds by operation."""
    kinds = {kind for level in counts.values() for kind in level}
    return {kind: sum(counts[level][kind] * costs[level][kind] for level in counts) / 1e3 for kind in sorted(kinds)}


def measure(parameters: CkksParameters, levels: tuple[int, ...]) -> dict[int, dict[str, float]]:
    """Medians in milliseconds, by level and operation; an operation that a level does not allow takes nothing."""
    scheme, keys = _open(parameters)
    values = np.random.default_rng(0).uniform(-1, 1, parameters.slots).tolist()
    fresh = scheme.Encrypt(keys.publicKey, scheme.MakeCKKSPackedPlaintext(values))
    return {level: _at_level(scheme, fresh, values, parameters.levels - level, level) for level in levels}


def _open(parameters: CkksParameters) -> tuple[Any, Any]:
    """OpenFHE's context and keys; the security was checked when the parameters were made."""
    wanted = openfhe.CCParamsCKKSRNS()
    wanted.SetSecurityLevel(openfhe.SecurityLevel.HEStd_NotSet)
    wanted.SetRingDim(parameters.ring_dim)
    wanted.SetBatchSize(parameters.slots)
    wanted.SetMultiplicativeDepth(parameters.levels)
    wanted.SetScalingModSize(parameters.scale_bits)
    wanted.SetFirstModSize(parameters.first_bits)
    wanted.SetScalingTechnique(openfhe.ScalingTechnique.FIXEDMANUAL)
    wanted.SetKeySwitchTechnique(openfhe.KeySwitchTechnique.HYBRID)
    wanted.SetNumLargeDigits(parameters.digits)
    scheme = openfhe.GenCryptoContext(wanted)
    for feature in (openfhe.PKE, openfhe.KEYSWITCH, openfhe.LEVELEDSHE):
        scheme.Enable(feature)
    keys = scheme.KeyGen()
    scheme.EvalMultKeyGen(keys.secretKey)
    scheme.EvalRotateKeyGen(keys.secretKey, [ROTATION])
    return scheme, keys


def _at_level(scheme: Any, fresh: Any, values: list[float], dropped: int, level: int) -> dict[str, float]:
    x = scheme.LevelReduce(fresh, None, dropped) if dropped else fresh
    plaintext = scheme.MakeCKKSPackedPlaintext(values, 1, dropped)
    product = scheme.EvalMultNoRelin(x, x)
    order, digits = 2 * scheme.GetRingDimension(), scheme.EvalFastRotationPrecompute(x)
    works: dict[str, Callable[[], Any]] = {
        HOISTED: lambda: scheme.EvalFastRotation(x, ROTATION, order, digits),
        FULL: lambda: scheme.EvalRotate(x, ROTATION),
        DECOMPOSED: lambda: scheme.EvalFastRotationPrecompute(x),
        PLAIN: lambda: scheme.EvalMult(x, plaintext),
        CIPHER: lambda: scheme.EvalMultNoRelin(x, x),
        RELINEARISED: lambda: scheme.Relinearize(product),
    }
    found = {kind: _milliseconds(work) for kind, work in works.items()}
    return {**found, RESCALED: _milliseconds(lambda: scheme.Rescale(product)) if level else 0.0}


def _milliseconds(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(REPEATED):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return 1e3 * statistics.median(times)
