import numpy as np
import onnx
import onnxruntime
import pytest
from ct_denoise.calibration import calibration
from ct_denoise.network import (
    WEIGHTS,
    denoiser,
    from_output,
    input_range,
    load_weights,
    outside_range,
    to_input,
)
from ct_denoise.plain import denoise_plain
from hypothesis import given
from hypothesis import strategies as st

EXPORTED = WEIGHTS.with_suffix(".onnx")


@pytest.fixture(scope="module")
def weights():
    return load_weights()


def run(model, x):
    path = str(model) if not isinstance(model, onnx.ModelProto) else model.SerializeToString()
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
        None, {"x": x.astype(np.float32)}
    )[0]


def test_the_network_is_four_convolutions_of_sixteen_channels(weights):
    shapes = [weights[f"conv{layer}.weight"].shape for layer in range(1, 5)]
    assert shapes == [(16, 1, 3, 3), (16, 16, 3, 3), (16, 16, 3, 3), (1, 16, 3, 3)]
    assert len(weights) == 8


@pytest.mark.parametrize("shape", [(128, 128), (9, 7), (1, 30)])
def test_any_size_is_built(weights, shape):
    x = np.random.default_rng(0).standard_normal((1, 1, *shape)).astype(np.float32)
    assert run(denoiser(weights, *shape), x).shape == x.shape


def test_the_exported_file_is_the_network_built_from_the_weights(weights):
    x = calibration(128, 128)[:1]
    np.testing.assert_allclose(run(denoiser(weights, 128, 128), x), run(EXPORTED, x), atol=1e-6)


@pytest.mark.torch
@pytest.mark.parametrize("shape", [(128, 128), (20, 31)])
def test_torch_gives_the_same(weights, shape):
    import torch
    from ct_denoise.model import model_of

    x = calibration(*shape)[:1]
    with torch.no_grad():
        expected = model_of(weights)(torch.from_numpy(x).float()).numpy()
    np.testing.assert_allclose(run(denoiser(weights, *shape), x), expected, atol=1e-5)


@pytest.mark.torch
def test_weights_go_to_torch_and_back(weights):
    from ct_denoise.model import model_of, weights_of

    back = weights_of(model_of(weights))
    assert back.keys() == weights.keys()
    assert all((back[name] == weights[name]).all() for name in weights)


@pytest.mark.torch
def test_training_and_export_from_scratch(tmp_path):
    from ct_denoise.model import export
    from ct_denoise.training import Schedule, train

    losses = []
    flat = np.full((48, 48), 40, np.float32)
    noisy = flat + 50 * np.random.default_rng(0).standard_normal(flat.shape, np.float32)
    model = train([(flat, noisy)], Schedule(steps=100, batch=4, crop=32), lambda step, loss: losses.append(loss))
    assert losses[0] == pytest.approx(40, rel=0.1)
    assert losses[-1] < 20
    export(model, tmp_path / "a.onnx", 16, 16)
    assert run(tmp_path / "a.onnx", np.zeros((1, 1, 16, 16), np.float32)).shape == (1, 1, 16, 16)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx"]


def test_the_model_declares_its_unit_and_range(weights):
    props = {prop.key: prop.value for prop in denoiser(weights, 8, 8).metadata_props}
    assert props == {"unit": "1000 HU", "range_hu": "-1024..3071"}


@given(hu=st.integers(-1024, 3071))
def test_every_whole_hounsfield_unit_of_twelve_bits_goes_in_unclipped_and_comes_back(hu):
    assert np.rint(from_output(to_input(np.full((2, 2), float(hu)))))[0, 0] == hu


def test_what_is_outside_of_the_range_is_kept(weights):
    hu = np.zeros((16, 16))
    hu[3, 4], hu[5, 6] = 9000, -3024
    np.testing.assert_array_equal(np.argwhere(outside_range(hu)), [[3, 4], [5, 6]])
    denoised = denoise_plain(hu, weights)
    assert (denoised[3, 4], denoised[5, 6]) == (9000, -3024)


def test_weights_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors: make them with train\.py"):
        load_weights(tmp_path / "none.safetensors")


@pytest.mark.parametrize("shape", [(32, 32), (20, 33)])
def test_calibration_spans_the_range_and_repeats(shape):
    batch = calibration(*shape)
    np.testing.assert_array_equal(batch, calibration(*shape))
    assert batch.shape == (12, 1, *shape)
    low, high = input_range()
    assert (batch.min(), batch.max()) == (low, high)


def test_a_photograph_smaller_than_the_canvas_is_enlarged():
    from ct_denoise.phantoms import Canvas, photograph

    for seed in range(6):
        canvas = Canvas.blank(np.random.default_rng(seed), 512, 0.9)
        photograph(canvas)
        assert canvas.hu.shape == (512, 512)
        assert -1000 <= canvas.hu.min() < canvas.hu.max() <= 1200


def test_a_training_pair_is_a_phantom_twice_with_noise_and_repeats():
    from ct_denoise.pairs import draw_pair

    full, low = draw_pair(5)
    assert full.shape == low.shape
    assert 0.5 < (low - full).std() < 500
    np.testing.assert_array_equal(draw_pair(5)[1], low)
