"""Semantic duplicates: rows whose instructions mean the same in other words, by a static embedding model (extra `semantic`).

Greedy in the order of the data set: a row goes if one that stays is similar enough. Compares all pairs, so it is for data sets
of up to some hundred thousand rows; memory is one embedding for each row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 512
Embeddings = NDArray[np.float32]


def embed(embedder: Any, texts: Iterable[str]) -> Embeddings:
    """Embeddings of unit length, shape (texts, dimensions)."""
    vectors: Embeddings = np.asarray(embedder.encode(list(texts), use_multiprocessing=False), dtype=np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    unit: Embeddings = (vectors / lengths).astype(np.float32)
    return unit


def semantic_duplicates(vectors: Embeddings, order: NDArray[np.int64], threshold: float) -> dict[int, int]:
    """Row -> the earlier row that says the same, for all rows of `order` that go.

    Args:
        vectors: embeddings of all rows, of unit length.
        order: the rows that take part, from the lowest to the highest rank.
        threshold: cosine similarity from which two rows say the same.
    """
    kept: list[int] = []
    found: dict[int, int] = {}
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        members = vectors[block]
        before = vectors[np.array(kept, dtype=np.int64)] if kept else np.zeros((0, vectors.shape[1]), np.float32)
        best = _nearest(members, before)
        inside = members @ members.T
        fresh: list[int] = []
        for place, row in enumerate(block.tolist()):
            if best[place][1] >= threshold:
                found[row] = kept[best[place][0]]
                continue
            twin = next((earlier for earlier in fresh if inside[place, earlier] >= threshold), None)
            if twin is not None:
                found[row] = int(block[twin])
            else:
                fresh.append(place)
        kept.extend(int(block[place]) for place in fresh)
    return found


def _nearest(members: Embeddings, before: Embeddings) -> list[tuple[int, float]]:
    """For each member, the index and similarity of the most similar row before; (-1, -2) where there is none."""
    if not len(before):
        return [(-1, -2.0)] * len(members)
    similar = members @ before.T
    places = similar.argmax(axis=1)
    return [(int(place), float(similar[row, place])) for row, place in enumerate(places)]
