"""A report as plain data, for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from enclair.compiler.report.model import Findings


def to_plain(report: Findings) -> dict[str, Any]:
    """Dicts, lists, strings and numbers only, with the sums that a reader would make."""
    plain: dict[str, Any] = with_lists(asdict(report))
    for round_, data in zip(report.rounds, plain["rounds"], strict=True):
        data["bytes"] = {"up": round_.up_bytes, "down": round_.down_bytes}
        data["ciphertexts"] = {
            "up": sum(transfer.ciphertexts for transfer in round_.uploads),
            "down": sum(transfer.ciphertexts for transfer in round_.answers),
        }
    plain["inputs"] = [
        {"name": name, "shape": list(shape), "low": low, "high": high} for name, shape, low, high in report.inputs
    ]
    plain["bytes"] = {
        "up": sum(round_.up_bytes for round_ in report.rounds),
        "down": sum(round_.down_bytes for round_ in report.rounds),
        "keys": report.parameters.public_key_bytes,
    }
    return plain


def with_lists(data: Any) -> Any:
    """Tuples as lists, within dicts and lists too."""
    if isinstance(data, dict):
        return {key: with_lists(value) for key, value in data.items()}
    return [with_lists(item) for item in data] if isinstance(data, list | tuple) else data
