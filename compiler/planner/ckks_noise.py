"""The error of CKKS computations, simulated: values in the clear, beside samples of the error that noise would add.

Every source of noise adds Gaussian samples of its standard deviation, and every operation treats samples as it would
treat the error: so correlated errors add up and independent ones average out as they do under encryption, whatever the
graph. What is predicted of a value is the standard deviation of its samples, and a bound: ``SAFETY`` times the largest.

A polynomial whose coefficients have the variance v adds sqrt(N v / 2) / scale to the real part of every slot (the
canonical embedding sums N coefficients; half of the variance is imaginary). With h = 2 N / 3 non-zero coefficients of
the ternary secret the variances are (Cheon, Kim, Kim and Song, eprint 2016/421; Kim, Papadimitriou and Polyakov, eprint
2020/1118; Costache, Curtis, Hales, Murphy, Ogilvie and Player, eprint 2022/162):

- encoding 1/12; encryption under the secret key sigma^2;
- rescaling (1 + h) / 12, of both parts' rounding; key switching the same, for its division by P, and for each digit
  N (1 + h) / 12 D^2 / 12 P^2, with the digits' modulus D at most P / 2^8, and keys that are rounded themselves;
- an answer: an encryption of zero is added, which was rescaled: (1 + h) / 12;
- decryption: OpenFHE adds Gaussian noise as large as the noise it finds in the imaginary parts, at least N / 8 in a
  slot (``CKKSPackedEncoding::Decode``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.graph import Array, Graph, Node
from enclair.compiler.ir.ops.base import Op
from enclair.compiler.ir.ops.ckks import (
    AddPlainVectors,
    LinearTransform,
    MultiplyCiphers,
    MultiplyPlain,
    Relinearise,
    Rescale,
    RotateSlots,
)
from enclair.compiler.ir.reference import run
from enclair.compiler.ir.types import CkksType
from enclair.compiler.ir.weight_columns import Floats
from enclair.compiler.planner.noisy_transforms import Transform

Reals = NDArray[np.float64]
Errors = NDArray[np.float32]

SIGMA = 3.19
"""Standard deviation of OpenFHE's errors."""
SPECIAL_MARGIN = 2.0**8
"""P is at least so many times the modulus of a digit."""
SAFETY = 2.0
"""A bound is the largest sample times this."""
FEW_OUTPUTS = 4.5
"""And no smaller than this times the deviation over all slots: of one output, samples say little."""
SAMPLES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Noisy:
    """Ciphertexts: values (count, slots), samples of their error (samples, count, slots), and the type."""

    values: Reals
    errors: Errors
    type: CkksType

    @property
    def deviation(self) -> float:
        """The standard deviation of the error, over slots and samples."""
        return sqrt(float(np.mean(self.errors**2))) if self.errors.size else 0.0

    @property
    def bound(self) -> float:
        """What the error stays below, with high probability."""
        return SAFETY * float(np.abs(self.errors).max(initial=0.0))

    @property
    def magnitude(self) -> float:
        """The largest value or error."""
        return float(np.abs(self.values).max(initial=0.0)) + float(np.abs(self.errors).max(initial=0.0))


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """The standard deviation that each source of noise adds to a slot, for a scale."""

    ring_dim: int
    digits: int

    def slot(self, variance: float, scale: float) -> float:
        """Of the real part of a slot, for a polynomial whose coefficients have a variance."""
        return sqrt(self.ring_dim * variance / 2) / scale

    @property
    def rounding(self) -> float:
        """Variance of the coefficients when both parts are rounded: (1 + h) / 12."""
        return (1 + 2 * self.ring_dim / 3) / 12

    def encryption(self, scale: float) -> float:
        """Of a fresh encryption, its encoding included."""
        return self.slot(SIGMA**2 + 1 / 12, scale)

    def rescaling(self, scale: float) -> float:
        """Of a rescale to this scale."""
        return self.slot(self.rounding, scale)

    def key_switching(self, scale: float) -> float:
        """Of a rotation or a relinearisation at this scale."""
        share = self.digits * self.ring_dim / 12 / SPECIAL_MARGIN**2
        return self.slot(self.rounding * (1 + share), scale)

    def encoding(self, scale: float, slots: int) -> float:
        """Of a plaintext: one number in all slots (``slots`` is 1) is a single coefficient."""
        return sqrt(1 / 12) / scale if slots == 1 else self.slot(1 / 12, scale)

    def decryption(self, deviation: float, scale: float) -> float:
        """Of OpenFHE's decryption, for the standard deviation of the noise that is there."""
        return max(deviation, self.ring_dim / 8 / scale)


