import json

import numpy as np
import pytest
from ct_denoise import comparison
from ct_denoise.calibration import noisy_phantom
from ct_denoise.comparison import compare, patients
from ct_denoise.heldout import DataMissing, Volume
from ct_denoise.lowdose import Scan, simulate_low_dose
from ct_denoise.metrics import quality
from tests.examples.commands import run

METHODS = {"low_dose": lambda low, _: low, "perfect": lambda _, hu: hu + 1.4}
SLICES = [(noisy_phantom(np.random.default_rng(seed), 64, 64), 5.0) for seed in range(2)]


def test_a_row_has_the_means_of_each_method():
    row = compare("phantom", SLICES, 1e5, METHODS, seed=3)
    assert (row["patient"], row["slices"], row["dose"]) == ("phantom", 2, 1e5)
    found = [
        quality(hu, simulate_low_dose(hu, 5.0, Scan(photons=1e5), 3 + number)) for number, (hu, _) in enumerate(SLICES)
    ]
    assert row["low_dose_psnr_db"] == pytest.approx(np.mean([each.psnr_db for each in found]))
    assert row["low_dose_ssim"] == pytest.approx(np.mean([each.ssim for each in found]))
    assert 60 <= row["perfect_psnr_db"] < 62
    assert row["perfect_ssim"] > row["low_dose_ssim"]


def test_patients_are_the_demos_slice_and_every_so_many_held_out_ones(monkeypatch):
    volume = Volume("lung1", np.zeros((13, 512, 512), dtype=np.int16), 0.7)
    monkeypatch.setattr(comparison, "load", lambda _: [volume])
    (name, small), (held_out, slices) = patients(None, step=6, size=256)
    assert (name, len(small), small[0][0].shape) == ("CT_small", 1, (128, 128))
    assert (held_out, len(slices)) == ("lung1", 2)
    assert [(hu.shape, spacing) for hu, spacing in slices] == [((256, 256), 1.4)] * 2


def test_rows_are_printed_as_json_and_as_a_table(monkeypatch, capsys):
    monkeypatch.setattr(comparison, "patients", lambda *_: iter([("phantom", SLICES)]))
    monkeypatch.setattr("sys.argv", ["evaluate.py", "--dose", "1e5", "--json"])
    assert comparison.main("compare", METHODS) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["window_hu"] == [-1000, 400]
    assert printed["rows"] == [compare("phantom", SLICES, 1e5, METHODS)]
    monkeypatch.setattr("sys.argv", ["evaluate.py"])
    monkeypatch.setenv("COLUMNS", "120")
    assert comparison.main("compare", METHODS) == 0
    table = capsys.readouterr().out
    assert "window -1000..400 HU" in table
    assert "low dose" in table
    assert [f"{dose:.0e}" in table for dose in (2e4, 1e5)] == [True, True]


def test_data_that_is_missing_is_one_line(tmp_path):
    done = run("ct_denoise/evaluate.py", "--data", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "lung1_image.nrrd and lung2_image.nrrd are needed in" in done.stderr
    with pytest.raises(DataMissing, match="are needed in"):
        list(patients(tmp_path, 6, 256))
