"""Parameters of the CKKS scheme: its primes, which choices are secure, and the scale of each level.

OpenFHE makes the keys, so the primes are those that it picks (scaling technique FIXEDMANUAL, key switching HYBRID), and
what it would refuse is refused here: parameters that were chosen never fail later. A test holds both equal.

Sources: Cheon, Kim, Kim and Song, eprint 2016/421 (the scheme); Cheon, Han, Kim, Kim and Song, eprint 2018/931 (its RNS
variant); Han and Ki, eprint 2019/688 (hybrid key switching); the security table is the one of the Homomorphic
Encryption Standard (2018), table 1, as OpenFHE carries it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from itertools import accumulate
from typing import Any, TypeAlias

from enclair.compiler.parameters import (
    INSECURE,
    MAX_MODULUS_BITS,
    SECURE,
    BfvParameters,
    ParameterError,
    largest_prime,
    smallest_prime,
)

SCHEME = "CKKS"
MAX_PRIME_BITS = 50
"""Primes of Q stay below 2^50: the server computes with their residues as float64."""

MIN_SCALE_BITS = 20
MAX_RING_DIM = max(MAX_MODULUS_BITS)
SPECIAL_PRIME_BITS = 60
SPECIAL_MARGIN_BITS = 4
"""OpenFHE makes P at least so many bits longer than the longest digit."""

MAX_LEVELS = 48
"""Each level doubles the rounding of the canonical scales; after 48 it is a 32nd of them at most."""

TAG_BYTES = 32
"""Of the tag that stands before a public key on the wire."""


@dataclass(frozen=True, slots=True)
class CkksParameters:
    """One choice of the CKKS scheme; checked when made.

    Args:
        ring_dim: N, a power of two; a ciphertext has N/2 slots of real numbers.
        levels: L, how many times a fresh ciphertext can be rescaled; Q has L + 1 primes.
        scale_bits: a scale is about 2^scale_bits, and so are the primes that rescaling drops.
        first_bits: bits of the prime that is left at level 0. A value v fits there while |v| < 2^(first_bits -
            scale_bits - 1).
        digits: parts into which key switching cuts the primes of Q.
        security: ``HEStd_128_classic``, or ``INSECURE_FOR_TESTS``, which servers refuse unless told otherwise.

    Raises:
        ParameterError: see ``check``.
    """

    ring_dim: int
    levels: int
    scale_bits: int
    first_bits: int
    digits: int
    security: str = SECURE

    def __post_init__(self) -> None:
        check(self)

    @property
    def slots(self) -> int:
        """Real numbers in one ciphertext."""
        return self.ring_dim // 2

    @property
    def primes(self) -> tuple[int, ...]:
        """q_0 ... q_L; a ciphertext of level l has the limbs of q_0 ... q_l."""
        return ciphertext_primes(self.ring_dim, self.levels, self.scale_bits, self.first_bits)

    @property
    def special_primes(self) -> tuple[int, ...]:
        """The primes of P, by which key switching scales."""
        return special_primes(self.ring_dim, special_count(max(digit_bits(self))), self.primes)

    @property
    def digit_size(self) -> int:
        """Primes in a digit; the last digit may have fewer."""
        return -(-(self.levels + 1) // self.digits)

    @property
    def scales(self) -> tuple[float, ...]:
        """The canonical scale of each level, from level 0 on; see ``canonical_scales``."""
        return canonical_scales(self.primes, self.scale_bits)

    @property
    def secure(self) -> bool:
        """Whether the security table vouches for these parameters."""
        return self.security == SECURE

    @property
    def key_bytes(self) -> int:
        """Bytes of one evaluation key (of a rotation, or of relinearisation) for all levels on the wire."""
        return self.key_bytes_at(self.levels)

    def key_bytes_at(self, level: int) -> int:
        """Bytes of one evaluation key that serves this level and lower ones on the wire."""
        primes = self.primes[: level + 1] + self.special_primes
        return self.digits_at(level) * packed_bytes(self.ring_dim, primes)

    def digits_at(self, level: int) -> int:
        """Into how many digits key switching cuts a ciphertext of a level."""
        return -(-(level + 1) // self.digit_size)

    @property
    def public_key_bytes(self) -> int:
        """Bytes of the public key on the wire, without the evaluation keys."""
        return TAG_BYTES + self.ciphertext_bytes(self.levels)

    def ciphertext_bytes(self, level: int, parts: int = 2) -> int:
        """Bytes of one ciphertext of a level on the wire; ``parts`` is 3 before relinearisation."""
        return packed_bytes(self.ring_dim, self.primes[: level + 1], parts)

    def room(self, level: int, scale: float) -> float:
        """Values at a level and scale must be below this, or they wrap around the modulus; at most about 2^960."""
        bits = sum(math.log2(prime) for prime in self.primes[: level + 1])
        return float(2.0 ** min(bits - 1 - math.log2(scale), 960.0))

    def digest(self) -> str:
        """sha256 (hex) of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        return json.dumps({"scheme": SCHEME, **asdict(self)}, sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> CkksParameters:
        """Read what ``to_json`` wrote, and nothing else.

        Raises:
            ParameterError: not JSON, a key missing or unknown, a wrong type, or parameters that ``check`` refuses.
        """
        return CkksParameters(**_read_fields(_read_object(text)))


Parameters: TypeAlias = BfvParameters | CkksParameters


def bfv_parameters(parameters: Parameters) -> BfvParameters:
    """The parameters, once they are known to be of BFV.

    Raises:
        ParameterError: they are of CKKS.
    """
    if not isinstance(parameters, BfvParameters):
        raise ParameterError(f"this needs a program of split mode, on BFV; got one on {SCHEME}")
    return parameters


def parameters_from_json(text: str) -> Parameters:
    """Read the parameters of either scheme.

    Raises:
        ParameterError: as ``from_json`` of the scheme.
    """
    return CkksParameters.from_json(text) if "scheme" in _read_object(text) else BfvParameters.from_json(text)


def check(parameters: CkksParameters) -> None:
    """Refuse parameters that are insecure, that OpenFHE refuses, or that the server cannot compute with.

    Raises:
        ParameterError: says which field, what is needed and what came.
    """
    _check_fields(parameters)
    _check_digits(parameters)
    bits = max(modulus_bits(parameters), _expected_modulus_bits(parameters))
    if parameters.secure:
        _check_security(parameters, bits)


def fitting_parameters(
    ring_dim: int, levels: int, scale_bits: int, first_bits: int, security: str = SECURE
) -> Iterator[CkksParameters]:
    """All that a ring holds, the fewest digits first."""
    for digits in range(1, levels + 2):
        if is_even_cut(levels + 1, digits):
            try:
                yield CkksParameters(ring_dim, levels, scale_bits, first_bits, digits, security)
            except ParameterError:
                continue


def is_even_cut(primes: int, digits: int) -> bool:
    """Whether so many primes make so many digits, when all but the last are equally long and none is empty."""
    return 1 <= digits <= primes and primes > -(-primes // digits) * (digits - 1)


def modulus_bits(parameters: CkksParameters) -> int:
    """Bits of Q P, which the security table limits."""
    return math.prod(parameters.primes + parameters.special_primes).bit_length()


def digit_bits(parameters: CkksParameters) -> tuple[int, ...]:
    """Bits of the product of each digit's primes."""
    primes, size = parameters.primes, parameters.digit_size
    return tuple(math.prod(primes[at : at + size]).bit_length() for at in range(0, len(primes), size))


def special_count(longest_digit_bits: int) -> int:
    """How many special primes OpenFHE takes for digits of so many bits."""
    return math.ceil((longest_digit_bits + SPECIAL_MARGIN_BITS) / SPECIAL_PRIME_BITS)


def packed_bytes(ring_dim: int, primes: tuple[int, ...], polynomials: int = 2) -> int:
    """Bytes of polynomials (2 of a ciphertext) whose residues are packed, prime by prime, in words of 64 bits."""
    return polynomials * sum(8 * -(-ring_dim * prime.bit_length() // 64) for prime in primes)


@lru_cache(maxsize=256)
def canonical_scales(primes: tuple[int, ...], scale_bits: int) -> tuple[float, ...]:
    """The scale of each level: ``scales[l - 1] == scales[l] ** 2 / primes[l]``, so that squares fit their level.

    Going down, the recurrence doubles a relative deviation at each level: from 2^scale_bits at the top, scales of
    20 levels would be anything. Going up it halves them: the top is chosen so that level 0 has 2^scale_bits, and every
    level deviates as little as its primes do.
    """
    top = float(scale_bits)
    for prime in primes[1:]:
        top = (top + math.log2(prime)) / 2
    down = accumulate(primes[:0:-1], lambda scale, prime: scale * scale / prime, initial=2.0**top)
    return tuple(down)[::-1]


@lru_cache(maxsize=256)
def ciphertext_primes(ring_dim: int, levels: int, scale_bits: int, first_bits: int) -> tuple[int, ...]:
    """The primes q_0 ... q_L as OpenFHE picks them, all 1 modulo 2N.

    q_L is the first one above 2^scale_bits; q_(L-1), q_(L-2), ... are the next below and the next above it in turn.
    q_0 is the last one below 2^first_bits, or, when that is taken or has scale_bits too, the next above all others.

    Raises:
        ParameterError: there are not so many primes of that size.
    """
    above = below = smallest_prime(2**scale_bits, ring_dim)
    others = [above]
    for number in range(levels - 1):
        if number % 2:
            above = smallest_prime(above + 1, ring_dim)
        else:
            below = largest_prime(below, ring_dim)
        others.append(above if number % 2 else below)
    first = largest_prime(2**first_bits, ring_dim)
    if first_bits == scale_bits or first in others:
        first = smallest_prime(max(others) + 1, ring_dim)
    return (first, *reversed(others))


@lru_cache(maxsize=256)
def special_primes(ring_dim: int, count: int, taken: tuple[int, ...]) -> tuple[int, ...]:
    """The largest primes below 2^60 that are 1 modulo 2N and not taken, downwards, as OpenFHE picks them."""
    found: list[int] = []
    bound = 2**SPECIAL_PRIME_BITS
    while len(found) < count:
        bound = largest_prime(bound, ring_dim)
        if bound not in taken:
            found.append(bound)
    return tuple(found)


def _check_fields(parameters: CkksParameters) -> None:
    ring_dim, levels = parameters.ring_dim, parameters.levels
    if not 16 <= ring_dim <= MAX_RING_DIM or ring_dim & (ring_dim - 1):
        raise ParameterError(f"ring_dim must be a power of two from 16 to {MAX_RING_DIM}, got {ring_dim}")
    if not 1 <= levels <= MAX_LEVELS:
        raise ParameterError(f"levels must be 1 to {MAX_LEVELS}, got {levels}")
    if not MIN_SCALE_BITS <= parameters.scale_bits < MAX_PRIME_BITS:
        raise ParameterError(
            f"scale_bits must be {MIN_SCALE_BITS} to {MAX_PRIME_BITS - 1}, got {parameters.scale_bits}"
        )
    if not parameters.scale_bits <= parameters.first_bits <= MAX_PRIME_BITS:
        raise ParameterError(
            f"first_bits must be scale_bits, {parameters.scale_bits}, to {MAX_PRIME_BITS}, got {parameters.first_bits}"
        )
    if parameters.security not in {SECURE, INSECURE}:
        raise ParameterError(f"security must be {SECURE} (or {INSECURE}), got {parameters.security!r}")


def _check_digits(parameters: CkksParameters) -> None:
    primes = parameters.levels + 1
    if not is_even_cut(primes, parameters.digits):
        choices = [digits for digits in range(1, primes + 1) if is_even_cut(primes, digits)]
        raise ParameterError(
            f"{primes} primes cannot be cut in {parameters.digits} equal digits: use one of"
            f" {', '.join(map(str, choices))}"
        )


def _check_security(parameters: CkksParameters, bits: int) -> None:
    most = MAX_MODULUS_BITS.get(parameters.ring_dim, 0)
    if bits > most:
        raise ParameterError(
            f"{parameters.levels} levels of {parameters.scale_bits} bits, a first prime of {parameters.first_bits}, and"
            f" {len(parameters.special_primes)} special primes of {SPECIAL_PRIME_BITS} make a modulus of {bits} bits;"
            f" 128-bit security at ring dimension {parameters.ring_dim} allows {most}: use fewer levels, more digits or"
            " a larger ring"
        )


def _expected_modulus_bits(parameters: CkksParameters) -> int:
    """The bits of Q P that OpenFHE expects, and checks, before it has the primes."""
    bits = [parameters.first_bits] + [parameters.scale_bits] * parameters.levels
    size = parameters.digit_size
    longest = max(sum(bits[at : at + size]) for at in range(0, len(bits), size))
    return _expected_bits(sum(bits)) + SPECIAL_PRIME_BITS * special_count(_expected_bits(longest))


def _expected_bits(bits: int) -> int:
    """A product of primes near powers of two may have a bit more; OpenFHE forgets that of 60."""
    return bits if bits == SPECIAL_PRIME_BITS else bits + 1


def _read_object(text: str) -> Mapping[str, Any]:
    try:
        read = json.loads(text)
    except ValueError as error:
        raise ParameterError(f"parameters must be JSON, got {text[:40]!r}: {error}") from None
    if not isinstance(read, dict):
        raise ParameterError(f"parameters must be a JSON object, got {text[:120]}")
    return read


def _read_fields(read: Mapping[str, Any]) -> dict[str, Any]:
    names = ["scheme", *(field.name for field in fields(CkksParameters))]
    if sorted(read) != sorted(names):
        raise ParameterError(f"CKKS parameters must have {', '.join(names)}, got {', '.join(map(str, read))}")
    if read["scheme"] != SCHEME:
        raise ParameterError(f"scheme must be {SCHEME}, got {read['scheme']!r}")
    values = {name: value for name, value in read.items() if name != "scheme"}
    if not isinstance(values["security"], str):
        raise ParameterError(f"security must be a string, got {values['security']!r}")
    for name, value in values.items():
        if name != "security" and type(value) is not int:
            raise ParameterError(f"{name} must be an integer, got {value!r}")
    return values
