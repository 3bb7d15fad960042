"""Split mode: from a graph of reals to a program of rounds, exact in BFV.

A stage that does not fit is cut: first ops without weights move to the client, then a value is refreshed by it in
between, at the cost of a round. When nothing can be cut the error says which layer needs what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from enclair.compiler.approx.ranges import Range, Samples, calibrate
from enclair.compiler.errors import CompileError, DoesNotFit, PackingError
from enclair.compiler.input_ranges import input_specs, with_declared
from enclair.compiler.ir.graph import Array, Graph, Node
from enclair.compiler.ir.ops.elementwise import Mul
from enclair.compiler.ir.ops.linear import Conv, ConvTranspose, MatMul
from enclair.compiler.ir.reference import run
from enclair.compiler.options import SplitOptions, check_options
from enclair.compiler.packing.assemble import Assembled
from enclair.compiler.parameters import BfvParameters
from enclair.compiler.passes.expand_operands import ExpandOperands
from enclair.compiler.passes.fold_affine import FoldAffine
from enclair.compiler.passes.fold_constants import FoldConstants
from enclair.compiler.passes.insert_refreshes import InsertRefreshes
from enclair.compiler.passes.lower_averages import LowerAverages
from enclair.compiler.passes.lower_concats import LowerConcats
from enclair.compiler.passes.lower_products import LowerProducts
from enclair.compiler.passes.lower_to_affine import LowerToAffine
from enclair.compiler.passes.pipeline import dump, run_passes
from enclair.compiler.passes.place_ops import PlaceOps
from enclair.compiler.planner.precision import Precision, PrecisionSearch
from enclair.compiler.planner.rings import choose_ring
from enclair.compiler.planner.sides import Side, sides_of
from enclair.compiler.program import Program

PREPARE = (
    FoldConstants(), LowerProducts(), LowerConcats(), LowerToAffine(), LowerAverages(), ExpandOperands(), FoldAffine(),
    FoldConstants(),
)  # fmt: skip
"""What every model goes through first: exact rewrites on reals."""
WEIGHTED = (Conv, ConvTranspose, MatMul, Mul)
MOST_CUTS = 64


@dataclass(frozen=True, slots=True)
class _Cuts:
    """What was changed so that stages fit: nodes moved to the client, nodes with refreshed arguments."""

    on_client: frozenset[str] = frozenset()
    refreshed: frozenset[str] = frozenset()


def compile_split(
    graph: Graph, samples: Samples, references: Sequence[Mapping[str, Array]] | None, options: SplitOptions
) -> Program:
    """Compile a graph of reals; see ``enclair.compiler.compile``."""
    check_options(options)
    prepared = run_passes(graph, PREPARE)
    ranges = with_declared(calibrate(prepared, samples), prepared, options.input_ranges, options.margin)
    if references is None:
        references = [run(prepared, sample) for sample in samples]
    cuts = _Cuts()
    for _ in range(MOST_CUTS):
        placed = run_passes(prepared, [InsertRefreshes(cuts.refreshed), PlaceOps(cuts.on_client)])
        search = PrecisionSearch(placed, _with_refreshes(ranges, placed), samples, references, options.margin)
        try:
            precision = _precision(search, options)
            parameters, assembled = choose_ring(
                precision.fixed, options.flood_bits, finishing_sums=options.finishing_sums
            )
        except (PackingError, DoesNotFit) as error:
            cuts = _cut(placed, cuts, error)
        else:
            return _program(prepared, ranges, options, precision, parameters, assembled, cuts)
    raise CompileError(f"the model does not fit even after {MOST_CUTS} cuts; ask for a larger tolerance or fewer bits")


def _with_refreshes(ranges: Mapping[str, Range], placed: Graph) -> dict[str, Range]:
    """A refreshed value has the range of the value itself."""
    producers = placed.producers()
    added = {name: ranges[node.args[0].name] for name, node in producers.items() if name not in ranges}
    return {**ranges, **added}


def _precision(search: PrecisionSearch, options: SplitOptions) -> Precision:
    tolerance = options.tolerance if options.tolerance is not None else 1e-4 * search.output_range()
    if options.activation_bits is not None and options.weight_bits is not None:
        return search.given(options.activation_bits, options.weight_bits, tolerance)
    return search.by_tolerance(tolerance)


def _cut(placed: Graph, cuts: _Cuts, failure: PackingError | DoesNotFit) -> _Cuts:
    """Move the node in the way to the client, or refresh what the last weighted node before it reads.

    Raises:
        CompileError: neither helps.
    """
    node = _node_of(placed, failure.node)
    if node is not None and sides_of(placed)[node.out.name] is Side.EITHER and node.out.name not in cuts.on_client:
        return replace(cuts, on_client=cuts.on_client | {node.out.name})
    if node is not None and (target := _refreshable(placed, node, cuts)) is not None:
        return replace(cuts, refreshed=cuts.refreshed | {target})
    origin = f" ({node.origin})" if node is not None and node.origin else ""
    raise CompileError(
        f"layer %{node.out.name if node else failure.node}{origin} cannot run on the server: {failure.reason}. "
        "Ask for a larger tolerance or fewer bits, or rewrite the layer"
    )


def _node_of(placed: Graph, name: str) -> Node | None:
    """The server's node that a name in the fixed-point graph stands for.

    Forms of a value have its name and a suffix (``x.q``, ``x.shift.1``); a value of the client stands for its first
    reader.
    """
    producers, readers = placed.producers(), placed.consumers()
    while name not in readers and "." in name:
        name = name.rpartition(".")[0]
    made_by = [producers[name]] if name in producers else []
    on_server = [n for n in made_by + readers.get(name, []) if n.place is not None and n.place.side == "server"]
    return on_server[0] if on_server else None


def _refreshable(placed: Graph, node: Node, cuts: _Cuts) -> str | None:
    """The nearest weighted node, from this one backwards within its stage, that reads a result of the same stage."""
    producers = placed.producers()
    queue: list[Node] = [node]
    seen: set[str] = set()
    while queue:
        current = queue.pop(0)
        before = [
            producers[arg.name]
            for arg in current.args
            if arg.name in producers and producers[arg.name].place == current.place
        ]
        if isinstance(current.op, WEIGHTED) and before and current.out.name not in cuts.refreshed:
            return current.out.name
        queue += [other for other in before if other.out.name not in seen]
        seen.update(other.out.name for other in before)
    return None


def _program(
    prepared: Graph,
    ranges: Mapping[str, Range],
    options: SplitOptions,
    precision: Precision,
    parameters: BfvParameters,
    assembled: Assembled,
    cuts: _Cuts,
) -> Program:
    dump("fixed", precision.fixed)
    for number, round_ in enumerate(assembled.rounds, 1):
        dump(f"server{number}", round_.server)
        dump(f"client{number}", round_.client)
    inputs = input_specs(prepared, ranges, options.input_ranges, options.margin)
    facts = {
        "mode": "split",
        "activation_bits": precision.activation_bits,
        "weight_bits": precision.weight_bits,
        "margin": options.margin,
        "tolerance": precision.tolerance,
        "gap_bound": {"value": precision.bound.value, "kind": precision.bound.kind},
        "layouts": [stage.layout_name for stage in assembled.stages],
        "noise_growth_bits": [max(stage.growth.values(), default=0.0) for stage in assembled.stages],
        "estimated_ms": [
            stage.cost().milliseconds(parameters.ring_dim, parameters.limbs, assembled.ring.costs)
            for stage in assembled.stages
        ],
        "moved_to_client": sorted(cuts.on_client),
        "refreshed": sorted(cuts.refreshed),
        "ranges": {name: [range_.low, range_.high] for name, range_ in sorted(ranges.items())},
    }
    outputs = tuple(value.name for value in prepared.outputs)
    return Program(
        prepared.name, parameters, inputs, outputs, assembled.prologue, assembled.rounds, precision.fixed, facts=facts
    )  # fmt: skip
