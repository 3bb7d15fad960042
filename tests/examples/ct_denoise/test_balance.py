import numpy as np
import pytest
from ct_denoise import balance as module
from ct_denoise.balance import balance, bound, scaled
from ct_denoise.network import load_weights
from ct_denoise.plain import denoise_plain

HU = np.random.default_rng(0).normal(0, 300, (20, 20))


def test_scales_between_layers_leave_the_function_as_it_is():
    weights = load_weights()
    other = scaled(weights, (1.3, 0.7, 1.6))
    assert all((weights[name] != other[name]).any() for name in weights if name != "conv4.bias")
    np.testing.assert_allclose(denoise_plain(HU, other), denoise_plain(HU, weights), atol=0.01)


def test_the_scales_with_the_lowest_bound_are_taken(monkeypatch):
    weights, told = load_weights(), []
    wanted = scaled(weights, (module.SCALES[1], module.SCALES[0], module.SCALES[2]))
    monkeypatch.setattr(module, "bound", lambda choice: sum(abs(choice[n] - wanted[n]).sum() for n in choice) + 0.001)
    found = balance(weights, told.append)
    assert all((found[name] == wanted[name]).all() for name in weights)
    assert told[0].endswith("as trained, 1.00e-03 balanced")


def test_the_committed_weights_need_17_bits_for_half_a_hounsfield_unit():
    assert 0 < bound(load_weights()) <= 0.5e-3


@pytest.mark.torch
def test_only_responses_beyond_the_limits_are_penalised():
    import torch
    from ct_denoise.model import Denoiser
    from ct_denoise.training import LIMIT, excess

    model = Denoiser()
    with torch.no_grad():
        for convolution in model.convolutions:
            convolution.weight.zero_()
            convolution.bias.zero_()
        images = torch.ones(1, 1, 8, 8)
        assert excess(model, images) == 0
        model.convolutions[-1].bias.fill_(-LIMIT - 1)
        assert excess(model, images) == pytest.approx(1)
