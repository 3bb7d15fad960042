from dataclasses import replace

import numpy as np
import pytest
import torch
from full_models import digits
from full_models.activations import ACTIVATIONS
from full_models.classifiers import LeNet, Lola, Mlp
from full_models.trained import fingerprint, trained
from full_models.training import SCHEDULES, Schedule, accuracy, train

pytestmark = pytest.mark.torch

SHORT = Schedule(epochs=5, seed=3)

SHAPES = {
    Mlp: {"fc1": (128, 784), "fc2": (128, 128), "fc3": (10, 128)},
    Lola: {"conv1": (5, 1, 2, 2), "fc1": (100, 980), "fc2": (10, 100)},
    LeNet: {"conv1": (32, 1, 5, 5), "conv2": (64, 32, 5, 5), "fc1": (512, 3136), "fc2": (10, 512)},
}


@pytest.fixture(scope="module")
def data():
    return digits.load()


@pytest.mark.parametrize("kind", SHAPES)
def test_layers_are_those_of_the_published_networks(kind):
    weights = {name: tuple(tensor.shape) for name, tensor in kind().named_parameters()}
    assert {name: weights[f"{name}.weight"] for name in SHAPES[kind]} == SHAPES[kind]


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_images_become_logits(kind, activation):
    model = kind(ACTIVATIONS[activation]).eval()
    assert model(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


def test_the_square_is_the_value_times_itself():
    x = torch.tensor([-2.0, 0.5])
    assert ACTIVATIONS["square"]()(x).tolist() == [4.0, 0.25]


def test_digits_are_enlarged_and_split(data):
    train_, test = data
    assert (train_.images.shape, test.images.shape) == ((1437, 1, 28, 28), (360, 1, 28, 28))
    assert (train_.images.min(), train_.images.max()) == (0, 1)
    counts = np.bincount(test.labels)
    assert counts.min() >= 34
    assert counts.max() <= 37


def test_enlarging_keeps_a_flat_image_flat_and_the_orientation():
    flat = digits.enlarged(np.full((1, 64), 8.0))
    np.testing.assert_array_equal(flat, np.full((1, 1, 28, 28), 0.5))
    corner = np.zeros((8, 8))
    corner[0, 7] = 16
    large = digits.enlarged(corner.reshape(1, 64))[0, 0]
    assert large[0, -1] == 1
    assert large[:14].sum() == pytest.approx(large.sum())
    assert large[:, 14:].sum() == pytest.approx(large.sum())


def test_training_repeats_and_learns(data):
    one, two = (train(Lola(width=16), data[0], SHORT) for _ in range(2))
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert accuracy(one, data[1]) > 0.8


def test_a_penalty_keeps_what_relus_are_given_in_reach(data):
    reached = []
    for penalty in (0.0, 10.0):
        model = train(Lola(ACTIVATIONS["relu"], width=16), data[0], replace(SHORT, penalty=penalty, reach=1.5))
        given = []
        model.act2.register_forward_pre_hook(lambda _, args, given=given: given.append(args[0]))
        accuracy(model, data[1])
        reached.append(float(given[0].abs().max()))
    assert reached[1] < 0.7 * reached[0]


def test_training_leaves_the_threads_as_they_were(data):
    threads = torch.get_num_threads()
    train(Mlp(width=4), data[0], Schedule(epochs=1))
    assert torch.get_num_threads() == threads


def test_what_was_trained_is_kept(tmp_path, monkeypatch):
    first = trained(Mlp(width=4), SHORT, tmp_path)
    monkeypatch.setattr("full_models.trained.train", None)
    again = trained(Mlp(width=4), SHORT, tmp_path)
    assert torch.equal(first.fc1.weight, again.fc1.weight)
    assert not again.training
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


def test_another_network_or_schedule_is_another_file():
    schedules, models = (SHORT, Schedule()), (Mlp(), Mlp(ACTIVATIONS["relu"]), Mlp(width=4), Lola())
    assert len({fingerprint(model, schedule) for model in models for schedule in schedules}) == 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "activation"), [(Mlp, "square"), (Lola, "square"), (LeNet, "square"), (LeNet, "relu")]
)
def test_digits_that_are_held_out_are_classified(kind, activation, data):
    assert accuracy(trained(kind(ACTIVATIONS[activation]), SCHEDULES[activation]), data[1]) > 0.97
