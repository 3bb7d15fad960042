"""What reaches the server for many images under one key; and what would, if encryption were broken in a known way."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from tests.encrypted.attacks.images import Images
from tests.encrypted.attacks.limbs import dropped_payload, of_upload

from enclair.compiler.program import Program
from enclair.runtime.backends.bfv.secret import BfvKeyHolder, restore_keys
from enclair.runtime.backends.frames import Limbs
from enclair.runtime.backends.interface import Integers
from enclair.runtime.backends.simulated import SimulatedKeyHolder
from enclair.runtime.client import Client
from enclair.runtime.protocol import read_message

Source = Callable[[Program, BfvKeyHolder, Images], Limbs]
"""From a program, a client's keys and images to residues (count, 2, limbs, N), one ciphertext an image."""


def encrypted(program: Program, keys: BfvKeyHolder, images: Images) -> Limbs:
    """The uploads of real sessions: bytes as they leave the client."""
    client = Client(program.for_client(), keys)
    uploads = (client.upload(client.start({"x": image[None, None]})) for image in images)
    return np.concatenate([of_upload(keys.parameters, read_message(message)[1], 1)[:, 0] for message in uploads])


def one_mask_for_all(program: Program, keys: BfvKeyHolder, images: Images) -> Limbs:
    """Broken: BFV whose ``c0`` hides all images behind the same random polynomial."""
    slots = slots_of(program, images)
    limbs = of_upload(keys.parameters, unmasked(keys).encrypt(slots), len(slots))[:, 0]
    return _with_mask(keys, limbs)


def slots_behind_one_mask(program: Program, keys: BfvKeyHolder, images: Images) -> Limbs:
    """Broken: the slots themselves, scaled as BFV does, behind the same random polynomial."""
    return _with_mask(keys, _scaled_slots(program, keys, images))


def _scaled_slots(program: Program, keys: BfvKeyHolder, images: Images) -> Limbs:
    """Broken: the slots themselves, scaled as BFV does, as residues of ``c0``; ``c1`` is random."""
    slots, parameters = slots_of(program, images), keys.parameters
    limbs = _random_limbs(keys, len(slots))
    for number, prime in enumerate(parameters.primes):
        limbs[:, 0, number] = slots.astype(object) * (prime // parameters.plaintext_moduli[0]) % prime
    return limbs


BROKEN: Mapping[str, Source] = {
    "residues": slots_behind_one_mask,
    "digits": slots_behind_one_mask,
    "differences": slots_behind_one_mask,
    "histograms": slots_behind_one_mask,
    "decodings": one_mask_for_all,
}
"""For each view of ``features``, a broken scheme that it sees through."""


def slots_of(program: Program, images: Images) -> Integers:
    """The slots (count, N) that the client encrypts: one ciphertext an image."""
    (name, _), *_ = program.rounds[0].exchange.uploads
    client = Client(program.for_client(), SimulatedKeyHolder(program.parameters))
    return np.concatenate([client.start({"x": image[None, None]}).values[name] for image in images])


def decoded(keys: BfvKeyHolder, limbs: Limbs) -> Integers:
    """``c0`` of ciphertexts (count, 2, limbs, N), decoded as if it were the scaled plaintext: everybody can do that."""
    return unmasked(keys).decrypt(dropped_payload(keys.parameters, limbs[:, None]), len(limbs))


def unmasked(keys: BfvKeyHolder) -> BfvKeyHolder:
    """Keys whose secret is zero: ``c0`` is the scaled plaintext with some noise."""
    secrets = [(tag, np.zeros_like(limbs)) for tag, limbs in keys.secret_limbs()]
    return restore_keys(keys.parameters, secrets, keys.public_key())


def _with_mask(keys: BfvKeyHolder, limbs: Limbs) -> Limbs:
    primes = np.array(keys.parameters.primes, dtype=np.uint64)[:, None]
    masked = limbs.copy()
    masked[:, 0] = (limbs[:, 0] + _random_limbs(keys, 1)[0, 0]) % primes
    return masked


def _random_limbs(keys: BfvKeyHolder, count: int) -> Limbs:
    parameters, random = keys.parameters, np.random.default_rng(0)
    shape = (count, 2, parameters.ring_dim)
    return np.stack([random.integers(0, prime, shape, dtype=np.uint64) for prime in parameters.primes], axis=2)
