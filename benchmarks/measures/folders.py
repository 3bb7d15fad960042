"""Where compiled programs are kept."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def programs_folder(given: Path | None) -> Iterator[Path]:
    """The folder given, or one that is removed afterwards."""
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="enclair-bench-") as folder:
        yield Path(folder)
