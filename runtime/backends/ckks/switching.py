"""Evaluation keys from OpenFHE: each is made, written at its place and released, so that one at a time is in memory.

OpenFHE's ``EvalAutomorphismKeyGen`` and ``EvalMultKeyGen`` keep every key in maps of the process. Both do nothing but
switch between two secrets by ``KeySwitchGen``, which keeps nothing: here it is told the two secrets, and may run in
several threads. For the rotation by g = 5^steps that is from s(X) to s(X^(1/g)): the key is used before the rotation.
For relinearisation it is from s^2 to s. (Tests hold the keys equal in kind to those of OpenFHE's own functions.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import openfhe
from numpy.typing import NDArray

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.key_needs import KeyNeeds
from enclair.runtime.backends.ckks.context import Context, check_small, open_context, open_transform, prove_round_trip
from enclair.runtime.backends.ckks.wire import key_rows
from enclair.runtime.backends.frames import Frame, Limbs, find_frame, find_limbs
from enclair.runtime.limbs.compiled import Words
from enclair.runtime.limbs.elementwise import reduction_constants, sum_products
from enclair.runtime.limbs.workers import parallel_map

SecretKey = Any
Ternary = NDArray[np.int64]
FIRST = np.zeros(1, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Secret:
    """A secret key.

    Args:
        context: it was made in.
        key: OpenFHE's object.
        tag: 32 hex digits.
        residues: (levels + 1, N).
    """

    context: Context
    key: SecretKey
    tag: bytes
    residues: Limbs


def make_secret(context: Context, key: SecretKey) -> Secret:
    """A secret key that OpenFHE made."""
    frame = secret_frame(context.parameters)
    return Secret(context, key, key.GetKeyTag().encode(), frame.split(openfhe.Serialize(key, openfhe.BINARY))[0])


def read_secret(context: Context, tag: bytes, residues: Limbs) -> Secret:
    """A secret key from residues (levels + 1, N), which are checked here.

    Raises:
        PayloadError: a residue is not below its prime.
    """
    frame = secret_frame(context.parameters)
    frame.check_residues(residues[None])
    return Secret(context, _read_key(frame, residues, tag), tag, residues)


@lru_cache(maxsize=32)
def secret_frame(parameters: CkksParameters) -> Frame:
    """The frame of secret keys, from a throw-away key.

    Raises:
        OpenFheError: OpenFHE does not read a secret key as it was written.
    """
    key = open_context(parameters).scheme.KeyGen().secretKey
    data, tag = openfhe.Serialize(key, openfhe.BINARY), key.GetKeyTag().encode()
    frame = find_frame("secret key", data, parameters.primes, parameters.ring_dim, 1, tag)
    prove_round_trip(
        frame,
        lambda limbs, tag: _read_key(frame, limbs, tag),
        lambda read: frame.split(openfhe.Serialize(read, openfhe.BINARY)),
    )
    return frame


def write_evaluation_keys(secret: Secret, needs: KeyNeeds, out: Sequence[Words]) -> None:
    """Make the keys and pack each to its words (words,): relinearisation first, then rotations by steps."""
    rotations: list[int | None] = [*needs.rotations]
    jobs = [None] * needs.relinearise + rotations
    levels, ternary = needs.key_levels(secret.context.parameters.levels), coefficients(secret)

    def work(number: int) -> None:
        _write_key(secret, _switched(secret, ternary, jobs[number]), levels[number], out[number])

    parallel_map(work, range(len(jobs)))


def coefficients(secret: Secret) -> Ternary:
    """The coefficients (N,) of a secret key, each -1, 0 or 1.

    Raises:
        OpenFheError: it has others.
    """
    return check_small(secret.context.parameters.primes, secret.residues, 2)


def rotated(coefficients: Ternary, element: int) -> Ternary:
    """The coefficients (N,) of s(X^element)."""
    ring_dim = coefficients.size
    exponents = np.arange(ring_dim, dtype=np.int64) * element % (2 * ring_dim)
    out = np.empty_like(coefficients)
    out[exponents % ring_dim] = np.where(exponents < ring_dim, coefficients, -coefficients)
    return out


def _switched(secret: Secret, ternary: Ternary, steps: int | None) -> Any:
    """OpenFHE's key for a rotation by steps, or for relinearisation."""
    scheme, parameters = secret.context.scheme, secret.context.parameters
    if steps is None:
        return scheme.KeySwitchGen(_as_key(secret, _squares(parameters, secret.residues)), secret.key)
    order = 2 * parameters.ring_dim
    before = rotated(ternary, pow(5, -steps, order))
    return scheme.KeySwitchGen(secret.key, _as_key(secret, _residues(parameters, before)))


def _write_key(secret: Secret, key: Any, level: int, out: Words) -> None:
    """What a level takes of a key.

    OpenFHE writes the second parts of all digits, then the first; on the wire each digit has its two together.
    """
    parameters = secret.context.parameters
    made, rows = key_rows(parameters, parameters.levels), key_rows(parameters, level)
    data = openfhe.Serialize(key, openfhe.BINARY)
    places = find_limbs(made.kind, data, made.primes, made.ring_dim, made.polynomials)
    by_place = np.array(places).reshape(2, parameters.digits, len(made.primes))
    limbs = [*range(level + 1), *range(parameters.levels + 1, len(made.primes))]
    taken = by_place[::-1, : parameters.digits_at(level), limbs].swapaxes(0, 1)
    for number, place in enumerate(taken.flat):
        row = np.frombuffer(data, dtype="<u8", count=rows.ring_dim, offset=place)
        rows.write(number, np.require(row, np.uint64, "A"), out)


def _as_key(secret: Secret, residues: Limbs) -> SecretKey:
    return _read_key(secret_frame(secret.context.parameters), residues, secret.tag)


def _read_key(frame: Frame, residues: Limbs, tag: bytes) -> SecretKey:
    return openfhe.DeserializePrivateKeyString(frame.join(residues, tag), openfhe.BINARY)


def _residues(parameters: CkksParameters, ternary: Ternary) -> Limbs:
    """(levels + 1, N) in OpenFHE's order."""
    rows = [
        open_transform(prime, parameters.ring_dim).values((ternary % prime).astype(np.uint64)[None])[0]
        for prime in parameters.primes
    ]
    return np.stack(rows)


def _squares(parameters: CkksParameters, residues: Limbs) -> Limbs:
    out, constants = np.empty_like(residues), reduction_constants(parameters.primes)
    x = np.ascontiguousarray(residues)[None]
    for limb in range(len(residues)):
        sum_products(x, limb, FIRST, x, limb, FIRST, constants[limb], out[limb])
    return out
