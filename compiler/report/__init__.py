"""Reports on programs: ``inspect`` finds out, ``Report.to_text`` and ``Report.to_json`` say it.

What the client sees is derived from the server's graphs, op by op and slot by slot: ``views`` (what lies between known
and seen), ``slots`` and ``forms`` (what each slot depends on), ``systems`` (how many equations), ``exposure``.
"""

from __future__ import annotations

from enclair.compiler.report.full import FullReport
from enclair.compiler.report.inspection import inspect
from enclair.compiler.report.report import Report

__all__ = ["FullReport", "Report", "inspect"]
