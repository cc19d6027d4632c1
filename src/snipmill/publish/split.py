"""Splits a data set into train and test so that nothing in one is nearly in the other.

Rows stay together if their tasks or their code are near duplicates, if they grew from one source file, or if they answer one
instruction. The draw belongs to the rows' ids, so the order of the data set changes nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from snipmill.id_index import IdIndex
from snipmill.parallel.chunks import map_chunks
from snipmill.randomness import rank
from snipmill.records import Row, hash64
from snipmill.similarity.minhash import PERMUTATIONS, near_duplicates, signatures
from snipmill.text.fences import find_fences

NEAR = 0.6  # Jaccard similarity: below the bar from which selection drops a row


class Split:
    """Which rows are for testing."""

    def __init__(self, test: IdIndex) -> None:
        self._test = test

    def of(self, row_id: str) -> str:
        """`test` or `train`."""
        return "test" if row_id in self._test else "train"

    def __len__(self) -> int:
        return len(self._test)


def split_rows(rows: Iterable[Row], share: float, seed: int) -> Split:
    """Draw the rows for testing.

    Whole groups of rows are drawn, in the order of their lowest rank, while the share is not exceeded: where all rows hang
    together, none is drawn.

    Args:
        rows: the data set.
        share: of the rows that are for testing, from 0 to 1.
        seed: the run's.
    """
    if share <= 0:
        return Split(IdIndex())
    reduced = _Reduced()
    for part in map_chunks(_reduce, rows):
        reduced.extend(*part)
    group = reduced.groups()
    members: dict[int, list[int]] = {}
    for place, root in enumerate(group):
        members.setdefault(root, []).append(place)
    ranked = sorted(members.values(), key=lambda places: min(rank(seed, "split", reduced.ids[one]) for one in places))
    test, most = IdIndex(), round(share * len(group))
    for places in ranked:
        if len(test) + len(places) <= most:
            for place in places:
                test.put(reduced.ids[place])
    return Split(test)


def _reduce(rows: list[Row]) -> tuple[list[str], list[tuple[int, int]], bytes, bytes]:
    """Ids, keys that rows must not share across the split (0 is none), and signatures of tasks and code."""
    codes = ["\n".join(fence.code for fence in find_fences(row.response)) or row.response for row in rows]
    return (
        [row.id for row in rows],
        [(_instruction_key(row), _file_key(row)) for row in rows],
        signatures([row.instruction for row in rows]).tobytes(),
        signatures(codes).tobytes(),
    )


def _instruction_key(row: Row) -> int:
    return hash64("instruction", row.parents.get("instruction") or row.instruction)


def _file_key(row: Row) -> int:
    origin = row.provenance
    if origin is None or origin.path is None:
        return 0
    return hash64("file", origin.source, origin.path)


class _Reduced:
    """What the split needs of all rows."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._keys: tuple[array[int], array[int]] = (array("Q"), array("Q"))
        self._signatures = (bytearray(), bytearray())

    def extend(self, ids: list[str], keys: list[tuple[int, int]], tasks: bytes, codes: bytes) -> None:
        """Take in some rows."""
        self.ids += ids
        for column, values in zip(self._keys, zip(*keys, strict=True), strict=True):
            column.extend(values)
        for signs, some in zip(self._signatures, (tasks, codes), strict=True):
            signs += some

    def groups(self) -> list[int]:
        """For each row, the first row of its group."""
        parent = list(range(len(self.ids)))

        def root(place: int) -> int:
            while parent[place] != place:
                parent[place] = parent[parent[place]]
                place = parent[place]
            return place

        for one, other in self._pairs():
            first, second = sorted((root(one), root(other)))
            parent[second] = first
        return [root(place) for place in range(len(parent))]

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """Rows that must stay together, by twos."""
        for column in self._keys:
            first: dict[int, int] = {}
            for place, key in enumerate(column):
                if key:
                    yield first.setdefault(key, place), place
        order: NDArray[np.int64] = np.arange(len(self.ids), dtype=np.int64)
        for raw in self._signatures:
            signs = np.frombuffer(raw, dtype=np.uint32).reshape(-1, PERMUTATIONS)
            yield from near_duplicates(signs, order, NEAR).items()
