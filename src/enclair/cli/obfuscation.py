"""What ``--obfuscate`` does to each split point, and what it leaves as it is."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from enclair.cli.output import note
from enclair.runtime.obfuscation import PERMUTE, SCALE

if TYPE_CHECKING:
    from enclair.compiler.obfuscation import SplitPoint
    from enclair.compiler.program import Program


def report_obfuscation(program: Program, kinds: Collection[str], round_: int | None = None) -> list[dict[str, Any]]:
    """What the kinds asked for do, as data; what they cannot do goes to stderr.

    Args:
        program: that runs.
        kinds: of obfuscation.
        round_: the one that is served; None for all.
    """
    from enclair.compiler.obfuscation import analyse

    if not kinds:
        return []
    points = [point for point in analyse(program).points if round_ in {None, point.round}]
    for warning in _warnings(points, kinds):
        note(warning)
    return [_plain(point, kinds) for point in points]


def _warnings(points: Iterable[SplitPoint], kinds: Collection[str]) -> Iterable[str]:
    for point in points:
        if PERMUTE in kinds and point.not_permuted:
            yield f"round {point.round}: {point.value} is not permuted: {point.not_permuted}"
        if SCALE in kinds and point.not_scaled:
            yield f"round {point.round}: {point.value} is not scaled: {point.not_scaled}"


def _plain(point: SplitPoint, kinds: Collection[str]) -> dict[str, Any]:
    data: dict[str, Any] = {"round": point.round, "value": point.value}
    if PERMUTE in kinds:
        data[PERMUTE] = {"channels": point.channels, "why_not": point.not_permuted}
    if SCALE in kinds:
        data[SCALE] = {"largest_factor": point.largest_factor, "why_not": point.not_scaled}
    return data
