import pytest
import torch
from ct_denoise.job import load as load_job
from ct_denoise.lowdose import Scan
from ct_denoise.metrics import quality
from ct_denoise.model import model_of
from ct_denoise.network import from_output, load_weights, to_input
from full_models import squared
from full_models.activations import Quartic

pytestmark = pytest.mark.torch


def test_a_quartic_is_near_relu():
    v = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    quartic = Quartic()
    gap = quartic.FACTOR * quartic(v) + quartic.OFFSET - torch.relu(v)
    assert 0.05 < gap.abs().max() <= quartic.ERROR


def test_reach_factor_and_offset_are_folded_into_the_convolutions():
    """Between two convolutions and away from the border, a quartic stands for the ReLU on the response's reach."""
    weights = {name: array for name, array in load_weights().items() if name[4] in "12"}
    weights["conv2.weight"], weights["conv2.bias"] = weights["conv2.weight"][:1], weights["conv2.bias"][:1]
    images = torch.randn(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    source, made, quartic = model_of(weights), squared.squared(weights, images), Quartic()
    with torch.no_grad():
        responses = source.convolutions[0](images)
        reach = responses.abs().amax(dim=(0, 2, 3)).reshape(16, 1, 1)
        expected = source.convolutions[1](reach * (quartic.FACTOR * quartic(responses / reach) + quartic.OFFSET))
        torch.testing.assert_close(
            made.responses(images)[-1][..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-4, rtol=1e-4
        )


def test_a_channel_that_nothing_moves_stays_finite():
    weights = load_weights()
    weights["conv1.weight"][3], weights["conv1.bias"][3] = 0, 0
    made = squared.squared(weights, torch.zeros(1, 1, 8, 8))
    assert all(bool(torch.isfinite(parameter).all()) for parameter in made.parameters())


def test_missing_weights_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"weights are needed at .*none\.safetensors: make them with train\.py"):
        squared.load(tmp_path / "none.safetensors")


@pytest.mark.parametrize("photons", [2e4, 1e5])
def test_the_slice_is_denoised_as_well_as_by_relus(photons):
    job = load_job(None, Scan(photons=photons), 0)
    relu, squares = model_of(load_weights()), squared.load()
    with torch.no_grad():
        one = from_output(relu(torch.from_numpy(to_input(job.image))).numpy())
        other = from_output(squares(torch.from_numpy(squared.clipped(to_input(job.image)))).numpy())
    assert quality(job.original, other).psnr_db > quality(job.original, one).psnr_db - 0.3


def test_responses_stay_small_on_extremes():
    from ct_denoise.calibration import calibration

    with torch.no_grad():
        *inner, noise = squared.load().responses(torch.from_numpy(squared.clipped(calibration(48, 48))))
    assert max(float(response.abs().max()) for response in inner) < 2
    assert float(noise.abs().max()) < 6
