"""Measured costs: the fit, the file they are kept in, the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from enclair import calibration
from enclair.calibration import Calibration, Measurement, as_json, calibrate, fit, save
from enclair.compiler.planner.ckks_costs import UnitCosts, Work
from enclair.measured_costs import CalibrationFileError, cache_file, load_costs, machine_name
from tests.command_line import call

COSTS = UnitCosts(0.25, 5.0, 3.0, 0.5, 2.0)


def measurement(work: Work, costs: UnitCosts = COSTS) -> Measurement:
    return Measurement("some", 8192, 4, 2, work, costs.milliseconds(work, 8192))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "enclair" / "costs.json"


def test_the_fit_finds_the_costs_that_made_the_times() -> None:
    works = [Work(10, 1), Work(1, 8), Work(5, 0, 9), Work(3, 1, 1, 40), Work(2, 1, 0, 1, 7), Work(8, 3, 2, 10, 1)]
    found = fit([measurement(work) for work in works])
    assert found.transform == pytest.approx(COSTS.transform)
    assert found.encoding == pytest.approx(COSTS.encoding)


def test_costs_come_back_from_where_they_are_kept(kept: Path) -> None:
    assert load_costs() is None
    assert save(Calibration(machine_name(), COSTS, (measurement(Work(1)),))) == kept == cache_file()
    assert load_costs() == COSTS


def test_costs_of_another_machine_do_not_count(kept: Path) -> None:
    save(Calibration("another", COSTS, ()))
    assert load_costs() is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "does not hold measured costs"),
        ("{", "does not hold measured costs .*: run `enclair calibrate`, or remove it"),
        (
            '{"version": 1, "machine": "MACHINE", "costs": {}}',
            r"does not hold measured costs \(KeyError: 'transform'\)",
        ),
    ],
)
def test_a_file_of_something_else(kept: Path, text: str, message: str) -> None:
    kept.parent.mkdir()
    kept.write_text(text.replace("MACHINE", machine_name()))
    with pytest.raises(CalibrationFileError, match=message):
        load_costs()


def test_costs_that_are_no_times(kept: Path) -> None:
    save(Calibration(machine_name(), UnitCosts(transform=-1.0), ()))
    with pytest.raises(CalibrationFileError, match="holds costs that are no times, UnitCosts"):
        load_costs()


def test_a_small_ring_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "RINGS", ((1024, 2, 3, 28),))
    monkeypatch.setattr(calibration, "LEAST_SECONDS", 0.0)
    told: list[str] = []
    found = calibrate(told.append)
    assert told == ["ring dimension 1024, 3 primes, 3 digits", "ring dimension 1024, 2 primes, 3 digits"]
    assert {m.operation for m in found.measurements} >= {"rotate", "relinearise", "sum of products"}
    assert all(m.milliseconds > 0 for m in found.measurements)
    assert json.loads(json.dumps(as_json(found)))["machine"] == machine_name()


def test_the_command_keeps_and_prints_costs(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "calibrate", lambda _: Calibration("mine", COSTS, (measurement(Work(1)),)))
    printed = call("calibrate", "--json")
    assert printed.json["costs"]["transform"] == COSTS.transform
    assert json.loads(kept.read_text())["machine"] == "mine"
    assert "nanoseconds: transform 0.25" in call("calibrate").out
