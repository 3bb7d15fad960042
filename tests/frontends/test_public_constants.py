"""Which constants of a model the client may be given: numbers that its code has written down, never learned ones."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from tests.frontends.onnx_models import model_of

from enclair import compiler
from enclair.compiler import SplitOptions
from enclair.compiler.ir.graph import Graph
from enclair.compiler.ir.public import is_public
from enclair.compiler.planner.sides import Side, sides_of
from enclair.frontends.onnx_convert import convert
from enclair.frontends.onnx_load import load


def product_with(name: str, shape: tuple[int, ...] = ()) -> Graph:
    """x times an initialiser of that name."""
    node = onnx.helper.make_node("Mul", ["x", name], ["y"])
    return convert(load(model_of([node], {"x": (1, 2, 3)}, ["y"], {name: np.full(shape, 0.37, np.float32)})))


def publicity(graph: Graph) -> list[bool]:
    return [is_public(graph, value) for value in graph.constants]


@pytest.mark.parametrize("name", ["gain", "net.scale", "public.gain", "public:gain", "val_x", "Constant"])
@pytest.mark.parametrize("shape", [(), (1,), (2, 1)])
def test_initialisers_are_weights_be_they_single_numbers(name: str, shape: tuple[int, ...]) -> None:
    graph = product_with(name, shape)
    assert publicity(graph) == [False]
    assert sides_of(graph) == {"y": Side.SERVER}


@pytest.mark.parametrize("name", ["val_0", "val_27", "/net/Constant_1_output_0", "Constant_output_0"])
def test_numbers_that_exporters_name_are_public(name: str) -> None:
    assert publicity(product_with(name)) == publicity(product_with(name, (1,))) == [True]
    assert sides_of(product_with(name)) == {"y": Side.EITHER}


def test_arrays_that_exporters_name_are_weights() -> None:
    assert publicity(product_with("val_0", (2, 1))) == [False]


@pytest.mark.parametrize(("number", "public"), [("half", True), ("gain", False)])
def test_what_is_computed_from_a_learned_number_is_learned(number: str, public: bool) -> None:
    nodes = [
        onnx.helper.make_node("Constant", [], ["half"], value_float=0.5),
        onnx.helper.make_node("Exp", [number], ["grown"]),
        onnx.helper.make_node("Div", ["x", "grown"], ["y"]),
    ]
    model = model_of(nodes, {"x": (1, 2)}, ["y"], {"gain": np.array(0.37, np.float32)})
    assert publicity(convert(load(model))) == [public]


def test_attributes_are_public() -> None:
    graph = convert(load(model_of([onnx.helper.make_node("Mean", ["x", "z"], ["y"])], {"x": (2,), "z": (2,)}, ["y"])))
    assert publicity(graph) == [True]


def test_a_learned_number_stays_on_the_server() -> None:
    nodes = [onnx.helper.make_node("Tanh", ["x"], ["t"]), onnx.helper.make_node("Mul", ["t", "gain"], ["y"])]
    graph = convert(load(model_of(nodes, {"x": (1, 4)}, ["y"], {"gain": np.array([0.37], np.float32)})))
    samples = [{"x": np.linspace(-1, 1, 4).reshape(1, 4) * share} for share in (1.0, 0.5)]
    program = compiler.compile(graph, samples, options=SplitOptions(activation_bits=8, weight_bits=8))
    assert len(program.rounds) == 1
    assert not [stage.constants for stage in (program.prologue, program.rounds[0].client) if stage.constants]
