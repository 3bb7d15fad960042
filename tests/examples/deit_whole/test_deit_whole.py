import numpy as np
import pytest
from tests.examples.commands import result_of, run

pytestmark = pytest.mark.torch


def test_a_small_one_whole():
    result = result_of("deit_whole/run.py", "--small", "--tolerance", 0.01)
    assert result["equal"] is True
    assert result["saturated"]["elements"] == 0
    assert result["gaps"]["poly_vs_float"]["met"] is True


def test_two_images_at_once():
    result = result_of("deit_whole/run.py", "--small", "--batch", 2, "--tolerance", 0.01, "--fast")
    figures = result["figures"]
    assert figures["top classes equal"] is True
    assert figures["top class, encrypted"] == figures["top class, float"]
    assert len(figures["top class, float"]) == 2
    assert result["gaps"]["encrypted_vs_float"]["max_abs"] <= 0.01


def test_four_rounds_a_block_are_found():
    """Besides those of the patch embedding, the position embedding and the head."""
    from deit_whole.network import images, small_network

    import enclair

    model = small_network(seed=0)
    _, samples = images(model, 1, seed=0)
    program = enclair.compile(model, {"x": samples}, activation_bits=8, weight_bits=8)
    answers = [name for round_ in program.rounds for name, _ in round_.exchange.answers]
    assert sum(name.startswith("linear") for name in answers) == 2 * 4 + 1
    assert len(program.rounds) <= 2 * 4 + 3


def test_pictures_are_normalised_and_repeat():
    from deit_whole.network import images, small_network

    model = small_network(seed=0)
    inputs, samples = images(model, 2, seed=5)
    assert (inputs.shape, samples.shape) == ((2, 3, 32, 32), (8, 3, 32, 32))
    assert inputs.dtype == np.float32
    assert -3 < samples.min() < -1 < 1 < samples.max() < 3
    np.testing.assert_array_equal(samples, images(model, 2, seed=5)[1])


def test_pretrained_weights_that_cannot_be_fetched(monkeypatch):
    import timm
    from deit_whole import network

    def refuse(*_, **__):
        raise OSError("no route to the hub")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(network.WeightsMissing, match=r"of deit_tiny.* fetched \(no route to the hub\): leave out"):
        network.network(network.NAME, 0, pretrained=True)


def test_a_top_class_that_differs_is_told():
    from example_tools.encrypted import Done
    from tests.examples.deit_whole.script import load_script

    plain, encrypted = np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]])
    found = load_script().figures(Done({"y": plain}, {"y": encrypted}, {}))
    assert found == {"top class, float": [1], "top class, encrypted": [0], "top classes equal": False}


def test_an_unknown_model_is_one_line_and_exit_code_2():
    done = run("deit_whole/run.py", "--model", "no_such_model")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no_such_model" in done.stderr
