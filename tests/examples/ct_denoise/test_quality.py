import numpy as np
import pytest
from ct_denoise.metrics import nonlocal_means, quality
from ct_denoise.network import load_weights
from ct_denoise.picture import CAPTION_PIXELS, GAP_PIXELS, Panel, side_by_side
from ct_denoise.plain import denoise_plain
from PIL import Image

RANDOM = np.random.default_rng(0)
STEP = np.where(np.arange(64)[:, None] < 32, -100.0, 60.0) * np.ones((64, 64))


def test_psnr_is_of_the_window():
    assert quality(STEP, STEP + 14).psnr_db == pytest.approx(40)


def test_what_is_outside_of_the_window_does_not_count():
    inside = np.where(STEP > 0, 400.0, -1000.0)
    outside = np.where(STEP > 0, 3000.0, -1024.0)
    assert quality(STEP, inside) == quality(STEP, outside)


def test_both_denoisers_are_nearer_than_the_noisy_image_and_the_network_is_the_nearest():
    noisy = STEP + 40 * RANDOM.standard_normal(STEP.shape)
    images = noisy, nonlocal_means(noisy, 40.0), denoise_plain(noisy, load_weights())
    before, classical, network = (quality(STEP, image) for image in images)
    assert before.psnr_db < classical.psnr_db
    assert before.psnr_db + 6 < network.psnr_db
    assert before.ssim < min(classical.ssim, network.ssim)


def test_panels_stand_side_by_side_magnified_by_whole_numbers(tmp_path):
    image = np.array([[-1000.0, 400.0], [-300.0, 9000.0]])
    side_by_side([Panel("one", image, -1000, 400), Panel("two\nlines", image, 0, 1)], tmp_path / "a.png", width=40)
    picture = np.asarray(Image.open(tmp_path / "a.png"))
    assert picture.shape == (40 + CAPTION_PIXELS, 2 * 40 + GAP_PIXELS)
    first = picture[CAPTION_PIXELS:, :40]
    np.testing.assert_array_equal(first[[5, 5, 35, 35], [5, 35, 5, 35]], [0, 255, 128, 255])
    assert (picture[:CAPTION_PIXELS, :40] < 128).any()
