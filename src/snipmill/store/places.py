"""A map from record ids to numbers that stays small with millions of them: about 32 bytes for each, however long the ids.

Ids are held as 64-bit hashes. Two ids of a million share one with a chance of 1 in 40 million; who needs certainty looks
at what is found.
"""

from __future__ import annotations

from array import array
from typing import Literal

from snipmill.records import hash64

_FIRST = 1 << 10


class NumberMap:
    """Open addressing over two arrays, from keys to numbers; entries are never removed.

    Args:
        kind: `Q` for keys of 64 bits and numbers below 2^63, `I` for half of both in half the memory.
    """

    def __init__(self, kind: Literal["Q", "I"] = "Q") -> None:
        self._kind = kind
        self._keys = self._empty(_FIRST)
        self._values = self._empty(_FIRST)  # one more than the number: 0 is free
        self._count = 0

    def _empty(self, size: int) -> array[int]:
        return array(self._kind, [0]) * size

    def __len__(self) -> int:
        return self._count

    def get(self, key: int) -> int | None:
        """The number of a key."""
        value = self._values[self._slot(key)]
        return value - 1 if value else None

    def put(self, key: int, number: int) -> None:
        """Give a key a number, in place of an earlier one."""
        slot = self._slot(key)
        if not self._values[slot]:
            self._count += 1
            if 3 * self._count > 2 * len(self._keys):
                self._grow()
                slot = self._slot(key)
        self._keys[slot], self._values[slot] = key, number + 1

    def _slot(self, key: int) -> int:
        keys, values = self._keys, self._values
        last = len(keys) - 1
        slot = key & last
        while values[slot] and keys[slot] != key:
            slot = (slot + 1) & last
        return slot

    def _grow(self) -> None:
        keys, values = self._keys, self._values
        self._keys, self._values = self._empty(2 * len(keys)), self._empty(2 * len(values))
        for key, value in zip(keys, values, strict=True):
            if value:
                slot = self._slot(key)
                self._keys[slot], self._values[slot] = key, value


class Places:
    """Ids and their numbers."""

    def __init__(self) -> None:
        self._map = NumberMap()

    def __len__(self) -> int:
        return len(self._map)

    def get(self, record_id: str) -> int | None:
        """The number of an id."""
        return self._map.get(hash64(record_id))

    def __contains__(self, record_id: str) -> bool:
        return self.get(record_id) is not None

    def put(self, record_id: str, number: int = 0) -> None:
        """Give an id a number of at most 63 bits, in place of an earlier one."""
        self._map.put(hash64(record_id), number)
