from __future__ import annotations

import hashlib
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.programs import SMALL

from enclair.compiler.parameters import smallest_prime
from enclair.runtime.backends.bfv import evaluate as evaluate_module
from enclair.runtime.backends.bfv import proof as proof_module
from enclair.runtime.backends.bfv.keys import load_keys, save_keys
from enclair.runtime.backends.bfv.proof import prove_keys, room_filling_weights
from enclair.runtime.backends.bfv.secret import BfvKeyHolder, make_keys
from enclair.runtime.errors import KeyFileError, WrongAnswerError


@pytest.fixture
def file(tmp_path: Path, keys: BfvKeyHolder) -> Path:
    save_keys(keys, tmp_path / "my.key")
    return tmp_path / "my.key"


def rewrite(file: Path, body: bytes) -> None:
    """Put another body, with a checksum that fits, into a key file."""
    file.write_bytes(body + hashlib.sha256(body).digest())


def test_keys_come_back(file: Path, keys: BfvKeyHolder) -> None:
    again = load_keys(file)
    assert again.key_id == keys.key_id
    assert again.public_key() == keys.public_key()
    values = np.arange(64)[None]
    evaluator = proof_module.BfvEvaluator(SMALL, keys.public_key())
    for one, other in ((keys, again), (again, keys)):
        answer = evaluator.answer(evaluator.load(one.encrypt(values), 1))
        np.testing.assert_array_equal(other.decrypt(answer, 1), values)


def test_keys_of_two_moduli_come_back(tmp_path: Path, crt_keys: BfvKeyHolder) -> None:
    save_keys(crt_keys, tmp_path / "crt.key")
    assert load_keys(tmp_path / "crt.key").key_id == crt_keys.key_id


def test_the_owner_alone_may_read(file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_keys_are_not_overwritten(file: Path, keys: BfvKeyHolder) -> None:
    with pytest.raises(KeyFileError, match=r"my.key exists: keys are never overwritten; choose another name"):
        save_keys(keys, file)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_keys_that_others_may_read(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(KeyFileError, match=rf"my.key has mode {mode:04o}, others may use it: chmod 600"):
        load_keys(file)


def test_keys_of_another_owner(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: file.stat().st_uid + 1)
    with pytest.raises(KeyFileError, match="must be a regular file of the user who runs this"):
        load_keys(file)


def test_missing_and_linked_files(file: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"no.key cannot be opened: No such file.*: say where the keys are"):
        load_keys(tmp_path / "no.key")
    (tmp_path / "link.key").symlink_to(file)
    with pytest.raises(KeyFileError, match=r"link.key cannot be opened"):
        load_keys(tmp_path / "link.key")


@pytest.mark.parametrize("position", [25, 60, 1000, -40, -1])
def test_altered_files(file: Path, position: int) -> None:
    data = bytearray(file.read_bytes())
    data[position] ^= 1
    file.write_bytes(data)
    with pytest.raises(KeyFileError, match="was altered or cut: restore it from a copy"):
        load_keys(file)


@pytest.mark.parametrize("length", [20, 100, -1])
def test_cut_files(file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(KeyFileError, match="was altered or cut"):
        load_keys(file)


def test_other_files(file: Path) -> None:
    file.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(KeyFileError, match=r"my.key is not a key file of enclair"):
        load_keys(file)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"version": 1', b'"version": 2', "version 1 is read here, got 2"),
        (b'"tags": [', b'"tagz": [', "'tags'"),
        (b'"ring_dim": 64', b'"ring_dim": 96', "ring_dim must be a power of two"),
        (b'"limbs": 2', b'"limbs": 3', "cannot reshape|must be a multiple"),
        (b'{"parameters"', b'["parameters"', "Expecting"),
    ],
)
def test_headers_that_do_not_fit(file: Path, old: bytes, new: bytes, message: str) -> None:
    body = file.read_bytes()[:-32]
    assert old in body
    rewrite(file, body.replace(old, new))
    with pytest.raises(KeyFileError, match=f"my.key is not valid: .*({message})"):
        load_keys(file)


def test_residues_that_are_no_secret_key(file: Path) -> None:
    body = bytearray(file.read_bytes()[:-32])
    secret_start = body.index(b'"version": 1}') + len(b'"version": 1}')
    body[secret_start + 15] = 0xFF
    rewrite(file, bytes(body))
    with pytest.raises(KeyFileError, match="not valid: a secret key has a residue that is not below its prime"):
        load_keys(file)
    body[secret_start + 15] = 0
    body[secret_start + 8] ^= 1
    rewrite(file, bytes(body))
    with pytest.raises(KeyFileError, match=r"not valid: a known answer came out wrong under .*: the keys do not"):
        load_keys(file)


def test_keys_that_do_not_belong_together(keys: BfvKeyHolder) -> None:
    mixed = BfvKeyHolder(SMALL, make_keys(SMALL)._residues, keys.public_key())
    with pytest.raises(WrongAnswerError, match="a known answer came out wrong"):
        prove_keys(mixed)


def test_proof_sees_parameters_that_decrypt_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    """With flooding noise four times what decryption bears, the proof must fail."""
    parameters = replace(SMALL, plaintext_moduli=(smallest_prime(2**30, 64),))
    monkeypatch.setattr(evaluate_module, "flood_noise_bits", lambda p: sum(q.bit_length() for q in p.primes) - 29)
    with pytest.raises(WrongAnswerError, match="compile with a smaller plaintext modulus"):
        prove_keys(make_keys(parameters))


def test_proof_fills_the_room() -> None:
    weights = room_filling_weights(SMALL)
    product = abs(int(np.prod([int(w) for w in weights], dtype=object)))
    assert 2 ** (proof_module.sum_room_bits(SMALL) - 1) <= product <= 2 ** proof_module.sum_room_bits(SMALL)
    assert min(weights) < 0
