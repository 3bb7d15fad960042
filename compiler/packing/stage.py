"""Pack one server stage: cut it into independent parts and take, for each, the cheapest layout that works."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import networkx as nx

from enclair.compiler.errors import PackingError
from enclair.compiler.ir.graph import Graph, Value, prune
from enclair.compiler.ir.layouts import summands
from enclair.compiler.ir.rename import merge, rename
from enclair.compiler.packing.candidates import candidates
from enclair.compiler.packing.packed_stage import Held, PackedStage, Ring
from enclair.compiler.planner.costs import noise_growth


def pack_stage(
    stage: Graph, round_: int, ring: Ring, available: Mapping[str, Held], growth: Mapping[str, float]
) -> PackedStage:
    """Pack a server stage.

    Args:
        stage: fixed-point graph of what the server does in a round.
        round_: its number, for names.
        ring: slots and noise.
        available: values that the server has from earlier rounds, and where.
        growth: noise growth of those, by ciphertext name.

    Raises:
        PackingError: a part has no layout that works; names the node in the way.
    """
    parts = [
        _cheapest(part, f"r{round_}.p{number}.", round_, ring, available, growth)
        for number, part in enumerate(split_parts(stage))
    ]
    return PackedStage(
        merge(stage.name, [part.graph for part in parts]),
        {name: held for part in parts for name, held in part.uploads.items()},
        {name: held for part in parts for name, held in part.kept.items()},
        {name: held for part in parts for name, held in part.results.items()},
        ", ".join(part.layout_name for part in parts),
        {name: bits for part in parts for name, bits in part.growth.items()},
    )


def split_parts(stage: Graph) -> Iterator[Graph]:
    """The connected parts of a stage, each a graph of its own."""
    linked = stage.to_networkx()
    linked.remove_nodes_from([value.name for value in stage.constants])
    for names in nx.weakly_connected_components(linked):
        nodes = tuple(node for node in stage.nodes if node.out.name in names)
        if nodes:
            inputs = tuple(value for value in stage.inputs if value.name in names)
            outputs = tuple(value for value in stage.outputs if value.name in names)
            yield prune(replace(stage, inputs=inputs, nodes=nodes, outputs=outputs))


def _cheapest(
    part: Graph, prefix: str, round_: int, ring: Ring, available: Mapping[str, Held], growth: Mapping[str, float]
) -> PackedStage:
    """The cheapest candidate that works; those that cannot be cheaper than it are not packed."""
    best: tuple[float, PackedStage] | None = None
    failures: dict[int, PackingError] = {}
    numbered = enumerate(candidates(part, round_, ring, available))
    for number, candidate in sorted(numbered, key=lambda pair: pair[1].least_ms):
        if best is not None and candidate.least_ms >= best[0]:
            break
        try:
            packed = _with_growth(_with_whole_sums(candidate.pack(), ring), ring, growth)
        except PackingError as error:
            failures[number] = error
            continue
        cost = ring.milliseconds(packed.cost())
        if best is None or cost < best[0]:
            best = (cost, packed)
    if best is None:
        first = failures.get(min(failures, default=0))
        raise first or PackingError(part.outputs[0].name, f"does not fit in {ring.ring_dim} slots")
    return _named(best[1], prefix)


def _with_whole_sums(packed: PackedStage, ring: Ring) -> PackedStage:
    """The stage, if it leaves no more sums to the client than it may."""
    for name, held in packed.results.items():
        if not ring.finishing_sums and summands(held.layout) > 1:
            raise PackingError(name, "would leave its sum to the client, which finishing_sums=False forbids")
    return packed


def _with_growth(packed: PackedStage, ring: Ring, growth: Mapping[str, float]) -> PackedStage:
    """The stage with its noise growth, if there is room for it."""
    grown = noise_growth(packed.graph, ring.slot_vector_bits, growth)
    for name, held in packed.results.items():
        if grown[held.cipher.name] > ring.room_bits:
            raise PackingError(
                name,
                f"needs {grown[held.cipher.name]:.0f} bits of noise room, "
                f"ring dimension {ring.ring_dim} with {ring.limbs} limbs has {ring.room_bits:.0f}",
            )
    return replace(packed, growth={held.cipher.name: grown[held.cipher.name] for held in packed.results.values()})


def _named(packed: PackedStage, prefix: str) -> PackedStage:
    """The stage under names that are unique in the program."""
    names = {value.name: value.name for value in packed.graph.inputs}
    names |= {held.cipher.name: result_name(name) for name, held in packed.results.items()}

    def new_name(name: str) -> str:
        return names.get(name, prefix + name)

    results = {
        name: Held(Value(new_name(held.cipher.name), held.cipher.type), held.layout)
        for name, held in packed.results.items()
    }
    growth = {new_name(name): bits for name, bits in packed.growth.items()}
    return replace(packed, graph=rename(packed.graph, new_name), results=results, growth=growth)


def result_name(name: str) -> str:
    """Name of the ciphertexts of a value that the server makes."""
    return f"{name}.ct"
