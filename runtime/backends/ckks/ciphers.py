"""Batches of ciphertexts on residues, and the counts of what was done to them."""

from __future__ import annotations

from dataclasses import dataclass, fields

from enclair.runtime.limbs.compiled import Floats


@dataclass(frozen=True, eq=False)
class Ciphers:
    """Ciphertexts at one level and scale.

    Args:
        elements: one array (parts, rows, N) each, centred residues in evaluation form.
        level: rescales that they can still take; they have level + 1 primes of Q.
        scale: a coefficient v of the plaintext stands for v / scale.
        parts: polynomials of a ciphertext.
        extended: the rows are the primes of Q and the special primes, and the values are multiplied by those: what key
            switching leaves. A rescaling divides by all at once.
    """

    elements: tuple[Floats, ...]
    level: int
    scale: float
    parts: int = 2
    extended: bool = False


@dataclass
class Counts:
    """How often each costly operation was done.

    Args:
        rotations: of a ciphertext by itself: a decomposition each.
        hoisted_rotations: of a ciphertext whose digits are at hand.
        decompositions: into digits; each of products relinearised, too.
        mod_downs: of polynomials, divided by the special primes.
        plain_products: of a ciphertext and a plaintext.
        constant_products: of a ciphertext and a number.
        products: of two ciphertexts.
        relinearisations: of products.
        rescales: of polynomials, those fused with a ``mod_down`` too.
        transforms: of N residues modulo one prime, either way.
    """

    rotations: int = 0
    hoisted_rotations: int = 0
    decompositions: int = 0
    mod_downs: int = 0
    plain_products: int = 0
    constant_products: int = 0
    products: int = 0
    relinearisations: int = 0
    rescales: int = 0
    transforms: int = 0

    def clear(self) -> None:
        """Back to zero."""
        for entry in fields(self):
            setattr(self, entry.name, 0)
