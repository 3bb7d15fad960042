"""Keys: made and proven, written to a file (``key_files``), read back.

The file holds no bytes of OpenFHE's but residues and tags, like the wire. Its header has version, parameters and tags;
then come the secret residues, and the public key.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from enclair.compiler.parameters import BfvParameters
from enclair.runtime.backends.bfv.context import open_contexts
from enclair.runtime.backends.bfv.proof import prove_keys
from enclair.runtime.backends.bfv.secret import BfvKeyHolder, make_keys, restore_keys
from enclair.runtime.backends.bfv.wire import public_key_bytes
from enclair.runtime.backends.frames import Limbs, check_tag
from enclair.runtime.backends.key_files import read_keys, write_key_file

VERSION = 1


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
    secrets = keys.secret_limbs()
    tags = [tag.decode() for tag, _ in secrets]
    header = {"version": VERSION, "parameters": json.loads(keys.parameters.to_json()), "tags": tags}
    residues = [limbs.astype("<u8", copy=False).tobytes() for _, limbs in secrets]
    write_key_file(path, header, [*residues, keys.public_key()])


def load_keys(path: Path) -> BfvKeyHolder:
    """Read keys, and check that they still belong together.

    Raises:
        KeyFileError: missing, readable by others, another owner's, altered, or not a key file.
        OpenFheError: OpenFHE is of another release, or cannot be given these parameters.
    """
    return read_keys(path, VERSION, _restore)


def _restore(header: Any, rest: memoryview) -> BfvKeyHolder:
    parameters = BfvParameters.from_json(json.dumps(header["parameters"]))
    tags = [tag.encode() for tag in header["tags"]]
    public_size = public_key_bytes(open_contexts(parameters))
    secrets = _secret_limbs(parameters, tags, rest[:-public_size])
    keys = restore_keys(parameters, secrets, bytes(rest[-public_size:]))
    prove_keys(keys)
    return keys


def _secret_limbs(parameters: BfvParameters, tags: list[bytes], data: memoryview) -> list[tuple[bytes, Limbs]]:
    shape = (len(parameters.plaintext_moduli), 1, parameters.limbs, parameters.ring_dim)
    for tag in tags:
        check_tag(tag)
    return list(zip(tags, np.frombuffer(data, dtype="<u8").reshape(shape), strict=True))
