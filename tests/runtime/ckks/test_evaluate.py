"""The evaluator, end to end, by keys and big integers of the tests' own client."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from tests.runtime.ckks.client import Client, parameters

from enclair.compiler.ir.key_needs import NO_USES, KeyUse, KeyUses
from enclair.compiler.ir.ops.ckks import LinearTransform
from enclair.compiler.ir.types import CkksType
from enclair.runtime.backends.ckks import key_ring
from enclair.runtime.backends.ckks.ciphers import Ciphers
from enclair.runtime.backends.ckks.evaluate import CkksEvaluator
from enclair.runtime.errors import MissingKeyError, PayloadError, RuntimeFailure, ValueRangeError
from enclair.runtime.limbs.compiled import Words
from enclair.runtime.rns.elementwise import Kept
from enclair.runtime.rns.keys import EvaluationKeys, SwitchTables, bring_key

ROTATIONS = [1, 2, 3, 4, 8, 508]
CHAINS = {
    "two primes a digit": (1024, (50, 40, 40, 40), 2, 2.0**40, 26.0),
    "one small prime a digit": (1024, (27, 26, 26, 26), 1, 2.0**26, 12.0),
    "three primes a digit": (1024, (50, 45, 45, 45, 45), 3, 2.0**45, 31.0),
    "8192": (8192, (50, 40, 40), 2, 2.0**40, 24.0),
}


class Setting:
    """A client, an evaluator under its keys, and three encrypted vectors."""

    def __init__(self, name: str) -> None:
        ring_dim, bits, digit_size, self.scale, self.bits = CHAINS[name]
        self.client = Client(parameters(ring_dim, list(bits), digit_size))
        self.level, self.slots = len(bits) - 1, ring_dim // 2
        rotations = ROTATIONS if ring_dim == 1024 else [1, 2, 8]
        self.evaluator = CkksEvaluator(self.client.parameters, self.client.keys(rotations))
        rng = np.random.default_rng(5)
        self.clear = rng.uniform(-1, 1, (3, self.slots))
        self.other = rng.uniform(-1, 1, (3, self.slots))
        self.x, self.y = self.encrypt(self.clear), self.encrypt(self.other)

    def encrypt(self, values: np.ndarray) -> Ciphers:
        return self.evaluator.from_words(self.client.encrypt(values, self.level, self.scale), self.level, self.scale)

    def assert_holds(self, x: Ciphers, values: np.ndarray, *, less: float = 0.0) -> None:
        """The slots are these, to as many bits as the chain gives."""
        error = np.abs(self.client.decrypt(self.evaluator, x) - values).max()
        assert -np.log2(error) >= self.bits - less


@cache
def setting(name: str) -> Setting:
    return Setting(name)


@pytest.fixture(params=CHAINS)
def on(request: pytest.FixtureRequest) -> Setting:
    return setting(request.param)


@pytest.fixture
def small() -> Setting:
    return setting("two primes a digit")


def test_sums(on: Setting) -> None:
    on.assert_holds(on.evaluator.add(on.x, on.y), on.clear + on.other)
    on.assert_holds(on.evaluator.subtract(on.x, on.y), on.clear - on.other)


def test_vectors(on: Setting) -> None:
    one, each = on.other[:1], on.other
    on.assert_holds(on.evaluator.add_plain(on.x, each), on.clear + each)
    on.assert_holds(on.evaluator.add_plain(on.x, np.array([[0.25]])), on.clear + 0.25)
    on.assert_holds(on.evaluator.multiply_plain(on.x, one, on.scale), on.clear * one)
    on.assert_holds(on.evaluator.multiply_plain(on.x, each[:, :1], on.scale), on.clear * each[:, :1])


def test_rotations(on: Setting) -> None:
    for steps in (0, 1, 8, on.slots + 1):
        on.assert_holds(on.evaluator.rotate(on.x, steps), np.roll(on.clear, -steps, axis=1))


def test_products(on: Setting) -> None:
    evaluator = on.evaluator
    product = evaluator.multiply(on.x, on.y)
    assert (product.parts, product.scale) == (3, on.scale**2)
    on.assert_holds(product, on.clear * on.other)
    on.assert_holds(evaluator.add_plain(product, on.other), on.clear * on.other + on.other)
    relinearised = evaluator.relinearise(product)
    on.assert_holds(relinearised, on.clear * on.other)
    rescaled = evaluator.rescale(relinearised)
    assert (rescaled.level, rescaled.parts) == (on.level - 1, 2)
    assert rescaled.scale == on.scale**2 / on.client.parameters.primes[-1]
    on.assert_holds(rescaled, on.clear * on.other)
    on.assert_holds(evaluator.rescale(product), on.clear * on.other, less=7)
    square = evaluator.rescale(evaluator.relinearise(evaluator.multiply(rescaled, rescaled)))
    on.assert_holds(square, (on.clear * on.other) ** 2, less=1)


def test_sums_of_what_key_switching_left(on: Setting) -> None:
    """Such results are added before they are divided by the special primes, or with others after."""
    evaluator = on.evaluator
    turned, other = evaluator.rotate(on.x, 1), evaluator.rotate(on.y, 8)
    want = np.roll(on.clear, -1, axis=1)
    on.assert_holds(evaluator.add(turned, other), want + np.roll(on.other, -8, axis=1))
    on.assert_holds(evaluator.subtract(turned, on.y), want - on.other)
    on.assert_holds(evaluator.drop(turned, 1), want)
    both = evaluator.concat([evaluator.select(turned, np.array([2, 0])), on.y])
    on.assert_holds(both, np.concatenate([want[[2, 0]], on.other]))
    on.assert_holds(evaluator.add_plain(turned, on.other), want + on.other)


def test_lower_levels(on: Setting) -> None:
    for level in range(on.level):
        lower = on.evaluator.drop(on.x, level)
        on.assert_holds(lower, on.clear)
        on.assert_holds(on.evaluator.rotate(lower, 1), np.roll(on.clear, -1, axis=1))


TRANSFORMS = {
    "each rotation at once": (0, [0, 1, 2, 3, 8]),
    "baby and giant steps": (4, [0, 1, 2, 3, 4, 8, 9, 10, 511]),
    "giant steps alone": (4, [4, 8]),
    "no rotation": (0, [0]),
}


@pytest.mark.parametrize("way", TRANSFORMS)
@pytest.mark.parametrize("constant", [False, True], ids=["vectors", "numbers"])
@pytest.mark.parametrize("extended", [None, False, True], ids=["chosen", "modulo Q", "extended"])
def test_linear_transforms(
    way: str, constant: bool, extended: bool | None, small: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    if extended is not None:
        monkeypatch.setattr("enclair.runtime.backends.ckks.plan._is_extended_better", lambda *_: extended)
    baby_steps, rotations = TRANSFORMS[way]
    rng = np.random.default_rng(7)
    terms = 40
    tables = (rng.integers(0, 3, terms), rng.integers(0, 3, terms), rng.choice(rotations, terms))
    args = (
        *tables,
        rng.integers(0, 5, terms),
        rng.uniform(-1, 1, terms),
        rng.uniform(-1, 1, (5, 1 if constant else 512)),
    )
    op = LinearTransform(5, baby_steps, small.scale)
    want = op.evaluate(small.clear, *args)
    got = small.evaluator.linear_transform(small.x, op, *args)
    assert got.scale == small.scale * small.scale
    small.assert_holds(got, want)
    small.assert_holds(small.evaluator.rescale(got), want)
    assert not want[3:].any()


@pytest.mark.parametrize("baby_steps", [0, 4])
@pytest.mark.parametrize("level", [3, 1])
def test_dense_weights_are_apart_from_vectors(baby_steps: int, level: int, small: Setting) -> None:
    """A convolution of many channels has few vectors; its weights are integers, of half the scale."""
    rng = np.random.default_rng(9)
    rotations = np.array([0, 1, 2, 4, 8, 9])
    rows, cols, which = (table.reshape(-1) for table in np.indices((5, 3, 6)))
    args = (rows, cols, rotations[which], which, rng.normal(size=90), rng.integers(0, 2, (6, 512)).astype(float))
    keys = small.client.keys([1, 2, 4, 8, 9])
    evaluator = CkksEvaluator(small.client.parameters, keys)
    op, type_ = LinearTransform(6, baby_steps, small.scale, 2.0**16), CkksType(3, 512, level, small.scale)
    prepared = evaluator.prepare_linear_transform(type_, op, *args)
    assert (len(prepared.plan.weighted), len(prepared.plan.blends), prepared.plan.sums) == (
        1 + 2 * (baby_steps > 0),
        6,
        (),
    )
    got = evaluator.linear_transform(small.evaluator.drop(small.x, level), op, *args, prepared)
    want = op.evaluate(small.clear, *args)
    small.assert_holds(got, want, less=12)
    small.assert_holds(evaluator.rescale(got), want, less=12)


def test_a_transform_of_nothing_is_zero(small: Setting) -> None:
    nothing = np.zeros(0, dtype=np.int64)
    for width in (1, 512):
        args = (nothing, nothing, nothing, nothing, np.zeros(0), np.zeros((0, width)))
        got = small.evaluator.linear_transform(small.x, LinearTransform(2, 0, small.scale), *args)
        np.testing.assert_array_equal(small.client.decrypt(small.evaluator, got), np.zeros((2, 512)))


def test_a_linear_transform_is_prepared_once_or_encoded_as_it_goes(small: Setting) -> None:
    rng = np.random.default_rng(8)
    args = (*rng.integers(0, 3, (3, 30)), rng.integers(0, 5, 30), rng.uniform(-1, 1, 30), rng.uniform(-1, 1, (5, 512)))
    op, type_ = LinearTransform(3, 2, small.scale), CkksType(3, 512, small.level, small.scale)
    frugal = CkksEvaluator(small.client.parameters, small.client.keys(ROTATIONS), plaintext_bytes=0)
    for evaluator in (small.evaluator, frugal):
        prepared = evaluator.prepare_linear_transform(type_, op, *args)
        assert (prepared.plaintexts.residues is None) == (evaluator is frugal)
        got = evaluator.linear_transform(small.x, op, *args, prepared)
        small.assert_holds(got, op.evaluate(small.clear, *args))


def test_the_work_is_counted(small: Setting) -> None:
    counts = small.evaluator.counts
    counts.clear()
    small.evaluator.rescale(small.evaluator.rotate(small.x, 1))
    assert (counts.rotations, counts.decompositions, counts.mod_downs, counts.rescales) == (3, 3, 6, 6)
    special = len(small.evaluator.ring.special)
    assert counts.transforms == 3 * 2 * (4 + special) + 6 * (4 + special)
    counts.clear()
    table = np.array([0, 0, 0, 0])
    args = (table, table, np.array([1, 2, 4, 8]), table, np.ones(4), np.ones((1, 512)))
    small.evaluator.linear_transform(small.x, LinearTransform(1, 4, small.scale), *args)
    assert (counts.hoisted_rotations, counts.rotations, counts.plain_products) == (2, 2, 4)
    assert counts.decompositions == 3


def test_bytes_there_and_back(on: Setting) -> None:
    for x in (on.x, on.evaluator.multiply(on.x, on.y), on.evaluator.drop(on.x, 0)):
        type_ = CkksType(3, on.slots, x.level, x.scale, x.parts)
        payload = on.evaluator.dump(x)
        again = on.evaluator.load(payload, type_)
        for one, other in zip(again.elements, x.elements, strict=True):
            np.testing.assert_array_equal(one, other)
    assert on.evaluator.answer(on.x) == on.evaluator.dump(on.x)


def test_bytes_that_are_no_ciphertexts_are_refused(small: Setting) -> None:
    payload, type_ = small.evaluator.dump(small.x), CkksType(3, 512, small.level, small.scale)
    with pytest.raises(PayloadError) as caught:
        small.evaluator.load(payload[:-8], type_)
    assert str(caught.value) == (
        f"3 times a ciphertext of level 3 needs {len(payload)} bytes, got {len(payload) - 8}: the message is of another"
        " program or cut"
    )
    altered = b"\xff" * 64 + payload[64:]
    with pytest.raises(PayloadError, match="is not below its prime: the bytes were altered, or made"):
        small.evaluator.load(altered, type_)


def test_missing_keys_are_named(small: Setting) -> None:
    bare = CkksEvaluator(small.client.parameters, EvaluationKeys(None, {1: small.client.keys([1]).rotations[1]}))
    with pytest.raises(MissingKeyError) as caught:
        bare.rotate(small.x, 3)
    assert str(caught.value) == "rotations by 3 need keys, got keys for 1: make keys for this program"
    with pytest.raises(MissingKeyError, match="a product needs the relinearisation key, got none: make keys"):
        bare.relinearise(bare.multiply(small.x, small.x))
    table = np.array([0, 0, 0])
    args = (table, table, np.array([1, 5, 6]), table, np.ones(3), np.ones((1, 512)))
    with pytest.raises(MissingKeyError, match="rotations by 2, 4 need keys, got keys for 1: make keys"):
        bare.linear_transform(small.x, LinearTransform(1, 4, 2.0**40), *args[:2], np.array([1, 2, 6]), *args[3:])


def test_what_does_not_fit_is_refused(small: Setting) -> None:
    evaluator, x = small.evaluator, small.x
    fresh = "3 ciphertexts of 2 parts, level 3, scale 1099511627776.0"
    with pytest.raises(RuntimeFailure) as caught:
        evaluator.add(x, evaluator.drop(x, 1))
    assert str(caught.value) == (
        f"add needs ciphertexts alike in number, level, parts and scale, got {fresh} and {fresh.replace('3,', '1,')}:"
        " compile again"
    )
    with pytest.raises(RuntimeFailure, match="subtract needs ciphertexts alike"):
        evaluator.subtract(x, replace(x, scale=x.scale * (1 + 2.0**-30)))
    with pytest.raises(RuntimeFailure, match="concat needs ciphertexts alike"):
        evaluator.concat([x, evaluator.multiply(x, x)])
    with pytest.raises(
        RuntimeFailure, match="multiply needs as many ciphertexts of two parts at one level, got 3 ciph"
    ):
        evaluator.multiply(x, evaluator.multiply(x, x))
    with pytest.raises(RuntimeFailure, match=r"rescale needs a level to spend, got .* level 0, .*more levels"):
        evaluator.rescale(evaluator.drop(x, 0))
    with pytest.raises(RuntimeFailure, match=r"drop to level 3 needs a higher level, got .* level 1"):
        evaluator.drop(evaluator.drop(x, 1), 3)
    with pytest.raises(RuntimeFailure, match=r"need vectors \(1 or 3, 1 or 512\), got \(2, 512\): compile again"):
        evaluator.add_plain(x, np.zeros((2, 512)))
    with pytest.raises(ValueRangeError, match="a plaintext's coefficients must be below"):
        evaluator.add_plain(x, np.full((1, 1), 2.0**99))
    with pytest.raises(ValueRangeError, match="a plaintext needs finite numbers, got inf: mend the weights"):
        evaluator.add_plain(x, np.full((1, 1), np.inf))


def test_linear_transforms_that_do_not_fit_are_refused(small: Setting) -> None:
    table = np.array([0])
    args = (table, table, table, table, np.ones(1), np.ones((1, 1)))
    op, type_ = LinearTransform(1, 0, 2.0**40), CkksType(3, 512, small.level, small.scale)
    prepared = small.evaluator.prepare_linear_transform(type_, op, *args)
    with pytest.raises(
        RuntimeFailure, match=r"was prepared for level 3, got .* level 1, .*: prepare it for this level"
    ):
        small.evaluator.linear_transform(small.evaluator.drop(small.x, 1), op, *args, prepared)
    with pytest.raises(RuntimeFailure, match=r"needs a plain_scale, got .*: place levels first"):
        small.evaluator.linear_transform(small.x, LinearTransform(1), *args)
    with pytest.raises(RuntimeFailure, match="ciphertexts need a level and a scale, got ckks<3x512>: place levels"):
        small.evaluator.load(b"", CkksType(3, 512))
    with pytest.raises(ValueRangeError, match="a plaintext needs finite numbers, got inf: mend the weights"):
        small.evaluator.linear_transform(small.x, op, *args[:-1], np.full((1, 1), np.inf))


def cut(keys: EvaluationKeys, level: int, on: Setting) -> EvaluationKeys:
    """What a client sends of keys that are used at a level and lower ones."""
    special, size = len(on.client.parameters.special_primes), on.client.parameters.digit_size

    def shorter(key: np.ndarray) -> np.ndarray:
        limbs = [*range(level + 1), *range(key.shape[2] - special, key.shape[2])]
        return key[: -(-(level + 1) // size), :, limbs].copy()

    rotations = {steps: shorter(key) for steps, key in keys.rotations.items()}
    return EvaluationKeys(shorter(keys.relinearisation), rotations, keys.key_id)


def test_keys_cut_to_a_level_serve_it_and_lower_ones(on: Setting) -> None:
    keys = on.client.keys([1, 2])
    for level in range(on.level):
        evaluator = CkksEvaluator(on.client.parameters, cut(keys, level, on))
        for lower in range(level + 1):
            low = evaluator.drop(on.x, lower)
            on.assert_holds(evaluator.rotate(low, 2), np.roll(on.clear, -2, axis=1), less=2)
            product = evaluator.relinearise(evaluator.multiply(low, low)) if lower else None
            if product is not None:
                on.assert_holds(product, on.clear**2, less=2)


def test_a_key_for_lower_levels_is_refused(small: Setting) -> None:
    evaluator = CkksEvaluator(small.client.parameters, cut(small.client.keys([1]), 1, small))
    special = len(small.client.parameters.special_primes)
    needed, given = (2, 2, 4 + special, 1024), (1, 2, 2 + special, 1024)
    with pytest.raises(PayloadError) as caught:
        evaluator.rotate(small.x, 1)
    assert f"the rotation 1 key needs uint64 residues of shape {needed} (digits, 2, limbs, N), got uint64 {given}" in (
        str(caught.value)
    )


def test_a_relinearisation_key_for_lower_levels_is_refused(small: Setting) -> None:
    evaluator = CkksEvaluator(small.client.parameters, cut(small.client.keys([1]), 1, small))
    with pytest.raises(PayloadError, match="the relinearisation key needs uint64 residues of shape"):
        evaluator.relinearise(evaluator.multiply(small.x, small.x))
    low = evaluator.drop(small.x, 1)
    small.assert_holds(evaluator.relinearise(evaluator.multiply(low, low)), small.clear**2, less=2)
    with pytest.raises(MissingKeyError, match="a product at level 3 needs a relinearisation key for it, got one"):
        evaluator.relinearise(evaluator.multiply(small.x, small.x))


def used(*rounds: tuple[int, int]) -> KeyUses:
    """Steps and level of one rotation after another."""
    names = {steps for steps, _ in rounds}
    return {n: tuple(KeyUse(i, level) for i, (steps, level) in enumerate(rounds) if steps == n) for n in names}


class Bringing:
    """How often an evaluator under a cap of ``most`` whole keys brings which key."""

    def __init__(self, most: float, uses: KeyUses, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on = setting("one small prime a digit")
        keys = self.on.client.keys([1, 2, 3])
        self.size = CkksEvaluator(self.on.client.parameters, keys)._keys.rotation(1, self.on.level).nbytes
        self.evaluator = CkksEvaluator(self.on.client.parameters, keys, key_bytes=int(most * self.size), key_uses=uses)
        self.brought: list[str] = []
        monkeypatch.setattr(key_ring, "bring_key", self._bring)

    def _bring(self, key: Words, tables: SwitchTables, level: int, name: str) -> Kept:
        self.brought.append(name)
        return bring_key(key, tables, level, name)

    def rotate(self, *rounds: tuple[int, int]) -> list[int]:
        """Rotate at each level by each steps; every result is right. Steps of the keys that were brought."""
        self.brought.clear()
        for steps, level in rounds:
            made = self.evaluator.rotate(self.evaluator.drop(self.on.x, level), steps)
            self.on.assert_holds(made, np.roll(self.on.clear, -steps, axis=1), less=2)
            kept = sum(key.nbytes for key in self.evaluator._keys._brought.values())
            assert kept <= self.evaluator._keys._most_bytes
        return [int(name.split()[-1]) for name in self.brought]


def test_rotation_keys_beyond_a_cap_are_brought_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bringing = Bringing(2, NO_USES, monkeypatch)
    assert bringing.rotate((1, 3), (2, 3), (3, 3), (1, 3), (3, 3), (2, 3)) == [1, 2, 3, 1, 2]


def test_keys_that_are_needed_again_last_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rotations that come round and round: each key is brought every second time, not every time."""
    program = [(1, 3), (2, 3), (3, 3)] * 3
    assert Bringing(2, used(*program), monkeypatch).rotate(*program) == [1, 2, 3, 2, 1, 3]
    assert Bringing(2, NO_USES, monkeypatch).rotate(*program) == [1, 2, 3] * 3


def test_keys_are_cut_to_their_next_use_before_any_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    program = [(1, 3), (2, 3), (3, 3), (1, 1), (2, 1), (3, 1)]
    bringing = Bringing(2, used(*program), monkeypatch)
    assert bringing.rotate(*program) == [1, 2, 3]
    assert bringing.rotate(*program) == [1, 2, 3]


def test_keys_that_fit_are_brought_once_for_all_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    program = [(1, 3), (2, 2), (1, 0), (2, 1)]
    bringing = Bringing(3, used(*program), monkeypatch)
    assert bringing.rotate(*program) == [1, 2]
    assert bringing.rotate(*program) == []
