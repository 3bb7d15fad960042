"""What the runtime refuses, each with its own exception."""

from __future__ import annotations

from enclair.compiler.ir.errors import EnclairError


class RuntimeFailure(EnclairError):
    """Root of what the runtime refuses."""


class OpenFheError(RuntimeFailure):
    """OpenFHE is of another release, or does not behave as the one this was written for."""


class WrongAnswerError(RuntimeFailure):
    """A known answer came out wrong: the parameters or keys cannot be used."""


class NoiseExhausted(RuntimeFailure):
    """The noise of a ciphertext leaves no room for the flooding noise."""


class ValueRangeError(RuntimeFailure):
    """Numbers that the plaintext cannot hold."""


class DecryptionFailed(RuntimeFailure):
    """A CKKS ciphertext that decrypts to noise and nothing else."""


class PayloadError(RuntimeFailure):
    """Bytes that are not the ciphertexts or keys they should be."""


class MissingKeyError(RuntimeFailure):
    """An evaluation key that a program needs and its keys do not hold."""


class InsecureParameters(RuntimeFailure):
    """Parameters without security, offered where data are to be protected."""


class KeyFileError(RuntimeFailure):
    """A key file that is readable by others, altered, or not a key file."""


class SecretKeyOffered(RuntimeFailure):
    """A secret key was offered to the server."""


class ObfuscationError(RuntimeFailure):
    """A kind of obfuscation that there is not."""


class UnevenAnswer(RuntimeFailure):
    """Decrypted values that are no multiples of the factors that came with them."""


class StateError(RuntimeFailure):
    """The kept state of a session is missing or altered, or does not fit."""


class MessageError(RuntimeFailure):
    """Root of what is wrong with a message."""


class NotAMessage(MessageError):
    """The bytes do not begin like a message."""


class WrongVersion(MessageError):
    """A message of another version of the format."""


class WrongType(MessageError):
    """A message of another type than the one that is due."""


class WrongProgram(MessageError):
    """A message made for another program."""


class WrongParameters(MessageError):
    """A message made under other parameters."""


class WrongKey(MessageError):
    """A message made under another key."""


class WrongSession(MessageError):
    """A message of another session."""


class WrongRound(MessageError):
    """A message of another round than the one that is due."""


class RepeatedRound(MessageError):
    """A round that was already served."""


class WrongCount(MessageError):
    """A message with another number of ciphertexts than the program says."""


class Truncated(MessageError):
    """A message that is shorter or longer than it says."""


class Altered(MessageError):
    """A message whose checksum does not fit."""
