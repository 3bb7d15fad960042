"""Key files, and the proof that keys belong together."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.ckks.parameters import SMALL, UNEVEN, cipher_type, shared_keys

from enclair.compiler.ckks_parameters import CkksParameters
from enclair.compiler.ir.key_needs import KeyNeeds
from enclair.compiler.parameters import INSECURE
from enclair.runtime.backends.ckks.keys import generate_keys, load_keys, save_keys
from enclair.runtime.backends.ckks.proof import prove_keys, prove_secret
from enclair.runtime.backends.ckks.secret import CkksKeyHolder, make_keys
from enclair.runtime.backends.ckks.wire import packed_keys
from enclair.runtime.errors import KeyFileError, OpenFheError, WrongAnswerError

NEEDS = KeyNeeds((1, 2, 40), relinearise=True)


@pytest.fixture(scope="module")
def keys() -> CkksKeyHolder:
    return generate_keys(SMALL, NEEDS)


@pytest.fixture
def file(tmp_path: Path, keys: CkksKeyHolder) -> Path:
    save_keys(keys, tmp_path / "my.key")
    return tmp_path / "my.key"


def rewrite(file: Path, body: bytes) -> None:
    """Put another body, with a checksum that fits, into a key file."""
    file.write_bytes(body + hashlib.sha256(body).digest())


def test_keys_come_back(file: Path, keys: CkksKeyHolder) -> None:
    again = load_keys(file)
    assert (again.key_id, again.parameters, again.needs) == (keys.key_id, SMALL, NEEDS)
    assert again.public_key() == keys.public_key()
    type_ = cipher_type(SMALL, 1, 1)
    values = np.linspace(-1, 1, SMALL.slots)[None]
    for one, other in ((keys, again), (again, keys)):
        np.testing.assert_allclose(other.decrypt(one.encrypt(values, type_), type_), values, atol=1e-7)
    prove_keys(again)


def test_keys_without_evaluation_keys_come_back(tmp_path: Path) -> None:
    keys = generate_keys(UNEVEN)
    save_keys(keys, tmp_path / "my.key")
    assert load_keys(tmp_path / "my.key").key_id == keys.key_id
    assert len(keys.public_key()) == UNEVEN.public_key_bytes


@pytest.mark.parametrize(("levels", "scale_bits", "first_bits"), [(1, 22, 22), (1, 49, 50), (2, 30, 31), (6, 26, 27)])
def test_proof_of_any_choice(levels: int, scale_bits: int, first_bits: int) -> None:
    parameters = CkksParameters(256, levels, scale_bits, first_bits, levels + 1, INSECURE)
    assert generate_keys(parameters, NEEDS).needs == NEEDS


@pytest.mark.parametrize("levels", [(3, 3, 3, 3), (1, 0, 0, 2), (2, 0, 1, 3), (3, 1, 1, 1)])
def test_keys_for_low_levels(levels: tuple[int, ...], tmp_path: Path) -> None:
    """The proof asks each at its level; they are as long as that takes, and come back."""
    needs = KeyNeeds((1, 2, 40), relinearise=True, levels=levels)
    keys = generate_keys(SMALL, needs)
    assert len(keys.public_key()) == SMALL.public_key_bytes + sum(map(SMALL.key_bytes_at, levels))
    save_keys(keys, tmp_path / "my.key")
    again = load_keys(tmp_path / "my.key")
    assert (again.needs, again.public_key()) == (needs, keys.public_key())


@pytest.mark.parametrize(("number", "what"), [(0, "a product"), *((i, "a rotation") for i in (1, 2, 3))])
def test_one_key_for_low_levels_of_another_owner(number: int, what: str) -> None:
    needs = KeyNeeds((1, 2, 40), relinearise=True, levels=(2, 0, 1, 3))
    keys = make_keys(SMALL, needs)
    public_key = bytearray(keys.public_key())
    packed_keys(public_key, SMALL, needs)[number][:] = packed_keys(
        shared_keys(SMALL, needs).public_key(), SMALL, needs
    )[number]
    with pytest.raises(WrongAnswerError, match=f"{what} came out wrong by"):
        prove_keys(CkksKeyHolder(SMALL, needs, keys._secret, public_key))


def test_the_owner_alone_may_read(file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)
    with pytest.raises(KeyFileError, match=r"my.key has mode 0640, others may use it: chmod 600"):
        load_keys(file)


def test_keys_are_not_overwritten(file: Path, keys: CkksKeyHolder) -> None:
    with pytest.raises(KeyFileError, match=r"my.key exists: keys are never overwritten; choose another name"):
        save_keys(keys, file)


@pytest.mark.parametrize("position", [25, 60, 5000, -5000, -1])
def test_altered_files(file: Path, position: int) -> None:
    data = bytearray(file.read_bytes())
    data[position] ^= 1
    file.write_bytes(data)
    with pytest.raises(KeyFileError, match="was altered or cut: restore it from a copy"):
        load_keys(file)


@pytest.mark.parametrize(
    ("length", "message"), [(0, "is not a key file"), (10, "is not a key file"), (99, "was alter")]
)
def test_cut_files(file: Path, length: int, message: str) -> None:
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(KeyFileError, match=message):
        load_keys(file)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"version": 1', b'"version": 2', "version 1 is read here, got 2"),
        (b'"tag": "', b'"tug": "', "'tag'"),
        (b'"tag": "', b'"tag": "Z', "a key tag is 32 hex digits"),
        (b'"ring_dim": 256', b'"ring_dim": 250', "ring_dim must be a power of two"),
        (b'"scheme": "CKKS"', b'"scheme": "BFVR"', "scheme must be CKKS, got 'BFVR'"),
        (b'"levels": 3', b'"levels": 5', "equal digits|a public key of these parameters"),
        (b'"rotations": [1, 2, 40]', b'"rotations": [1, 2]', "with 3 evaluation keys has .* bytes, got"),
        (b'"rotations": [1, 2, 40]', b'"rotations": [1, 2, 4.]', "Expecting|list of integers"),
        (b'"rotations": [1, 2, 40]', b'"rotations": [1, 2, "4"]', "rotations must be a list of integers"),
        (b'"levels": []', b'"levels": [3, 3]', r"4 keys need as many levels up to 3, or none, got \(3, 3\)"),
        (b'"levels": []', b'"levels": [3, 3, 4, 0]', r"levels up to 3, or none, got \(3, 3, 4, 0\)"),
        (b'"levels": []', b'"levels": [3, 3, 1, 0]', "with 4 evaluation keys has .* bytes, got"),
        (b'{"levels"', b'["levels"', "Expecting"),
    ],
)
def test_headers_that_do_not_fit(file: Path, old: bytes, new: bytes, message: str) -> None:
    body = file.read_bytes()[:-32]
    assert old in body
    start = body.index(b"{")
    header = body[start : body.index(b"}", body.index(b'"version"')) + 1].replace(old, new)
    rest = body[body.index(b"}", body.index(b'"version"')) + 1 :]
    rewrite(file, body[: start - 4] + len(header).to_bytes(4, "little") + header + rest)
    with pytest.raises(KeyFileError, match=f"my.key is not valid: .*({message})"):
        load_keys(file)


def secret_start(body: bytes) -> int:
    return body.index(b"}", body.index(b'"version"')) + 1


def test_residues_that_are_no_secret_key(file: Path) -> None:
    body = bytearray(file.read_bytes()[:-32])
    body[secret_start(body) + 15] = 0xFF
    rewrite(file, bytes(body))
    with pytest.raises(KeyFileError, match="not valid: a secret key has a residue that is not below its prime"):
        load_keys(file)
    body[secret_start(body) + 15] = 0
    body[secret_start(body) + 8] ^= 1
    rewrite(file, bytes(body))
    with pytest.raises(KeyFileError, match=r"not valid: an encryption came out wrong by .*: the keys do not belong"):
        load_keys(file)


def test_another_release_is_no_fault_of_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OpenFheError("encryption needs OpenFHE 1.6.1, found 1.5")

    monkeypatch.setattr("enclair.runtime.backends.ckks.keys.restore_keys", refuse)
    with pytest.raises(OpenFheError, match=r"^encryption needs OpenFHE 1\.6\.1, found 1\.5$"):
        load_keys(file)


def mixed(keys: CkksKeyHolder, public_key: bytes | memoryview) -> CkksKeyHolder:
    return CkksKeyHolder(SMALL, keys.needs, keys._secret, public_key)


def test_keys_of_two_owners() -> None:
    with pytest.raises(WrongAnswerError, match=r"an encryption came out wrong by inf, at most .* is noise, under"):
        prove_secret(mixed(make_keys(SMALL, NEEDS), shared_keys(SMALL, NEEDS).public_key()))


@pytest.mark.parametrize(("number", "what"), [(0, "a product"), (1, "a rotation"), (3, "a rotation")])
def test_one_evaluation_key_of_another_owner(keys: CkksKeyHolder, number: int, what: str) -> None:
    public_key = bytearray(keys.public_key())
    other = packed_keys(shared_keys(SMALL, NEEDS).public_key(), SMALL, NEEDS)
    packed_keys(public_key, SMALL, NEEDS)[number][:] = other[number]
    with pytest.raises(WrongAnswerError, match=f"{what} came out wrong by inf"):
        prove_keys(mixed(keys, public_key))


def test_rotation_keys_in_another_order(keys: CkksKeyHolder) -> None:
    public_key = bytearray(keys.public_key())
    packed = packed_keys(public_key, SMALL, NEEDS)
    packed[1][:], packed[2][:] = packed[2].copy(), packed[1].copy()
    with pytest.raises(WrongAnswerError, match="a rotation came out wrong by inf"):
        prove_keys(mixed(keys, public_key))


def test_one_altered_residue_of_an_evaluation_key(keys: CkksKeyHolder) -> None:
    """One residue of one digit spreads over all coefficients."""
    public_key = bytearray(keys.public_key())
    packed_keys(public_key, SMALL, NEEDS)[2][5] ^= np.uint64(2**30)
    with pytest.raises(WrongAnswerError, match="a rotation came out wrong by"):
        prove_keys(mixed(keys, public_key))
