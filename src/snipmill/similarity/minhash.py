"""Near duplicates by MinHash and locality-sensitive hashing (Broder 1997), over runs of words.

Each cluster keeps its member of lowest rank, so the order of the rows does not matter. Memory is one signature of 256
bytes for each row, for one kind of text at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from snipmill.similarity.shingles import ngram_hashes, word_hashes

PERMUTATIONS = 64
SHINGLE = 3
_SEED = 42
_CHUNK = 1 << 15
_EMPTY = 0xFFFFFFFF  # every value of the signature of a text without words

Signatures = NDArray[np.uint32]


def signatures(texts: Sequence[str], shingle: int = SHINGLE) -> Signatures:
    """MinHash signatures of texts, shape (texts, 64).

    Args:
        texts: the texts to compare.
        shingle: number of words in a run.
    """
    rows = [ngram_hashes(word_hashes(text), shingle) for text in texts]
    offsets = np.zeros(len(rows) + 1, dtype=np.uint64)
    offsets[1:] = np.cumsum([len(row) for row in rows])
    flat = np.concatenate(rows) if rows else np.zeros(0, dtype=np.uint64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(flat, offsets, PERMUTATIONS, _SEED)
    return np.array(matrix.to_rows(), dtype=np.uint32).reshape(len(rows), PERMUTATIONS)


def near_duplicates(signs: Signatures, order: NDArray[np.int64], threshold: float) -> dict[int, int]:
    """The near duplicates to drop: row -> the row of its cluster that is kept.

    Args:
        signs: signatures, shape (rows, 64).
        order: the rows to compare, from the lowest to the highest rank; empty texts are ignored.
        threshold: minimum estimated Jaccard similarity for two rows to belong to one cluster.
    """
    order = order[signs[order, 0] != _EMPTY]
    parent = np.arange(len(order), dtype=np.int64)  # indexed by position in the order
    rows_per_band = _rows_per_band(threshold)
    for start in range(0, PERMUTATIONS - rows_per_band + 1, rows_per_band):
        _join_band(signs, order, start, rows_per_band, threshold, parent)
    joined: dict[int, int] = {}
    for place in range(len(order)):
        root = _find(parent, place)
        if root != place:
            joined[int(order[place])] = int(order[root])
    return joined


def bands(signs: Signatures, threshold: float) -> NDArray[np.uint64]:
    """A key for each band of each signature, shape (texts, bands): texts that share a key may be similar.

    Args:
        signs: signatures, shape (texts, 64).
        threshold: minimum similarity to find.
    """
    width = _rows_per_band(threshold)
    starts = range(0, PERMUTATIONS - width + 1, width)
    keys = [
        _band(signs, start, width) * np.uint64(len(starts)) + np.uint64(index) for index, start in enumerate(starts)
    ]
    return np.stack(keys, axis=1)


def _band(signs: Signatures, start: int, width: int) -> NDArray[np.uint64]:
    keys = np.zeros(len(signs), dtype=np.uint64)
    for column in range(start, start + width):
        keys = keys * np.uint64(0x9E3779B97F4A7C15) + signs[:, column].astype(np.uint64) + np.uint64(1)
    return keys


def _rows_per_band(threshold: float) -> int:
    """The most rows per band for which pairs at the threshold are likely found (the S-curve rises well below it)."""
    best = 1
    for rows in range(1, 17):
        bands = PERMUTATIONS // rows
        if (1 / bands) ** (1 / rows) <= 0.8 * threshold:
            best = rows
    return best


def _join_band(
    signs: Signatures, order: NDArray[np.int64], start: int, width: int, threshold: float, parent: NDArray[np.int64]
) -> None:
    """Join each row to the first row of its bucket in one band, if their signatures are similar enough."""
    if not len(order):
        return
    keys = _band(signs[:, start : start + width][order], 0, width)
    places = np.argsort(keys, kind="stable")  # stable: rows within a bucket stay in order of rank
    keys = keys[places]
    begins = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    sizes = np.diff(np.concatenate((begins, [len(keys)])))
    firsts = np.repeat(places[begins], sizes)
    candidates = np.flatnonzero(firsts != places)
    for chunk in range(0, len(candidates), _CHUNK):
        some = candidates[chunk : chunk + _CHUNK]
        left, right = firsts[some], places[some]
        similar = (signs[order[left]] == signs[order[right]]).mean(axis=1) >= threshold
        for one, other in zip(left[similar].tolist(), right[similar].tolist(), strict=True):
            _union(parent, one, other)


def _find(parent: NDArray[np.int64], place: int) -> int:
    root = place
    while (above := int(parent[root])) != root:
        root = above
    while (above := int(parent[place])) != root:
        parent[place] = root
        place = above
    return root


def _union(parent: NDArray[np.int64], one: int, other: int) -> None:
    first, second = sorted((_find(parent, one), _find(parent, other)))
    parent[second] = first
