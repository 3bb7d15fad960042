"""Parameters of the BFV scheme: which are secure, which decrypt right, and how much noise they hold.

The noise of a ciphertext is the error of its phase ``c0 + c1 s = (Q/t) m + noise``. Decryption is right while ``|noise|
< Q / 2t``; beyond, it fails without a word, so everything here is a bound and not an estimate of the usual case. Noise
is counted in bits.

Sources: Fan and Vercauteren, eprint 2012/144; Halevi, Polyakov and Shoup, eprint 2018/117 (the RNS variant); the
security table is the one of the Homomorphic Encryption Standard (2018), table 1, as OpenFHE carries it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any

from enclair.compiler.ir.errors import EnclairError

SECURE = "HEStd_128_classic"
INSECURE = "INSECURE_FOR_TESTS"

MAX_MODULUS_BITS: Mapping[int, int] = {4096: 109, 8192: 218, 16384: 438, 32768: 881, 65536: 1747, 131072: 3523}
"""Ring dimension -> the most bits the modulus may have for 128-bit security against classical attacks, ternary
secrets.
"""

MODULUS_CHOICES: tuple[tuple[int, int, int], ...] = (
    (4096, 2, 54),
    (8192, 2, 60),
    (8192, 3, 60),
    (16384, 4, 60),
    (16384, 5, 60),
    (16384, 6, 60),
)
"""(ring dimension, limbs, bits of a prime) to choose from, cheapest first."""

MAX_PLAINTEXT_BITS = 50
"""OpenFHE decrypts garbage from 52 bits on, and now and then at 51."""

MAX_CRT_BITS = 62
ERROR_SIGMA = 3.19
TAIL_SIGMAS = 12
"""OpenFHE's sampler never exceeds 12 standard deviations; sums of many samples exceed them with probability 2^-105."""

FLOOD_HEADROOM_BITS = 3
"""The flooding noise may take an eighth of Q/t: with the rounding of dropped primes it stays below the half that
decryption allows.
"""


class ParameterError(EnclairError):
    """Parameters that are insecure, would decrypt wrongly, or are not well formed."""


@dataclass(frozen=True, slots=True)
class BfvParameters:
    """One choice of the BFV scheme; checked when made.

    Args:
        ring_dim: N, a power of two; a ciphertext has as many slots.
        limbs: number of primes of the ciphertext modulus Q.
        prime_bits: bits of each of them.
        plaintext_moduli: t, or two of them when results need more bits than one can hold (Chinese remainders). Primes,
            1 modulo 2N.
        flood_bits: how many bits the flooding noise of an answer is above the noise it hides.
        security: ``HEStd_128_classic``, or ``INSECURE_FOR_TESTS``, which servers refuse unless told otherwise.

    Raises:
        ParameterError: see ``check``.
    """

    ring_dim: int
    limbs: int
    prime_bits: int
    plaintext_moduli: tuple[int, ...]
    flood_bits: int = 40
    security: str = SECURE

    def __post_init__(self) -> None:
        check(self)

    @property
    def slots(self) -> int:
        """Integers in one ciphertext."""
        return self.ring_dim

    @property
    def modulus(self) -> int:
        """The modulus of the results: the product of the plaintext moduli."""
        return math.prod(self.plaintext_moduli)

    @property
    def largest_value(self) -> int:
        """The largest magnitude a slot can hold: values lie in [-largest_value, largest_value]."""
        return (self.modulus - 1) // 2

    @property
    def primes(self) -> tuple[int, ...]:
        """The primes of Q, in OpenFHE's order."""
        return ciphertext_primes(self.ring_dim, self.limbs, self.prime_bits)

    @property
    def ciphertext_bytes(self) -> int:
        """Bytes of one ciphertext on the wire."""
        return self.limbs * self.answer_bytes

    @property
    def answer_bytes(self) -> int:
        """Bytes of one answer on the wire: one limb is left. Residues are packed in words of 64 bits."""
        return len(self.plaintext_moduli) * 2 * 8 * math.ceil(self.ring_dim * self.prime_bits / 64)

    @property
    def secure(self) -> bool:
        """Whether the security table vouches for these parameters."""
        return self.security == SECURE

    def digest(self) -> str:
        """sha256 (hex) of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> BfvParameters:
        """Read what ``to_json`` wrote, and nothing else.

        Raises:
            ParameterError: not JSON, a key missing or unknown, a wrong type, or parameters that ``check`` refuses.
        """
        return BfvParameters(**_read_fields(text))


def check(parameters: BfvParameters) -> None:
    """Refuse parameters that are insecure or would decrypt wrongly.

    Raises:
        ParameterError: says which field, what is needed and what came.
    """
    _check_ring(parameters)
    _check_security(parameters)
    _check_plaintext_moduli(parameters)
    if answer_headroom(parameters) < 0:
        t_bits = max(parameters.plaintext_moduli).bit_length()
        most = max_plaintext_bits(parameters.ring_dim, parameters.prime_bits)
        raise ParameterError(
            f"an answer of one {parameters.prime_bits}-bit prime holds plaintext moduli up to {most} bits at ring"
            " dimension"
            f" {parameters.ring_dim}, got {t_bits} bits: use a smaller modulus, or two"
        )


def fresh_noise_bits() -> float:
    """Bound of the noise of an upload, encrypted under the secret key: one error of the Gaussian, and the rounding of
    Q/t m.
    """
    return math.log2(TAIL_SIGMAS * ERROR_SIGMA + 1)


def zero_noise_bits(ring_dim: int) -> float:
    """Bound of the noise of a fresh encryption under the public key: e u + e0 + e1 s with ternary u, s."""
    return math.log2(TAIL_SIGMAS * ERROR_SIGMA * math.sqrt(4 * ring_dim / 3 + 1) + 1)


def flood_noise_bits(parameters: BfvParameters) -> int:
    """The flooding noise is uniform in [0, 2^this): all that decryption leaves room for."""
    modulus_bits = math.log2(math.prod(parameters.primes))
    return math.floor(modulus_bits - math.log2(max(parameters.plaintext_moduli))) - FLOOD_HEADROOM_BITS


def noise_room_bits(parameters: BfvParameters) -> float:
    """How many bits the noise of an upload may grow until it is as large as the flooding noise.

    The server's sums grow it by ``log2 sum |w|`` where the weights are scalars, by ``log2 terms + slot_vector_bits``
    where they are vectors; sums after sums multiply. The answer's noise must then stay ``flood_bits`` below the
    flooding noise, so a server stage fits when its growth is at most ``sum_room_bits``.
    """
    return flood_noise_bits(parameters) - fresh_noise_bits()


def sum_room_bits(parameters: BfvParameters) -> float:
    """The growth left to the server's sums once ``flood_bits`` are put aside."""
    return noise_room_bits(parameters) - parameters.flood_bits


