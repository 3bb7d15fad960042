"""Keys: made and proven, written to a file (``key_files``), read back.

The file's header has version, scheme, parameters, tag, and which evaluation keys there are; then come the secret
residues, the public key and the evaluation keys, as on the wire. They stay in the file, mapped into memory.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.key_needs import NO_KEYS, KeyNeeds
from enclair.runtime.backends.ckks.proof import prove_keys, prove_secret
from enclair.runtime.backends.ckks.secret import CkksKeyHolder, make_keys, restore_keys
from enclair.runtime.backends.ckks.wire import check_registration
from enclair.runtime.backends.frames import check_tag
from enclair.runtime.backends.key_files import read_keys, write_key_file
from enclair.runtime.limbs.memory import give_back

VERSION = 1


def generate_keys(parameters: CkksParameters, needs: KeyNeeds = NO_KEYS) -> CkksKeyHolder:
    """Fresh keys that gave the right answers to known questions, every evaluation key among them.

    Raises:
        WrongAnswerError: they did not.
        OpenFheError: OpenFHE is of another release, or cannot be given these parameters.
    """
    keys = make_keys(parameters, needs)
    prove_keys(keys)
    give_back()
    return keys


def save_keys(keys: CkksKeyHolder, path: Path) -> None:
    """Write the keys to a new file that the owner alone may read.

    Raises:
        KeyFileError: the file exists.
    """
    tag, residues = keys.secret()
    header = {
        "version": VERSION,
        "parameters": json.loads(keys.parameters.to_json()),
        "tag": tag.decode(),
        "rotations": list(keys.needs.rotations),
        "relinearise": keys.needs.relinearise,
        "levels": list(keys.needs.levels),
    }
    write_key_file(path, header, [residues.astype("<u8", copy=False).tobytes(), keys.public_key()])


def load_keys(path: Path) -> CkksKeyHolder:
    """Read keys, and check that secret and public key still belong together.

    The evaluation keys were proven when they were made, and the checksum says that they are the same bytes.

    Raises:
        KeyFileError: missing, readable by others, another owner's, altered, or not a key file.
        OpenFheError: OpenFHE is of another release, or cannot be given these parameters.
    """
    return read_keys(path, VERSION, _restore)


def _restore(header: Any, rest: memoryview) -> CkksKeyHolder:
    parameters = CkksParameters.from_json(json.dumps(header["parameters"]))
    tag, needs = header["tag"].encode(), _needs(header, parameters)
    check_tag(tag)
    size = 8 * (parameters.levels + 1) * parameters.ring_dim
    residues = np.frombuffer(rest[:size], dtype="<u8").reshape(parameters.levels + 1, parameters.ring_dim)
    check_registration(rest[size:], parameters, needs)
    keys = restore_keys(parameters, needs, tag, residues.astype(np.uint64), rest[size:])
    prove_secret(keys)
    return keys


def _needs(header: dict[str, Any], parameters: CkksParameters) -> KeyNeeds:
    rotations, levels = (_integers(header, name) for name in ("rotations", "levels"))
    needs = KeyNeeds(rotations, bool(header["relinearise"]), levels)
    if len(levels) not in {0, needs.count} or not all(0 <= level <= parameters.levels for level in levels):
        raise ValueError(
            f"{needs.count} keys need as many levels up to {parameters.levels}, or none, got {str(levels)[:80]}"
        )
    return needs


def _integers(header: dict[str, Any], name: str) -> tuple[int, ...]:
    numbers = header[name]
    if not isinstance(numbers, list) or any(type(number) is not int for number in numbers):
        raise ValueError(f"{name} must be a list of integers, got {str(numbers)[:80]}")
    return tuple(numbers)
