import numpy as np
import pytest
import torch
from ct_denoise.job import load as load_job
from ct_denoise.lowdose import Scan
from ct_denoise.metrics import quality
from ct_denoise.model import model_of
from ct_denoise.network import from_output, load_weights, to_input
from ct_denoise.training import Schedule
from full_models import squared

pytestmark = pytest.mark.torch


def test_a_quadratic_is_that_nearest_to_relu():
    u = np.random.default_rng(0).normal(0.2, 0.7, 4000).astype(np.float32)
    a, s, d = squared.quadratic(u)
    fitted, relu = a * (u + s) ** 2 + d, np.maximum(u, 0)
    assert a > 0
    assert np.sqrt(((fitted - relu) ** 2).mean()) < 0.08
    for off in (1e-2, -1e-2):
        moved = a * (u + s + off) ** 2 + d
        assert ((moved - relu) ** 2).mean() > 0.9 * ((fitted - relu) ** 2).mean()


def test_a_channel_that_is_always_on_stays_almost_linear():
    a, s, d = squared.quadratic(np.float32([5.0, 5.1, 5.2]))
    assert a * (5.1 + s) ** 2 + d == pytest.approx(5.1, abs=0.01)
    assert 2 * a * (5.1 + s) == pytest.approx(1, abs=0.05)


def test_factor_and_shift_are_folded_into_the_convolutions():
    """Between two convolutions and away from the border, a square is the quadratic of the ReLU network's response."""
    weights = {name: array for name, array in load_weights().items() if name[4] in "12"}
    weights["conv2.weight"], weights["conv2.bias"] = weights["conv2.weight"][:1], weights["conv2.bias"][:1]
    images = torch.randn(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    source, made = model_of(weights), squared.squared(weights, images)
    with torch.no_grad():
        responses = source.convolutions[0](images)
        fits = [squared.quadratic(responses[:, channel].flatten().numpy()) for channel in range(16)]
        a, s, d = (torch.tensor(column).reshape(16, 1, 1) for column in zip(*fits, strict=True))
        expected = source.convolutions[1](a * (responses + s) ** 2 + d)
        torch.testing.assert_close(
            made.responses(images)[-1][..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-4, rtol=1e-4
        )


def test_training_brings_the_error_down():
    rng = np.random.default_rng(0)
    full = np.kron(rng.uniform(-500, 500, (8, 8)), np.ones((8, 8))).astype(np.float32)
    pairs = [(full, full + rng.normal(0, 100, full.shape).astype(np.float32))]
    model, losses = squared.SquaredDenoiser(4, 2), []
    schedule = Schedule(steps=60, batch=4, crop=32, rate=1e-2)
    squared.fine_tune(model, pairs, schedule, lambda _, loss: losses.append(loss))
    assert np.mean(losses[-10:]) < 0.8 * losses[0]


def test_missing_weights_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"weights are needed at .*none\.safetensors: make them with train\.py"):
        squared.load(tmp_path / "none.safetensors")


def test_the_slice_is_denoised_as_well_as_by_relus():
    job = load_job(None, Scan(), 0)
    relu, squares = model_of(load_weights()), squared.load()
    with torch.no_grad():
        one = from_output(relu(torch.from_numpy(to_input(job.image))).numpy())
        other = from_output(squares(torch.from_numpy(squared.clipped(to_input(job.image)))).numpy())
    assert quality(job.original, other).psnr_db > quality(job.original, one).psnr_db - 0.3


def test_responses_stay_small_on_extremes():
    from ct_denoise.calibration import calibration

    with torch.no_grad():
        found = squared.load().responses(torch.from_numpy(squared.clipped(calibration(48, 48))))
    assert max(float(response.abs().max()) for response in found) < 8
