"""Files of secret keys: of mode 0600, never overwritten, checked before anything in them is used.

    magic | u32 length of the header | header (JSON) | residues and keys of the scheme | sha256 of all before

They may be larger than memory should hold twice: they are written piece by piece, and read through a memory map.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import stat
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from enclair.compiler.parameters import ParameterError
from enclair.runtime.backends.interface import Payload
from enclair.runtime.errors import KeyFileError, PayloadError, WrongAnswerError
from enclair.runtime.protocol import SECRET_KEY_MAGIC

CHECKSUM_BYTES = 32
MALFORMED = (
    KeyError,
    TypeError,
    AttributeError,
    ValueError,
    struct.error,
    ParameterError,
    PayloadError,
    WrongAnswerError,
)
"""What reading keys raises when their header or their bytes are not what they should be."""

Keys = TypeVar("Keys")


def write_key_file(path: Path, header: dict[str, Any], pieces: Iterable[Payload]) -> None:
    """Write a new file that the owner alone may read.

    Raises:
        KeyFileError: the file exists.
    """
    text = json.dumps(header, sort_keys=True).encode()
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyFileError(
            f"key file {path} exists: keys are never overwritten; choose another name or remove it yourself"
        ) from None
    digest = hashlib.sha256()
    with os.fdopen(file, "wb") as out:
        os.fchmod(file, 0o600)
        for piece in (SECRET_KEY_MAGIC, struct.pack("<I", len(text)), text, *pieces):
            digest.update(piece)
            out.write(piece)
        out.write(digest.digest())


def read_keys(path: Path, version: int, restore: Callable[[Any, memoryview], Keys]) -> Keys:
    """The keys of a file, which ``restore`` makes of its header and of what follows it, and proves.

    Raises:
        KeyFileError: missing, readable by others, another owner's, altered, not a key file, or of another version.
    """
    body = read_key_file(path)
    try:
        header, rest = split_header(body)
        check_version(header["version"], version)
        return restore(header, rest)
    except MALFORMED as error:
        raise KeyFileError(f"key file {path} is not valid: {error}") from error


def read_key_file(path: Path) -> memoryview:
    """What is between magic and checksum of a file of the user who runs this. Only the checksum has read it all.

    Raises:
        KeyFileError: missing, readable by others, another owner's, altered, or not a key file.
    """
    data = _map_private(path)
    if data[: len(SECRET_KEY_MAGIC)] != SECRET_KEY_MAGIC:
        raise KeyFileError(f"{path} is not a key file of enclair")
    if hashlib.sha256(data[:-CHECKSUM_BYTES]).digest() != data[-CHECKSUM_BYTES:]:
        raise KeyFileError(f"key file {path} was altered or cut: restore it from a copy, or make new keys")
    return data[len(SECRET_KEY_MAGIC) : -CHECKSUM_BYTES]


def split_header(body: memoryview) -> tuple[Any, memoryview]:
    """The header, and what follows it.

    Raises:
        ValueError, struct.error: it is none.
    """
    end = 4 + struct.unpack_from("<I", body)[0]
    return json.loads(bytes(body[4:end])), body[end:]


def check_version(version: object, known: int) -> None:
    """Refuse a file of another version.

    Raises:
        ValueError: says which.
    """
    if version != known:
        raise ValueError(f"version {known} is read here, got {version}")


def _map_private(path: Path) -> memoryview:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise KeyFileError(
            f"key file {path} cannot be opened: {error.strerror}: say where the keys are, or make some (enclair keygen)"
        ) from None
    with os.fdopen(file, "rb"):
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise KeyFileError(f"key file {path} must be a regular file of the user who runs this: check with ls -l")
        if stat.S_IMODE(status.st_mode) & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise KeyFileError(
                f"key file {path} has mode {mode:04o}, others may use it: chmod 600 {path}, or make new keys"
            )
        return memoryview(mmap.mmap(file, 0, access=mmap.ACCESS_READ) if status.st_size else b"")
