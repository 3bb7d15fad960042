"""A client's artifact holds no weight of the server's layers, nor anything from which it can be read.

The weights here have so many digits that none occurs by chance. The same search finds every one of them in the whole
artifact: it is a search that can fail.
"""

import re

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from tests.golden.tiny import tiny_graph, tiny_samples
from tests.leaks import LEAST, byte_hits, members_of, telling, value_hits

import enclair.compiler
from enclair.compiler import SplitOptions
from enclair.compiler.artifact import save, save_client
from enclair.compiler.ir.graph import Array
from enclair.compiler.program import Program

SHARED = "slope"
"""The one constant that the client is given: the slope of a PRelu."""
DIGITS = 12


@pytest.fixture(scope="module")
def program() -> Program:
    options = SplitOptions(activation_bits=12, weight_bits=26)
    return enclair.compiler.compile(tiny_graph(DIGITS), tiny_samples(), options=options)


@pytest.fixture(scope="module")
def whole(program: Program, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("whole") / "p.enclair"
    save(program, path)
    return members_of(path)


@pytest.fixture(scope="module")
def client(program: Program, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("client") / "p.client.enclair"
    save_client(program.for_client(), path)
    return members_of(path)


def weights_of(program: Program) -> dict[str, Array]:
    """Every constant of the server's layers in each form it has: reals, integers, packed."""
    reals = {f"real {name}": array for name, array in tiny_graph(DIGITS).arrays.items() if name != SHARED}
    integers = {f"fixed {name}": array for name, array in program.fixed.arrays.items() if name != SHARED}
    packed = {name: array for round_ in program.rounds for name, array in round_.server.arrays.items()}
    return reals | integers | {name: array for name, array in packed.items() if np.abs(array).max() >= LEAST}


def test_every_weight_has_something_telling(program: Program) -> None:
    weights = weights_of(program)
    assert {"real w1", "real b3", "fixed w1", "fixed w2", "fixed w3", "fixed b1", "fixed b3"} <= set(weights)
    assert sum(".vectors" in name or ".weights" in name for name in weights) == 3
    assert all(telling(array) for array in weights.values())


def test_no_weight_is_in_the_clients_artifact(program: Program, client: dict[str, bytes]) -> None:
    assert byte_hits(weights_of(program), client) == set()
    assert value_hits(weights_of(program), client) == set()


def test_the_search_finds_weights_where_they_are(program: Program, whole: dict[str, bytes]) -> None:
    integers = {name: array for name, array in weights_of(program).items() if array.dtype.kind == "i"}
    assert value_hits(integers, whole) == set(integers)
    assert byte_hits(integers, whole) >= {"fixed w1", "fixed w2", "fixed w3", "fixed b1", "fixed b3"}


def test_the_client_gets_its_graphs_and_nothing_else(program: Program, client: dict[str, bytes]) -> None:
    labels = ["prologue", *(f"round{number}.client" for number in range(1, len(program.rounds) + 1))]
    graphs = {name for label in labels for name in (f"graphs/{label}.txt", f"constants/{label}.safetensors")}
    assert set(client) == {"manifest.json", "program.json", "parameters.json", *graphs}
    stored = {key for name, data in client.items() if name.endswith(".safetensors") for key in load_tensors(data)}
    assert stored == {SHARED}
    ops = "LinearCombination|SlotCombination|AddPlain|Conv|MatMul"
    assert not re.search(ops, "".join(data.decode() for name, data in client.items() if name.endswith(".txt")))
