import numpy as np
import pytest
import torch
from deit_whole.network import small_network
from full_models import transformers

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("make", [transformers.linear_head, transformers.mlp_head])
def test_a_head_gives_logits_and_repeats(make):
    x = torch.randn(3, 24)
    one, two = make(24, seed=1), make(24, seed=1)
    assert one(x).shape == (3, 10)
    assert torch.equal(one(x), two(x))
    assert not torch.equal(one(x), make(24, seed=2)(x))


def test_a_head_starts_with_what_timm_normalises_with():
    x = 1e-3 * torch.randn(2, 24)
    norm = transformers.linear_head(24)[0]
    expected = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(norm(x), expected)


def test_a_block_attends_to_something():
    x = torch.randn(2, 5, 24)
    block = transformers.block(24, 3)
    assert block(x).shape == x.shape
    queries, keys = block.attn.qkv(block.norm1(x)).reshape(2, 5, 3, 3, 8).permute(2, 0, 3, 1, 4)[:2]
    scores = (queries @ keys.transpose(-1, -2)) / 8**0.5
    assert scores.max() - scores.min() > 2


def test_tokens_are_what_the_last_layer_norm_takes():
    model = small_network(0)
    images = transformers.crops(model, 2, 1)
    tokens = torch.from_numpy(transformers.tokens(model, images))
    assert tokens.shape == (3, 17, 24)
    with torch.no_grad():
        torch.testing.assert_close(model.norm(tokens), model.forward_features(torch.from_numpy(images)))


def test_crops_repeat_and_those_to_run_come_first():
    model = small_network(0)
    crops = transformers.crops(model, 2, 3)
    assert crops.shape == (5, 3, 32, 32)
    np.testing.assert_array_equal(crops[:2], transformers.crops(model, 2, 0))
