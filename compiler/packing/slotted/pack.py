"""Pack a graph of tensors of reals for CKKS: what the client encodes, what the server computes, what it decodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from enclair.compiler.errors import CompileError, PackingError
from enclair.compiler.ir.graph import Builder, Graph, Value
from enclair.compiler.ir.layouts import Layout
from enclair.compiler.ir.ops.ckks import PackReals, UnpackReals
from enclair.compiler.ir.slot_layouts import Rotated, Skewed, Slotted
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import CkksType, RealSlotsType
from enclair.compiler.ir.verify import verify
from enclair.compiler.packing.slotted.client_copies import best_copies, with_copies
from enclair.compiler.packing.slotted.emit import Emitter, upload_name
from enclair.compiler.packing.slotted.linear_ops import shape_of
from enclair.compiler.packing.slotted.memory import Memory, check_memory, estimate_memory
from enclair.compiler.packing.slotted.regions import Regions
from enclair.compiler.packing.slotted.rotation_costs import RotationCosts
from enclair.compiler.packing.slotted.rotation_keys import limit_rotation_keys, rotation_uses, server_slots
from enclair.compiler.packing.slotted.search import Search
from enclair.compiler.packing.slotted.shared_keys import share_rotation_keys


@dataclass(frozen=True, slots=True)
class PackingOptions:
    """What packing may do.

    Args:
        width: states that the search keeps after each step.
        skews: whether clients may encode skewed copies.
        copies: whether clients may send rotated copies, where ``costs.client`` makes that worth it.
        max_rotation_keys: further rotations are composed of those that have keys.
        max_ram: bytes of encoded plaintexts and rotation keys; fewer keys are made where they would not fit.
    """

    width: int = 12
    skews: bool = True
    copies: bool = True
    max_rotation_keys: int | None = None
    max_ram: int | None = None


@dataclass(frozen=True, slots=True)
class Packed:
    """A packed program.

    Args:
        prologue: the client's: tensors to slot vectors.
        server: PACKED.
        client: slot vectors to tensors.
        layouts: of every value that the server holds, by the name it has in the graph of tensors.
        names: that the server's graph gives these values.
        rotations: those that need keys.
        memory: of plaintexts and keys on the server, estimated.
        milliseconds: estimated, before rotations are composed.
    """

    prologue: Graph
    server: Graph
    client: Graph
    layouts: Mapping[str, Layout] = field(repr=False)
    names: Mapping[str, str] = field(repr=False)
    rotations: tuple[int, ...]
    memory: Memory
    milliseconds: float


def pack(graph: Graph, slots: int, costs: RotationCosts | None = None, options: PackingOptions | None = None) -> Packed:
    """Pack a graph of tensors of reals whose only nonlinear ops are polynomials and products.

    Raises:
        PackingError: an op has no packed form, or a value none in ciphertexts of so many slots.
        CompileError: the limits on keys or memory cannot be kept, or the model uses a name that ciphertexts get.
    """
    options = options or PackingOptions()
    regions = Regions(graph)
    steps = regions.run()
    inputs = {value.name: shape_of(value) for value in graph.inputs}
    _check_names(graph)
    outputs = tuple(value.name for value in graph.outputs)
    images = frozenset(regions.images)
    search = Search(steps, inputs, outputs, slots, costs or RotationCosts(), images, options.width, options.skews)
    chosen = search.run()
    names = {value.name for value in graph.values()} | set(regions.shapes)
    emitter = Emitter(search, chosen, Builder("server", names))
    server = emitter.run(tuple(inputs), outputs)
    layouts: dict[str, Layout] = {name: value.layout for name, value in emitter.values.items()}
    server, saved = _with_client_copies(server, layouts, search) if options.copies else (server, 0.0)
    server = share_rotation_keys(server, search.costs, options.max_rotation_keys)
    server = _limited(server, options)
    verify(server, Stage.PACKED)
    prologue, client = _prologue(graph, layouts), _client(graph, server, layouts)
    rotations = tuple(sorted(rotation_uses(server)))
    own = {name: value.cipher.name for name, value in emitter.values.items()}
    milliseconds = chosen.milliseconds - saved
    return Packed(prologue, server, client, layouts, own, rotations, estimate_memory(server), milliseconds)


def _check_names(graph: Graph) -> None:
    """Refuse a value under a name that the ciphertexts of an input get."""
    uploads = {upload_name(value.name) for value in graph.inputs}
    if clash := sorted(uploads & {value.name for value in graph.values()}):
        raise CompileError(
            f"the model has values called {', '.join(clash)}, as ciphertexts of other values are: rename them"
        )


def _with_client_copies(server: Graph, layouts: dict[str, Layout], search: Search) -> tuple[Graph, float]:
    """Rotated copies of inputs where the client's are cheaper; what they save. Changes the inputs' layouts."""
    total = 0.0
    for name in search.inputs:
        value, layout = next(v for v in server.inputs if v.name == upload_name(name)), layouts[name]
        costs = search.costs.at(2 * search.slots, search.limits.get(name, 0) + 1)
        if isinstance(layout, Slotted | Skewed) and (copies := best_copies(server, value, costs)) is not None:
            server, total = with_copies(server, value, copies), total + copies.saved
            layouts[name] = Rotated(layout, copies.steps)
    return server, total


def _limited(server: Graph, options: PackingOptions) -> Graph:
    """The server's graph with as few rotation keys as the options ask for."""
    if options.max_rotation_keys is not None:
        server = limit_rotation_keys(server, options.max_rotation_keys)
    if options.max_ram is not None and (memory := estimate_memory(server)).total > options.max_ram:
        least = server_slots(server).bit_length() - 1
        server = limit_rotation_keys(server, max(least, memory.affordable_keys(options.max_ram)))
        check_memory(estimate_memory(server), options.max_ram)
    return server


def candidates(
    graph: Graph, slots: tuple[int, ...], costs: RotationCosts | None = None, options: PackingOptions | None = None
) -> Iterator[tuple[int, Packed]]:
    """The packed program for each number of slots that has one, cheapest estimate first."""
    found: list[tuple[int, Packed]] = []
    failure: PackingError | None = None
    for count in slots:
        try:
            found.append((count, pack(graph, count, costs, options)))
        except PackingError as error:
            failure = error
    if not found and failure is not None:
        raise failure
    yield from sorted(found, key=lambda pair: pair[1].milliseconds)


def _prologue(graph: Graph, layouts: Mapping[str, Layout]) -> Graph:
    builder = Builder("client0")
    inputs = [builder.input(value.name, value.type) for value in graph.inputs]
    packed = [builder.add(PackReals(layouts[v.name]), v, name=upload_name(v.name)) for v in inputs]
    made = builder.build(sorted(packed, key=lambda value: value.name))
    verify(made, Stage.CLIENT)
    return made


def _client(graph: Graph, server: Graph, layouts: Mapping[str, Layout]) -> Graph:
    builder = Builder("client1")
    outputs = []
    inputs: dict[str, Value] = {}
    for value, cipher in zip(graph.outputs, server.outputs, strict=True):
        if not isinstance(cipher.type, CkksType):
            raise PackingError(value.name, f"is {cipher.type} on the server")
        if cipher.name not in inputs:
            inputs[cipher.name] = builder.input(cipher.name, RealSlotsType(cipher.type.count, cipher.type.slots))
        outputs.append(builder.add(UnpackReals(layouts[value.name]), inputs[cipher.name], name=value.name))
    made = builder.build(outputs)
    verify(made, Stage.CLIENT)
    return made
