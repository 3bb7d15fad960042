"""Keys: made and proven, written to a file of mode 0600, read back.

The file holds no bytes of OpenFHE's but residues and tags, like the wire:

    magic | u32 length of the header | header (JSON: version, parameters, tags) | secret residues | public key | sha256
    of all before
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
from pathlib import Path

import numpy as np

from enclair.compiler.parameters import BfvParameters, ParameterError
from enclair.runtime.backends.bfv.context import open_contexts
from enclair.runtime.backends.bfv.proof import prove_keys
from enclair.runtime.backends.bfv.secret import BfvKeyHolder, make_keys, restore_keys
from enclair.runtime.backends.bfv.wire import public_key_bytes
from enclair.runtime.backends.frames import Limbs, check_tag
from enclair.runtime.errors import KeyFileError, PayloadError, WrongAnswerError
from enclair.runtime.protocol import SECRET_KEY_MAGIC

VERSION = 1

_MALFORMED = (
    KeyError,
    TypeError,
    AttributeError,
    ValueError,
    struct.error,
    ParameterError,
    PayloadError,
    WrongAnswerError,
)


def generate_keys(parameters: BfvParameters) -> BfvKeyHolder:
    """Fresh keys that gave the right answer to the worst case.

    Raises:
        WrongAnswerError: they did not.
        OpenFheError: OpenFHE is of another release, or cannot be given these parameters.
    """
    keys = make_keys(parameters)
    prove_keys(keys)
    return keys


def save_keys(keys: BfvKeyHolder, path: Path) -> None:
    """Write the keys to a new file that the owner alone may read.

    Raises:
        KeyFileError: the file exists.
    """
    data = _pack(keys)
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyFileError(
            f"key file {path} exists: keys are never overwritten; choose another name or remove it yourself"
        ) from None
    with os.fdopen(file, "wb") as out:
        os.fchmod(file, 0o600)
        out.write(data)


def load_keys(path: Path) -> BfvKeyHolder:
    """Read keys, and check that they still belong together.

    Raises:
        KeyFileError: missing, readable by others, another owner's, altered, or not a key file.
    """
    body = _checked_body(path, _read_private(path))
    try:
        keys = _unpack(body)
        prove_keys(keys)
    except _MALFORMED as error:
        raise KeyFileError(f"key file {path} is not valid: {error}") from error
    return keys


def _pack(keys: BfvKeyHolder) -> bytes:
    secrets = keys.secret_limbs()
    tags = [tag.decode() for tag, _ in secrets]
    header = {"version": VERSION, "parameters": json.loads(keys.parameters.to_json()), "tags": tags}
    text = json.dumps(header, sort_keys=True).encode()
    residues = b"".join(limbs.astype("<u8", copy=False).tobytes() for _, limbs in secrets)
    body = SECRET_KEY_MAGIC + struct.pack("<I", len(text)) + text + residues + keys.public_key()
    return body + hashlib.sha256(body).digest()


def _read_private(path: Path) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise KeyFileError(
            f"key file {path} cannot be opened: {error.strerror}: say where the keys are, or make some (enclair keygen)"
        ) from None
    with os.fdopen(file, "rb") as opened:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise KeyFileError(f"key file {path} must be a regular file of the user who runs this: check with ls -l")
        if stat.S_IMODE(status.st_mode) & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise KeyFileError(
                f"key file {path} has mode {mode:04o}, others may use it: chmod 600 {path}, or make new keys"
            )
        return opened.read()


def _checked_body(path: Path, data: bytes) -> bytes:
    """What is between magic and checksum."""
    if not data.startswith(SECRET_KEY_MAGIC):
        raise KeyFileError(f"{path} is not a key file of enclair")
    if hashlib.sha256(data[:-32]).digest() != data[-32:]:
        raise KeyFileError(f"key file {path} was altered or cut: restore it from a copy, or make new keys")
    return data[len(SECRET_KEY_MAGIC) : -32]


def _unpack(body: bytes) -> BfvKeyHolder:
    end = 4 + struct.unpack_from("<I", body)[0]
    header = json.loads(body[4:end])
    if header["version"] != VERSION:
        raise ValueError(f"version {VERSION} is read here, got {header['version']}")
    parameters = BfvParameters.from_json(json.dumps(header["parameters"]))
    tags = [tag.encode() for tag in header["tags"]]
    public_size = public_key_bytes(open_contexts(parameters))
    secrets = _secret_limbs(parameters, tags, body[end:-public_size])
    return restore_keys(parameters, secrets, body[-public_size:])


def _secret_limbs(parameters: BfvParameters, tags: list[bytes], data: bytes) -> list[tuple[bytes, Limbs]]:
    shape = (len(parameters.plaintext_moduli), 1, parameters.limbs, parameters.ring_dim)
    for tag in tags:
        check_tag(tag)
    return list(zip(tags, np.frombuffer(data, dtype="<u8").reshape(shape), strict=True))
