"""Sample inputs as users have them: named, cut into samples of the compiled shape, supplemented when few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enclair.compiler.errors import CalibrationError
from enclair.compiler.ir.errors import InputError

Reals = NDArray[np.float64]
Sample = dict[str, Reals]

FEWEST, WANTED = 4, 8
"""Half of the samples are held back to measure the gap to the float model: fewer than four say too little about it, and
then there will be eight.
"""
NOISE = 0.02
"""Standard deviation of the noise in derived samples, as a part of the input's range."""
SEED = 0


@dataclass(frozen=True, slots=True)
class Declared:
    """An input as the model declares it.

    Args:
        name: of the input.
        extents: its shape, None for an open dimension; None as a whole where the model says nothing.
    """

    name: str
    extents: tuple[int | None, ...] | None = None


def by_name(given: Any, names: Sequence[str]) -> dict[str, Reals]:
    """What the user gave, as arrays by input name.

    Args:
        given: a mapping from names; a tuple or list with one array for each input; or one array, for a model with one.
        names: of the model's inputs, in order.

    Raises:
        InputError: other names or another number of arrays than the model has, something that is not real numbers, or
            NaN or infinity.
    """
    if isinstance(given, Mapping):
        _check_names(given, names)
        return {name: _reals(name, given[name]) for name in names}
    arrays = list(given) if isinstance(given, tuple | list) else [given]
    if len(arrays) != len(names):
        raise InputError(
            f"the model's inputs are {', '.join(names)}, got {len(arrays)} arrays without names: "
            "give one for each, or a mapping from their names"
        )
    return {name: _reals(name, array) for name, array in zip(names, arrays, strict=True)}


def cut(arrays: Mapping[str, Reals], declared: Sequence[Declared], batch: int) -> list[Sample]:
    """Samples of the compiled shape: each array is cut along its leading axis.

    An input that holds one sample is shared by all.

    Args:
        arrays: for every input.
        declared: the model's inputs.
        batch: extent of the leading axis where the model leaves it open.

    Raises:
        InputError: an array has another shape, or the arrays hold different numbers of samples.
    """
    pieces = {each.name: _cut_one(each, arrays[each.name], batch) for each in declared}
    counts = {name: len(parts) for name, parts in pieces.items()}
    count = max(counts.values(), default=0)
    if any(own not in {1, count} for own in counts.values()):
        held = ", ".join(f"{name} {own}" for name, own in counts.items())
        raise InputError(f"all inputs need the same number of samples, or one that is shared; got {held}")
    return [{name: parts[i if len(parts) > 1 else 0] for name, parts in pieces.items()} for i in range(count)]


def with_derived(samples: Sequence[Sample]) -> list[Sample]:
    """The samples; when they are fewer than ``FEWEST``, with ``WANTED`` in all, derived the same way every time.

    In turn: mirrored along the last axis, with a little noise, a mixture of two. None leaves the range of those given.

    Raises:
        CalibrationError: there are none.
    """
    if not samples:
        raise CalibrationError("calibration needs at least one sample input, got none")
    if len(samples) >= FEWEST:
        return list(samples)
    limits = {name: _limits([sample[name] for sample in samples]) for name in samples[0]}
    random, result = np.random.default_rng(SEED), list(samples)
    derivations = (_mirrored, _noisy, _mixed)
    while len(result) < WANTED:
        number = len(result) - len(samples)
        derived = derivations[number % len(derivations)](result, number, random)
        result.append({name: np.clip(array, *limits[name]) for name, array in derived.items()})
    return result


def _check_names(given: Mapping[Any, Any], names: Sequence[str]) -> None:
    missing = [name for name in names if name not in given]
    unknown = [str(name) for name in given if name not in names]
    if missing or unknown:
        faults = ["missing: " + ", ".join(missing)] * bool(missing) + ["unknown: " + ", ".join(unknown)] * bool(unknown)
        raise InputError(
            f"the model's inputs are {', '.join(names)}; {'; '.join(faults)}: name the arrays as the model does"
        )


def _reals(name: str, given: Any) -> Reals:
    """An array or a torch tensor as float64, finite."""
    array = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
    if array.dtype.kind not in "fiu":
        raise InputError(f"input {name!r} must hold real numbers, got dtype {array.dtype}: convert it to float32")
    reals = np.ascontiguousarray(array, dtype=np.float64)
    if not np.isfinite(reals).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(reals))[0])
        raise InputError(
            f"input {name!r} has {reals[where]} at {where}: replace NaN and infinity, they cannot be encrypted"
        )
    return reals.reshape(array.shape)


def _cut_one(declared: Declared, array: Reals, batch: int) -> list[Reals]:
    extents = declared.extents if declared.extents is not None else (None,) * array.ndim
    fits = len(extents) == array.ndim and all(
        want is None or want == got for want, got in zip(extents[1:], array.shape[1:], strict=True)
    )
    leading = _leading(extents, array, batch)
    if not fits or array.size == 0 or (array.ndim and array.shape[0] % leading):
        raise InputError(
            f"input {declared.name!r} needs samples of shape {_shape_text(extents, leading)}, one or several along the"
            f" first axis, got {array.shape}: reshape them, or compile a model of that shape"
        )
    return np.split(array, array.shape[0] // leading) if array.ndim else [array]


def _leading(extents: Sequence[int | None], array: Reals, batch: int) -> int:
    """Extent of a sample's first axis. An open one is the batch, except that of a vector: it is the vector's length."""
    if extents and extents[0] is not None:
        return extents[0]
    return batch if len(extents) > 1 else prod(array.shape)


def _shape_text(extents: Sequence[int | None], leading: int) -> str:
    inner = ["any" if extent is None else str(extent) for extent in extents[1:]]
    return f"({', '.join([str(leading), *inner])})" if extents else "()"


def _limits(arrays: Sequence[Reals]) -> tuple[float, float]:
    return float(min(array.min() for array in arrays)), float(max(array.max() for array in arrays))


def _mirrored(samples: Sequence[Sample], number: int, random: np.random.Generator) -> Sample:  # noqa: ARG001
    return {name: array[..., ::-1] if array.ndim else array for name, array in samples[number].items()}


def _noisy(samples: Sequence[Sample], number: int, random: np.random.Generator) -> Sample:  # noqa: ARG001
    return {
        name: array + NOISE * (array.max() - array.min()) * random.standard_normal(array.shape)
        for name, array in samples[0].items()
    }


def _mixed(samples: Sequence[Sample], number: int, random: np.random.Generator) -> Sample:  # noqa: ARG001
    share = float(random.uniform(0.3, 0.7))
    return {name: share * array + (1 - share) * samples[-1][name] for name, array in samples[0].items()}
