"""Trainable polynomials: what replaces what, how they train, what they become in ONNX and in a graph."""

from __future__ import annotations

import numpy as np
import pytest

from enclair.compiler.errors import CalibrationError, CompileError
from enclair.compiler.ir.ops.elementwise import Add, Mul
from enclair.compiler.ir.ops.linear import MatMul

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
nn = torch.nn

from enclair.compiler.approx.approximate import approximate  # noqa: E402
from enclair.compiler.ir.reference import run  # noqa: E402
from enclair.frontends.model_to_graph import to_graph  # noqa: E402
from enclair.torch import TrainablePolynomial, fine_tune, polynomialise, range_penalty  # noqa: E402


def perceptron(activation: object) -> object:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), activation, nn.Linear(12, 3))


def inputs(count: int = 4, seed: int = 1) -> list[object]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(8, 6, generator=generator) * 2 - 1 for _ in range(count)]


def polynomials(model: object) -> list[TrainablePolynomial]:
    return [module for module in model.modules() if isinstance(module, TrainablePolynomial)]


@pytest.mark.parametrize("degree", [2, 3])
@pytest.mark.parametrize(
    "activation", [nn.ReLU(), nn.GELU(), nn.SiLU(), nn.Tanh(), nn.LeakyReLU(0.1), nn.PReLU(), nn.Hardswish(), nn.ELU()]
)
def test_activations_are_fitted_on_what_they_see(activation: object, degree: int) -> None:
    model = perceptron(activation)
    made = polynomialise(model, inputs(), degree)
    (polynomial,) = polynomials(made)
    seen = torch.cat([model[0](x) for x in inputs()])
    assert polynomial.low < seen.min()
    assert polynomial.high > seen.max()
    x = torch.linspace(polynomial.low, polynomial.high, 1001)
    gap = (polynomial(x) - activation(x)).detach().abs()
    constant = (activation(x) - activation(x).mean()).detach().abs()
    assert gap.mean() < 0.25 * constant.mean()
    assert isinstance(model[1], type(activation)), "the model itself stays"


def test_least_squares_in_powers_of_x() -> None:
    class Square(nn.ReLU):
        def forward(self, x: object) -> object:
            return 3 * x * x - 2 * x + 1

    (polynomial,) = polynomials(polynomialise(perceptron(Square()), inputs(), 2))
    np.testing.assert_allclose(polynomial.coefficients.detach(), [1, -2, 3], atol=1e-3)
    assert repr(polynomial).startswith("TrainablePolynomial(degree=2, low=")


def test_one_module_in_two_places_becomes_one() -> None:
    relu = nn.ReLU()
    model = nn.Sequential(nn.Linear(6, 6), relu, nn.Linear(6, 6), relu)
    made = polynomialise(model, inputs())
    assert made[1] is made[3]
    assert len(polynomials(made)) == 1


def test_a_model_that_is_an_activation() -> None:
    assert isinstance(polynomialise(nn.ReLU(), inputs()), TrainablePolynomial)


def test_max_pools_become_average_pools() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2, stride=2, padding=1))
    samples = [torch.rand(1, 1, 8, 8)]
    made = polynomialise(model, samples)
    assert isinstance(made[2], nn.AvgPool2d)
    assert made(samples[0]).shape == model(samples[0]).shape
    assert isinstance(polynomialise(model, samples, average_pools=False)[2], nn.MaxPool2d)


def test_penalty_is_for_inputs_outside() -> None:
    polynomial = TrainablePolynomial([0.0, 1.0, 1.0], -1.0, 3.0).train()
    polynomial(torch.tensor([-1.0, 0.0, 3.0]))
    assert float(range_penalty(polynomial)) == 0.0
    x = torch.tensor([0.0, 5.0], requires_grad=True)
    polynomial(x)
    penalty = range_penalty(polynomial)
    assert float(penalty.detach()) == pytest.approx(0.5 + 1.0)
    penalty.backward()
    assert x.grad[0] == 0
    assert x.grad[1] > 0


def test_fine_tuning_lowers_the_loss_and_brings_ranges_in() -> None:
    model = perceptron(nn.ReLU()).eval()
    made = polynomialise(model, inputs())
    with torch.no_grad():
        made[0].weight *= 3.0
    pairs = [(x, model(x).detach()) for x in inputs(8)]
    made.train()
    made(pairs[0][0])
    before = float(range_penalty(made).detach())
    history = fine_tune(made, pairs, nn.functional.mse_loss, epochs=30, learning_rate=0.01)
    made.train()
    made(pairs[0][0])
    assert history[-1] < 0.2 * history[0]
    assert float(range_penalty(made).detach()) < 0.2 * before
    assert len(history) == 30
    assert not made.eval().training


@pytest.mark.parametrize("degree", [2, 3])
def test_exported_polynomials_stay_as_they_are(degree: int) -> None:
    made = polynomialise(perceptron(nn.ReLU()), inputs(), degree).eval()
    sample = inputs(1)[0]
    graph, _ = to_graph(made, sample)
    name = graph.inputs[0].name
    samples = [{name: x.numpy().astype(np.float64)} for x in inputs()]
    found = approximate(graph, samples, None, 1e-4)
    assert found.activations == ()
    assert {type(node.op) for node in found.graph.nodes} == {MatMul, Mul, Add}
    (result,) = run(found.graph, {name: sample.numpy()}).values()
    np.testing.assert_allclose(result, made(sample).detach(), atol=1e-4)


def test_degree_out_of_range() -> None:
    with pytest.raises(CompileError, match="degree 2 or 3, got 7"):
        polynomialise(perceptron(nn.ReLU()), inputs(), 7)
    with pytest.raises(CompileError, match="degree 1 to 3, got 0"):
        TrainablePolynomial([1.0], -1.0, 1.0)


def test_functions_in_forward_cannot_be_replaced() -> None:
    with pytest.raises(CompileError, match=r"no activation modules to replace; write nn\.ReLU\(\) in __init__"):
        polynomialise(nn.Linear(6, 3), inputs())


def test_unreached_and_infinite_activations() -> None:
    with pytest.raises(CalibrationError, match="no sample reaches the activations 1: give at least one sample"):
        polynomialise(perceptron(nn.ReLU()), [])
    with pytest.raises(CalibrationError, match="inputs of activation '1' are not finite"):
        polynomialise(perceptron(nn.ReLU()), [torch.full((1, 6), float("nan"))])


def test_penalty_needs_a_training_step() -> None:
    with pytest.raises(CompileError, match="it has 1 trainable polynomials, and none has seen an input"):
        range_penalty(TrainablePolynomial([0.0, 1.0], -1.0, 1.0))


def test_dilated_pools_have_no_average() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2, dilation=2))
    with pytest.raises(CompileError, match=r"max pool '2' has dilated windows .* average_pools=False"):
        polynomialise(model, [torch.rand(1, 1, 8, 8)])
