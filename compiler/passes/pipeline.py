"""Run passes in order, verify after each, and say where an error happened."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from enclair.compiler.ir.errors import TypeRuleError, VerifyError
from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.verify import verify


class Pass(Protocol):
    """A frozen dataclass that maps a graph to a graph; its fields are its options."""

    produces: ClassVar[Stage]

    def __call__(self, graph: Graph) -> Graph:
        """The new graph."""
        ...


def run_passes(graph: Graph, passes: Sequence[Pass], *, dumped: bool = True) -> Graph:
    """Apply the passes one by one, verifying each result.

    With ENCLAIR_DUMP=DIR in the environment, DIR gets one numbered text file per pass, unless ``dumped`` is False.

    Raises:
        VerifyError: a pass broke the graph; names the pass and those before it.
    """
    done: list[str] = []
    for pass_ in passes:
        name = type(pass_).__name__
        try:
            graph = pass_(graph)
            verify(graph, pass_.produces)
        except (VerifyError, TypeRuleError) as error:
            after = f", after {', '.join(done)}" if done else ""
            raise VerifyError(f"pass {name}{after} broke the graph; this is a bug in enclair: {error}") from error
        done.append(name)
        if dumped:
            dump(name, graph)
    return graph


def dump(label: str, graph: Graph) -> None:
    """Write the graph's text to the folder ENCLAIR_DUMP, numbered in order; nothing when it is not set."""
    folder = os.environ.get("ENCLAIR_DUMP")
    if not folder:
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    numbers = [int(match[1]) for path in Path(folder).iterdir() if (match := re.match(r"(\d+)-.*\.txt$", path.name))]
    Path(folder, f"{max(numbers, default=0) + 1:02d}-{label}.txt").write_text(str(graph))