def slot_vector_bits(parameters: BfvParameters) -> float:
    """Growth of the noise by a product with a plaintext vector: OpenFHE lifts its N coefficients to [0, t)."""
    return math.log2(parameters.ring_dim) + math.log2(max(parameters.plaintext_moduli))


def rounding_noise(ring_dim: int) -> float:
    """Bound of the noise from dropping primes, as a number: r0 + r1 s, with r uniform in [-1/2, 1/2] and s ternary."""
    return TAIL_SIGMAS * math.sqrt((1 + 2 * ring_dim / 3) / 12) + 1


def answer_headroom(parameters: BfvParameters) -> float:
    """What is left of q/2t after flooding noise and rounding in an answer of one prime q, as a part of it.

    Negative: wrong answers.
    """
    limit = parameters.primes[0] / (2 * max(parameters.plaintext_moduli))
    flood = limit * 2.0 ** (1 - FLOOD_HEADROOM_BITS)
    return 1 - (flood + rounding_noise(parameters.ring_dim)) / limit


def max_plaintext_bits(ring_dim: int, prime_bits: int) -> int:
    """The most bits a plaintext modulus may have so that answers of one prime decrypt."""
    flood_share = 2.0 ** (1 - FLOOD_HEADROOM_BITS)
    bits = prime_bits - 1 + math.log2((1 - flood_share) / rounding_noise(ring_dim))
    return min(MAX_PLAINTEXT_BITS, math.floor(bits))


def choose_plaintext_moduli(largest_value: int, ring_dim: int, prime_bits: int) -> tuple[int, ...]:
    """The smallest plaintext modulus, or pair of them, that holds values in [-largest_value, largest_value].

    Raises:
        ParameterError: two moduli are not enough.
    """
    needed, most = 2 * largest_value + 1, max_plaintext_bits(ring_dim, prime_bits)
    for count in (1, 2):
        bound = max(math.ceil(needed ** (1 / count)), 2 * ring_dim)
        first = smallest_prime(bound, ring_dim)
        moduli = (first,) if count == 1 else (first, smallest_prime(first + 1, ring_dim))
        if needed <= math.prod(moduli) < 2**MAX_CRT_BITS and moduli[-1].bit_length() <= most:
            return moduli
    raise ParameterError(
        f"values up to {largest_value} need {needed.bit_length()} bits; two moduli of {most} bits, {MAX_CRT_BITS}"
        " bits together,"
        f" hold less at ring dimension {ring_dim}: use fewer bits for weights or activations"
    )


