"""The kernel equals OpenFHE's own operations, limb for limb."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import openfhe
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.runtime.bfv import openfhe_operations as own
from tests.runtime.programs import SECURE_4096, SECURE_8192, SMALL, SMALL_CRT

import enclair.runtime.backends.bfv.ring as ring_module
import enclair.runtime.limbs.polynomials as polynomials_module
import enclair.runtime.limbs.sums as sums_module
import enclair.runtime.limbs.transformed as transformed_module
import enclair.runtime.limbs.workers as workers_module
from enclair.compiler.ir.ops.packed import dense_polynomials, polynomial_sums
from enclair.compiler.ir.types import Encoding
from enclair.compiler.parameters import BfvParameters, choose_plaintext_moduli, largest_prime, max_plaintext_bits
from enclair.runtime.backends.bfv.context import open_context
from enclair.runtime.backends.bfv.evaluate import BfvEvaluator
from enclair.runtime.backends.bfv.ring import Ring, open_plaintexts, open_ring
from enclair.runtime.backends.bfv.secret import BfvKeyHolder, make_keys
from enclair.runtime.backends.frames import Limbs
from enclair.runtime.backends.integers import centred
from enclair.runtime.backends.interface import Integers
from enclair.runtime.errors import OpenFheError
from enclair.runtime.limbs.answers import flood_and_drop
from enclair.runtime.limbs.ntt import Transform, smallest_root

SEEDS = st.integers(0, 2**32)
SMALL_32 = replace(SMALL, plaintext_moduli=choose_plaintext_moduli(2**20, 64, 60))
SECURE_8192_3 = BfvParameters(8192, 3, 60, choose_plaintext_moduli(2**48, 8192, 60))
LARGE = BfvParameters(16384, 4, 60, (largest_prime(2 ** max_plaintext_bits(16384, 60), 16384),))
RINGS = [SMALL, SMALL_CRT, replace(SMALL, limbs=3), SECURE_4096, SECURE_8192, SECURE_8192_3, LARGE]


def evaluator_of(parameters: BfvParameters) -> BfvEvaluator:
    return BfvEvaluator(parameters, make_keys(parameters).public_key())


@pytest.fixture(scope="session", params=RINGS, ids=lambda p: f"{p.ring_dim}x{p.limbs}x{len(p.plaintext_moduli)}")
def server(request: pytest.FixtureRequest) -> BfvEvaluator:
    return evaluator_of(request.param)


@pytest.fixture(scope="session")
def small_server() -> BfvEvaluator:
    """With a plaintext modulus that OpenFHE packs coefficients for."""
    return evaluator_of(SMALL_32)


def dense(server: BfvEvaluator, x: Limbs, weights: Integers, chunks: int = 1) -> Limbs:
    """Products with polynomials that have all powers."""
    blocks = weights.shape[2]
    return server.polynomial_combination(x, weights, np.arange(blocks), blocks, chunks)


@pytest.fixture(params=[1, 2])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(workers_module, "cores", lambda: request.param)
    return request.param


def draw_limbs(rng: np.random.Generator, parameters: BfvParameters, count: int) -> Limbs:
    """Any residues, the largest and the smallest among them."""
    primes = np.array(parameters.primes, dtype=np.uint64)[:, None]
    shape = (count, len(parameters.plaintext_moduli), 2, parameters.limbs, parameters.ring_dim)
    limbs = rng.integers(0, primes, shape, dtype=np.uint64)
    limbs[..., 0] = primes[:, 0] - np.uint64(1)
    limbs[..., 1] = 0
    limbs[..., 2], limbs[..., 3] = primes[:, 0] // np.uint64(2), primes[:, 0] // np.uint64(2) + np.uint64(1)
    return limbs


def draw_weights(rng: np.random.Generator, parameters: BfvParameters, shape: tuple[int, ...], bits: int) -> Integers:
    """Weights of so many bits, at most; with the bounds among them, and zeros."""
    largest = min(2**bits, parameters.largest_value)
    weights = rng.integers(-largest, largest + 1, shape)
    flat = weights.reshape(-1)
    flat[: 2 * (flat.size // 4) : 4], flat[1::7] = largest, 0
    flat[2::5] = -largest
    return weights


def draw_tables(rng: np.random.Generator, count: int, groups: int, channels: int) -> tuple[Integers, Integers, int]:
    gather = rng.integers(-1, count, (groups, 3, 5))
    outputs = groups * channels * 3 + 1
    scatter = rng.permutation(outputs)[:-1].reshape(groups, channels, 3)
    scatter[0, 0, 0] = -1
    return gather, scatter, outputs


def check_sums(server: BfvEvaluator, seed: int, channels: int, bits: int) -> None:
    parameters, rng = server.parameters, np.random.default_rng(seed)
    x = draw_limbs(rng, parameters, 4)
    gather, scatter, outputs = draw_tables(rng, 4, 2, channels)
    weights = draw_weights(rng, parameters, (2, channels, 5), bits)
    expected = own.each(parameters, x, lambda c, y: own.linear_combination(c, y, gather, weights, scatter, outputs))
    np.testing.assert_array_equal(server.linear_combination(x, gather, weights, scatter, outputs), expected)


@pytest.mark.parametrize("bits", [0, 12, 62])
def test_sums_in_every_ring(server: BfvEvaluator, bits: int) -> None:
    check_sums(server, bits, 3, bits)


@given(seed=SEEDS, channels=st.sampled_from([1, 2, 3, 9]), bits=st.integers(0, 62))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sums(crt_evaluator: BfvEvaluator, cores: int, seed: int, channels: int, bits: int) -> None:
    check_sums(crt_evaluator, seed, channels, bits)


@pytest.mark.parametrize("channels", [1, 4])
def test_sums_longer_than_a_piece(evaluator: BfvEvaluator, channels: int) -> None:
    """With extreme weights, and against Python's integers: OpenFHE would take a minute."""
    count, rng = 2 * sums_module.MOST_TERMS + 5, np.random.default_rng(0)
    x, weights = draw_limbs(rng, SMALL, 3), draw_weights(rng, SMALL, (1, channels, count), 39)
    gather = rng.integers(0, 3, (1, 1, count))
    got = evaluator.linear_combination(x, gather, weights, np.arange(channels).reshape(1, -1, 1), channels)
    primes = np.array(SMALL.primes, dtype=object)[:, None]
    expected = np.tensordot(weights[0].astype(object), x[gather[0, 0]].astype(object), 1) % primes
    assert (got == expected).all()