def noise_model(parameters: CkksParameters) -> NoiseModel:
    """The model of parameters."""
    return NoiseModel(parameters.ring_dim, parameters.digits)


class NoiseSimulator:
    """The operations on CKKS ciphertexts, on values and samples of errors.

    Args:
        model: of the noise.
        samples: how many errors are drawn.
        seed: of the random numbers; results are reproducible when operations come in the same order.
    """

    def __init__(self, model: NoiseModel, samples: int = SAMPLES, seed: int = 0) -> None:
        self.model = model
        self.samples = samples
        self._rng = np.random.default_rng(seed)
        self._lock = Lock()

    def encrypt(self, values: Reals, type_: CkksType) -> Noisy:
        """A fresh encryption."""
        return Noisy(values, self._drawn(values.shape, self.model.encryption(scale_of(type_))), type_)

    def answer(self, x: Noisy) -> Noisy:
        """What is sent back: with a fresh encryption of zero added."""
        return replace(x, errors=x.errors + self._drawn(x.values.shape, self.model.rescaling(scale_of(x.type))))

    def decrypt(self, x: Noisy) -> Noisy:
        """What a decryption gives."""
        deviation = np.sqrt(np.mean(x.errors**2, axis=(0, 2)))
        added = [self.model.decryption(float(d), scale_of(x.type)) for d in deviation]
        return replace(x, errors=x.errors + self._drawn(x.values.shape, np.array(added)[:, None]))

    def apply(self, op: Op, type_: CkksType, *args: Noisy | Array) -> Noisy:
        """One op of a LEVELED graph, on ciphertexts and constants; ``type_`` is the result's."""
        ciphers = [arg for arg in args if isinstance(arg, Noisy)]
        tables = [arg for arg in args if not isinstance(arg, Noisy)]
        if isinstance(op, LinearTransform):
            return self._transform(op, type_, ciphers[0], tables)
        values = np.asarray(op.evaluate(*(arg.values if isinstance(arg, Noisy) else arg for arg in args)))
        errors = self._errors(op, ciphers, tables, values)
        return Noisy(values, errors + self._added(op, type_, ciphers, tables, values), type_)

    def _errors(self, op: Op, ciphers: list[Noisy], tables: list[Array], values: Reals) -> Errors:
        """What becomes of the errors of the arguments."""
        if isinstance(op, MultiplyCiphers):
            (x, of_x), (y, of_y) = ((cipher.values.astype(np.float32), cipher.errors) for cipher in ciphers)
            return of_x * y + of_y * (x + of_x)
        if isinstance(op, AddPlainVectors):
            return ciphers[0].errors
        if isinstance(op, MultiplyPlain):
            return ciphers[0].errors * tables[0].astype(np.float32)
        if isinstance(op, RotateSlots):
            return np.roll(ciphers[0].errors, -op.steps, axis=2)
        each = [op.evaluate(*(x.errors[s] for x in ciphers), *tables) for s in range(self.samples)]
        return np.stack(each) if each else np.zeros((0, *values.shape), np.float32)

    def _added(self, op: Op, type_: CkksType, ciphers: list[Noisy], tables: list[Array], values: Reals) -> Errors:
        """The noise that an op adds."""
        scale, model = scale_of(type_), self.model
        if isinstance(op, Rescale):
            return self._drawn(values.shape, model.rescaling(scale))
        if isinstance(op, Relinearise | RotateSlots):
            return self._drawn(values.shape, model.key_switching(scale))
        if isinstance(op, AddPlainVectors):
            return self._drawn(values.shape, model.encoding(scale, tables[0].shape[1]))
        if isinstance(op, MultiplyPlain):
            rounding = model.encoding(op.plain_scale or 1.0, tables[0].shape[1])
            return self._drawn(values.shape, rounding * np.abs(ciphers[0].values))
        return np.zeros((self.samples, *values.shape), np.float32)

    def _transform(self, op: LinearTransform, type_: CkksType, x: Noisy, tables: list[Array]) -> Noisy:
        """A linear transform: of the value and the errors, with the noise that it adds.

        A baby step's key switch is multiplied by the plaintext; a giant step's comes after, and is negligible.
        """
        transform = Transform(op, tables, x.values.shape[1])
        shape = (op.outputs, transform.slots)
        deviation = self.model.key_switching(scale_of(x.type)) * transform.rotated_norms()
        errors = np.asarray(transform.apply(x.errors), np.float32)
        if op.weight_scale is None:
            rounding = self.model.encoding(op.plain_scale or 1.0, transform.vectors.shape[1])
            deviation = np.hypot(deviation, rounding * transform.norms(x.values.astype(np.float32)))
        else:
            errors += self._rounded_apart(transform, op.weight_scale, x)
        errors += self._drawn(shape, deviation)
        return Noisy(op.evaluate(x.values, *tables), errors, type_)

    def _rounded_apart(self, transform: Transform, weight_scale: float, x: Noisy) -> Errors:
        """Of weights and vectors that are rounded apart, times what they are multiplied with.

        One error of variance 1 / 12 / weight_scale^2 is drawn for each
        weight, which has it in all slots, and one for each vector, which all its weights share, turned by a giant step
        or not: so errors add up as the real ones do, here and in what follows.
        """
        vectors, matrix = transform.vectors, transform.matrix
        if matrix is None:
            return np.zeros((self.samples, transform.op.outputs, transform.slots), np.float32)
        scale = (transform.op.plain_scale or 1.0) / weight_scale
        of_weights = self._drawn(matrix.weights.shape, sqrt(1 / 12) / weight_scale) * (matrix.weights != 0)
        of_vectors = self._drawn(vectors.shape, self.model.encoding(scale, vectors.shape[1]))
        values = x.values.astype(np.float32)
        return np.asarray(transform.rounded_apart(values, of_weights, of_vectors), np.float32)

    def _drawn(self, shape: tuple[int, ...], deviation: float | Floats) -> Errors:
        with self._lock:
            drawn = self._rng.standard_normal((self.samples, *shape), dtype=np.float32)
        drawn *= np.asarray(deviation, np.float32)
        return drawn


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is expected of a value: the standard deviation and a bound of its error, and its largest magnitude."""

    deviation: float
    bound: float
    magnitude: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """Estimates for every value of a graph, and its outputs once they are decrypted."""

    values: Mapping[str, Estimate]
    answers: Mapping[str, Noisy]

    @property
    def bound(self) -> float:
        """Of the error of any slot of an answer."""
        return max((answer.bound for answer in self.answers.values()), default=0.0)

    def bound_after(self, client: Graph) -> float:
        """Of the error of any output of the client's graph, which reads the answers."""
        exact = run(client, {name: answer.values for name, answer in self.answers.items()})
        worst = 0.0
        for sample in range(min((len(answer.errors) for answer in self.answers.values()), default=0)):
            noisy = {name: answer.values + answer.errors[sample] for name, answer in self.answers.items()}
            got = run(client, noisy)
            worst = max([worst, *(float(np.abs(got[name] - exact[name]).max(initial=0.0)) for name in exact)])
        deviation = max((float(np.sqrt(np.mean(a.errors**2))) for a in self.answers.values()), default=0.0)
        return max(SAFETY * worst, FEW_OUTPUTS * deviation)


