"""Pack a graph of tensors of reals for CKKS: what the client encodes, what the server computes, what it decodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

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
from enclair.compiler.packing.slotted.regions import Regions
from enclair.compiler.packing.slotted.rotation_costs import RotationCosts
from enclair.compiler.packing.slotted.rotation_keys import limit_rotation_keys
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
    """

    width: int = 12
    skews: bool = True
    copies: bool = True
    max_rotation_keys: int | None = None


@dataclass(frozen=True, slots=True)
class Packed:
    """A packed program.

    Args:
        prologue: the client's: tensors to slot vectors.
        server: PACKED.
        client: slot vectors to tensors.
        layouts: of every value that the server holds, by the name it has in the graph of tensors.
        names: that the server's graph gives these values.
    """

    prologue: Graph
    server: Graph
    client: Graph
    layouts: Mapping[str, Layout] = field(repr=False)
    names: Mapping[str, str] = field(repr=False)


def pack(graph: Graph, slots: int, costs: RotationCosts | None = None, options: PackingOptions | None = None) -> Packed:
    """Pack a graph of tensors of reals whose only nonlinear ops are polynomials and products.

    Raises:
        PackingError: an op has no packed form, or a value none in ciphertexts of so many slots.
        CompileError: the limit on keys cannot be kept, or the model uses a name that ciphertexts get.
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
    server = _with_client_copies(server, layouts, search) if options.copies else server
    server = _with_keys(server, search.costs, options.max_rotation_keys)
    verify(server, Stage.PACKED)
    prologue, client = _prologue(graph, layouts), _client(graph, server, layouts)
    own = {name: value.cipher.name for name, value in emitter.values.items()}
    return Packed(prologue, server, client, layouts, own)


def with_rotation_keys(packed: Packed, costs: RotationCosts, most: int) -> Packed:
    """The same with at most so many rotation keys; see ``limit_rotation_keys``."""
    return replace(packed, server=_with_keys(packed.server, costs, most))


def _with_keys(server: Graph, costs: RotationCosts, most: int | None) -> Graph:
    """Keys shared by all transforms, and, above a limit, rotations composed of others."""
    server = share_rotation_keys(server, costs, most)
    return server if most is None else limit_rotation_keys(server, most)


def _check_names(graph: Graph) -> None:
    """Refuse a value under a name that the ciphertexts of an input get."""
    uploads = {upload_name(value.name) for value in graph.inputs}
    if clash := sorted(uploads & {value.name for value in graph.values()}):
        raise CompileError(
            f"the model has values called {', '.join(clash)}, as ciphertexts of other values are: rename them"
        )


def _with_client_copies(server: Graph, layouts: dict[str, Layout], search: Search) -> Graph:
    """Rotated copies of inputs where the client's are cheaper. Changes the inputs' layouts."""
    for name in search.inputs:
        value, layout = next(v for v in server.inputs if v.name == upload_name(name)), layouts[name]
        costs = search.costs.at(2 * search.slots, search.limits.get(name, 0) + 1)
        if isinstance(layout, Slotted | Skewed) and (copies := best_copies(server, value, costs)) is not None:
            server = with_copies(server, value, copies)
            layouts[name] = Rotated(layout, copies.steps)
    return server


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
