"""Parameters and keys that the tests of CKKS share."""

from __future__ import annotations

from functools import cache

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.key_needs import NO_KEYS, KeyNeeds
from enclair.compiler.ir.types import CkksType
from enclair.compiler.parameters import INSECURE
from enclair.runtime.backends.ckks.secret import CkksKeyHolder, make_keys

SMALL = CkksParameters(256, 3, 40, 50, 2, INSECURE)
UNEVEN = CkksParameters(256, 4, 35, 36, 3, INSECURE)
"""The last digit has one prime, the others two; scale and first prime are about the same."""

SECURE = CkksParameters(8192, 3, 30, 40, 4)


@cache
def shared_keys(parameters: CkksParameters, needs: KeyNeeds = NO_KEYS) -> CkksKeyHolder:
    return make_keys(parameters, needs)


def cipher_type(parameters: CkksParameters, count: int, level: int, scale: float | None = None) -> CkksType:
    return CkksType(count, parameters.slots, level, parameters.scales[level] if scale is None else scale)
