"""Pieces of which reports in text are made."""

from __future__ import annotations

from collections.abc import Iterable
from io import StringIO

from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table


def print_parts(parts: Iterable[RenderableType], width: int) -> str:
    """Paragraphs and tables for a terminal of ``width`` columns, without colours."""
    console = Console(
        width=width, file=StringIO(), color_system=None, force_terminal=False, highlight=False, emoji=False
    )
    for part in parts:
        console.print(part)
    file = console.file
    text = file.getvalue() if isinstance(file, StringIO) else ""
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def pairs(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    """A titled list of names and texts."""
    table = Table(title=escape(title), title_justify="left", box=None, show_header=False, pad_edge=False)
    table.add_column(width=14)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(f"  {name}", escape(text))
    return table


def listed(text: str) -> Table:
    """A paragraph with a star before it."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("  *", escape(text))
    return table


def table(*columns: str) -> Table:
    """An empty table with these columns."""
    table = Table(box=box.ASCII2)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def extents(shape: tuple[int, ...]) -> str:
    """``1x28x28``."""
    return "x".join(map(str, shape)) or "one number"


def counted(number: int, singular: str, plural: str = "") -> str:
    """``3 rounds``, ``1 round``."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def in_bytes(count: int) -> str:
    """``1.25 MB``."""
    return f"{count / 1e6:.2f} MB" if count >= 10_000 else f"{count} bytes"


def in_time(milliseconds: float) -> str:
    """``12.3 s`` or ``40 ms``."""
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"
