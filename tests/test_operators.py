"""The table of operators and its page in the docs."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import onnx.defs
import pytest

from enclair.compiler.ir.ops.base import OPS
from enclair.compiler.passes.pipeline import run_passes
from enclair.compiler.planner.sides import Side, sides_of
from enclair.compiler.split import PREPARE
from enclair.frontends.families import FAMILIES, TABLE
from enclair.frontends.limits import OPSETS
from enclair.frontends.onnx_convert import convert
from enclair.frontends.onnx_load import load
from enclair.operators import markdown, side
from tests.frontends.onnx_models import model_of

PAGE = Path(__file__).parents[1] / "docs" / "operators.md"


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text() == markdown(), "run: python -m enclair.operators > docs/operators.md"


def test_the_module_prints_the_page(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "enclair.operators")
    runpy.run_module("enclair.operators", run_name="__main__", alter_sys=True)
    assert capsys.readouterr().out == markdown()


@pytest.mark.parametrize("name", sorted(TABLE))
def test_rows_agree_with_onnx(name: str) -> None:
    first = min(schema.since_version for schema in onnx.defs.get_all_schemas_with_history() if schema.name == name)
    rule = TABLE[name]
    assert rule.since == (21 if name == "GroupNormalization" else max(first, OPSETS[0]))
    assert {op.__name__ for op in rule.ours} <= set(OPS)


def test_every_family_has_rows() -> None:
    modules = {rule.convert.__module__ for rule in TABLE.values()}
    assert modules == {family.__name__ for family in FAMILIES}


WEIGHT, X = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4), "x"
CASES: dict[str, tuple[str, list[str], dict[str, object], set[Side]]] = {
    "a convolution": ("Conv", [X, "w4"], {}, {Side.SERVER}),
    "a product of rows": ("MatMul", [X, "w"], {}, {Side.SERVER}),
    "a product of two computed values": ("MatMul", [X, X], {}, {Side.CLIENT}),
    "times weights": ("Mul", [X, "w"], {}, {Side.SERVER}),
    "by weights": ("Div", [X, "w"], {}, {Side.SERVER}),
    "times a number": ("Mul", [X, "val_0"], {}, {Side.EITHER}),
    "times a computed value": ("Mul", [X, X], {}, {Side.CLIENT}),
    "plus weights": ("Add", [X, "w"], {}, {Side.SERVER}),
    "plus a computed value": ("Sum", [X, X], {}, {Side.EITHER}),
    "a mean of two": ("Mean", [X, X], {}, {Side.EITHER}),
    "padded by zeros": ("Pad", [X, "pads"], {}, {Side.EITHER}),
    "padded by others": ("Pad", [X, "pads"], {"mode": "edge"}, {Side.CLIENT}),
    "an average over the image": ("GlobalAveragePool", [X], {}, {Side.EITHER}),
    "averages": ("AveragePool", [X], {"kernel_shape": [2, 2]}, {Side.EITHER}),
    "moved": ("Transpose", [X], {}, {Side.EITHER}),
    "squares summed": ("ReduceSumSquare", [X], {}, {Side.CLIENT, Side.EITHER}),
    "an activation": ("Gelu", [X], {}, {Side.CLIENT}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_side_is_where_the_planner_may_put_it(case: str) -> None:
    op_type, args, attributes, wanted = CASES[case]
    constants = {"w": WEIGHT, "w4": WEIGHT.reshape(4, 1, 2, 2), "val_0": np.float32(0.5), "pads": np.full(8, 1)}
    given = {name: array for name, array in constants.items() if name in args}
    node = onnx.helper.make_node(op_type, args, ["y"], **attributes)
    graph = convert(load(model_of([node], {X: (1, 1, 4, 4)}, ["y"], given)))
    found = set(sides_of(run_passes(graph, PREPARE)).values())
    assert found == wanted
    assert all(side_.value in side(TABLE[op_type].ours) for side_ in found - {Side.EITHER})
    assert Side.EITHER not in found or len(found) > 1 or "either" in side(TABLE[op_type].ours)