def smallest_prime(bound: int, ring_dim: int) -> int:
    """The smallest prime >= bound that is 1 modulo 2N, so that a plaintext has N slots."""
    step = 2 * ring_dim
    candidate = -(-max(bound - 1, step) // step) * step + 1
    while not is_prime(candidate):
        candidate += step
    return candidate


def largest_prime(bound: int, ring_dim: int) -> int:
    """The largest prime < bound that is 1 modulo 2N.

    Raises:
        ParameterError: there is none.
    """
    step = 2 * ring_dim
    for candidate in range((bound - 2) // step * step + 1, step, -step):
        if is_prime(candidate):
            return candidate
    raise ParameterError(f"there is no prime below {bound} that is 1 modulo {step}")


@lru_cache(maxsize=64)
def ciphertext_primes(ring_dim: int, limbs: int, prime_bits: int) -> tuple[int, ...]:
    """The primes of Q as OpenFHE picks them: the largest of prime_bits bits that are 1 modulo 2N, downwards."""
    bound = 2**prime_bits
    return tuple(bound := largest_prime(bound, ring_dim) for _ in range(limbs))


def is_prime(n: int) -> bool:
    """Miller-Rabin with the first 12 primes as bases: proven for n < 3.18e23 (Sorenson and Webster, 2015)."""
    bases = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)
    if n < 2 or any(n % base == 0 for base in bases):
        return n in bases
    twos = ((n - 1) & -(n - 1)).bit_length() - 1
    return all(_is_strong_probable_prime(n, base, twos) for base in bases)


def _is_strong_probable_prime(n: int, base: int, twos: int) -> bool:
    x = pow(base, (n - 1) >> twos, n)
    if x in {1, n - 1}:
        return True
    return any((x := x * x % n) == n - 1 for _ in range(twos - 1))


def _check_ring(parameters: BfvParameters) -> None:
    ring_dim, limbs, bits = parameters.ring_dim, parameters.limbs, parameters.prime_bits
    if ring_dim < 16 or ring_dim & (ring_dim - 1):
        raise ParameterError(f"ring_dim must be a power of two of at least 16, got {ring_dim}")
    if not 2 <= limbs <= 16:
        raise ParameterError(f"limbs must be 2 to 16, got {limbs}")
    if not 30 <= bits <= 60:
        raise ParameterError(f"prime_bits must be 30 to 60, got {bits}")
    if not 0 <= parameters.flood_bits <= 128:
        raise ParameterError(f"flood_bits must be 0 to 128, got {parameters.flood_bits}")


def _check_security(parameters: BfvParameters) -> None:
    if parameters.security == INSECURE:
        return
    if parameters.security != SECURE:
        raise ParameterError(f"security must be {SECURE} (or {INSECURE}), got {parameters.security!r}")
    most, bits = MAX_MODULUS_BITS.get(parameters.ring_dim, 0), parameters.limbs * parameters.prime_bits
    if bits > most:
        raise ParameterError(
            f"{parameters.limbs} primes of {parameters.prime_bits} bits make a modulus of {bits} bits; 128-bit"
            " security at ring"
            f" dimension {parameters.ring_dim} allows {most}: use fewer limbs or a larger ring"
        )


def _check_plaintext_moduli(parameters: BfvParameters) -> None:
    moduli = parameters.plaintext_moduli
    if len(moduli) not in {1, 2} or len(set(moduli)) != len(moduli):
        raise ParameterError(f"plaintext_moduli must be one prime or two different ones, got {moduli}")
    for t in moduli:
        if t % (2 * parameters.ring_dim) != 1 or not is_prime(t):
            raise ParameterError(
                f"a plaintext modulus must be a prime that is 1 modulo {2 * parameters.ring_dim}, got {t}"
            )
    if math.prod(moduli).bit_length() > MAX_CRT_BITS:
        raise ParameterError(
            f"the plaintext moduli must have {MAX_CRT_BITS} bits together, got {math.prod(moduli).bit_length()}"
        )


def _read_fields(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except ValueError as error:
        raise ParameterError(f"parameters must be JSON, got {text[:40]!r}: {error}") from None
    names = [field.name for field in fields(BfvParameters)]
    if not isinstance(read, dict) or sorted(read) != sorted(names):
        raise ParameterError(f"parameters must be an object with {', '.join(names)}, got {text[:120]}")
    if not isinstance(read["plaintext_moduli"], list):
        raise ParameterError(f"plaintext_moduli must be a list, got {read['plaintext_moduli']!r}")
    read["plaintext_moduli"] = tuple(read["plaintext_moduli"])
    _check_types(read)
    return read


def _check_types(read: Mapping[str, Any]) -> None:
    if not isinstance(read["security"], str):
        raise ParameterError(f"security must be a string, got {read['security']!r}")
    integers = {name: value for name, value in read.items() if name not in {"security", "plaintext_moduli"}}
    for name, value in [*integers.items(), *(("plaintext_moduli", t) for t in read["plaintext_moduli"])]:
        if type(value) is not int:
            raise ParameterError(f"{name} must be an integer, got {value!r}")
