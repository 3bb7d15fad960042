"""The table of operators and its page in the docs."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import onnx.defs
import pytest

from enclair.compiler.ir.ops.base import OPS
from enclair.frontends.families import FAMILIES, TABLE
from enclair.frontends.limits import OPSETS
from enclair.frontends.table import markdown

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text() == markdown(), "run: python -m enclair.frontends.table > docs/operators.md"


def test_the_module_prints_the_page(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "enclair.frontends.table")
    runpy.run_module("enclair.frontends.table", run_name="__main__", alter_sys=True)
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
