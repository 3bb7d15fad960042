"""What the server can reconstruct of images from uploads: nothing. Broken schemes give them to the same attackers."""

from __future__ import annotations

import numpy as np
import pytest
from tests.encrypted.attacks.chance import is_uniform
from tests.encrypted.attacks.features import VIEWS, Features
from tests.encrypted.attacks.images import Images, phantoms, two_pictures
from tests.encrypted.attacks.learners import LEARNERS
from tests.encrypted.attacks.networks import pixel_map
from tests.encrypted.attacks.reconstruction import Outcome, attack
from tests.encrypted.attacks.uploads import BROKEN, encrypted, slots_of

from enclair.compiler.program import Program
from enclair.runtime.backends.bfv.keys import generate_keys
from enclair.runtime.backends.bfv.secret import BfvKeyHolder
from enclair.runtime.backends.frames import Limbs

EXTENT, PAIRS = 8, 600


@pytest.fixture(scope="module")
def program() -> Program:
    return pixel_map(EXTENT)


@pytest.fixture(scope="module")
def keys(program: Program) -> BfvKeyHolder:
    return generate_keys(program.parameters)


@pytest.fixture(scope="module")
def images() -> Images:
    return phantoms(PAIRS, EXTENT, 1)


@pytest.fixture(scope="module")
def uploads(program: Program, keys: BfvKeyHolder, images: Images) -> Limbs:
    return encrypted(program, keys, images)


@pytest.fixture(scope="module", params=VIEWS)
def view(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def seen(view: str, keys: BfvKeyHolder, uploads: Limbs) -> Features:
    return VIEWS[view](keys, uploads)


@pytest.fixture(scope="module")
def seen_of_broken(view: str, program: Program, keys: BfvKeyHolder, images: Images) -> Features:
    return VIEWS[view](keys, BROKEN[view](program, keys, images))


def outcome(features: Features, images: Images, learner: str) -> Outcome:
    """Two thirds of the pairs are trained on."""
    return attack(features, images, LEARNERS[learner], len(images) * 2 // 3)


def test_uploads_are_real(program: Program, keys: BfvKeyHolder, uploads: Limbs) -> None:
    assert program.parameters.secure
    assert uploads.shape == (PAIRS, 2, 2, 4096)
    assert len(np.unique(uploads[:, 1, 0, 0])) == PAIRS  # each has a mask of its own
    for number, prime in enumerate(program.parameters.primes):
        assert is_uniform(uploads[:50, :, number], prime)


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_trained_attacker_does_no_better_than_chance_on_uploads(learner: str, seen: Features, images: Images) -> None:
    found = outcome(seen, images, learner)
    assert found.games == PAIRS // 6
    assert not found.beats_chance


@pytest.mark.parametrize("learner", LEARNERS)
def test_the_same_attacker_reconstructs_images_behind_a_mask_used_twice(
    learner: str, seen_of_broken: Features, images: Images
) -> None:
    found = outcome(seen_of_broken, images, learner)
    assert found.beats_chance
    assert found.psnr_db > found.mean_psnr_db + 0.5


@pytest.mark.parametrize("learner", LEARNERS)
def test_the_same_attacker_reconstructs_images_from_their_slots(learner: str, program: Program, images: Images) -> None:
    slots = slots_of(program, images).astype(np.float64)
    found = outcome(slots, images, learner)
    assert found.wins == found.games
    assert found.psnr_db > found.mean_psnr_db + 6


@pytest.mark.slow
@pytest.mark.parametrize("pictures", [phantoms, two_pictures])
def test_more_pairs_do_not_help(pictures, program: Program, keys: BfvKeyHolder) -> None:
    """Not even to tell two known pictures apart."""
    images = pictures(3000, EXTENT, 2)
    limbs = encrypted(program, keys, images)
    views = (view(keys, limbs) for view in VIEWS.values())
    found = [outcome(features, images, learner) for features in views for learner in LEARNERS]
    assert all(one.games > 200 for one in found)
    assert not any(one.beats_chance for one in found)
