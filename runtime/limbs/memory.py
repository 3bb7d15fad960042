"""Memory for what is large: in files that the system may write out, and given back when it is free again."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from functools import cache
from tempfile import TemporaryFile

MOST_IN_MEMORY = 1 << 30
"""Bytes of a buffer beyond which it is a file."""


def buffer(size: int) -> bytearray | mmap.mmap:
    """Bytes to write to. Many of them are a file without a name, which the system writes out where memory is short."""
    if size <= MOST_IN_MEMORY:
        return bytearray(size)
    with TemporaryFile() as file:
        file.truncate(size)
        return mmap.mmap(file.fileno(), size)


def give_back() -> None:
    """Hand freed memory back, where the C library has a way to; after large work that does not come again soon.

    glibc's allocator keeps it otherwise, gigabytes of it, for the threads that freed it.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found
