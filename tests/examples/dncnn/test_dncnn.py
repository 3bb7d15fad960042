import hashlib
import zipfile
from itertools import pairwise

import msgpack
import numpy as np
import pytest
from dncnn import weights
from dncnn.job import RANGE, calibration, images, to_input
from dncnn.network import dncnn
from tests.examples.commands import result_of, run

from enclair.float_model import FloatModel


def flax_array(array):
    return msgpack.ExtType(1, msgpack.packb((array.shape, array.dtype.name, array.tobytes())))


def flax_file(layers):
    """The layers as flax writes them."""
    kernels = [{"kernel": flax_array(np.ascontiguousarray(layer.weight.transpose(2, 3, 1, 0)))} for layer in layers]
    params, stats = {"conv_end": kernels[-1], "conv_start": kernels[0]}, {}
    for number, layer in enumerate(layers[1:-1]):
        norm = layer.norm
        affine = {"bias": flax_array(norm.bias), "scale": flax_array(norm.scale)}
        params[f"ConvBNBlock_{number}"] = {"Conv_0": kernels[number + 1], "BatchNorm_0": affine}
        running = {"mean": flax_array(norm.mean), "var": flax_array(norm.variance)}
        stats[f"ConvBNBlock_{number}"] = {"BatchNorm_0": running}
    return msgpack.packb({"params": params, "batch_stats": stats})


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder with a package that holds a small random network in the place of the trained one."""
    with zipfile.ZipFile(tmp_path / weights.WHEEL, "w") as wheel:
        wheel.writestr("scico/data/flax/dncnn6M.mpk", flax_file(weights.random(6, 3, seed=4)))
    digest = hashlib.sha256((tmp_path / weights.WHEEL).read_bytes()).hexdigest()
    monkeypatch.setattr(weights, "SHA256", digest)
    return tmp_path


def test_flax_weights_are_read(cache):
    for found, expected in zip(weights.trained(6, "M", cache), weights.random(6, 3, seed=4), strict=True):
        np.testing.assert_array_equal(found.weight, expected.weight)
        assert (found.norm is None) == (expected.norm is None)
        if expected.norm is not None:
            np.testing.assert_array_equal(found.norm.variance, expected.norm.variance)
            np.testing.assert_array_equal(found.norm.scale, expected.norm.scale)


def test_a_package_that_is_not_the_published_one(cache, monkeypatch):
    monkeypatch.setattr(weights, "SHA256", "0" * 64)
    with pytest.raises(weights.WeightsMissing, match=r"is not scico==0\.0\.7 as it was published: delete it and try"):
        weights.trained(6, "M", cache)


def test_pip_that_cannot_fetch(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(weights.WeightsMissing, match=r"scico-0.*pip cannot fetch \(.+\): put the file into .*--random"):
        weights.trained(6, "M", tmp_path / "cache")


def test_another_extension_than_an_array():
    data = msgpack.packb({"params": msgpack.ExtType(2, b"")})
    with pytest.raises(weights.WeightsMissing, match=r"msgpack extension 1 \(an array of flax\) is read here, got 2"):
        weights.from_flax(data)


@pytest.mark.parametrize("depth", [6, 17])
def test_the_network_has_so_many_layers_and_all_but_two_are_normalised(depth):
    model = dncnn(weights.random(depth, 5, seed=0), 8, 9)
    ops = [node.op_type for node in model.graph.node]
    assert [ops.count(op) for op in ("Conv", "BatchNormalization", "Relu", "Sub")] == [depth, depth - 2, depth - 1, 1]


def test_the_network_predicts_the_noise():
    layers = weights.random(6, 4, seed=1)
    x = np.random.default_rng(0).random((1, 1, 7, 9))
    value = x[0]
    for number, layer in enumerate(layers):
        padded = np.pad(value, ((0, 0), (1, 1), (1, 1)), mode="wrap")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        value = np.einsum("crsij,ocij->ors", windows, layer.weight)
        if (norm := layer.norm) is not None:
            scale = norm.scale / np.sqrt(norm.variance + 1e-5)
            value = scale[:, None, None] * (value - norm.mean[:, None, None]) + norm.bias[:, None, None]
        value = np.maximum(value, 0) if number < 5 else value
    denoised = FloatModel(dncnn(layers, 7, 9).SerializeToString()).run({"x": x})["denoised"]
    np.testing.assert_allclose(denoised[0], x[0] - value, atol=1e-5)


def test_random_weights_repeat_and_chain():
    one, two = weights.random(6, 4, seed=1), weights.random(6, 4, seed=1)
    assert all((a.weight == b.weight).all() for a, b in zip(one, two, strict=True))
    assert all(a.weight.shape[0] == b.weight.shape[1] for a, b in pairwise(one))


def test_inputs_stay_within_the_declared_range():
    _, image = images("ct", 32, 0.5, seed=0)
    both = np.concatenate([to_input(image), calibration(32, 0.5, seed=0)])
    assert RANGE[0] <= both.min() < 0
    assert 1 < both.max() <= RANGE[1]


def test_the_encrypted_answer_is_the_fixed_point_one_bit_for_bit():
    result = result_of("dncnn/run.py", "--random", "--channels", 3, "--size", 12)
    assert result["equal"] is True
    assert result["rounds"] == 6
    assert result["saturated"]["elements"] == 0
    assert result["gaps"]["poly_vs_float"]["met"] is True
    figures = result["figures"]
    assert figures["PSNR encrypted, dB"] == pytest.approx(figures["PSNR float, dB"], abs=0.1)


def test_the_encrypted_execution_alone_is_held_against_float():
    result = result_of("dncnn/run.py", "--random", "--channels", 2, "--size", 8, "--fast")
    gap = result["gaps"]["encrypted_vs_float"]
    assert 0 < gap["max_abs"] <= gap["bound"]["value"]
    assert "simulated" not in result["seconds"]


def test_too_large_a_size_is_one_line_and_exit_code_2():
    done = run("dncnn/run.py", "--random", "--size", 200)
    assert (done.returncode, done.stdout) == (2, "")
    assert "choose a smaller size or another of ct, camera" in done.stderr


@pytest.mark.slow
def test_the_trained_network_removes_noise():
    figures = result_of("dncnn/run.py", "--size", 32, "--fast")["figures"]
    assert figures["PSNR encrypted, dB"] > figures["PSNR noisy, dB"] + 5
