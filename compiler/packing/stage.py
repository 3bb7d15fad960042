"""Pack one server stage: cut it into independent parts and take, for each, the cheapest layout that works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import networkx as nx
import numpy as np

from enclair.compiler.errors import PackingError
from enclair.compiler.ir.graph import Builder, Graph, Value, prune
from enclair.compiler.ir.layouts import Layout, Tiles, encoding_of, summands
from enclair.compiler.ir.ops.packed import MaskSlots, SelectCiphers
from enclair.compiler.ir.rename import merge, rename
from enclair.compiler.ir.types import CipherType
from enclair.compiler.packing.blocks import slot_blockings
from enclair.compiler.packing.copies import copies_for_masks
from enclair.compiler.packing.polynomials import polynomial_blockings
from enclair.compiler.packing.products import Blocking, ProductLowering, starts_with_products
from enclair.compiler.packing.tiles import (
    Packed,
    TileLowering,
    Tiling,
    make_tiling,
    scale_of,
    shape_of,
    tile_units,
    trace,
)
from enclair.compiler.planner.costs import OpCosts, StageCost, noise_growth, stage_cost


@dataclass(frozen=True, slots=True)
class Held:
    """A value in a layout, under the name of its ciphertext array."""

    cipher: Value
    layout: Layout


@dataclass(frozen=True, slots=True)
class Ring:
    """What packing must know of the parameters: slots, limbs, and the noise a stage may add."""

    ring_dim: int
    limbs: int
    room_bits: float
    slot_vector_bits: float
    finishing_sums: bool = True
    costs: OpCosts = field(default_factory=OpCosts)


@dataclass(frozen=True, slots=True)
class PackedStage:
    """A server graph on ciphertexts, with the layouts of what it takes from the client and of what it makes."""

    graph: Graph
    uploads: dict[str, Held]
    kept: dict[str, Held]
    results: dict[str, Held]
    layout_name: str = ""
    growth: dict[str, float] = field(default_factory=dict)

    def cost(self) -> StageCost:
        """Operations and ciphertexts."""
        uploads = sum(held.layout.count for held in self.uploads.values())
        return stage_cost(self.graph, uploads, sum(held.layout.count for held in self.results.values()))


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
    best: tuple[float, PackedStage] | None = None
    failure: PackingError | None = None
    for attempt in _candidates(part, round_, ring, available):
        try:
            packed = _with_growth(_with_whole_sums(attempt(), ring), ring, growth)
        except PackingError as error:
            failure = failure or error
            continue
        cost = packed.cost().milliseconds(ring.ring_dim, ring.limbs, ring.costs)
        if best is None or cost < best[0]:
            best = (cost, packed)
    if best is None:
        raise failure or PackingError(part.outputs[0].name, f"does not fit in {ring.ring_dim} slots")
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


Attempt = Callable[[], PackedStage]


def _candidates(part: Graph, round_: int, ring: Ring, available: Mapping[str, Held]) -> Iterable[Attempt]:
    if starts_with_products(part):
        for blocking in _blockings(part, ring):
            yield partial(_in_blocks, part, blocking, round_)
    try:
        traced = trace(part)
        units = list(tile_units(part, traced, ring.ring_dim))
    except PackingError as error:
        yield partial(_fail, error)
        return
    for unit in units:
        tiling = make_tiling(part, traced, unit, ring.ring_dim)
        kept = _kept(part, tiling, available)
        for reused in [kept, {}] if kept else [{}]:
            yield partial(_on_tiles, part, tiling, round_, reused)
            yield partial(_with_copies, part, tiling, round_, reused)


def _blockings(part: Graph, ring: Ring) -> Iterator[Blocking]:
    yield from slot_blockings(part, ring.ring_dim)
    upload, answer = (
        StageCost(uploads=up, answers=1 - up).milliseconds(ring.ring_dim, ring.limbs, ring.costs) for up in (1, 0)
    )
    yield from polynomial_blockings(part, ring.ring_dim, upload, answer)


def _fail(error: PackingError) -> PackedStage:
    raise error


def _kept(part: Graph, tiling: Tiling, available: Mapping[str, Held]) -> dict[str, Held]:
    """The inputs that the server has already, on the same tiles and a window wide enough."""
    return {
        value.name: held
        for value in part.inputs
        if (held := available.get(value.name)) is not None
        and isinstance(held.layout, Tiles)
        and _covers(held.layout, tiling.layout(value))
    }


def _covers(layout: Tiles, wanted: Tiles) -> bool:
    if replace(layout, low=wanted.low, high=wanted.high) != wanted:
        return False
    return all(a <= b for a, b in zip(layout.low, wanted.low, strict=True)) and all(
        a >= b for a, b in zip(layout.high, wanted.high, strict=True)
    )


def _on_tiles(part: Graph, tiling: Tiling, round_: int, kept: Mapping[str, Held]) -> PackedStage:
    builder = Builder(part.name)
    uploads: dict[str, Held] = {}
    values: dict[str, Packed] = {}
    for value in part.inputs:
        if (held := kept.get(value.name)) is not None:
            values[value.name] = Packed(builder.input(held.cipher.name, held.cipher.type), held.layout, clean=False)
        else:
            layout = tiling.layout(value)
            cipher = builder.input(upload_name(value, round_), _cipher_type(value, layout))
            uploads[value.name], values[value.name] = Held(cipher, layout), Packed(cipher, layout, clean=True)
    lowering = TileLowering(part, tiling, builder, values)
    for value in part.inputs:
        if value.name in kept:
            lowering.values[value.name] = lowering.narrowed(value.name, values[value.name], tiling.layout(value))
    packed = lowering.run()
    results = {value.name: _result(lowering, tiling, value, packed[value.name]) for value in part.outputs}
    rows, columns = tiling.unit
    return _finished(builder, uploads, dict(kept), results, f"tiles {rows}x{columns}")


def _result(lowering: TileLowering, tiling: Tiling, value: Value, packed: Packed) -> Packed:
    if isinstance(packed.layout, Tiles):
        return lowering.narrowed(value.name, packed, tiling.layout(value, tiling.core(value.name)))
    return packed


def _with_copies(part: Graph, tiling: Tiling, round_: int, kept: Mapping[str, Held]) -> PackedStage:
    """The same on masked copies, where a mask stands in the way and everything comes from the client."""
    packed = _on_tiles(part, tiling, round_, kept)
    masked = any(isinstance(node.op, MaskSlots) for node in packed.graph.nodes)
    if kept or not masked:
        raise PackingError(part.outputs[0].name, "has no masks to trade for copies")
    tiles = {held.cipher.name: held.layout for held in packed.uploads.values() if isinstance(held.layout, Tiles)}
    graph, layouts = copies_for_masks(packed.graph, tiles)
    inputs = {value.name: value for value in graph.inputs}
    uploads = {
        name: Held(inputs[held.cipher.name], layouts[held.cipher.name]) for name, held in packed.uploads.items()
    }  # fmt: skip
    results = dict(zip(packed.results, graph.outputs, strict=True))
    held_results = {name: Held(cipher, packed.results[name].layout) for name, cipher in results.items()}
    return PackedStage(graph, uploads, {}, held_results, f"{packed.layout_name}, masked copies")


def _in_blocks(part: Graph, blocking: Blocking, round_: int) -> PackedStage:
    builder = Builder(part.name)
    uploads = {}
    for value in part.inputs:
        layout = blocking.source(shape_of(value))
        uploads[value.name] = Held(builder.input(upload_name(value, round_), _cipher_type(value, layout)), layout)
    values = {name: Packed(held.cipher, held.layout, clean=True) for name, held in uploads.items()}
    results = ProductLowering(part, blocking, builder, values).run()
    return _finished(builder, uploads, {}, results, blocking.name)


def _finished(
    builder: Builder, uploads: dict[str, Held], kept: dict[str, Held], results: dict[str, Packed], layout_name: str
) -> PackedStage:
    """Build the graph; every result gets a node of its own, so that each can have its own name."""
    taken = {value.name for value in builder.inputs}
    held = {}
    for name, packed in results.items():
        cipher = packed.cipher
        if cipher.name in taken:
            every = builder.constant("select", np.arange(packed.layout.count), 0)
            cipher = builder.add(SelectCiphers(), cipher, every)
        taken.add(cipher.name)
        held[name] = Held(cipher, packed.layout)
    return PackedStage(builder.build([h.cipher for h in held.values()]), uploads, kept, held, layout_name)


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


def upload_name(value: Value, round_: int) -> str:
    """Name of the ciphertexts of a value that the client sends for a round."""
    return f"{value.name}.up{round_}"


def result_name(name: str) -> str:
    """Name of the ciphertexts of a value that the server makes."""
    return f"{name}.ct"


def _cipher_type(value: Value, layout: Layout) -> CipherType:
    shape_of(value)
    return CipherType(layout.count, layout.slots, scale_of(value), encoding_of(layout))
