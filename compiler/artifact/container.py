"""The file: a zip of named members with a manifest, the same bytes for the same members.

``manifest.json`` holds the format version, the kind, the version of enclair, and the sha256 of every other member.
Entries are sorted, dated 1980-01-01 and compressed with one setting, so that with one zlib the file's bytes depend on
nothing but the members. The sha256 find damage; they are no signature.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from enclair.compiler.artifact.errors import (
    ArtifactError,
    DamagedArtifact,
    MalformedArtifact,
    UnknownFormat,
    WrongKind,
)

FORMAT = 3
MANIFEST = "manifest.json"
PROGRAM, CLIENT = "program", "client"
KINDS = {
    PROGRAM: "a whole program (P.enclair, with the server's weights)",
    CLIENT: "a client's program (P.client.enclair, made by `enclair export-client`)",
}
_ZIP_START = b"PK\x03\x04"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LEVEL = 6
_UNREADABLE = (
    BadZipFile, struct.error, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, OverflowError,
)  # fmt: skip
"""What ``zipfile`` raises on altered bytes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most bytes that members may inflate to; declared sizes are checked before anything is inflated.

    Args:
        text_bytes: of a graph or JSON member.
        data_bytes: of a member of constants, or of the source model.
        total_bytes: of all members together.
    """

    text_bytes: int = 64 << 20
    data_bytes: int = 2 << 30
    total_bytes: int = 4 << 30

    def of(self, name: str) -> int:
        """The limit of one member."""
        return self.text_bytes if name.endswith((".json", ".txt")) else self.data_bytes


def write_members(path: Path, kind: str, members: Mapping[str, bytes]) -> None:
    """Write the members and their manifest to a file that appears at once and whole.

    Raises:
        ArtifactError: the folder is missing, or cannot be written to.
    """
    if not path.parent.is_dir():
        raise ArtifactError(f"folder {path.parent} does not exist: make it first")
    with _appearing(path) as file, ZipFile(file, "w") as archive:
        for name, data in {MANIFEST: _manifest(kind, members), **dict(sorted(members.items()))}.items():
            archive.writestr(_entry(name), data, compresslevel=_LEVEL)


def read_members(path: Path, kind: str, limits: Limits) -> dict[str, bytes]:
    """The members of an artifact of the given kind, as they were written.

    Raises:
        ArtifactError: no file, no artifact, too large.
        DamagedArtifact: truncated, altered, or members are missing or not listed.
        UnknownFormat: written by another enclair.
        WrongKind: an artifact of the other kind.
    """
    with path.open("rb") as file:
        if file.read(len(_ZIP_START)) != _ZIP_START:
            raise ArtifactError("not an enclair artifact: it is no zip file")
        with _zip_errors(), ZipFile(file) as archive:
            return _read(archive, kind, limits)


def _read(archive: ZipFile, kind: str, limits: Limits) -> dict[str, bytes]:
    entries = _checked_entries(archive, limits)
    if MANIFEST not in entries:
        raise ArtifactError(f"not an enclair artifact: the zip file has no {MANIFEST}")
    digests = _checked_manifest(archive.read(entries.pop(MANIFEST)), kind)
    if missing := sorted(digests.keys() - entries.keys()):
        raise DamagedArtifact(f"member {missing[0]} is missing: get the file again")
    if unknown := sorted(entries.keys() - digests.keys()):
        raise DamagedArtifact(f"member {unknown[0]!r} is not listed in {MANIFEST}: get the file again")
    members = {name: archive.read(entry) for name, entry in entries.items()}
    for name, data in members.items():
        if hashlib.sha256(data).hexdigest() != digests[name]:
            raise DamagedArtifact(f"member {name} was altered: its sha256 is not the one in {MANIFEST}")
    return members


def _checked_entries(archive: ZipFile, limits: Limits) -> dict[str, ZipInfo]:
    """The entries by name, before any is inflated."""
    entries: dict[str, ZipInfo] = {}
    for entry in archive.infolist():
        _check_entry(entry, limits)
        if entry.filename in entries:
            raise DamagedArtifact(f"member {entry.filename!r} is there twice: get the file again")
        entries[entry.filename] = entry
    total = sum(entry.file_size for entry in entries.values())
    if total > limits.total_bytes:
        raise ArtifactError(_too_large("the members", total, limits.total_bytes))
    return entries


def _check_entry(entry: ZipInfo, limits: Limits) -> None:
    name = entry.filename
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name or ":" in name:
        raise DamagedArtifact(f"member name {name!r} leads out of the artifact: this file was not written by enclair")
    if entry.compress_type not in {ZIP_STORED, ZIP_DEFLATED} or entry.flag_bits & 1:
        raise DamagedArtifact(
            f"member {name!r} is encrypted, or compressed otherwise than by deflate: this file was not written by"
            " enclair"
        )
    if entry.file_size > limits.of(name):
        raise ArtifactError(_too_large(f"member {name!r}", entry.file_size, limits.of(name)))


def _too_large(what: str, size: int, most: int) -> str:
    return f"{what} would inflate to {size} bytes, at most {most} are read: load it with larger Limits if you trust it"


def _manifest(kind: str, members: Mapping[str, bytes]) -> bytes:
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    return canonical_json({"format": FORMAT, "kind": kind, "enclair": own_version(), "members": digests})


def _checked_manifest(data: bytes, kind: str) -> dict[str, str]:
    """The sha256 of the members, from a manifest of this format and the wanted kind."""
    manifest = read_json(MANIFEST, data)
    format_ = manifest.get("format")
    if type(format_) is not int or format_ < 1:
        raise MalformedArtifact(f"{MANIFEST}: 'format' must be a positive integer, got {format_!r}")
    if format_ != FORMAT:
        age = "a newer" if format_ > FORMAT else "an older"
        raise UnknownFormat(
            f"format {format_}, written by enclair {manifest.get('enclair')}: this is {age} format than {FORMAT}, which"
            f" enclair {own_version()} reads; use that release, or compile the model again"
        )
    _check_kind(manifest.get("kind"), kind)
    digests = manifest.get("members")
    if not isinstance(digests, dict) or not all(isinstance(digest, str) for digest in digests.values()):
        raise MalformedArtifact(f"{MANIFEST}: 'members' must give the sha256 of every member, got {str(digests)[:80]}")
    return digests


def _check_kind(found: object, wanted: str) -> None:
    if found not in KINDS:
        raise MalformedArtifact(f"{MANIFEST}: 'kind' must be one of {', '.join(KINDS)}, got {found!r}")
    if found != wanted:
        raise WrongKind(f"this is {KINDS[str(found)]}; needed is {KINDS[wanted]}")


def canonical_json(data: object) -> bytes:
    """JSON with sorted keys, one entry a line.

    Raises:
        ArtifactError: something in it is no plain data, or no finite number.
    """
    try:
        return (json.dumps(data, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"cannot be written as JSON: {error}") from error


def read_json(name: str, data: bytes) -> dict[str, Any]:
    """The object in a JSON member.

    Raises:
        MalformedArtifact: it is no JSON object.
    """
    try:
        read = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedArtifact(f"{name} is not JSON: {error}") from error
    if not isinstance(read, dict):
        raise MalformedArtifact(f"{name} must hold a JSON object, got {type(read).__name__}")
    return read


def own_version() -> str:
    """The version of the enclair that runs."""
    try:
        return version("enclair")
    except PackageNotFoundError:
        return "unknown"


def _entry(name: str) -> ZipInfo:
    entry = ZipInfo(name, _EPOCH)
    entry.compress_type = ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    return entry


@contextmanager
def _appearing(path: Path) -> Iterator[IO[bytes]]:
    """A new file beside ``path`` that takes its place when all went well, and is removed otherwise."""
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _zip_errors() -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise DamagedArtifact(f"truncated or altered ({error}): get the file again") from error