def predict(graph: Graph, inputs: Mapping[str, Reals], model: NoiseModel, samples: int = SAMPLES) -> Prediction:
    """Run a LEVELED graph in the clear with the noise that encryption would add.

    Args:
        graph: at stage LEVELED.
        inputs: (count, slots) for every input: what the client would encrypt.
        model: of the noise.
        samples: of the error; more make bounds less random.
    """
    simulator = NoiseSimulator(model, samples)
    found: dict[str, Noisy | Array] = dict(graph.arrays)
    for value in graph.inputs:
        if isinstance(value.type, CkksType):
            found[value.name] = simulator.encrypt(inputs[value.name], value.type)
    estimates = {name: estimate(x) for name, x in found.items() if isinstance(x, Noisy)}
    last_use = {arg.name: node for node in graph.nodes for arg in node.args}
    kept = {value.name for value in graph.outputs}
    for node in graph.nodes:
        found[node.out.name] = result = _run_node(simulator, node, found)
        estimates[node.out.name] = estimate(result)
        for name in {arg.name for arg in node.args} - kept:
            if last_use[name] is node:
                del found[name]
    answers = {name: simulator.decrypt(simulator.answer(_noisy(found[name]))) for name in kept}
    return Prediction(estimates, answers)


def estimate(x: Noisy) -> Estimate:
    """The estimate of what was simulated."""
    return Estimate(x.deviation, x.bound, x.magnitude)


def scale_of(type_: CkksType) -> float:
    """The scale of ciphertexts of a LEVELED graph."""
    if type_.scale is None:
        raise TypeError(f"{type_} has no scale: place levels first")
    return type_.scale


def _run_node(simulator: NoiseSimulator, node: Node, found: Mapping[str, Noisy | Array]) -> Noisy:
    if not isinstance(node.out.type, CkksType):
        raise TypeError(f"{node.out} is not of CKKS ciphertexts")
    return simulator.apply(node.op, node.out.type, *(found[arg.name] for arg in node.args))


def _noisy(value: Noisy | Array) -> Noisy:
    if not isinstance(value, Noisy):
        raise TypeError("a constant is not an answer")
    return value
