"""A client for tests: secrets, keys, encryption and decryption by big integers, apart from the code under test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from enclair.compiler.parameters import largest_prime
from enclair.runtime.backends.ckks.ciphers import Ciphers
from enclair.runtime.backends.ckks.evaluate import CkksEvaluator
from enclair.runtime.limbs.ntt import Transform, smallest_root
from enclair.runtime.rns import encoding
from enclair.runtime.rns.keys import EvaluationKeys


@dataclass(frozen=True)
class Parameters:
    ring_dim: int
    primes: tuple[int, ...]
    special_primes: tuple[int, ...]
    digit_size: int


def parameters(ring_dim: int, bits: list[int], digit_size: int) -> Parameters:
    primes: list[int] = []
    for width in bits:
        bound = 2**width
        while (prime := largest_prime(bound, ring_dim)) in primes:
            bound = prime
        primes.append(prime)
    largest = max(math.prod(primes[i : i + digit_size]) for i in range(0, len(primes), digit_size))
    special: list[int] = []
    while math.prod(special) < largest:
        special.append(largest_prime(special[-1] if special else 2**60, ring_dim))
    return Parameters(ring_dim, tuple(primes), tuple(special), digit_size)


class Client:
    def __init__(self, parameters: Parameters, seed: int = 1) -> None:
        self.parameters = parameters
        self.rng = np.random.default_rng(seed)
        n = parameters.ring_dim
        self.transforms = [
            Transform(p, n, smallest_root(p, n)) for p in (*parameters.primes, *parameters.special_primes)
        ]
        self.secret = self.rng.integers(-1, 2, n)

    @property
    def slots(self) -> int:
        return self.parameters.ring_dim // 2

    def values(self, coefficients: np.ndarray, transform: Transform) -> np.ndarray:
        residues = np.array([int(c) % transform.prime for c in coefficients.tolist()], dtype=np.uint64)
        return transform.values(residues[None])[0].astype(object)

    def noise(self) -> np.ndarray:
        return np.rint(self.rng.normal(0, 3.2, self.parameters.ring_dim)).astype(np.int64)

    def uniform(self, prime: int) -> np.ndarray:
        return self.rng.integers(0, prime, self.parameters.ring_dim).astype(object)

    def turned(self, coefficients: np.ndarray, element: int) -> np.ndarray:
        """p(X^element)."""
        n = self.parameters.ring_dim
        out = np.zeros(n, dtype=np.int64)
        for i, c in enumerate(coefficients.tolist()):
            place = i * element % (2 * n)
            out[place % n] += c if place < n else -c
        return out

    def key(self, source: list[np.ndarray], under: np.ndarray) -> np.ndarray:
        """From a secret, given by its values modulo each prime of Q."""
        p = self.parameters
        whole = math.prod(p.special_primes)
        digits = -(-len(p.primes) // p.digit_size)
        out = np.empty((digits, 2, len(self.transforms), p.ring_dim), dtype=np.uint64)
        for digit in range(digits):
            noise = self.noise()
            for limb, t in enumerate(self.transforms):
                a = self.uniform(t.prime)
                b = self.values(noise, t) - a * self.values(under, t)
                if limb // p.digit_size == digit and limb < len(p.primes):
                    b = b + whole * source[limb]
                out[digit, 0, limb], out[digit, 1, limb] = (b % t.prime).astype(np.uint64), a.astype(np.uint64)
        return out

    def keys(self, rotations: list[int]) -> EvaluationKeys:
        n, primes = self.parameters.ring_dim, len(self.parameters.primes)
        secret = [self.values(self.secret, t) for t in self.transforms[:primes]]
        squares = [s * s % t.prime for s, t in zip(secret, self.transforms, strict=False)]
        made = {r: self.key(secret, self.turned(self.secret, pow(5, -r, 2 * n))) for r in rotations}
        return EvaluationKeys(self.key(squares, self.secret), made, "0" * 32)

    def encrypt(self, slots: np.ndarray, level: int, scale: float) -> list[np.ndarray]:
        out = []
        for row in slots:
            message = np.rint(encoding.coefficients(row) * scale) + self.noise()
            words = np.empty((2, level + 1, self.parameters.ring_dim), dtype=np.uint64)
            for limb, t in enumerate(self.transforms[: level + 1]):
                a = self.uniform(t.prime)
                b = (self.values(message, t) - a * self.values(self.secret, t)) % t.prime
                words[0, limb], words[1, limb] = b.astype(np.uint64), a.astype(np.uint64)
            out.append(words)
        return out

    def decrypt(self, evaluator: CkksEvaluator, x: Ciphers) -> np.ndarray:
        return np.stack([self.decode(words, x.scale) for words in evaluator.to_words(x)])

    def coefficients(self, words: np.ndarray) -> list[int]:
        """The plaintext of residues (parts, limbs, N), centred modulo their primes' product."""
        transforms = self.transforms[: words.shape[1]]
        whole, total = math.prod(t.prime for t in transforms), np.zeros(words.shape[2], dtype=object)
        for limb, t in enumerate(transforms):
            secret, value, power = self.values(self.secret, t), 0, 1
            for part in words[:, limb].astype(object):
                value, power = (value + part * power) % t.prime, power * secret % t.prime
            residues = t.coefficients(value.astype(np.uint64)[None])[0].astype(object)
            other = whole // t.prime
            total = total + residues * (other * pow(other, -1, t.prime))
        total = total % whole
        return [int(c) - whole if c > whole // 2 else int(c) for c in total]

    def decode(self, words: np.ndarray, scale: float) -> np.ndarray:
        return encoding.slots(np.array([float(c) for c in self.coefficients(words)]) / scale).real
