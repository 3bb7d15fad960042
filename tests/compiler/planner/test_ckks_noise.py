"""The noise model by itself: standard deviations of single sources, and how samples go through operations."""

from __future__ import annotations

from math import hypot, sqrt

import numpy as np
import pytest
from tests.ckks_graphs import linear_layer

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.graph import Builder, Graph, Value
from enclair.compiler.ir.layouts import SlotSums
from enclair.compiler.ir.ops.ckks import LinearTransform, MultiplyCiphers, RotateSlots, UnpackReals
from enclair.compiler.ir.types import CkksType, RealSlotsType
from enclair.compiler.parameters import INSECURE
from enclair.compiler.passes.place_levels import PlaceLevels
from enclair.compiler.planner.ckks_noise import (
    SAFETY,
    NoiseModel,
    NoiseSimulator,
    Noisy,
    Prediction,
    noise_model,
    predict,
)

SLOTS = 512
PARAMETERS = CkksParameters(2 * SLOTS, 2, 35, 45, 3, INSECURE)
MODEL = noise_model(PARAMETERS)
SCALE = 2.0**35


def predicted(b: Builder, out: Value, seed: int = 0, samples: int = 16) -> tuple[Graph, Prediction]:
    leveled = PlaceLevels(PARAMETERS)(b.build([out]))
    rng = np.random.default_rng(seed)
    inputs = {v.name: rng.uniform(-1, 1, size=(1, SLOTS)) for v in leveled.inputs}
    return leveled, predict(leveled, inputs, MODEL, samples)


def start() -> tuple[Builder, Value]:
    b = Builder("noise")
    return b, b.input("x", CkksType(1, SLOTS))


def test_a_fresh_encryption() -> None:
    assert NoiseModel(16384, 1).encryption(2.0**40) == pytest.approx(sqrt(8192 * (3.19**2 + 1 / 12)) / 2**40)
    b, x = start()
    _, prediction = predicted(b, b.add(RotateSlots(1), x, name="y"))
    assert prediction.values["x"].deviation == pytest.approx(MODEL.encryption(SCALE), rel=0.05)
    want = hypot(MODEL.encryption(SCALE), MODEL.key_switching(SCALE))
    assert prediction.values["y"].deviation == pytest.approx(want, rel=0.05)


def test_a_product_takes_each_error_times_the_other_factor() -> None:
    b, x = start()
    y = b.input("y", CkksType(1, SLOTS))
    _, prediction = predicted(b, b.add(MultiplyCiphers(), x, y, name="z"))
    want = hypot(sqrt(2 / 3) * MODEL.encryption(SCALE), MODEL.rescaling(SCALE))
    assert prediction.values["z"].deviation == pytest.approx(want, rel=0.08)


def layered(vectors: np.ndarray) -> float:
    """The deviation after a sum of four rotations."""
    b, x = start()
    none, terms = np.zeros(4, dtype=np.int64), np.arange(4)
    tables = [b.constant("t", t, 0) for t in (none, none, terms, terms if len(vectors) > 1 else none)]
    out = b.add(LinearTransform(1), x, *tables, b.constant("w", np.ones(4)), b.constant("v", vectors), name="y")
    _, prediction = predicted(b, out)
    return prediction.values["y"].deviation


def test_rotated_errors_of_one_ciphertext_add_in_quadrature() -> None:
    fresh, switch, rescale = MODEL.encryption(SCALE), MODEL.key_switching(SCALE), MODEL.rescaling(SCALE)
    want = sqrt(4 * fresh**2 + 3 * switch**2 + rescale**2)
    assert layered(np.ones((1, 1))) == pytest.approx(want, rel=0.08)


def test_vectors_add_their_rounding() -> None:
    assert layered(np.ones((4, SLOTS))) > layered(np.ones((1, 1)))


