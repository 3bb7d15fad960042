"""Cut a placed fixed-point graph into rounds and pack them: the client's and the server's graphs of a program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from enclair.compiler.errors import CompileError
from enclair.compiler.ir.graph import Builder, Graph, Node, Value, prune
from enclair.compiler.ir.ops.packed import Pack, Unpack
from enclair.compiler.ir.stages import Stage
from enclair.compiler.ir.types import CipherType, SlotsType
from enclair.compiler.ir.verify import verify
from enclair.compiler.packing.packed_stage import Held, PackedStage, Ring
from enclair.compiler.packing.stage import pack_stage
from enclair.compiler.program import Round, exchange_of


@dataclass(frozen=True, slots=True)
class Assembled:
    """The prologue and the rounds of a program for one ring, with the estimate of its cost."""

    ring: Ring
    prologue: Graph
    rounds: tuple[Round, ...]
    stages: tuple[PackedStage, ...]

    def milliseconds(self) -> float:
        """Estimated time of all rounds, one thread."""
        return sum(
            stage.cost().milliseconds(self.ring.ring_dim, self.ring.limbs, self.ring.costs) for stage in self.stages
        )

    def growth_bits(self) -> float:
        """The largest noise growth of any answer."""
        return max((bits for stage in self.stages for bits in stage.growth.values()), default=0.0)


def assemble(fixed: Graph, ring: Ring) -> Assembled:
    """Pack every round of a fixed-point graph.

    Raises:
        PackingError: a stage has no packed form on this ring.
        CompileError: the server has nothing to do, or the model uses a name that a ciphertext array gets.
    """
    stages = _pack_stages(fixed, ring, round_count(fixed))
    clients = _Clients(fixed, stages).graphs()
    rounds = tuple(
        Round(stage.graph, after, exchange_of(stage.graph, before, after))
        for stage, before, after in zip(_with_answers(stages, clients), clients[:-1], clients[1:], strict=True)
    )
    verify(clients[0], Stage.CLIENT)
    for round_ in rounds:
        verify(round_.server, Stage.SERVER)
        verify(round_.client, Stage.CLIENT)
    return Assembled(ring, clients[0], rounds, tuple(stages))


def round_count(fixed: Graph) -> int:
    """How many rounds a placed graph takes.

    Raises:
        CompileError: the server has nothing to do.
    """
    count = max((node.place.round for node in fixed.nodes if node.place and node.place.side == "server"), default=0)
    if count == 0:
        raise CompileError("the model has no op with weights: there is nothing for the server to do")
    return count


def server_stage(fixed: Graph, round_: int) -> Graph:
    """What the server does in a round, as a graph of its own: outputs are the values that others read."""
    nodes = [node for node in fixed.nodes if node.place and (node.place.side, node.place.round) == ("server", round_)]
    made = {node.out.name for node in nodes}
    read = {arg.name: arg for node in nodes for arg in node.args if arg.name not in made and not fixed.is_constant(arg)}
    wanted = {arg.name for node in fixed.nodes if node not in nodes for arg in node.args}
    outputs = [node.out for node in nodes if node.out.name in wanted]
    return prune(
        replace(fixed, name=f"round{round_}", inputs=tuple(read.values()), nodes=tuple(nodes), outputs=tuple(outputs))
    )


def _pack_stages(fixed: Graph, ring: Ring, count: int) -> list[PackedStage]:
    available: dict[str, Held] = {}
    growth: dict[str, float] = {}
    stages = []
    for round_ in range(1, count + 1):
        stages.append(stage := pack_stage(server_stage(fixed, round_), round_, ring, available, growth))
        available |= stage.uploads | stage.results
        growth |= stage.growth
    _check_names(fixed, stages)
    return stages


def _check_names(fixed: Graph, stages: list[PackedStage]) -> None:
    """Refuse a value of the model under a name that a ciphertext array gets."""
    made = {held.cipher.name for stage in stages for held in (*stage.uploads.values(), *stage.results.values())}
    if clash := sorted(made & {value.name for value in fixed.values()}):
        raise CompileError(
            f"the model has values called {', '.join(clash)}, as ciphertexts of other values are: rename them"
        )


def _with_answers(stages: list[PackedStage], clients: list[Graph]) -> list[PackedStage]:
    """Server graphs without results that nobody reads: neither the client nor a later round."""
    read = {value.name for client in clients for value in client.inputs}
    read |= {value.name for stage in stages for value in stage.graph.inputs}
    return [
        replace(
            stage, graph=prune(replace(stage.graph, outputs=tuple(v for v in stage.graph.outputs if v.name in read)))
        )
        for stage in stages
    ]


@dataclass(slots=True)
class _Clients:
    """Builds the client's graphs: prologue, then one per round. Values that later graphs need are outputs."""

    fixed: Graph
    stages: list[PackedStage]
    answers: list[dict[str, Held]] = field(init=False)

    def graphs(self) -> list[Graph]:
        parts = [self._nodes(number) for number in range(len(self.stages) + 1)]
        self.answers = [{}, *self._answers()]
        packs = [self.stages[number].uploads if number < len(self.stages) else {} for number in range(len(parts))]
        read_later: set[str] = {value.name for value in self.fixed.outputs}
        graphs: list[Graph] = []
        for number in reversed(range(len(parts))):
            graph = self._graph(number, parts[number], packs[number], read_later)
            read_later |= {value.name for value in graph.inputs}
            graphs.append(graph)
        return graphs[::-1]

    def _nodes(self, round_: int) -> list[Node]:
        """The client's nodes of a round."""
        return [n for n in self.fixed.nodes if n.place and (n.place.side, n.place.round) == ("client", round_)]

    def _answers(self) -> list[dict[str, Held]]:
        """What the client decrypts in each round: values that it computes with, or sends again."""
        client_reads = {
            arg.name for node in self.fixed.nodes if node.place and node.place.side == "client" for arg in node.args
        }
        sent = {name for stage in self.stages for name in stage.uploads}
        return [
            {name: held for name, held in stage.results.items() if name in client_reads | sent} for stage in self.stages
        ]

    def _graph(self, number: int, nodes: list[Node], packs: Mapping[str, Held], read_later: set[str]) -> Graph:
        builder = Builder(f"client{number}")
        known: dict[str, Value] = {}
        types = {value.name: value for value in self.fixed.values()}
        for name, held in self.answers[number].items():
            slots = builder.input(held.cipher.name, slots_type(held))
            known[name] = builder.add(Unpack(held.layout), slots, name=name)
        made = {node.out.name for node in nodes} | set(known)
        wanted = [arg.name for node in nodes for arg in node.args] + list(packs)
        for name in dict.fromkeys(wanted):
            if self.fixed.is_constant(types[name]):
                known[name] = builder.constant(
                    name, self.fixed.arrays[name], getattr(types[name].type, "scale_bits", None)
                )
            elif name not in made:
                known[name] = builder.input(name, types[name].type)
        for node in nodes:
            args = (known[arg.name] for arg in node.args)
            known[node.out.name] = builder.add(node.op, *args, name=node.out.name, origin=node.origin)
        outputs = [known[name] for name in made if name in read_later]
        outputs += [builder.add(Pack(held.layout), known[name], name=held.cipher.name) for name, held in packs.items()]
        return builder.build(sorted(outputs, key=lambda value: value.name))


def slots_type(held: Held) -> SlotsType:
    """The clear counterpart of a ciphertext array."""
    type_, layout = held.cipher.type, held.layout
    if not isinstance(type_, CipherType):
        raise CompileError(f"{held.cipher} is no ciphertext array")
    return SlotsType(layout.count, layout.slots, type_.scale_bits, type_.encoding)
