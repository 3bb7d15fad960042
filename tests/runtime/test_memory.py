"""Buffers in memory and in files, and memory that is given back."""

from __future__ import annotations

import pytest

from enclair.runtime.limbs import memory


@pytest.mark.parametrize("most", [0, 1 << 20])
def test_a_buffer_keeps_what_is_written(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST_IN_MEMORY", most)
    buffer = memory.buffer(5000)
    assert isinstance(buffer, bytearray) == (most > 0)
    assert len(buffer) == 5000
    assert bytes(buffer) == bytes(5000)
    buffer[4000:4005] = b"12345"
    assert bytes(memoryview(buffer)[3999:4006]) == b"\x0012345\x00"


def test_memory_is_given_back_where_there_is_a_way(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(memory, "_trim", lambda: given.append)
    memory.give_back()
    assert given == [0]
    monkeypatch.setattr(memory, "_trim", lambda: None)
    memory.give_back()
    assert given == [0]
