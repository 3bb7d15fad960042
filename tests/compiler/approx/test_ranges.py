"""Ranges from calibration data."""

from __future__ import annotations

import numpy as np
import pytest
from tests.models import Net

from enclair.compiler.approx.ranges import Range, calibrate
from enclair.compiler.errors import CalibrationError
from enclair.compiler.ir.errors import InputError
from enclair.compiler.ir.ops.activations import Log, Relu


def test_ranges_are_what_the_samples_reach() -> None:
    net = Net()
    graph = net.graph(net.op(Relu(), net.input(2), name="y"))
    ranges = calibrate(graph, [{"x": np.array([-1.0, 0.5])}, {"x": np.array([-3.0, 2.0])}])
    assert ranges == {"x": Range(-3.0, 2.0), "y": Range(0.0, 2.0)}
    assert ranges["x"].magnitude == 3.0


@pytest.mark.parametrize(
    ("range_", "wide"),
    [
        (Range(-2.0, 4.0), Range(-3.0, 6.0)),
        (Range(0.0, 4.0), Range(0.0, 6.0)),
        (Range(2.0, 4.0), Range(0.0, 6.0)),
        (Range(-4.0, -2.0), Range(-6.0, 0.0)),
    ],
)
def test_widening_moves_ends_away_from_zero_and_takes_zero_in(range_: Range, wide: Range) -> None:
    assert range_.widened(0.5) == wide


def test_calibration_needs_samples() -> None:
    net = Net()
    graph = net.graph(net.relu(net.input(2)))
    with pytest.raises(CalibrationError, match="calibration needs at least one sample input, got none"):
        calibrate(graph, [])
    with pytest.raises(CalibrationError, match="calibration sample 1 lacks the inputs x; it has y"):
        calibrate(graph, [{"x": np.ones(2)}, {"y": np.ones(2)}])
    with pytest.raises(InputError, match=r"input 'x' needs shape \(2,\), got \(3,\)"):
        calibrate(graph, [{"x": np.ones(3)}])


def test_a_value_that_is_not_finite_is_named_with_its_origin() -> None:
    net = Net()
    y = net.builder.add(Log(), net.input(2), name="y", origin="model.py, line 3")
    with pytest.raises(
        CalibrationError, match=r"%y is not finite on the calibration data, at model\.py, line 3: check"
    ):
        calibrate(net.graph(y), [{"x": np.array([1.0, 0.0])}])
    with pytest.raises(CalibrationError, match="%x is not finite on the calibration data: check the samples"):
        calibrate(net.graph(y), [{"x": np.array([1.0, np.nan])}])
