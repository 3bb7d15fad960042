"""Run a program's rounds in the clear: what client and server compute, without encryption."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from enclair.compiler.ir.graph import Array
from enclair.compiler.ir.reference import run
from enclair.compiler.packing.assemble import Assembled
from enclair.compiler.program import Program


def run_rounds(
    program: Program | Assembled, inputs: Mapping[str, Array], modulus: int | None = None
) -> dict[str, Array]:
    """Every value the client ever has, by name.

    Args:
        program: compiled, or as assembled.
        inputs: by the model's input names.
        modulus: reduce what crosses the wire to the residues of least magnitude; None for plain integers.
    """
    client = {**inputs, **run(program.prologue, inputs)}
    server: dict[str, Array] = {}
    for round_ in program.rounds:
        server |= {name: centred(client[name], modulus) for name, _ in round_.exchange.uploads}
        server |= run(round_.server, server)
        client |= {name: centred(server[name], modulus) for name, _ in round_.exchange.answers}
        client |= run(round_.client, client)
    return client


def centred(values: Array, modulus: int | None) -> Array:
    """The residues of least magnitude."""
    if modulus is None:
        return values
    half = modulus // 2
    return np.asarray((values + half) % modulus - half)
