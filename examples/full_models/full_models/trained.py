"""Trained classifiers: they are trained when they are first needed, in seconds, and kept in a cache."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import nn

from full_models.digits import load
from full_models.training import Schedule, train


def trained(model: nn.Module, schedule: Schedule | None = None, cache: Path | None = None) -> nn.Module:
    """The model with weights trained on the digits, from the cache or trained now."""
    schedule = schedule or Schedule()
    path = (cache or default_cache()) / f"{type(model).__name__.lower()}-{fingerprint(model, schedule)}.safetensors"
    if path.is_file():
        model.load_state_dict(load_file(path))
        return model.eval()
    train(model, load()[0], schedule)
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(f".{os.getpid()}")
    save_file(model.state_dict(), whole)
    whole.rename(path)
    return model


def fingerprint(model: nn.Module, schedule: Schedule) -> str:
    """Another architecture or schedule is another file."""
    return hashlib.sha256(f"{model}\n{schedule}".encode()).hexdigest()[:12]


def default_cache() -> Path:
    """Where trained weights are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "enclair" / "full_models"
