"""What compiling for full mode found out: plain data for reports, see ``Program.facts``."""

from __future__ import annotations

from math import log2
from typing import Any

from enclair.compiler.approx.approximate import Approximated
from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.ops.ckks import UnpackReals
from enclair.compiler.ir.types import CkksType
from enclair.compiler.planner.ckks_choice import CkksChoice
from enclair.compiler.planner.ckks_memory import graph_memory
from enclair.compiler.planner.ckks_rings import RingChoice
from enclair.compiler.planner.ckks_threads import ThreadedCost

THREADS = (1, 2, 4, 8)
ENCRYPT_NS, DECRYPT_NS = 9.0, 30.0
"""Of OpenFHE, a ciphertext and limb, by N log2 N; measured at N = 8192."""


def approximation_facts(approximated: Approximated) -> dict[str, Any]:
    """On the polynomials."""
    return {
        "gap_bound": {"value": approximated.bound, "kind": approximated.bound_kind},
        "activations": [activation.facts() for activation in approximated.activations],
    }


def ring_facts(found: RingChoice, largest: float, *, calibrated: bool) -> dict[str, Any]:
    """On noise, layouts, and what a run takes.

    Args:
        found: the program.
        largest: output seen.
        calibrated: whether the costs were measured on this machine.
    """
    packed, choice = found.packed, found.choice
    noise = choice.error_bound
    return {
        "noise_bound": {"value": noise, "kind": "predicted", "bits": log2(max(largest, 1e-300) / max(noise, 1e-300))},
        "layouts": {name: repr(UnpackReals(layout)) for name, layout in packed.layouts.items()},
        "values": dict(packed.names),
        "node_ms": dict(choice.cost.nodes),
        "cost": {**_cost(choice), "calibrated": calibrated},
    }


def _cost(choice: CkksChoice) -> dict[str, Any]:
    threaded = ThreadedCost(choice.graph, choice.cost.nodes)
    return {
        "server_ms": choice.cost.total,
        "critical_ms": threaded.critical_path,
        "threads_ms": {str(threads): threaded.on(threads) for threads in THREADS},
        "client_ms": client_milliseconds(choice.graph, choice.parameters.ring_dim),
        "memory_bytes": graph_memory(choice.graph, choice.parameters).total,
    }


def client_milliseconds(server: Graph, ring_dim: int) -> float:
    """Encoding and encrypting the uploads, decrypting and decoding the answers: OpenFHE's work."""
    unit = ring_dim * log2(ring_dim) * 1e-6
    sent, back = (
        sum(v.type.count * ((v.type.level or 0) + 1) for v in values if isinstance(v.type, CkksType))
        for values in (server.inputs, server.outputs)
    )
    return unit * (sent * ENCRYPT_NS + back * DECRYPT_NS)
