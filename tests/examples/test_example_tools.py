import numpy as np
import pytest
from example_tools import terminal
from example_tools.layers import Layers, he_normal
from example_tools.pictures import calibration_pictures, noisy, picture, psnr_db

from enclair.float_model import FloatModel


def test_a_picture_is_grey_between_0_and_1():
    for name, size in (("ct", 128), ("camera", 512), ("camera", 33)):
        image = picture(name, size)
        assert image.shape == (size, size)
        assert 0 <= image.min() < 0.2
        assert 0.6 < image.max() <= 1


def test_the_middle_is_taken():
    np.testing.assert_array_equal(picture("ct", 128)[32:96, 32:96], picture("ct", 64))


@pytest.mark.parametrize("size", [0, 129])
def test_too_large_a_picture(size):
    with pytest.raises(ValueError, match=rf"picture 'ct' has 128 x 128 pixels, asked for {size} x {size}: choose a"):
        picture("ct", size)


def test_calibration_spans_the_range_and_repeats():
    images = calibration_pictures(40, 3)
    assert [(image.min(), image.max()) for image in images] == [(0, 1)] * 4
    np.testing.assert_array_equal(images, calibration_pictures(40, 3))


def test_noise_is_as_strong_as_asked_for():
    flat = np.full((64, 64), 0.5)
    image = noisy(flat, 0.1, seed=1)
    assert image.std() == pytest.approx(0.1, rel=0.05)
    assert psnr_db(flat, image) == pytest.approx(20, abs=0.5)


def test_layers_are_what_numpy_computes():
    draw = np.random.default_rng(0)
    weight, bias, x = he_normal(draw, 2, 1, 3, 3, fan_in=9), np.float32([0.5, -1]), draw.normal(size=(1, 1, 5, 6))
    net = Layers()
    back = net.conv_transpose("back", net.relu("relu", net.conv("conv", "x", weight, bias)), weight)
    model = net.model("small", (1, 1, 5, 6), back)
    windows = np.lib.stride_tricks.sliding_window_view(x[0, 0], (3, 3))
    middle = np.maximum(np.einsum("rcij,oij->orc", windows, weight[:, 0]) + bias[:, None, None], 0)
    expected = np.zeros((5, 6))
    for i in range(3):
        for j in range(3):
            expected[i : i + 3, j : j + 4] += np.einsum("orc,o->rc", middle, weight[:, 0, i, j])
    np.testing.assert_allclose(FloatModel(model.SerializeToString()).run({"x": x})["back"][0, 0], expected, atol=1e-5)


def test_an_image_goes_on_at_its_other_end():
    net = Layers()
    same = net.conv("same", net.wrap("wrap", "x", 1), np.float32([[[[0, 0, 0], [0, 0, 1], [0, 0, 0]]]]))
    model = net.model("shift", (1, 1, 3, 4), same)
    x = np.arange(12.0).reshape(1, 1, 3, 4)
    shifted = FloatModel(model.SerializeToString()).run({"x": x})["same"]
    np.testing.assert_array_equal(shifted, np.roll(x, -1, axis=3))


def test_faults_of_the_input_are_one_line(capsys):
    def work():
        raise ValueError("no such picture")

    assert terminal.main(work) == 2
    assert capsys.readouterr() == ("", "no such picture\n")


RESULT = {
    "ok": False,
    "equal": False,
    "figures": {"PSNR, dB": 31.25, "classes": [3]},
    "gaps": {"poly_vs_float": {"max_abs": 0.5, "bound": {"value": 0.25, "kind": "calibrated"}}},
    "program": {
        "ring_dim": 4096, "limbs": 2, "prime_bits": 54, "log2_t": [20, 21], "activation_bits": 9, "weight_bits": 8,
        "ciphertexts_up": [9, 1], "ciphertexts_down": [4, 1],
    },
    "rounds": 2,
    "bytes": {"up": 2_000_000, "down": 1_000_000},
    "seconds": {"total": 1.0, "client": 0.25, "server": 0.75, "keys": 0.1, "compile": 3.0},
    "peak_rss": 2e9,
}  # fmt: skip


def test_a_difference_is_told_and_fails(capsys):
    assert terminal.main(lambda: (RESULT, False)) == 1
    printed = capsys.readouterr().out
    assert "NOT EQUAL: encrypted and fixed point differ" in printed
    assert "PSNR, dB: 31.25" in printed
    assert "t of 20+21 bits" in printed
    assert "10 ciphertexts up, 5 down" in " ".join(printed.split())


def test_a_gap_beyond_its_bound_is_told():
    without = {name: value for name, value in RESULT.items() if name != "equal"}
    assert terminal.verdict(without) == "the gap is BEYOND its bound"
    assert terminal.verdict({**without, "ok": True}) == "the gap is within its bound"


def test_a_program_of_full_mode_is_told(capsys):
    program = {
        "ring_dim": 16384, "levels": 7, "scale_bits": 35, "first_bits": 45, "digits": 3, "rotation_keys": 60,
        "ciphertexts_up": [2], "ciphertexts_down": [1],
    }  # fmt: skip
    assert terminal.main(lambda: ({**RESULT, "program": program, "ok": True}, False)) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        "N = 16384, 7 levels of 35 bits on one of 45, 3 digits; 60 rotation keys; 2 ciphertexts up, 1 down" in printed
    )
    assert "the gap is within its bound" in printed
