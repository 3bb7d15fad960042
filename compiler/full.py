"""Full mode: from a graph of reals to a program of one round on CKKS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from enclair.compiler.approx.ranges import Samples
from enclair.compiler.errors import CompileError
from enclair.compiler.ir.graph import Array, Graph
from enclair.compiler.options import FullOptions
from enclair.compiler.program import Program


def compile_full(
    graph: Graph, samples: Samples, references: Sequence[Mapping[str, Array]] | None, options: FullOptions
) -> Program:
    """Compile a graph of reals; see ``enclair.compiler.compile``."""
    raise CompileError(f"{graph.name}: mode 'full' is not known: use split")
