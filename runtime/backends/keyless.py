"""What backends without encryption have instead of keys."""

from __future__ import annotations

KEY_ID = "0" * 32


class Keyless:
    """An evaluator that works without keys."""

    @property
    def key_id(self) -> str:
        """There is no key: zeros."""
        return KEY_ID


class KeylessHolder(Keyless):
    """A key holder without keys."""

    def public_key(self) -> bytes:
        """There is none."""
        return b""
