"""What reports say of a program of full mode, against what the program does."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from tests.models import Net
from tests.strategies import samples_of

from enclair import compiler
from enclair.compiler import FullOptions, Program
from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.ops.activations import Relu
from enclair.compiler.ir.ops.shape import Reshape
from enclair.compiler.parameters import INSECURE
from enclair.compiler.report import FullReport, inspect
from enclair.compiler.report.full import CLIENT_FILE_NOTE, RANGE_NOTE, RESULT_NOTE, SERVER_NOTE, SHARING_NOTE
from enclair.runtime.backends.key_holders import make_key_holder
from enclair.runtime.client import Client


@pytest.fixture(scope="module")
def program() -> Program:
    net = Net()
    h = net.op(Relu(), net.conv(net.input(1, 1, 4, 4), 2), name="active")
    graph = net.graph(net.gemm(net.op(Reshape((1, 32)), h, name="flat"), 3))
    return compiler.compile(graph, samples_of(graph), options=FullOptions(tolerance=1.0))


@pytest.fixture(scope="module")
def report(program: Program) -> FullReport:
    found = inspect(program)
    assert isinstance(found, FullReport)
    return found


def test_layers_are_those_of_the_server_in_order(program: Program, report: FullReport) -> None:
    assert [layer.value for layer in report.layers] == ["add", "active", "add.1"]
    assert [layer.op for layer in report.layers] == ["Add", "Polynomial", "Add"]
    assert report.layers[0].levels[0] == program.parameters.levels  # type: ignore[union-attr]
    assert report.layers[-1].levels[1] == 0
    assert all(before.levels[1] == after.levels[0] for before, after in pairwise(report.layers))
    assert sum(layer.estimated_ms for layer in report.layers) == pytest.approx(report.cost.server_ms)
    assert report.cost.critical_ms <= report.cost.server_ms


def test_the_approximated_activation_is_listed(report: FullReport) -> None:
    (activation,) = report.activations
    assert (activation["name"], activation["op"]) == ("active", "Relu()")
    low, high = activation["range"]
    seen_low, seen_high = activation["seen"]
    assert low <= seen_low < seen_high <= high
    text = report.to_text()
    assert "Approximated activations" in text
    assert "Relu()" in text


def test_bytes_are_those_of_messages(program: Program, report: FullReport) -> None:
    keys = make_key_holder("ckks", program.parameters, program.keys)
    client = Client(program.for_client(), keys)
    upload = client.upload(
        client.start({spec.name: 0.0 * samples_of(program.fixed)[0]["x"] for spec in program.inputs})
    )
    sizes = report.to_json()["bytes"]
    assert 0 < len(upload) - sizes["up"] < 1000
    assert 0 <= len(client.registration()) - sizes["keys"] < 1000
    assert sizes["keys"] == report.keys.bytes


def test_what_is_promised_and_revealed_is_said(program: Program, report: FullReport) -> None:
    assert report.notes == (RESULT_NOTE, SERVER_NOTE, CLIENT_FILE_NOTE, RANGE_NOTE, SHARING_NOTE)
    text = report.to_text()
    assert "128 bits against classical attacks by HEStd_128_classic" in text
    for fact in ("tolerance     1", "polynomials   at most", "encryption    adds at most", "widened by 25%"):
        assert fact in text
    assert "net: mode full, one round" in text
    assert f"program {program.digest()[:16]}" in text
    json.dumps(report.to_json(), allow_nan=False)
    assert all(len(line) <= 120 for line in text.splitlines())


def test_insecure_parameters_are_called_so(program: Program) -> None:
    assert isinstance(program.parameters, CkksParameters)
    weak = inspect(replace(program, parameters=replace(program.parameters, security=INSECURE)))
    assert f"{INSECURE}: these parameters protect nothing" in " ".join(weak.to_text().split())
    assert weak.to_json()["parameters"]["secure"] is False