@given(seed=SEEDS)
@settings(max_examples=10)
def test_other_operations(crt_evaluator: BfvEvaluator, seed: int) -> None:
    check_other_operations(crt_evaluator, seed)


def test_other_operations_in_every_ring(server: BfvEvaluator) -> None:
    check_other_operations(server, 0)


def check_other_operations(server: BfvEvaluator, seed: int) -> None:
    parameters, rng = server.parameters, np.random.default_rng(seed)
    x, y = draw_limbs(rng, parameters, 3), draw_limbs(rng, parameters, 3)
    vectors = draw_weights(rng, parameters, (3, parameters.slots), 62)
    vectors[1] = vectors[0]
    rows, cols = np.array([0, 0, 2]), np.array([1, 2, 1])
    pairs = (
        (server.slot_combination(x, rows, cols, vectors, 4), own.slot_combination, (rows, cols, vectors, 4)),
        (server.add_vectors(x, vectors), own.add_vectors, (vectors,)),
        (server.add_vectors(x, vectors[:, :1]), own.add_vectors, (vectors[:, :1],)),
    )
    for got, operation, args in pairs:
        expected = own.each(parameters, x, lambda c, z, f=operation, a=args: f(c, z, *a))
        np.testing.assert_array_equal(got, expected)
    both = np.concatenate([x, y])
    for got, operation in ((server.add(x, y), own.add), (server.subtract(x, y), own.subtract)):
        expected = own.each(parameters, both, lambda c, z, f=operation: f(c, z[:3], z[3:]))
        np.testing.assert_array_equal(got, expected)


