"""A compact map from record ids to numbers, for millions of ids: about 32 bytes for each, however long the ids.

Ids are stored as 64-bit hashes. Among a million ids, the chance that two share a hash is 1 in 40 million. Callers that
need certainty must check the record that they find.
"""

from __future__ import annotations

from array import array
from typing import Literal

from snipmill.records import hash64

_FIRST = 1 << 10


class NumberMap:
    """A hash map from keys to numbers, with open addressing over two arrays. Entries are never removed.

    Args:
        kind: `Q` for keys of 64 bits and numbers below 2^63; `I` for 32 bits and 2^31, in half the memory.
    """

    def __init__(self, kind: Literal["Q", "I"] = "Q") -> None:
        self._kind = kind
        self._keys = self._empty(_FIRST)
        self._values = self._empty(_FIRST)  # the number plus one; 0 marks a free slot
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
        """Set the number of a key, replacing an earlier one."""
        if self.add(key, number) is not None:
            self._values[self._slot(key)] = number + 1

    def add(self, key: int, number: int) -> int | None:
        """Set the number of a key that has none. Returns the number that it has already, if it has one."""
        slot = self._slot(key)
        if self._values[slot]:
            return self._values[slot] - 1
        self._count += 1
        if 3 * self._count > 2 * len(self._keys):
            self._grow()
            slot = self._slot(key)
        self._keys[slot], self._values[slot] = key, number + 1
        return None

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


class IdIndex:
    """A map from record ids to numbers."""

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
        """Set the number of an id, of at most 63 bits, replacing an earlier one."""
        self._map.put(hash64(record_id), number)

    def add(self, record_id: str, number: int) -> int | None:
        """Set the number of an id that has none. Returns the number that it has already, if it has one."""
        return self._map.add(hash64(record_id), number)
