"""The scale of every value of a PACKED graph whose levels are known: exact, without a product for it alone.

Every level has a canonical scale, which squares keep (``CkksParameters.scales``). A product with a plaintext gets any
scale that is asked of it, by the scale of the plaintext. So:

1. A value that products of ciphertexts, sums, or concatenations read has the canonical scale of its level.
2. But where nothing else than one product with a ciphertext of a higher level reads it, and plaintexts can make up for
   it, it has the scale that makes the product's scale what the sum around it needs.
3. Whatever products with plaintexts alone read has the scale that comes out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.graph import Node, Value
from enclair.compiler.ir.ops.ciphers import ConcatCiphers, SelectCiphers, same_scale
from enclair.compiler.ir.ops.ckks import MultiplyCiphers, RotateSlots
from enclair.compiler.planner.levels import ADDITIVE, PRODUCTS, LevelPlan, Sum

MOVING = (RotateSlots, SelectCiphers)


@dataclass(frozen=True, slots=True)
class ScalePlan:
    """Scales for the values of a plan, with the primes of parameters.

    Args:
        plan: the levels.
        parameters: with at least as many levels.
    """

    plan: LevelPlan
    parameters: CkksParameters
    _scales: dict[str, float] = field(default_factory=dict)

    def canonical(self, value: Value) -> float:
        """The canonical scale of the level at which a value is made."""
        return self.parameters.scales[self.plan.levels[value.name]]

    def scale(self, value: Value) -> float:
        """The scale that a value is made with."""
        if value.name not in self._scales:
            self._scales[value.name] = self._scale(value)
        return self._scales[value.name]

    def before_rescale(self, root: Value) -> float:
        """The scale of the products of a sum."""
        return self.scale(root) * self.parameters.primes[self.plan.levels[root.name] + 1]

    def is_strict(self, value: Value) -> bool:
        """Whether a reader needs exactly the scale that was planned (rules 1 and 2)."""
        return any(
            self.is_strict(reader.out)
            if isinstance(reader.op, MOVING)
            else isinstance(reader.op, (*ADDITIVE, MultiplyCiphers, ConcatCiphers))
            for reader in self.plan.readers[value.name]
        )

    def _scale(self, value: Value) -> float:
        made = self.plan.producers.get(value.name)
        if made is None or isinstance(made.op, ConcatCiphers):
            return self.canonical(value)
        if isinstance(made.op, MOVING):
            return self.canonical(value) if self.is_strict(value) else self.scale(made.args[0])
        if (asked := self.asked(value)) is not None:
            return asked
        natural = None if self.is_strict(value) else self._natural(value, self.plan.sum_of(made))
        return self.canonical(value) if natural is None else natural

    def asked(self, value: Value) -> float | None:
        """Rule 2: the scale by which a value makes up for that of the ciphertext it is multiplied with."""
        reader = self._only_factor_of(value)
        if reader is None:
            return None
        other = next(arg for arg in reader.args if arg != value)
        root = self.plan.root_of(reader)
        if (other == reader.args[0] and self._only_factor_of(other)) or self.follows_products(root):
            return None
        return self.before_rescale(root) / self.scale(other)

    def _only_factor_of(self, value: Value) -> Node | None:
        """The product with another ciphertext that alone reads a value, which plaintexts can give any scale."""
        readers = self.plan.readers[value.name]
        alone = len(readers) == 1 and value.name not in self.plan.outputs
        if not alone or not isinstance(readers[0].op, MultiplyCiphers) or readers[0].args[0] == readers[0].args[1]:
            return None
        return readers[0] if self._is_flexible(value) else None

    def _is_flexible(self, value: Value) -> bool:
        made = self.plan.producers.get(value.name)
        if made is None or not isinstance(made.op, ADDITIVE + PRODUCTS):
            return False
        sum_ = self.plan.sum_of(made)
        lifted = all(self.plan.levels[s.value.name] > self.plan.levels[value.name] for s in sum_.values)
        factors = [s.product.args for s in sum_.products if s.product and isinstance(s.product.op, MultiplyCiphers)]
        return lifted and all(any(self._only_factor_of(arg) for arg in pair) for pair in factors)

    def follows_products(self, root: Value) -> bool:
        """Rule 3 for products of ciphertexts: whether a sum has the scale that its products of ciphertexts have."""
        made = self.plan.producers[root.name]
        return not self.is_strict(root) and self._natural(root, self.plan.sum_of(made)) is not None

    def _natural(self, root: Value, sum_: Sum) -> float | None:
        """The scale that comes out by itself; None where summands differ."""
        level = self.plan.levels[root.name]
        if not sum_.products:
            return self._common([self.scale(s.value) for s in sum_.values])
        if any(self.plan.levels[s.value.name] <= level for s in sum_.values):
            return None
        pairs = [s.product.args for s in sum_.products if s.product and isinstance(s.product.op, MultiplyCiphers)]
        scale = self._common([self.canonical(x) * self.canonical(y) for x, y in pairs])
        return None if scale is None else scale / self.parameters.primes[level + 1]

    def _common(self, scales: list[float]) -> float | None:
        return scales[0] if scales and all(same_scale(scales[0], other) for other in scales) else None
