"""How far a run is, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from enclair.compiler.ir.graph import Graph, Node
from enclair.compiler.ir.ops.ckks import LinearTransform, Relinearise, RotateSlots
from enclair.compiler.ir.ops.packed import AddPlain, LinearCombination, MaskSlots, SlotCombination
from enclair.compiler.ir.types import CipherType, CkksType
from enclair.compiler.program import Exchange, Program

ENCRYPT_MS, LOAD_MS, ANSWER_MS, DECRYPT_MS = 4.0, 0.5, 9.0, 1.0
SCALAR_TERM_MS, VECTOR_TERM_MS, ADD_PLAIN_MS, OTHER_MS = 0.25, 1.2, 1.0, 0.1
KEY_SWITCH_MS, HOISTED_MS, PLAINTEXT_MS = 0.5, 0.1, 0.02
"""Cost of a ciphertext or a term on one core at N = 8192, two limbs; for CKKS of each limb. Only ratios matter: the
pace is measured.
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a run: the part done (0 to 1), what was just done, seconds so far, seconds left where known."""

    done: float
    what: str
    elapsed_s: float
    left_s: float | None


Report: TypeAlias = Callable[[Progress], None]


class Meter:
    """Adds up work and reports progress."""

    def __init__(self, total_ms: float, report: Report | None) -> None:
        self._total, self._report = max(total_ms, 1e-9), report
        self._done, self._start = 0.0, time.perf_counter()

    def advance(self, work_ms: float, what: str) -> None:
        """Note that work was done."""
        self._done = min(self._done + work_ms, self._total)
        if self._report is not None:
            done, elapsed = self._done / self._total, time.perf_counter() - self._start
            self._report(Progress(done, what, elapsed, elapsed * (1 - done) / done if done else None))


def program_work(program: Program) -> float:
    """Estimated milliseconds of one run, for ratios."""
    return sum(upload_work(r.exchange) + graph_work(r.server) + answer_work(r.exchange) for r in program.rounds)


def upload_work(exchange: Exchange) -> float:
    """Encrypting and loading a round's upload."""
    return exchange.upload_count * (ENCRYPT_MS + LOAD_MS)


def answer_work(exchange: Exchange) -> float:
    """Answering and decrypting a round's answer."""
    return exchange.answer_count * (ANSWER_MS + DECRYPT_MS)


def graph_work(graph: Graph) -> float:
    """The work of a server graph."""
    return sum(node_work(graph, node) for node in graph.nodes)


def node_work(graph: Graph, node: Node) -> float:
    """The work of one node."""
    if isinstance(node.out.type, CkksType):
        return _ckks_work(graph, node, node.out.type)
    if isinstance(node.op, LinearCombination):
        _, gather, weights, _ = node.args
        positions = graph.constant(gather).shape[1]
        return float(np.count_nonzero(graph.constant(weights))) * positions * SCALAR_TERM_MS
    if isinstance(node.op, SlotCombination):
        return len(graph.constant(node.args[1])) * VECTOR_TERM_MS
    if isinstance(node.op, MaskSlots):
        return len(node.op.masked()[0]) * VECTOR_TERM_MS
    count = node.out.type.count if isinstance(node.out.type, CipherType) else 0
    return count * (ADD_PLAIN_MS if isinstance(node.op, AddPlain) else OTHER_MS)


def _ckks_work(graph: Graph, node: Node, type_: CkksType) -> float:
    """By ciphertexts and limbs: key switches, and products with plaintexts."""
    limbs = 1 + (type_.level or 0)
    if isinstance(node.op, LinearTransform):
        _, cols, rotations = (graph.constant(arg) for arg in node.args[1:4])
        rotated = len(set(zip(cols.tolist(), rotations.tolist(), strict=True)))
        return limbs * (rotated * HOISTED_MS + len(cols) * PLAINTEXT_MS)
    switched = isinstance(node.op, RotateSlots | Relinearise)
    return limbs * type_.count * (KEY_SWITCH_MS if switched else PLAINTEXT_MS)
