import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from ct_denoise import encrypted, job
from ct_denoise.dicom import read_slice
from ct_denoise.lowdose import Scan
from ct_denoise.network import load_weights
from ct_denoise.plain import denoise_plain
from ct_denoise.show import show
from PIL import Image
from tests.examples.ct_denoise.dicom_files import write_ct

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "examples" / "ct_denoise" / "demo.py"
PIXELS = np.random.default_rng(0).integers(800, 1300, (12, 10))
PIXELS[0, :3] = 0
PIXELS[5, 5] = 4095 + 5000


def run_demo(*arguments):
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, str(DEMO), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)


@pytest.fixture(scope="module")
def slice_file(tmp_path_factory):
    return write_ct(tmp_path_factory.mktemp("slice") / "slice.dcm", PIXELS, bits=16, PixelPaddingValue=0)


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("ct_denoise_demo", DEMO)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def encrypted_run(slice_file):
    """The demo as a user runs it, on a small slice of an odd shape: (its result, its folder)."""
    folder = slice_file.parent / "out"
    done = run_demo("--dicom", slice_file, "--output", folder, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), folder


def test_the_encrypted_answer_is_the_fixed_point_one_bit_for_bit(encrypted_run):
    result, _ = encrypted_run
    assert result["equal"] is True
    assert result["differences"] == 0
    assert result["gaps"]["simulated_vs_poly"]["max_abs"] == 0
    assert result["gaps"]["encrypted_vs_simulated"]["max_abs"] == 0
    assert result["backend"] == "bfv"


def test_fixed_point_is_within_half_a_hounsfield_unit_of_float(encrypted_run):
    result, _ = encrypted_run
    assert result["gap_hu"] <= 0.5
    assert result["gaps"]["poly_vs_float"]["bound"]["value"] <= 0.5e-3
    assert result["saturated"]["elements"] == 0


def test_the_derived_slice_is_what_the_float_network_gives(encrypted_run, slice_file):
    _, folder = encrypted_run
    source, derived = read_slice(slice_file), read_slice(folder / "denoised.dcm")
    expected = denoise_plain(source.hu, load_weights())
    assert np.abs(derived.hu - expected)[~source.padding].max() <= 1.0
    np.testing.assert_array_equal(derived.padding, source.padding)
    assert derived.hu[5, 5] == source.hu[5, 5] > 3071
    assert derived.dataset.ImageType[0] == "DERIVED"
    assert "encrypted pixels" in derived.dataset.DerivationDescription


def test_the_picture_has_three_panels_without_an_original(encrypted_run):
    width, height = Image.open(encrypted_run[1] / "comparison.png").size
    assert width > 3 * 300
    assert height > 300


@pytest.mark.slow
def test_the_slice_of_pydicom(tmp_path):
    done = run_demo("--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "encrypted == fixed point, bit for bit: 0 differences in 16384 pixels" in done.stdout
    assert "Low dose simulated" in pydicom.dcmread(tmp_path / "denoised.dcm").DerivationDescription


@pytest.fixture(scope="module")
def verification(slice_file):
    """The four executions with the last one in the clear, which is quick."""
    work = job.load(slice_file, Scan(views=30), seed=0)
    program = encrypted.compile_denoiser(*work.image.shape, lambda done, what: None)
    return work, encrypted.enclair.verify(program, {"x": encrypted.to_input(work.image)}, "clear")


def test_the_summary_compares_with_the_original_where_there_is_one(verification, demo, capsys):
    work, found = verification
    result = demo.summary(work, found, {"dicom": "a", "picture": "b"})
    assert list(result["quality"]) == ["low dose", "non-local means", "network, float", "encrypted"]
    assert result["quality"]["encrypted"]["psnr_db"] == pytest.approx(
        result["quality"]["network, float"]["psnr_db"], 1e-3
    )
    show(result)
    printed = capsys.readouterr().out
    assert "encrypted == fixed point, bit for bit: 0 differences in 120 pixels" in printed
    assert "4 rounds" in printed
    assert all(name in printed for name in ("float", "poly", "simulated", "non-local means"))


def test_a_picture_with_the_original_has_four_panels(verification, tmp_path):
    work, found = verification
    job.write_picture(work, job.finish(work, encrypted.output_of(found, "encrypted")), tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").width > 4 * 300


def test_one_differing_pixel_is_told_and_fails(verification, demo, monkeypatch, slice_file, tmp_path, capsys):
    _, found = verification
    wrong = found.outputs["encrypted"]["denoised"].copy()
    wrong[0, 0, 3, 3] += 2.0**-12
    broken = replace(found, equal=False, outputs={**found.outputs, "encrypted": {"denoised": wrong}})
    monkeypatch.setattr(demo, "denoise_encrypted", lambda hu, progress: broken)
    monkeypatch.setattr(sys, "argv", ["demo.py", "--dicom", str(slice_file), "--output", str(tmp_path)])
    assert demo.main() == 1
    assert "NOT EQUAL: encrypted and fixed point differ in 1 of 120 pixels" in capsys.readouterr().out


def test_a_file_that_is_no_slice_is_one_line_and_exit_code_2(tmp_path):
    (tmp_path / "a.dcm").write_text("no slice")
    done = run_demo("--dicom", tmp_path / "a.dcm")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{tmp_path / 'a.dcm'}: this is not a DICOM file: the letters DICM are missing at byte 128\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dose", "-5"], "positive number of photons per ray, got -5.0: try 2e4"),
        (["--dicom", "a.dcm", "--dose", "1e4"], "give --simulate-dose too to simulate it on the slice of --dicom"),
    ],
)
def test_options_that_make_no_sense(arguments, message, demo, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["demo.py", *arguments])
    try:
        code = demo.main()
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert message in capsys.readouterr().err
