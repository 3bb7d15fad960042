"""What the server remembers of a session between rounds: the ciphertexts it kept, and which rounds it has served.

A round is served once. A second upload for the same round would let a client compare two answers, and could overwrite
what later rounds build on.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from enclair.compiler.ir.types import CiphersType
from enclair.runtime.crossing import AnyEvaluator, load_array
from enclair.runtime.errors import RepeatedRound, StateError, WrongRound

Batch = TypeVar("Batch")
SEED_FILE = "permutations"


class Store(Protocol[Batch]):
    """Kept ciphertexts and served rounds by session."""

    def claim(self, session: str, round_: int) -> None:
        """Note that the round is being served.

        Raises:
            RepeatedRound: it was served before.
            WrongRound: the round before it was not.
        """

    def keep(self, session: str, values: Mapping[str, Batch]) -> None:
        """Remember these ciphertext arrays, and forget all others of the session."""

    def keep_seed(self, session: str, seed: bytes) -> None:
        """Remember from what the session's permutations follow."""

    def seed(self, session: str) -> bytes | None:
        """What ``keep_seed`` kept; None where the session has no permutations.

        Raises:
            StateError: it is altered.
        """

    def kept(self, session: str) -> dict[str, Batch]:
        """The ciphertext arrays last kept.

        Raises:
            StateError: they are gone or altered.
        """


class MemoryStore(Generic[Batch]):
    """A store that lives as long as the process.

    It forgets the values of a session after its last round, not its rounds.
    """

    def __init__(self) -> None:
        self._served: dict[str, int] = {}
        self._values: dict[str, dict[str, Batch]] = {}
        self._seeds: dict[str, bytes] = {}

    def claim(self, session: str, round_: int) -> None:
        """Note that the round is being served; see ``Store.claim``."""
        check_order(session, round_, self._served.get(session, 0))
        self._served[session] = round_

    def keep(self, session: str, values: Mapping[str, Batch]) -> None:
        """Remember these ciphertext arrays."""
        self._values.pop(session, None)
        if values:
            self._values[session] = dict(values)

    def kept(self, session: str) -> dict[str, Batch]:
        """The ciphertext arrays last kept."""
        return self._values.get(session, {})

    def keep_seed(self, session: str, seed: bytes) -> None:
        """Remember from what the session's permutations follow."""
        self._seeds[session] = seed

    def seed(self, session: str) -> bytes | None:
        """What was kept, if anything."""
        return self._seeds.get(session)


class DirectoryStore(Generic[Batch]):
    """A store in files, for servers that are a process per round.

    ``KEY/SESSION/round-N`` exists once round N is being served; ``KEY/SESSION/NAME.ciphers`` holds a kept array:
    sha256, then the payload. ``KEY/SESSION/permutations`` holds sha256, then the seed of permutations, where there are.
    """

    def __init__(self, directory: Path, evaluator: Any, types: Mapping[str, CiphersType]) -> None:
        """Use a directory.

        Args:
            directory: made if it is not there.
            evaluator: turns ciphertexts into bytes and back.
            types: by name, of the ciphertext arrays that rounds may keep.
        """
        self._directory = directory
        self._evaluator: AnyEvaluator = evaluator
        self._types = types

    def claim(self, session: str, round_: int) -> None:
        """Note that the round is being served; see ``Store.claim``. Two processes cannot both succeed."""
        folder = self._folder(session)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_order(session, round_, len(list(folder.glob("round-*"))))
        try:
            os.close(os.open(folder / f"round-{round_}", os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            check_order(session, round_, round_)

    def keep(self, session: str, values: Mapping[str, Batch]) -> None:
        """Remember these ciphertext arrays."""
        folder = self._folder(session)
        for old in folder.glob("*.ciphers"):
            old.unlink()
        for name, ciphers in values.items():
            payload = self._evaluator.dump(ciphers)
            with self._file(session, name).open("wb") as out:
                out.write(hashlib.sha256(payload).digest())
                out.write(payload)

    def kept(self, session: str) -> dict[str, Batch]:
        """The ciphertext arrays last kept; see ``Store.kept``."""
        names = [name for name in self._types if self._file(session, name).exists()]
        return {name: self._read(session, name) for name in names}

    def keep_seed(self, session: str, seed: bytes) -> None:
        """Remember from what the session's permutations follow, in a file of mode 0600."""
        file = self._folder(session) / SEED_FILE
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(hashlib.sha256(seed).digest() + seed)

    def seed(self, session: str) -> bytes | None:
        """What was kept, if anything; see ``Store.seed``."""
        file = self._folder(session) / SEED_FILE
        return bytes(_checked(file)) if file.exists() else None

    def _read(self, session: str, name: str) -> Batch:
        batch: Batch = load_array(self._evaluator, _checked(self._file(session, name)), self._types[name])
        return batch

    def _folder(self, session: str) -> Path:
        """Sessions belong to a key: nobody can use up the rounds of another's session."""
        return self._directory / self._evaluator.key_id / session

    def _file(self, session: str, name: str) -> Path:
        """Names of values are the model's: hash them, so that none can leave the folder."""
        return self._folder(session) / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.ciphers"


def _checked(file: Path) -> memoryview:
    """What a file holds behind its sha256.

    Raises:
        StateError: the two do not fit.
    """
    data = file.read_bytes()
    payload = memoryview(data)[32:]
    if hashlib.sha256(payload).digest() != data[:32]:
        raise StateError(f"{file} was altered or cut: start a new session")
    return payload


def check_order(session: str, round_: int, served: int) -> None:
    """Refuse any round but the one after the last served.

    Raises:
        RepeatedRound: it was served before.
        WrongRound: the round before it was not.
    """
    if round_ <= served:
        raise RepeatedRound(f"round {round_} of session {session[:12]}... was served already: start a new session")
    if round_ != served + 1:
        raise WrongRound(
            f"round {served + 1} of session {session[:12]}... is due, got {round_}: send the rounds in order"
        )


def only(values: Mapping[str, Batch], names: Collection[str]) -> dict[str, Batch]:
    """The values with these names."""
    return {name: ciphers for name, ciphers in values.items() if name in names}