def of_tap(b: Builder, x: Value, vectors: int, weight_scale: float | None) -> Value:
    """Sixteen terms of weight 1 on one input; the vectors let half of its slots through. Those of a vector add up."""
    none, terms = np.zeros(16, dtype=np.int64), np.arange(16)
    tables = [b.constant("t", t, 0) for t in (none, none, none, terms % vectors)]
    mask = np.tile(np.arange(SLOTS) < SLOTS // 2, (vectors, 1)).astype(float)
    return b.add(
        LinearTransform(1, 0, SCALE, weight_scale), x, *tables, b.constant("w", np.ones(16)), b.constant("v", mask)
    )


@pytest.mark.parametrize("vectors", [1, 4, 16])
def test_terms_share_the_rounding_of_their_vector_and_have_their_own_of_weights(vectors: int) -> None:
    b, scale = Builder("noise"), 2.0**12
    x = b.input("x", CkksType(1, SLOTS, 2, SCALE))
    graph = b.build([of_tap(b, x, vectors, scale)])
    simulator = NoiseSimulator(MODEL, 400)
    values = np.ones((1, SLOTS))
    exact = Noisy(values, np.zeros((400, 1, SLOTS)), CkksType(1, SLOTS, 2, SCALE))
    node = graph.nodes[0]
    assert isinstance(node.out.type, CkksType)
    made = simulator.apply(node.op, node.out.type, exact, *(graph.constant(arg) for arg in node.args[1:]))
    seen, hidden = made.errors[:, 0, : SLOTS // 2], made.errors[:, 0, SLOTS // 2 :]
    of_vectors = MODEL.encoding(SCALE / scale, SLOTS) * 16 / sqrt(vectors)
    of_weights = sqrt(vectors / 12) / scale
    assert np.std(hidden) == pytest.approx(of_vectors, rel=0.05)
    assert np.std(seen.mean(axis=1)) == pytest.approx(of_weights, rel=0.15)


def test_correlated_errors_add_linearly() -> None:
    b, x = start()
    one = np.zeros(8, dtype=np.int64)
    tables = [b.constant("t", one, 0) for _ in range(4)]
    out = b.add(LinearTransform(1), x, *tables, b.constant("w", np.ones(8)), b.constant("v", np.ones((1, 1))), name="y")
    _, prediction = predicted(b, out)
    assert prediction.values["y"].deviation == pytest.approx(
        hypot(8 * MODEL.encryption(SCALE), MODEL.rescaling(SCALE)), rel=0.08
    )


def test_an_answer_gets_noise_from_the_server_and_from_decryption() -> None:
    b, x = start()
    _, prediction = predicted(b, linear_layer(b, x, 8, np.random.default_rng(0)))
    (answer,) = prediction.answers.values()
    (before,) = [prediction.values[name].deviation for name in prediction.answers]
    before = hypot(before, MODEL.rescaling(SCALE))
    assert answer.deviation == pytest.approx(hypot(before, MODEL.decryption(before, SCALE)), rel=0.05)
    assert MODEL.decryption(0.0, SCALE) == MODEL.ring_dim / 8 / SCALE


def test_bounds_are_samples_with_room() -> None:
    x = Noisy(np.ones((1, 2)), np.array([[[0.1, -0.3]], [[0.2, 0.0]]]), CkksType(1, 2, 0, SCALE))
    assert x.bound == SAFETY * 0.3
    assert x.magnitude == pytest.approx(1.3)


def test_predictions_are_reproducible() -> None:
    (b, x), (c, y) = start(), start()
    first = predicted(b, linear_layer(b, x, 4, np.random.default_rng(0)))[1]
    assert first.bound == predicted(c, linear_layer(c, y, 4, np.random.default_rng(0)))[1].bound


@pytest.mark.parametrize(("group", "least", "most"), [(1, 0.1, 1.01), (64, 4.0, 12.0)])
def test_what_the_client_adds_up_is_part_of_the_bound(group: int, least: float, most: float) -> None:
    b, x = start()
    leveled, prediction = predicted(b, b.add(MultiplyCiphers(), x, x))
    c = Builder("client")
    answer = c.input(leveled.outputs[0].name, RealSlotsType(1, SLOTS))
    rows = SLOTS // group
    client = c.build([c.add(UnpackReals(SlotSums((rows, 1), rows, group, SLOTS)), answer)])
    assert least * prediction.bound < prediction.bound_after(client) < most * prediction.bound
