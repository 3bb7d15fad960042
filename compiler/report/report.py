"""A report: findings that can be read by people and by programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from enclair.compiler.report.model import Findings
from enclair.compiler.report.plain import to_plain
from enclair.compiler.report.text import render


@dataclass(frozen=True, slots=True)
class Report(Findings):
    """What ``inspect`` found out, as text and as JSON."""

    def to_json(self) -> dict[str, Any]:
        """Plain data: dicts, lists, strings and numbers."""
        return to_plain(self)

    def to_text(self, width: int = 120) -> str:
        """Tables for a terminal of ``width`` columns, without colours."""
        return render(self, width)
