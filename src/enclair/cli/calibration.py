"""``enclair calibrate``: what the server's operations cost on this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from enclair.cli.options import Json
from enclair.cli.output import emit, note

if TYPE_CHECKING:
    from enclair.calibration import Calibration


def calibrate(as_json: Json = False) -> None:
    """Measure what operations on CKKS ciphertexts cost on this machine; compiling for full mode then counts with it."""
    from enclair import calibration

    found = calibration.calibrate(note)
    path = calibration.save(found)
    data = {**calibration.as_json(found), "file": str(path)}
    emit(data, f"{_text(found)}\nkept in {path}", as_json=as_json)


def _text(found: Calibration) -> str:
    """A table: measured and explained times, then the units."""
    lines = [f"{found.machine}", f"{'operation':24} {'ring':>6} {'primes':>6} {'digits':>6} {'ms':>9} {'fitted':>9}"]
    lines += [
        f"{m.operation:24} {m.ring_dim:6} {m.limbs:6} {m.digits:6} {m.milliseconds:9.3f} {m.fitted:9.3f}"
        for m in found.measurements
    ]
    units = ", ".join(f"{name} {cost:.3g}" for name, cost in asdict(found.costs).items())
    return "\n".join([*lines, f"nanoseconds: {units}"])


COMMANDS = {"calibrate": calibrate}
