"""The file of what operations cost on this machine; ``calibration`` makes it, and imports what computes with keys."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import astuple, fields
from math import isfinite
from pathlib import Path

from enclair.compiler.ir.errors import EnclairError
from enclair.compiler.planner.ckks_costs import UnitCosts

VERSION = 1


class CalibrationFileError(EnclairError):
    """A file of measured costs that is not one."""


def machine_name() -> str:
    """The processor and the number of cores: costs are kept for one machine."""
    return f"{_processor()}, {os.cpu_count()} cores"


def cache_file() -> Path:
    """Where costs are kept: in XDG_CACHE_HOME, or ~/.cache."""
    given = os.environ.get("XDG_CACHE_HOME")
    return (Path(given) if given else Path.home() / ".cache") / "enclair" / "costs.json"


def load_costs(path: Path | None = None) -> UnitCosts | None:
    """The costs that were measured on this machine; None where there are none, or those of another machine.

    Raises:
        CalibrationFileError: the file is not one of costs.
    """
    path = path or cache_file()
    if not path.exists():
        return None
    try:
        read = json.loads(path.read_text())
        if read["version"] != VERSION or read["machine"] != machine_name():
            return None
        costs = UnitCosts(**{field.name: float(read["costs"][field.name]) for field in fields(UnitCosts)})
    except (ValueError, KeyError, TypeError) as error:
        raise CalibrationFileError(
            f"{path} does not hold measured costs ({type(error).__name__}: {error}): run `enclair calibrate`, or"
            " remove it"
        ) from None
    if not all(isfinite(cost) and cost >= 0 for cost in astuple(costs)):
        raise CalibrationFileError(f"{path} holds costs that are no times, {costs}: run `enclair calibrate`")
    return costs


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
