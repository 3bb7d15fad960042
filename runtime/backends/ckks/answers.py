"""The server's evaluator of one client: its keys from the wire, and answers that are made anew before they leave.

The second part of an answer that is sent as it was computed is an exact function of the weights and of what the client
uploaded: a linear layer could be solved for from one answer. To each ciphertext of an answer is therefore added an
encryption of zero under the client's public key, made by OpenFHE: what the ciphertext says is then no more than what
the client decrypts from it, noise included. That noise depends on the weights, too. It is not flooded: to hide it by
40 bits would cost 40 bits of precision. See docs/security.md.
"""

from __future__ import annotations

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.key_needs import NO_USES, KeyNeeds, KeyUses
from enclair.runtime.backends.ckks.ciphers import Ciphers
from enclair.runtime.backends.ckks.context import open_context
from enclair.runtime.backends.ckks.evaluate import CkksEvaluator
from enclair.runtime.backends.ckks.wire import (
    check_registration,
    read_evaluation_keys,
    read_public_key,
)
from enclair.runtime.backends.interface import Payload
from enclair.runtime.limbs.compiled import Words
from enclair.runtime.limbs.workers import parallel_map


class AnsweringEvaluator(CkksEvaluator):
    """Evaluates under a client's evaluation keys, and encrypts zeros under its public key."""

    def __init__(
        self,
        parameters: CkksParameters,
        needs: KeyNeeds,
        public_key: Payload,
        *,
        key_bytes: int | None = None,
        key_uses: KeyUses = NO_USES,
    ) -> None:
        """Read the keys; ``key_bytes`` and ``key_uses`` as for ``CkksEvaluator``.

        Raises:
            PayloadError: the bytes are not a public key of these parameters with these evaluation keys.
            OpenFheError: OpenFHE is of another release, or cannot be given these parameters.
        """
        check_registration(public_key, parameters, needs)
        keys = read_evaluation_keys(public_key, parameters, needs)
        super().__init__(parameters, keys, key_bytes=key_bytes, key_uses=key_uses)
        self.parameters = parameters
        self._context = open_context(parameters)
        tag, residues = read_public_key(public_key, parameters)
        self._public_key = self._context.read_public_key(residues, tag)

    def answer(self, x: Ciphers) -> Payload:
        """The payload to send back: each ciphertext plus a fresh encryption of zero."""
        return self.dump(self.add(x, self._zeros(x)))

    def _zeros(self, x: Ciphers) -> Ciphers:
        """Encrypted one level higher where there is one, and rescaled: that leaves the noise of a rescaling alone."""
        level = min(x.level + 1, self.parameters.levels)
        scheme, plaintext = self._context.scheme, self._context.zero(level)

        def encrypt(_: object) -> Words:
            return self._context.write_ciphertext(scheme.Encrypt(self._public_key, plaintext), level)

        words = parallel_map(encrypt, range(self.count(x)))
        if level == x.level:
            return self.from_words(words, level, x.scale)
        return self.rescale(self.from_words(words, level, x.scale * self.parameters.primes[level]))
