import numpy as np
import pytest
from ct_denoise.lowdose import Scan, simulate_low_dose
from ct_denoise.phantoms import draw

FEW_VIEWS = Scan(views=60)


def water_disc(size=64):
    y, x = np.mgrid[:size, :size] - size / 2
    return np.where(np.hypot(x, y) < 0.4 * size, 0.0, -1000.0)


def test_the_same_seed_gives_the_same_image_and_another_does_not():
    hu = water_disc()
    first, again, other = (simulate_low_dose(hu, 1.0, FEW_VIEWS, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_noise_has_no_bias_and_falls_with_the_square_root_of_the_dose():
    hu, inside = water_disc(), water_disc() == 0
    noise = {
        dose: simulate_low_dose(hu, 1.0, Scan(dose, views=180, electronic_noise=0), 0)[inside] for dose in (1e4, 1e6)
    }
    assert abs(noise[1e6].mean()) < 1
    assert noise[1e4].std() / noise[1e6].std() == pytest.approx(10, rel=0.15)


def test_more_tissue_on_the_way_leaves_more_noise():
    thin, thick = (simulate_low_dose(water_disc(), mm, FEW_VIEWS, 0)[24:40, 24:40].std() for mm in (4.0, 8.0))
    assert thick > thin


def test_without_noise_the_image_comes_back_as_it_was():
    hu = water_disc()
    low = simulate_low_dose(hu, 1.0, Scan(1e15, views=60, electronic_noise=0), 0)
    np.testing.assert_allclose(low, hu, atol=0.01)


def test_a_slice_that_is_not_square():
    assert simulate_low_dose(water_disc()[:40], 1.0, FEW_VIEWS, 0).shape == (40, 64)


def test_no_photon_at_all_is_finite():
    metal = np.full((32, 32), 3071.0)
    assert np.isfinite(simulate_low_dose(metal, 5.0, Scan(100, views=30), 0)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"photons": 0}, "positive number of photons per ray, got 0: try 2e4"),
        ({"photons": np.nan}, "positive number of photons per ray, got nan"),
        ({"views": 0}, "at least one view, got 0: try 360"),
        ({"electronic_noise": -1}, "standard deviation of 0 or more, got -1"),
    ],
)
def test_a_scan_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Scan(**options)


@pytest.mark.parametrize(
    ("hu", "message"),
    [
        (np.zeros((2, 4, 4)), r"two dimensions .* got shape \(2, 4, 4\)"),
        (np.zeros((1, 4)), r"of 2 or more, got shape \(1, 4\)"),
        (np.array([[0, 0], [0, np.nan]]), r"finite Hounsfield units, got nan at row, column \(1, 1\)"),
        (np.array([[0, np.inf], [0, 0]]), r"finite Hounsfield units, got inf at row, column \(0, 1\)"),
    ],
)
def test_what_is_no_slice_is_refused(hu, message):
    with pytest.raises(ValueError, match=message):
        simulate_low_dose(hu, 1.0, Scan(), 0)


@pytest.mark.parametrize("seed", range(6))
def test_phantoms_are_hounsfield_units_and_repeat(seed):
    (hu, spacing_mm), (again, _) = (draw(np.random.default_rng(seed), 64) for _ in range(2))
    np.testing.assert_array_equal(hu, again)
    assert hu.shape == (64, 64)
    assert -1000 <= hu.min() < hu.max() <= 3000
    assert 0.3 < spacing_mm * 64 / 100 < 6
