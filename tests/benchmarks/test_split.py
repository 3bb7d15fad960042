import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments):
    command = [sys.executable, str(ROOT / "benchmarks" / "split.py"), *map(str, arguments)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    programs = tmp_path_factory.mktemp("programs")
    done = run("--quick", "--runs", 2, "--only", "denoiser", "growth", "--programs", programs, "--json")
    assert done.returncode == 0, done.stderr
    assert (programs / "denoiser-quick" / "P.client.enclair").is_file()
    return json.loads(done.stdout)


def test_answers_are_exact(figures):
    (work,) = figures["works"]
    assert work["answer"]["differences"] == 0
    assert work["answer"]["gap_to_float"] <= work["answer"]["gap_bound"]


def test_seconds_are_by_part_and_add_up(figures):
    (work,) = figures["works"]
    seconds = work["seconds"]
    parts = ["client.decrypt", "client.encrypt", "client.stages", "server.answer", "server.load", "server.sums"]
    assert sorted(seconds["parts"]) == parts
    assert seconds["total"] == pytest.approx(sum(seconds["parts"].values()))
    assert all(value > 0 for value in seconds["parts"].values())


def test_bytes_are_those_of_the_messages(figures):
    (work,) = figures["works"]
    program = work["program"]
    ciphertext = 2 * program["limbs"] * program["ring_dim"] * 8
    envelopes = 1000 * program["rounds"]
    assert 0 < work["bytes"]["up"] <= sum(program["ciphertexts_up"]) * ciphertext + envelopes
    assert 0 < work["bytes"]["down"] < work["bytes"]["up"]


def test_baselines_are_measured(figures):
    (work,) = figures["works"]
    others = work["baselines"]
    assert 0 < others["onnxruntime"]["seconds"] < others["paillier"]["seconds"]
    operations = others["openfhe_operations"]
    each = operations["multiply_ms"] + operations["add_ms"]
    expected = work["program"]["openfhe_products"] * each / 1e3 / figures["threads"]
    assert operations["seconds"] == pytest.approx(expected)


def test_growth_is_by_size_and_by_channels(figures):
    assert [(row["size"], row["channels"]) for row in figures["growth"]] == [(8, 1), (8, 2)]
    assert figures["growth"][1]["up"] > figures["growth"][0]["up"]


def test_an_unknown_name_is_refused():
    done = run("--only", "resnet")
    assert done.returncode == 2
    assert "invalid choice: 'resnet'" in done.stderr


@pytest.mark.slow
def test_the_kernel_and_the_others():
    done = run("--quick", "--runs", 1, "--only", "kernel", "dncnn6", "red_cnn")
    assert done.returncode == 0, done.stderr
    assert "0 differences from the fixed-point reference" in done.stdout
    assert "a square float64 product" in done.stdout
