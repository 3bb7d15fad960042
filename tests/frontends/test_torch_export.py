"""Unmodified PyTorch modules: exported quietly, converted, and equal to the module."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from tests.frontends.onnx_models import normal
from tests.frontends.torch_modules import pair, residual_network

from enclair.compiler.ir.reference import run
from enclair.frontends import to_graph
from enclair.frontends.errors import ExportError, MissingDependencyError, ModelShapeError, UnsupportedModel
from enclair.frontends.torch_export import export, forward_names, is_module


class NoTorch:
    """Stands in for a module where torch is not installed."""

    def forward(self, x: object) -> object:
        return x


@pytest.mark.parametrize("package", ["torch", "onnxscript"])
def test_without_the_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, type(sys)(name))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError) as raised:
        export(NoTorch(), normal(0, 3))  # type: ignore[arg-type]
    assert str(raised.value) == (
        f"exporting a PyTorch module needs {package}, which is not installed: pip install enclair[torch], "
        "or give the path of an .onnx file"
    )


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([1, 2, 3], "forward takes (left, right), the samples lack none and have number 3 beyond"),
        ({"left": 1, "top": 2}, "the samples lack right and have top beyond: give one sample for each parameter"),
        ({"right": 1}, "the samples lack left"),
        ((), "the samples lack left, right"),
    ],
)
def test_samples_that_do_not_fit_forward(samples: object, words: str) -> None:
    class Pair:
        def forward(self, left: object, right: object) -> object:
            return left, right

    with pytest.raises(ModelShapeError) as raised:
        forward_names(Pair(), samples)  # type: ignore[arg-type]
    assert words in str(raised.value)


def test_only_modules_are_modules() -> None:
    assert not is_module(NoTorch())
    assert not is_module("model.onnx")


@pytest.mark.torch
def test_a_residual_network(capfd: pytest.CaptureFixture[str]) -> None:
    import torch

    module = residual_network()
    module.train()
    module.body[1].eval()
    modes = [part.training for part in module.modules()]
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    x = normal(0, 1, 3, 16, 16)
    graph, model = to_graph(module, x)
    assert capfd.readouterr() == ("", "")
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())
    assert [value.name for value in graph.inputs] == ["image"]
    with torch.no_grad():
        want = module.eval()(torch.from_numpy(x)).numpy()
    (got,) = run(graph, {"image": x}).values()
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    assert {type(node.op).__name__ for node in graph.nodes} >= {
        "Conv",
        "BatchNorm",
        "Relu",
        "MaxPool",
        "ReduceMean",
        "MatMul",
    }
    origins = [node.origin for node in graph.nodes if type(node.op).__name__ == "Conv"]
    modules = [origin.split(" (torch_modules.py:")[0] for origin in origins]
    assert modules in (["body.0", "body.3", "skip"], ["body.1", "body.3", "skip"])  # with the norm folded: body.1
    assert not any(tensor.external_data for tensor in model.graph.initializer)


@pytest.mark.torch
@pytest.mark.parametrize(
    "samples", [(normal(0, 2, 3), normal(1, 2, 3)), {"left": normal(0, 2, 3), "right": normal(1, 2, 3)}]
)
def test_inputs_are_named_after_the_parameters(samples: Any) -> None:
    graph, _ = to_graph(pair(), samples)
    assert [value.name for value in graph.inputs] == ["left", "right"]
    (got,) = run(graph, {"left": normal(0, 2, 3), "right": normal(1, 2, 3)}).values()
    np.testing.assert_allclose(got, normal(0, 2, 3) - 2 * normal(1, 2, 3), rtol=1e-6)


@pytest.mark.torch
def test_a_module_needs_samples() -> None:
    with pytest.raises(ModelShapeError, match="a PyTorch module has no shapes of its own: give sample inputs"):
        to_graph(pair())


@pytest.mark.torch
def test_unsupported_modules_show_the_line_of_the_user() -> None:
    import torch

    class Wave(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sin(x) + torch.cumsum(x, 1)

    with pytest.raises(UnsupportedModel) as raised:
        to_graph(Wave(), normal(0, 2, 3))
    assert {node.op_type for node in raised.value.nodes} == {"Sin", "CumSum"}
    for node in raised.value.nodes:
        assert "test_torch_export.py:" in node.source
        assert "return torch.sin(x) + torch.cumsum(x, 1)" in node.source


@pytest.mark.torch
def test_modules_that_torch_cannot_export() -> None:
    import torch

    class Branch(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    class Mismatch(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ torch.ones(7, 3)

    class Decomposition(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.svd(x)[1]

    assert "torch cannot export Branch: Could not guard on data-dependent expression" in export_error(Branch())
    assert "make the control flow independent of the data" in export_error(Branch())
    message = export_error(Mismatch())
    assert "torch cannot export Mismatch: a and b must have same reduction dim" in message
    assert "test_torch_export.py:" in message
    assert "return x @ torch.ones(7, 3)" in message
    assert "torch cannot export Decomposition: No ONNX function found for" in export_error(Decomposition())


def export_error(module: Any) -> str:
    with pytest.raises(ExportError) as raised:
        to_graph(module, normal(0, 3, 3))
    return str(raised.value)


@pytest.mark.torch
@pytest.mark.slow
def test_deit_tiny() -> None:
    import timm
    import torch

    torch.manual_seed(0)
    module = timm.create_model("deit_tiny_patch16_224").eval()
    x = normal(0, 1, 3, 224, 224)
    graph, _ = to_graph(module, x)
    with torch.no_grad():
        want = module(torch.from_numpy(x)).numpy()
    (got,) = run(graph, {graph.inputs[0].name: x}).values()
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
