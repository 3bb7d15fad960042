"""The models through ``compile``, ``Session`` and ``verify`` in one round: quick sizes always, full sizes nightly."""

from functools import cache

import numpy as np
import pytest
from example_tools.encrypted import is_full
from full_models.catalogue import MODELS
from tests.examples.commands import result_of

import enclair
from enclair.float_model import FloatModel

pytestmark = pytest.mark.torch

ENCRYPTED = ("mlp", "conv1", "head")
DEEP = ("lenet-relu", "block")
"""20 levels and more even in the quick size: rings of 32768 and more, a minute or more to compile."""
LARGE_INPUTS = {"denoiser128": 2, "denoiser256": 1, "block": 4, "lenet-relu": 4}


@cache
def compiled(name, quick=True):
    case = MODELS[name](quick)
    return enclair.compile(case.model, case.samples, mode="full", **case.options), case


def gap(program, case, backend):
    """The largest difference to the float model."""
    spec, (output,) = program.inputs[0], program.outputs
    batches = case.inputs.reshape(-1, *spec.shape)
    expected = [FloatModel(program.source).run({spec.name: batch})[output] for batch in batches]
    answer = enclair.Session(program, backend).run({spec.name: np.concatenate(batches)}, clip=True).outputs[output]
    return float(np.abs(answer - np.concatenate(expected)).max())


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in DEEP else name for name in MODELS]
)
def test_one_round_within_the_tolerance(name):
    program, case = compiled(name)
    assert is_full(program)
    assert len(program.rounds) == 1
    assert gap(program, case.first(2), "simulated") <= case.options["tolerance"]


@pytest.mark.parametrize("name", ENCRYPTED)
def test_encrypted_within_the_tolerance(name):
    program, case = compiled(name)
    assert gap(program, case.first(2), "ckks") <= case.options["tolerance"]


def test_squares_take_a_level_each():
    """Three products with weights and two squares."""
    program, _ = compiled("mlp")
    assert program.parameters.levels == 5


def test_quartics_take_two_levels_each():
    """Four convolutions and three quartics, each of two squares."""
    program, _ = compiled("denoiser128")
    assert program.parameters.levels == 10


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.large) if name in DEEP else name for name in MODELS]
)
def test_encrypted_within_the_tolerance_in_full_size(name):
    program, case = compiled(name, quick=False)
    few = case.first(LARGE_INPUTS.get(name, 20))
    assert gap(program, few, "ckks") <= case.options["tolerance"]


def test_from_the_command_line():
    result = result_of("full_models/run.py", "mlp", "--quick", "--inputs", 2)
    assert result["rounds"] == 1
    assert result["figures"]["largest gap to float"] <= 1e-3
    assert result["figures"]["right, encrypted"] == result["figures"]["right, float"]
    assert all(each["met"] for each in result["gaps"].values())
    assert result["program"]["levels"] == 5
