"""What is wrong with an artifact, told apart by what the reader can do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enclair.compiler.ir.errors import EnclairError


class ArtifactError(EnclairError):
    """Root of what is refused: a file that cannot be read or written, or is not an artifact."""


class DamagedArtifact(ArtifactError):
    """A file that was an artifact, but is truncated or altered."""


class UnknownFormat(ArtifactError):
    """An artifact in a format that this enclair does not know."""


class WrongKind(ArtifactError):
    """A client's artifact where the whole program is needed, or the other way round."""


class MalformedArtifact(ArtifactError):
    """Intact members that are not a program."""


class InsecureArtifact(UserWarning):
    """The parameters of a loaded program protect nothing."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the file's name before every message."""
    try:
        yield
    except ArtifactError as error:
        raise type(error)(f"{path}: {error}") from error.__cause__
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror or error}") from error