def test_more_vectors_than_are_encoded_at_once(evaluator: BfvEvaluator) -> None:
    rng = np.random.default_rng(0)
    x = draw_limbs(rng, SMALL, 2)
    rows, cols = np.sort(rng.integers(0, 5, 700)), rng.integers(0, 2, 700)
    vectors = draw_weights(rng, SMALL, (700, 64), 20)
    expected = own.each(SMALL, x, lambda c, y: own.slot_combination(c, y, rows, cols, vectors, 6))
    np.testing.assert_array_equal(evaluator.slot_combination(x, rows, cols, vectors, 6), expected)
    many = draw_limbs(rng, SMALL, 300)
    added = evaluator.add_vectors(many, vectors[:300])
    np.testing.assert_array_equal(added, own.each(SMALL, many, lambda c, y: own.add_vectors(c, y, vectors[:300])))


@given(seed=SEEDS, blocks=st.sampled_from([1, 2, 8, 64]), bits=st.integers(0, 20), chunks=st.integers(1, 2))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_products_with_polynomials(small_server, cores, seed: int, blocks: int, bits: int, chunks: int) -> None:
    rng = np.random.default_rng(seed)
    x = draw_limbs(rng, SMALL_32, 3 * chunks)
    weights = draw_weights(rng, SMALL_32, (2, 3, blocks), bits)
    expected = own.each(SMALL_32, x, lambda c, y: own.polynomial_combination(c, y, weights, chunks))
    np.testing.assert_array_equal(dense(small_server, x, weights, chunks), expected)


@pytest.mark.parametrize("blocks", [4, 512])
def test_products_with_polynomials_at_secure_sizes(blocks: int) -> None:
    parameters = replace(SECURE_4096, plaintext_moduli=choose_plaintext_moduli(2**25, 4096, 54))
    server, rng = evaluator_of(parameters), np.random.default_rng(0)
    x, weights = draw_limbs(rng, parameters, 3), draw_weights(rng, parameters, (2, 3, blocks), 25)
    expected = own.each(parameters, x, lambda c, y: own.polynomial_combination(c, y, weights, 1))
    np.testing.assert_array_equal(dense(server, x, weights), expected)


def test_products_with_polynomials_of_many_inputs(evaluator: BfvEvaluator) -> None:
    """With extreme weights: the same as weights on the Y-multiples of the ciphertexts."""
    rng, count = np.random.default_rng(0), polynomials_module.TERMS_AT_ONCE + 300
    x, weights = draw_limbs(rng, SMALL, count), draw_weights(rng, SMALL, (3, count, 2), 62)
    y = np.zeros((1, 1, 2), dtype=np.int64) + np.array([0, 1])
    moved = np.concatenate([dense(evaluator, part[None], y) for part in x])
    tables = np.arange(2 * count).reshape(2, count).T.reshape(1, 1, -1), weights.reshape(1, 3, -1)
    expected = evaluator.linear_combination(
        np.concatenate([x, moved]), *tables, np.arange(3).reshape(1, 3, 1), 3
    )  # fmt: skip
    np.testing.assert_array_equal(dense(evaluator, x, weights), expected)


@pytest.mark.parametrize("few", [0, 64], ids=["by transforms", "by products"])
@pytest.mark.parametrize(("taps", "bits"), [(1, 62), (5, 12), (64, 62)])
def test_products_with_few_powers(
    evaluator: BfvEvaluator, monkeypatch: pytest.MonkeyPatch, few: int, taps: int, bits: int
) -> None:
    """The same as with all powers, most of them with no weight; in runs of inputs and of points."""
    rng, parameters = np.random.default_rng(taps), evaluator.parameters
    monkeypatch.setattr(transformed_module, "COLUMNS", 48)
    x, weights = draw_limbs(rng, parameters, 2 * 150), draw_weights(rng, parameters, (3, 150, taps), bits)
    powers = rng.permutation(64)[:taps]
    monkeypatch.setattr(transformed_module, "FEW_POWERS", 64 - few)
    all_powers = dense_polynomials(weights, powers, 64)
    expected = dense(evaluator, x, all_powers, 2)
    monkeypatch.setattr(transformed_module, "FEW_POWERS", few)
    np.testing.assert_array_equal(evaluator.polynomial_combination(x, weights, powers, 64, 2), expected)


