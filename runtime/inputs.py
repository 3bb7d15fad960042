"""The user's inputs, checked before anything is encrypted: NaN or too large a value gives garbage without a word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.ir.errors import InputError
from enclair.compiler.ir.graph import Array
from enclair.compiler.program import InputSpec

Reals = NDArray[np.float64]


def check_inputs(
    specs: Sequence[InputSpec], inputs: Mapping[str, Array], *, clip: bool = False
) -> tuple[dict[str, Reals], dict[str, int]]:
    """The inputs as float64, and how many elements of each were clipped to the declared range.

    Raises:
        InputError: missing or unknown names, wrong shape or dtype, NaN or infinity, or, without ``clip``, out of range.
    """
    check_names(specs, inputs)
    arrays = {spec.name: _checked(spec, np.asarray(inputs[spec.name])) for spec in specs}
    outside = {spec.name: _count_outside(spec, arrays[spec.name], clip=clip) for spec in specs}
    clipped = {spec.name: np.asarray(np.clip(arrays[spec.name], spec.low, spec.high)) for spec in specs}
    return clipped, outside


def split_batch(specs: Sequence[InputSpec], inputs: Mapping[str, Array]) -> list[dict[str, Array]]:
    """Inputs whose leading dimension is a multiple of the one compiled for, as several inputs in turn.

    Raises:
        InputError: missing or unknown names, or leading dimensions that are no common multiple.
    """
    check_names(specs, inputs)
    times = {spec.name: _times(spec, np.asarray(inputs[spec.name])) for spec in specs}
    if len(set(times.values())) != 1:
        got = ", ".join(_leading(spec, np.asarray(inputs[spec.name])) for spec in specs)
        raise InputError(f"all inputs need the same number of batches, got (leading dimension/compiled for): {got}")
    count = next(iter(times.values()))
    if count == 1:
        return [{spec.name: np.asarray(inputs[spec.name]) for spec in specs}]
    pieces = {spec.name: np.split(np.asarray(inputs[spec.name]), count) for spec in specs}
    return [{name: piece[i] for name, piece in pieces.items()} for i in range(count)]


def one_after_another(results: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """The outputs of batches run in turn, along the leading axis; numbers become a vector, a single batch is kept."""
    if len(results) == 1:
        return dict(results[0])
    return {name: np.concatenate([np.atleast_1d(result[name]) for result in results]) for name in results[0]}


def check_names(specs: Sequence[InputSpec], inputs: Mapping[str, Array]) -> None:
    """Refuse missing and unknown names.

    Raises:
        InputError: says which.
    """
    needed = [spec.name for spec in specs]
    if not isinstance(inputs, Mapping):
        raise InputError(f"inputs are arrays by name, got {type(inputs).__name__}: give {{{needed[0]!r}: array}}")
    missing, unknown = [n for n in needed if n not in inputs], [n for n in inputs if n not in needed]
    if missing or unknown:
        faults = (["missing: " + ", ".join(missing)] if missing else []) + (
            ["unknown: " + ", ".join(unknown)] if unknown else []
        )
        raise InputError(
            f"the model's inputs are {', '.join(needed)}; {'; '.join(faults)}: name the arrays as the model does"
        )


def _times(spec: InputSpec, array: Array) -> int:
    """How many batches the array holds; arrays of the compiled shape are one.

    Wrong shapes count as one and are refused later.
    """
    if array.shape == spec.shape or array.ndim != len(spec.shape) or not spec.shape or spec.shape[0] == 0:
        return 1
    if array.shape[1:] != spec.shape[1:]:
        return 1
    if array.shape[0] == 0 or array.shape[0] % spec.shape[0]:
        raise InputError(
            f"input {spec.name!r} has a batch of {array.shape[0]}; the program takes multiples of"
            f" {spec.shape[0]}: pad the batch"
        )
    return int(array.shape[0] // spec.shape[0])


def _leading(spec: InputSpec, array: Array) -> str:
    """The leading dimension, beside the one compiled for."""
    if not (spec.shape and array.shape):
        return f"{spec.name} has none"
    return f"{spec.name} {array.shape[0]}/{spec.shape[0]}"


def _checked(spec: InputSpec, array: Array) -> Reals:
    if array.dtype.kind not in "fiu":
        raise InputError(f"input {spec.name!r} must hold real numbers, got dtype {array.dtype}: convert it to float32")
    if array.shape != spec.shape:
        raise InputError(
            f"input {spec.name!r} needs shape {spec.shape}, got {array.shape}: reshape it, or compile for that shape"
        )
    reals = np.asarray(array, dtype=np.float64, order="C")
    if not np.isfinite(reals).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(reals))[0])
        raise InputError(
            f"input {spec.name!r} has {reals[where]} at {where}: replace NaN and infinity before encrypting"
        )
    return reals


def _count_outside(spec: InputSpec, array: Reals, *, clip: bool) -> int:
    outside = (array < spec.low) | (array > spec.high)
    if outside.any() and not clip:
        where = tuple(int(i) for i in np.argwhere(outside)[0])
        raise InputError(
            f"input {spec.name!r} has {array[where]:g} at {where}, and {int(outside.sum())} elements in all, outside of"
            f" [{spec.low:g}, {spec.high:g}], the range compiled for: scale them as the samples were,"
            " run with clip=True (--clip), or compile with samples of this range"
        )
    return int(outside.sum())
