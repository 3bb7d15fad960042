import json

import numpy as np
import pytest
from ct_denoise.calibration import noisy_phantom
from ct_denoise.comparison import compare
from example_tools.encrypted import Done
from full_models.case import Case
from tests.examples.commands import result_of, run
from tests.examples.full_models.script import load_script

pytestmark = pytest.mark.torch


def test_both_denoisers_are_compared_with_the_low_dose_image():
    methods = load_script("quality").methods()
    slices = [(noisy_phantom(np.random.default_rng(0), 64, 64), 5.0)]
    row = compare("phantom", slices, 1e5, methods)
    assert all(20 < row[f"{method}_psnr_db"] < 60 for method in ("low_dose", "relu", "squares"))
    assert abs(row["relu_psnr_db"] - row["squares_psnr_db"]) < 3


def test_data_that_is_missing_is_one_line(tmp_path):
    done = run("full_models/quality.py", "--data", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "lung1_image.nrrd and lung2_image.nrrd are needed in" in done.stderr


def test_figures_are_gaps_and_what_is_right():
    plain, encrypted = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.5, 1.0], [0.0, 0.25]])
    done = Done({"y": plain}, {"y": encrypted}, {})
    case = Case(None, np.zeros((1, 2)), np.zeros((2, 2)), np.array([1, 0]))
    found = load_script("run").figures(case, done)
    assert found == {"inputs": 2, "largest gap to float": 1.0, "right, float": 1.0, "right, encrypted": 0.5}
    without = Case(None, case.samples, case.inputs)
    assert load_script("run").figures(without, done) == {"inputs": 2, "largest gap to float": 1.0}


def test_a_model_in_both_modes_from_one_definition():
    result = result_of("full_models/run.py", "conv1", "--quick", "--mode", "split", "--inputs", 2, "--fast")
    assert result["figures"]["largest gap to float"] <= 1e-3
    assert "log2_t" in result["program"]


def test_a_tolerance_is_asked_for():
    result = result_of(
        "full_models/run.py", "conv1", "--quick", "--mode", "split", "--inputs", 1, "--fast", "--tolerance", 0.1
    )
    assert 1e-3 < result["figures"]["largest gap to float"] <= 0.1


def test_an_unknown_model_is_refused():
    done = run("full_models/run.py", "resnet")
    assert done.returncode == 2
    assert "invalid choice: 'resnet'" in done.stderr


def test_accuracy_is_of_digits_held_out(monkeypatch, capsys):
    script = load_script("accuracy")
    monkeypatch.setattr(script, "NETWORKS", {"mlp": script.NETWORKS["mlp"]})
    monkeypatch.setattr(script, "SCHEDULES", {"square": script_schedule(epochs=3)})
    monkeypatch.setattr("sys.argv", ["accuracy.py", "--json"])
    script.main()
    (row,) = json.loads(capsys.readouterr().out)
    assert row["network"] == "mlp"
    assert 0.5 < row["accuracy"] < 1


def script_schedule(epochs):
    from full_models.training import Schedule

    return Schedule(epochs=epochs)
