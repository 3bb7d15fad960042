from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.programs import (
    BITS,
    SECURE_4096,
    SECURE_8192,
    SMALL,
    SMALL_CRT,
    tiny_hidden,
    tiny_program,
    tiny_reference,
)

from enclair.compiler.ir.errors import InputError
from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.bfv.secret import BfvKeyHolder
from enclair.runtime.errors import InsecureParameters
from enclair.runtime.progress import Progress
from enclair.runtime.session import Session

BACKENDS = ["clear", "simulated", "bfv"]
X = np.random.default_rng(0).uniform(-1, 1, (3, 8))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("parameters", [SMALL, SMALL_CRT], ids=["one", "crt"])
def test_every_backend_gives_the_reference(backend: str, parameters: BfvParameters) -> None:
    result = Session(tiny_program(parameters), backend, allow_insecure=True).run({"x": X})
    np.testing.assert_array_equal(result.outputs["out"], tiny_reference(X))
    assert (result.rounds, result.batches) == (2, 3)


@pytest.mark.parametrize("parameters", [SECURE_4096, SECURE_8192], ids=lambda p: f"N={p.ring_dim}")
def test_secure_parameters(parameters: BfvParameters) -> None:
    result = Session(tiny_program(parameters)).run({"x": X[:1]})
    np.testing.assert_array_equal(result.outputs["out"], tiny_reference(X[:1]))
    header = 2 * 156
    assert result.traffic.up == header + 12 * parameters.ciphertext_bytes
    assert result.traffic.down == header + 8 * parameters.answer_bytes
    assert result.traffic.keys == 156 + 32 + parameters.ciphertext_bytes


@given(seed=st.integers(0, 2**32))
@settings(max_examples=10)
def test_random_weights_and_inputs(keys: BfvKeyHolder, seed: int) -> None:
    x = np.random.default_rng(seed).uniform(-1, 1, (1, 8))
    result = Session(tiny_program(seed=seed), keys=keys, allow_insecure=True).run({"x": x})
    np.testing.assert_array_equal(result.outputs["out"], tiny_reference(x, seed))


def test_what_a_run_takes(keys: BfvKeyHolder) -> None:
    result = Session(tiny_program(), keys=keys, allow_insecure=True).run({"x": X})
    assert set(result.parts) == {
        *("client.stages", "client.encrypt", "client.decrypt", "server.load", "server.sums", "server.answer")
    }
    assert 0 < result.seconds["client"] + result.seconds["server"] <= result.seconds["total"]
    assert result.peak_rss > 2**20
    assert result.room_left_bits is None
    assert result.clipped == {"x": 0}


def test_simulated_predicts_the_room() -> None:
    result = Session(tiny_program(), "simulated", allow_insecure=True).run({"x": X})
    assert result.room_left_bits is not None
    assert 15 < result.room_left_bits < 30


def test_seconds_are_of_this_run_alone(keys: BfvKeyHolder) -> None:
    session = Session(tiny_program(), keys=keys, allow_insecure=True)
    session.run({"x": np.repeat(X, 5, axis=0)})
    result = session.run({"x": X[:1]})
    assert sum(result.parts.values()) <= result.seconds["total"]


def test_progress_ends_at_the_end() -> None:
    seen: list[Progress] = []
    Session(tiny_program(), "clear", allow_insecure=True, progress=seen.append).run({"x": X})
    done = [moment.done for moment in seen]
    assert done == sorted(done)
    assert done[-1] == pytest.approx(1)
    assert seen[-1].left_s == pytest.approx(0, abs=1e-9)
    assert {moment.what for moment in seen} >= {"round 1: encrypted", "round 2: %total", "round 2: answered"}


def test_out_of_range_inputs(keys: BfvKeyHolder) -> None:
    session = Session(tiny_program(), keys=keys, allow_insecure=True)
    with pytest.raises(InputError, match="outside of"):
        session.run({"x": X * 5})
    result = session.run({"x": X * 5}, clip=True)
    np.testing.assert_array_equal(result.outputs["out"], tiny_reference(np.clip(X * 5, -1, 1)))
    assert result.clipped == {"x": int((np.abs(X * 5) > 1).sum())}


def test_saturations_are_counted() -> None:
    result = Session(tiny_program(), "clear", allow_insecure=True).run({"x": X})
    rounded = np.rint(tiny_hidden(X) / 2**BITS)
    cut_off = np.count_nonzero((rounded < 0) | (rounded > 200))
    assert cut_off > 0
    assert result.saturated == {"x.rounded": 0, "relu": cut_off}


def test_insecure_programs_are_refused() -> None:
    with pytest.raises(InsecureParameters, match="they protect nothing; compile it with secure parameters"):
        Session(tiny_program())
