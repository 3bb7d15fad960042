import numpy as np
import pytest
import torch
from full_models import catalogue
from full_models.case import Case, right
from full_models.catalogue import INPUTS, MODELS
from full_models.titles import TITLES

pytestmark = pytest.mark.torch


DEEP = ("lenet-relu", "block")
"""They take many levels for 1e-3: the quick size asks for less."""


def test_every_model_has_a_title():
    assert list(MODELS) == list(TITLES)


@pytest.mark.parametrize("name", MODELS)
def test_inputs_fit_the_model_and_are_no_samples(name):
    case = MODELS[name](True)
    with torch.no_grad():
        outputs = case.model(torch.from_numpy(case.inputs[:2]))
    assert len(outputs) == 2
    assert case.inputs.dtype == case.samples.dtype == np.float32
    assert case.options["tolerance"] == (0.1 if name in DEEP else 1e-3)
    seen = {sample.tobytes() for sample in case.samples}
    assert not any(each.tobytes() in seen for each in case.inputs)
    assert len({each.tobytes() for each in case.inputs}) == len(case.inputs)


@pytest.mark.parametrize("name", MODELS)
def test_as_many_inputs_as_the_benchmark_runs(name):
    assert len(MODELS[name](True).inputs) == INPUTS


@pytest.mark.parametrize("size", [16, 128])
def test_slices_are_as_many_and_differ(size):
    """A phantom, and the size of the slice that comes with pydicom."""
    found = catalogue.slices(size)
    assert found.shape == (INPUTS, 1, size, size)
    assert len({each.tobytes() for each in found}) == INPUTS


def test_some_of_the_inputs():
    case = MODELS["mlp"](True)
    few = case.first(3)
    assert (len(few.inputs), len(few.labels)) == (3, 3)
    np.testing.assert_array_equal(few.samples, case.samples)


def test_a_job_names_the_input_as_the_model_does():
    case = Case(torch.nn.Linear(2, 1), np.zeros((3, 2), np.float32), np.ones((1, 2), np.float32))
    job = case.within(0.5).job("full")
    assert (list(job.samples), list(job.inputs)) == (["input"], ["input"])
    assert job.options == {"mode": "full", "tolerance": 0.5}


def test_a_job_of_a_model_whose_forward_has_options():
    assert list(MODELS["block"](True).job("full").inputs) == ["x"]


def test_rotation_keys_are_full_modes_own():
    case = Case(None, np.zeros((3, 2), np.float32), np.ones((1, 2), np.float32), None, {"max_rotation_keys": 4})
    assert case.within(0.5).options_in("full") == {"mode": "full", "tolerance": 0.5, "max_rotation_keys": 4}
    assert case.within(0.5).options_in("split") == {"mode": "split", "tolerance": 0.5}


def test_what_is_classified_right():
    assert right(np.array([[1.0, 2], [3, 0], [0, 1]]), np.array([1, 0, 0])) == pytest.approx(2 / 3)
