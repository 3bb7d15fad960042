import json

import pytest
from tests.benchmarks.commands import run

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """The same measurements of the interactive programs, which take little."""
    programs = tmp_path_factory.mktemp("programs")
    arguments = ("--mode", "split", "--quick", "--only", "conv1", "--inputs", 2, "--threads", 1, "--programs", programs)
    done = run("full.py", *arguments, "--tolerance", 0.01, "--output", programs / "figures.jsonl", "--json")
    assert done.returncode == 0, done.stderr
    assert (programs / "conv1-split-0.01-quick" / "P.client.enclair").is_file()
    assert "conv1: compiled in " in done.stderr
    assert "  input 2 of 2: server " in done.stderr
    (kept,) = (programs / "figures.jsonl").read_text().splitlines()
    figures = json.loads(done.stdout)
    assert json.loads(kept) == {"mode": "split", "quick": True, **figures["models"][0]}
    return figures


def test_seconds_are_by_part_and_side(figures):
    (model,) = figures["models"]
    run_ = model["runs"]["1"]
    sides = {"client": 0.0, "server": 0.0}
    for part, seconds in run_["parts"].items():
        sides[part.split(".")[0]] += seconds
    assert run_["seconds"]["client"] == pytest.approx(sides["client"], rel=0.5)
    assert run_["seconds"]["server"] == pytest.approx(sides["server"], rel=0.5)
    assert run_["keys"] > 0


def test_answers_are_held_against_the_float_model(figures):
    (model,) = figures["models"]
    found = model["runs"]["1"]["precision"]
    assert found["inputs"] == 2
    assert model["program"]["tolerance"] == 0.01
    assert 0 < found["largest_error"] <= model["program"]["tolerance"]
    assert model["met"] is True


def test_gaps_stand_beside_their_bounds(figures):
    (model,) = figures["models"]
    gaps = {gap["name"]: gap for gap in model["gaps"]}
    assert list(gaps) == ["poly_vs_float", "simulated_vs_poly", "encrypted_vs_simulated"]
    assert all(gap["met"] for gap in gaps.values())


def test_compiling_is_measured(figures):
    (model,) = figures["models"]
    program = model["program"]
    assert program["compile_peak_memory"] > 1e8
    assert 0 < sum(program["compile_steps"].values()) <= program["compile_seconds"]
    assert next(iter(program["compile_steps"])) == "reading the model"
    assert min(program[name] for name in ("make_seconds", "save_seconds", "compile_core_seconds")) > 0


def test_an_unknown_model_is_refused():
    done = run("full.py", "--only", "resnet")
    assert done.returncode == 2
    assert "invalid choice: 'resnet'" in done.stderr


@pytest.mark.parametrize("text", ["0", "nan", "small"])
def test_a_tolerance_is_a_positive_number(text):
    done = run("full.py", "--tolerance", text)
    assert done.returncode == 2
    assert f"argument --tolerance: needs a number above 0, got '{text}'" in done.stderr
