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
from enclair.compiler.options import MODES, FullOptions, SplitOptions
from enclair.compiler.program import Program

DEFAULTS = SplitOptions()


def compile(  # noqa: A001 (the verb of the field)
    graph: Graph,
    samples: Sequence[Mapping[str, Array]],
    *,
    references: Sequence[Mapping[str, Array]] | None = None,
    options: SplitOptions | FullOptions = DEFAULTS,
) -> Program:
    """Compile a graph.

    Args:
        graph: on tensors of reals.
        samples: calibration inputs by name, each of the graph's shapes.
        references: the float model's outputs for each sample; without them the graph's own in float64.
        options: of the mode to compile for. Split: the server does what has weights, the client the rest; exact
            integers. Full: the server does everything in one round, with polynomials for activations.

    Raises:
        CompileError: the model cannot be compiled as asked; says which layer needs what.
    """
    verify(graph, Stage.TENSOR)
    if isinstance(options, SplitOptions):
        from enclair.compiler.split import compile_split

        return compile_split(graph, samples, references, options)
    from enclair.compiler.full import compile_full

    return compile_full(graph, samples, references, options)


__all__ = ["MODES", "CompileError", "FullOptions", "Program", "SplitOptions", "compile"]
