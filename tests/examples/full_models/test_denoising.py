from collections.abc import Callable

import numpy as np
import pytest
import torch
from ct_denoise.metrics import WINDOW_HU
from ct_denoise.training import Schedule
from full_models import denoising, squared
from skimage.metrics import peak_signal_noise_ratio

pytestmark = pytest.mark.torch


def small_model() -> squared.SquaredDenoiser:
    torch.manual_seed(0)
    return squared.SquaredDenoiser(4, 2)


def noisy_pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    full = np.kron(rng.uniform(-500, 300, (8, 8)), np.ones((8, 8))).astype(np.float32)
    return full, full + rng.normal(0, 100, full.shape).astype(np.float32)


def tuned(progress: Callable[[int, float], None]) -> squared.SquaredDenoiser:
    return denoising.fine_tune(
        small_model(), [noisy_pair()], Schedule(steps=120, batch=4, crop=32, rate=2e-2), progress
    )


def test_training_brings_the_error_down():
    losses: list[float] = []
    tuned(lambda _, loss: losses.append(loss))
    assert np.mean(losses[-10:]) < 0.8 * losses[0]


def test_the_same_seed_gives_the_same_weights():
    one, other = (tuned(lambda *_: None).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_rate_rises_in_a_line_and_falls_to_nothing():
    found = list(denoising.rates(Schedule(steps=3000, rate=1.0)))
    assert found[0] == pytest.approx(1 / denoising.WARMING)
    assert int(np.argmax(found)) == denoising.WARMING - 1
    assert found[1500] == pytest.approx(0.5)
    assert found[-1] < 1e-5


def test_the_distance_is_psnr_turned_over():
    """Twice the error is 6.02 dB less; errors beyond the window hardly count."""
    full = torch.full((1, 1, 8, 8), 0.1)
    near, far = (denoising.distance(full + off, full) for off in (0.1, 0.2))
    low, high = WINDOW_HU
    range_ = (high - low) / 1000
    lost_db = [peak_signal_noise_ratio(full.numpy(), (full + off).numpy(), data_range=range_) for off in (0.1, 0.2)]
    assert float(far - near) * 20 / np.log(10) == pytest.approx(lost_db[0] - lost_db[1], abs=0.05)
    bone = torch.full((1, 1, 8, 8), 1.0)
    assert denoising.distance(bone + 0.1, bone) < near - 1


def test_values_beyond_the_limit_are_penalised():
    model, images = small_model(), torch.ones(1, 1, 8, 8)
    with torch.no_grad():
        model.convolutions[0].weight.zero_()
        model.convolutions[1].weight.zero_()
        model.convolutions[0].bias.fill_(denoising.LIMIT)
    assert denoising.excess(model, images).item() == 0
    with torch.no_grad():
        model.convolutions[0].bias.fill_(denoising.CEILING + 1)
    beyond = denoising.CEILING + 1 - denoising.LIMIT
    assert denoising.excess(model, images).item() == pytest.approx(beyond + 0.1, rel=1e-5)


def test_of_faint_noise_a_share_is_kept():
    full, noise = torch.zeros(2, 1, 32, 32), torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    faint, strong = (float(denoising.wanted(full + size * noise, full).std()) / size for size in (1e-4, 0.2))
    assert faint == pytest.approx(denoising.KEPT, rel=0.05)
    assert strong < 0.01 * denoising.KEPT


def test_grains_are_drawn_anew_for_each_crop():
    found = denoising.grains(np.random.default_rng(0), Schedule(batch=64, crop=32))
    deviations = found.std(dim=(1, 2, 3)) * 1000
    assert found.shape == (64, 1, 32, 32)
    assert 0 < deviations.min() < 2
    assert denoising.GRAIN_HU - 2 < deviations.max() < denoising.GRAIN_HU + 0.5


def test_in_the_end_a_little_less_than_the_predicted_noise_is_subtracted():
    model, images = small_model(), torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = model.responses(images)[-1]
        after = denoising.cautious(model).responses(images)[-1]
    torch.testing.assert_close(after, denoising.SUBTRACTED * before)
    assert denoising.SUBTRACTED < 1
