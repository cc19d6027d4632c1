"""Near duplicates in a stream of texts: of texts that are alike, the first one stays.

Memory is a signature of 64 bytes and about 350 bytes of an index for each text that stays. `minhash.near_duplicates` looks at
all texts at once and joins whole clusters; a stream cannot.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from snipmill.id_index import NumberMap
from snipmill.records import hash64
from snipmill.similarity.minhash import PERMUTATIONS, bands, signatures


class NearDuplicates:
    """The texts that stayed so far.

    Args:
        threshold: estimated Jaccard similarity of runs of words from which a text is a near duplicate.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._signs = np.zeros((1024, PERMUTATIONS), dtype=np.uint8)
        self._ids = array("Q")
        self._first = NumberMap("I")

    def find(self, ids: Sequence[str], texts: Sequence[str]) -> Iterator[str | None]:
        """For each text, the beginning of the id of the earlier text that it duplicates; None for a text that stays.

        A text with the id of the one that it resembles stays as well.
        """
        if not texts:
            return
        whole = signatures(texts)
        all_keys = (bands(whole, self._threshold) >> np.uint64(32)).tolist()
        # The lowest byte of each value tells two apart nearly as well (Li and Koenig 2010, b-bit minwise hashing).
        for text_id, sign, keys in zip(ids, whole.astype(np.uint8), all_keys, strict=True):
            places = {place for key in keys if (place := self._first.get(key)) is not None}
            like = next(
                (place for place in sorted(places) if _similarity(self._signs[place], sign) >= self._threshold), None
            )
            if like is None:
                self._keep(text_id, sign, keys)
            duplicates = like is not None and self._ids[like] != _beginning(text_id)
            yield f"{self._ids[like]:016x}" if like is not None and duplicates else None

    def _keep(self, text_id: str, sign: NDArray[np.uint8], keys: list[int]) -> None:
        place = len(self._ids)
        if place == len(self._signs):
            self._signs = np.concatenate((self._signs, np.zeros_like(self._signs[: max(1024, place // 4)])))
        self._signs[place] = sign
        self._ids.append(_beginning(text_id))
        for key in keys:
            if self._first.get(key) is None:
                self._first.put(key, place)


def _beginning(text_id: str) -> int:
    """The first 64 bits of an id that is a hash; a hash of any other id."""
    digits = text_id.removeprefix("s-")[:16]
    return int(digits, 16) if re.fullmatch(r"[0-9a-f]{16}", digits) else hash64(text_id)


def _similarity(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The estimated Jaccard similarity: bytes that agree, without those that agree by chance."""
    agree = float(np.mean(one == other))
    return (agree - 1 / 256) / (1 - 1 / 256)
