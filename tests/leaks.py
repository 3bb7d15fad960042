"""A search for weights in the members of an artifact: by their bytes, and by the numbers that are written there."""

from __future__ import annotations

import re
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from safetensors.numpy import load as load_tensors

from enclair.compiler.ir.graph import Array

FORMS = ("<i8", "<i4", ">i8", ">i4", "<f8", "<f4", ">f8", ">f4")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
LEAST = 4096
"""Smaller integers occur in shapes, tables and limits of ranges."""


def members_of(path: Path) -> dict[str, bytes]:
    with ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def byte_hits(weights: dict[str, Array], members: dict[str, bytes]) -> set[str]:
    """Which arrays have a run of bytes, whole or the first two numbers, in any member."""
    everything = b"\n".join(members.values())
    return {
        name
        for name, array in weights.items()
        for form in FORMS
        for part in (array.ravel(), array.ravel()[:2])
        if np.abs(part).min() >= 1e-3
        and np.array_equal(part.astype(form), part)
        and part.astype(form).tobytes() in everything
    }


def value_hits(weights: dict[str, Array], members: dict[str, bytes]) -> set[str]:
    """Which arrays have a number that is written in a text or stored in a table."""
    texts = [data.decode() for name, data in members.items() if name.endswith((".txt", ".json"))]
    found = {abs(float(number)) for text in texts for number in NUMBER.findall(text)}
    tables = [load_tensors(data) for name, data in members.items() if name.endswith(".safetensors")]
    found |= {abs(float(number)) for table in tables for array in table.values() for number in array.ravel()}
    return {name for name, array in weights.items() if found & set(telling(array))}


def telling(array: Array) -> list[float]:
    """The numbers of an array that say something: reals, and integers that no shape has."""
    numbers = np.abs(array.ravel().astype(float))
    return numbers[numbers >= (LEAST if array.dtype.kind == "i" else 1e-3)].tolist()
