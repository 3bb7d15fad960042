"""enclair.compiler: from a graph of reals to a program that runs on encrypted data.

Programs run without the passes: what only compiling needs is imported when something is compiled.
"""

from __future__ import annotations

if __name__ == "compiler":
    raise ImportError("import enclair.compiler, not compiler: the top-level folder is not a package of its own")

from collections.abc import Mapping, Sequence

from enclair.compiler.errors import CompileError
from enclair.compiler.ir.graph import Array, Graph
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.verify import verify
from enclair.compiler.options import MODES, SplitOptions
from enclair.compiler.program import Program

DEFAULTS = SplitOptions()


def compile(  # noqa: A001 (the verb of the field)
    graph: Graph,
    samples: Sequence[Mapping[str, Array]],
    *,
    mode: str = "split",
    references: Sequence[Mapping[str, Array]] | None = None,
    options: SplitOptions = DEFAULTS,
) -> Program:
    """Compile a graph.

    Args:
        graph: on tensors of reals.
        samples: calibration inputs by name, each of the graph's shapes.
        mode: ``split``: the server does what has weights, the client the rest; exact integers.
        references: the float model's outputs for each sample; without them the graph's own in float64.
        options: tolerance, bits, ranges.

    Raises:
        CompileError: the model cannot be compiled as asked; says which layer needs what.
    """
    if mode not in MODES:
        raise CompileError(f"mode {mode!r} is not known: use one of {', '.join(MODES)}")
    from enclair.compiler.split import compile_split

    verify(graph, Stage.TENSOR)
    return compile_split(graph, samples, references, options)


__all__ = ["MODES", "CompileError", "Program", "SplitOptions", "compile"]