@pytest.mark.parametrize("few", [0, 64], ids=["by transforms", "by products"])
def test_a_kernel_of_a_secure_size(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(transformed_module, "FEW_POWERS", few)
    parameters = replace(SECURE_4096, plaintext_moduli=choose_plaintext_moduli(2**25, 4096, 54))
    server, rng = evaluator_of(parameters), np.random.default_rng(0)
    x, weights = draw_limbs(rng, parameters, 3), draw_weights(rng, parameters, (2, 3, 9), 12)
    powers = np.array([0, 1, 2, 64, 65, 66, 4031, 4032, 4095])
    all_powers = dense_polynomials(weights, powers, 4096)
    expected = own.each(parameters, x, lambda c, y: own.polynomial_combination(c, y, all_powers, 1))
    np.testing.assert_array_equal(server.polynomial_combination(x, weights, powers, 4096, 1), expected)


def test_polynomials_without_a_power_of_x_are_numbers(evaluator: BfvEvaluator) -> None:
    rng = np.random.default_rng(0)
    x, weights = draw_limbs(rng, SMALL, 4), draw_weights(rng, SMALL, (3, 2, 1), 20)
    found = evaluator.polynomial_combination(x, weights, np.zeros(1, dtype=np.int64), 64, 2)
    np.testing.assert_array_equal(found, dense(evaluator, x, dense_polynomials(weights, np.array([0]), 64), 2))
    nothing = evaluator.polynomial_combination(x, weights[:, :, :0], np.zeros(0, dtype=np.int64), 64, 2)
    assert nothing.shape == found.shape
    assert not nothing.any()


def test_weights_are_kept_while_there_is_room(evaluator: BfvEvaluator) -> None:
    transforms = open_ring(SMALL.primes, 64).transforms
    weights = [np.full((2, 2, 4), i, dtype=np.int64) for i in range(3)]
    cache = polynomials_module.WeightCache(most_bytes=1 << 20)
    assert cache.get(weights[0], transforms) is cache.get(weights[0].copy(), transforms)
    small = polynomials_module.WeightCache(most_bytes=1)
    first = small.get(weights[0], transforms)
    assert small.get(weights[0], transforms) is first
    small.get(weights[1], transforms)
    assert small.get(weights[0], transforms) is not first


def test_coefficients_come_back(keys: BfvKeyHolder, evaluator: BfvEvaluator) -> None:
    check_coefficients(keys, evaluator)


def test_coefficients_of_two_moduli_come_back(crt_keys: BfvKeyHolder, crt_evaluator: BfvEvaluator) -> None:
    check_coefficients(crt_keys, crt_evaluator)


def check_coefficients(keys: BfvKeyHolder, evaluator: BfvEvaluator) -> None:
    rng, parameters, form = np.random.default_rng(0), keys.parameters, Encoding.COEFFICIENTS
    values = draw_weights(rng, parameters, (3, 64), 62)
    payload = keys.encrypt(values, form)
    x = evaluator.load(payload, 3)
    np.testing.assert_array_equal(keys.decrypt(evaluator.answer(x), 3, form), values)
    small = draw_weights(rng, parameters, (3, 64), 12)
    x = evaluator.load(keys.encrypt(small, form), 3)
    weights = draw_weights(rng, parameters, (2, 3, 4), 9)
    shifted = evaluator.add_vectors(dense(evaluator, x, weights), small[:2], form)
    got = keys.decrypt(evaluator.answer(shifted), 2, form)
    np.testing.assert_array_equal(got, polynomial_sums(small, weights, np.arange(4), 4, 1) + small[:2])


@pytest.mark.parametrize("form", Encoding)
def test_what_is_not_held_is_hidden(crt_keys: BfvKeyHolder, crt_evaluator: BfvEvaluator, form: Encoding) -> None:
    rng = np.random.default_rng(0)
    values, unheld = rng.integers(-1000, 1000, (5, 64)), rng.random((5, 64)) < 0.5
    unheld[1] = False
    x = crt_evaluator.load(crt_keys.encrypt(values, form), 5)
    first, second = (
        crt_keys.decrypt(crt_evaluator.answer(crt_evaluator.hide(x, unheld, form)), 5, form) for _ in range(2)
    )
    np.testing.assert_array_equal(first[~unheld], values[~unheld])
    np.testing.assert_array_equal(second[~unheld], values[~unheld])
    assert (first[unheld] != second[unheld]).all()
    assert np.abs(first[unheld]).max() > SMALL_CRT.largest_value / 2


def test_dropped_primes(server: BfvEvaluator) -> None:
    parameters = server.parameters
    (limbs,) = draw_limbs(np.random.default_rng(0), parameters, 1)
    context = open_context(parameters, parameters.plaintext_moduli[0])
    ring, out = open_ring(parameters.primes, parameters.ring_dim), np.empty((2, parameters.ring_dim), dtype=np.uint64)
    nothing = np.zeros((1, parameters.ring_dim), dtype=np.uint64)
    flood_and_drop(limbs[0], np.zeros_like(limbs[0]), nothing, *ring.drop_tables, out)
    np.testing.assert_array_equal(out, own.drop_primes(context, limbs[0]))


@given(seed=SEEDS)
@settings(max_examples=10)
def test_slots_and_coefficients(seed: int) -> None:
    """What OpenFHE unpacks is what is transformed here."""
    t = SMALL_32.plaintext_moduli[0]
    context, plaintexts = open_context(SMALL_32, t), open_plaintexts(SMALL_32, t)
    coefficients = np.random.default_rng(seed).integers(0, t, (1, 64))
    slots = plaintexts.slots(coefficients)
    np.testing.assert_array_equal(plaintexts.coefficients(slots), coefficients)
    packed = context.scheme.MakeCoefPackedPlaintext(centred(coefficients[0], t).tolist())
    one = own.constant(context, 1)
    one.SetEncodingType(openfhe.PlaintextEncodings.COEF_PACKED_ENCODING)
    lifted = context.write_ciphertext(context.scheme.EvalMult(one, packed))[0]
    np.testing.assert_array_equal(plaintexts.factors(coefficients)[0], lifted)
    unpacked = context.write_ciphertext(
        context.scheme.EvalMult(own.constant(context, 1), context.encode(centred(slots[0], t)))
    )
    np.testing.assert_array_equal(unpacked[0], lifted)


def test_points_are_the_primitive_roots() -> None:
    for transform in open_ring(SECURE_4096.primes, 4096).transforms:
        points = transform.points().tolist()
        assert len(set(points)) == 4096
        assert all(pow(point, 4096, transform.prime) == transform.prime - 1 for point in points)


def test_rings_of_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def another_root(prime: int, ring_dim: int) -> int:
        return pow(smallest_root(prime, ring_dim), 3, prime)

    with monkeypatch.context() as patch:
        other = Ring(tuple(Transform(p, 64, another_root(p, 64)) for p in SMALL.primes))
        patch.setattr(ring_module, "open_ring", lambda *_: other)
        with pytest.raises(
            OpenFheError, match=r"evaluates polynomials at other points than expected: use OpenFHE 1\.6"
        ):
            open_plaintexts.__wrapped__(SMALL, SMALL.plaintext_moduli[0])
    calls = iter([1, 3])
    encode = ring_module.Context.encode
    monkeypatch.setattr(ring_module.Context, "encode", lambda self, v: encode(self, np.roll(v, next(calls))))
    with pytest.raises(OpenFheError, match=r"OpenFHE packs slots in another order than expected: use OpenFHE 1\.6"):
        open_plaintexts.__wrapped__(SMALL, SMALL.plaintext_moduli[0])
    monkeypatch.setattr(ring_module.Context, "encode", lambda self, v: encode(self, v + 1))
    with pytest.raises(OpenFheError, match=r"OpenFHE packs slots where they are not known to be: use OpenFHE 1\.6"):
        open_plaintexts.__wrapped__(SMALL, SMALL.plaintext_moduli[0])
