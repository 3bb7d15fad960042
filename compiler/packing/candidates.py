"""The ways to pack one connected part of a server stage, with a lower bound of what each costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from enclair.compiler.errors import PackingError
from enclair.compiler.ir.graph import Builder, Graph, Value
from enclair.compiler.ir.layouts import Layout, Tiles, encoding_of
from enclair.compiler.ir.ops.ciphers import SelectCiphers
from enclair.compiler.ir.ops.packed import MaskSlots
from enclair.compiler.ir.types import CipherType
from enclair.compiler.packing.blocks import slot_blockings
from enclair.compiler.packing.copies import copies_for_masks
from enclair.compiler.packing.packed_stage import Held, PackedStage, Ring
from enclair.compiler.packing.polynomials import polynomial_blockings
from enclair.compiler.packing.products import (
    IMAGES,
    MATRICES,
    Blocking,
    ProductLowering,
    least_cost,
    starts_with_products,
)
from enclair.compiler.packing.rasters import raster_blockings
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
from enclair.compiler.planner.costs import StageCost


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to pack a part: ``pack`` does it, or raises PackingError; it costs ``least_ms`` at least."""

    least_ms: float
    pack: Callable[[], PackedStage]


def candidates(part: Graph, round_: int, ring: Ring, available: Mapping[str, Held]) -> Iterator[Candidate]:
    """All ways worth trying."""
    for blocking in _blockings(part, ring):
        least = ring.milliseconds(least_cost(part, blocking))
        yield Candidate(least, partial(_in_blocks, part, blocking, round_))
    try:
        traced = trace(part)
        units = list(tile_units(part, traced, ring.ring_dim))
    except PackingError as error:
        yield Candidate(0.0, partial(_fail, error))
        return
    for unit in units:
        tiling = make_tiling(part, traced, unit, ring.ring_dim)
        kept = _kept(part, tiling, available)
        for reused in [kept, {}] if kept else [{}]:
            least = ring.milliseconds(_exchanged_on_tiles(part, tiling, reused))
            yield Candidate(least, partial(_on_tiles, part, tiling, round_, reused))
            yield Candidate(least, partial(_with_copies, part, tiling, round_, reused))


def _blockings(part: Graph, ring: Ring) -> Iterator[Blocking]:
    """Ways to pack a part that starts with products of its inputs."""
    if starts_with_products(part, MATRICES):
        if ring.slot_vector_bits <= ring.room_bits:
            yield from slot_blockings(part, ring.ring_dim)
        upload, answer = (ring.milliseconds(StageCost(*exchange)) for exchange in ((1, 0), (0, 1)))
        yield from polynomial_blockings(part, ring.ring_dim, upload, answer)
    if starts_with_products(part, IMAGES):
        yield from raster_blockings(part, ring.ring_dim)


def _exchanged_on_tiles(part: Graph, tiling: Tiling, kept: Mapping[str, Held]) -> StageCost:
    """The ciphertexts sent, and those returned that are still on tiles."""
    uploads = sum(tiling.layout(value).count for value in part.inputs if value.name not in kept)
    on_tiles = [value for value in part.outputs if value.name in tiling.traced.axes]
    return StageCost(uploads, sum(tiling.layout(value, tiling.core(value.name)).count for value in on_tiles))


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


def upload_name(value: Value, round_: int) -> str:
    """Name of the ciphertexts of a value that the client sends for a round."""
    return f"{value.name}.up{round_}"


def _cipher_type(value: Value, layout: Layout) -> CipherType:
    shape_of(value)
    return CipherType(layout.count, layout.slots, scale_of(value), encoding_of(layout))
