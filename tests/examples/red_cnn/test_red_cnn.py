import numpy as np
import pytest
from red_cnn import weights
from red_cnn.network import red_cnn
from safetensors.numpy import save_file
from tests.examples.commands import result_of, run

from enclair.float_model import FloatModel


@pytest.fixture(scope="module")
def small():
    return weights.random(3, seed=0)


def numpy_conv(x, weight, bias):
    windows = np.lib.stride_tricks.sliding_window_view(x, (5, 5), axis=(1, 2))
    return np.einsum("crsij,ocij->ors", windows, weight) + bias[:, None, None]


def numpy_conv_transpose(x, weight, bias):
    padded = np.pad(x, ((0, 0), (4, 4), (4, 4)))
    return numpy_conv(padded, weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1], bias)


def test_the_network_is_the_published_one(small):
    x = np.random.default_rng(0).random((1, 1, 23, 22))
    taken, value = [], x[0]
    for number in range(1, 6):
        taken.append(value)
        value = np.maximum(numpy_conv(value, small[f"conv{number}.weight"], small[f"conv{number}.bias"]), 0)
    for number in range(1, 6):
        value = numpy_conv_transpose(value, small[f"tconv{number}.weight"], small[f"tconv{number}.bias"])
        skip = {1: taken[4], 3: taken[2], 5: taken[0]}.get(number)
        value = np.maximum(value if skip is None else value + skip, 0)
    denoised = FloatModel(red_cnn(small, 23, 22).SerializeToString()).run({"x": x})["denoised"]
    np.testing.assert_allclose(denoised[0], value, atol=1e-5)


@pytest.mark.torch
def test_torch_gives_the_same_and_its_state_dict_is_read(tmp_path):
    import torch
    from torch import nn

    class RedCnn(nn.Module):
        def __init__(self, channels):
            super().__init__()
            for number in range(1, 6):
                self.add_module(f"conv{number}", nn.Conv2d(1 if number == 1 else channels, channels, 5))
            for number in range(1, 6):
                made = 1 if number == 5 else channels
                self.add_module(f"tconv{number}", nn.ConvTranspose2d(channels, made, 5))

        def forward(self, x):
            first = x
            x = torch.relu(self.conv1(x))
            second = x = torch.relu(self.conv2(x))
            x = torch.relu(self.conv3(x))
            third = x = torch.relu(self.conv4(x))
            x = torch.relu(self.tconv1(torch.relu(self.conv5(x))) + third)
            x = torch.relu(self.tconv3(torch.relu(self.tconv2(x))) + second)
            return torch.relu(self.tconv5(torch.relu(self.tconv4(x))) + first)

    torch.manual_seed(0)
    model = RedCnn(4)
    torch.save(model.state_dict(), tmp_path / "red_cnn.pth")
    x = torch.rand(1, 1, 24, 25)
    with torch.no_grad():
        expected = model(x).numpy()
    network = red_cnn(weights.load(tmp_path / "red_cnn.pth"), 24, 25)
    denoised = FloatModel(network.SerializeToString()).run({"x": x.numpy()})["denoised"]
    np.testing.assert_allclose(denoised, expected, atol=1e-5)


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_weights_without_torch(small, tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    save_file(small, path) if suffix == "safetensors" else np.savez(path, **small)
    found = weights.load(path)
    assert found.keys() == small.keys()
    assert all((found[name] == small[name]).all() for name in small)


def test_weights_of_another_network(small, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    with pytest.raises(ValueError, match=r"a\.npz has no tensor conv1\.weight but x: name them as a PyTorch"):
        weights.load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **{**small, "tconv2.bias": np.zeros(7, np.float32)})
    with pytest.raises(ValueError, match=r"tensor tconv2\.bias of shape \(3,\) is needed, got \(7,\): name them"):
        weights.load(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", **{name: array for name, array in small.items() if name != "conv5.weight"})
    with pytest.raises(ValueError, match=r"tensor conv5\.weight of shape \(3, 3, 5, 5\) is needed, got none"):
        weights.load(tmp_path / "c.npz")


def test_too_small_a_patch(small):
    with pytest.raises(ValueError, match=r"patches of more than 20 x 20 pixels, got 20 x 64: its five layers"):
        red_cnn(small, 20, 64)


def test_random_weights_keep_the_range():
    x = np.random.default_rng(0).random((1, 1, 32, 32))
    model = FloatModel(red_cnn(weights.random(16, seed=1), 32, 32).SerializeToString(), ["relu5", "trelu1"])
    values = model.run({"x": x})
    assert all(0.3 < array.max() < 3 for array in values.values())
    assert 0.01 < np.abs(values["denoised"] - x).max() < 0.2


def test_the_encrypted_answer_is_the_fixed_point_one_bit_for_bit():
    result = result_of("red_cnn/run.py", "--channels", 2, "--size", 22)
    assert result["equal"] is True
    assert result["rounds"] == 10
    assert result["saturated"]["elements"] == 0
    assert result["gaps"]["poly_vs_float"]["met"] is True


def test_weights_that_are_not_there_are_one_line_and_exit_code_2(tmp_path):
    done = run("red_cnn/run.py", "--weights", tmp_path / "none.npz")
    assert (done.returncode, done.stdout) == (2, "")
    assert "none.npz" in done.stderr
    assert done.stderr.count("\n") == 1
