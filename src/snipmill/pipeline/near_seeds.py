"""Near duplicates among seeds while they stream: of seeds that are alike, the first one stays.

Memory is a signature of 64 bytes and about 350 bytes of an index for each seed that stays. What `select` does with rows
looks at all of them at once, and joins whole clusters; a stream cannot.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from snipmill.records import Reject, Seed, hash64
from snipmill.seeds.document import STAGE
from snipmill.select.near import PERMUTATIONS, bands, signatures
from snipmill.store.places import NumberMap


class NearSeeds:
    """The seeds that stayed so far.

    Args:
        threshold: estimated Jaccard similarity of runs of words from which a seed is too like another.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._signs = np.zeros((1024, PERMUTATIONS), dtype=np.uint8)
        self._ids = array("Q")
        self._first = NumberMap("I")

    def sift(self, seeds: Iterable[Seed]) -> Iterator[Seed | Reject]:
        """The seeds that are like none before them; a reject for each other."""
        listed = list(seeds)
        if not listed:
            return
        whole = signatures([own_text(seed) for seed in listed])
        all_keys = (bands(whole, self._threshold) >> np.uint64(32)).tolist()
        # The lowest byte of each value tells two apart nearly as well (Li and Koenig 2010, b-bit minwise hashing).
        for seed, sign, keys in zip(listed, whole.astype(np.uint8), all_keys, strict=True):
            places = {place for key in keys if (place := self._first.get(key)) is not None}
            like = next(
                (place for place in sorted(places) if _similarity(self._signs[place], sign) >= self._threshold), None
            )
            if like is not None and self._ids[like] != _beginning(seed.id):
                detail = f"Too like the seed s-{self._ids[like]:016x}..., which came before it."
                yield Reject(id=seed.id, stage=STAGE, reason="near-duplicate", detail=detail)
                continue
            if like is None:
                self._keep(seed.id, sign, keys)
            yield seed

    def _keep(self, seed_id: str, sign: NDArray[np.uint8], keys: list[int]) -> None:
        place = len(self._ids)
        if place == len(self._signs):
            self._signs = np.concatenate((self._signs, np.zeros_like(self._signs[: max(1024, place // 4)])))
        self._signs[place] = sign
        self._ids.append(_beginning(seed_id))
        for key in keys:
            if self._first.get(key) is None:
                self._first.put(key, place)


def _beginning(seed_id: str) -> int:
    """The first 64 bits of an id, which is a hash; of an id that is none, a hash."""
    digits = seed_id.removeprefix("s-")[:16]
    return int(digits, 16) if re.fullmatch(r"[0-9a-f]{16}", digits) else hash64(seed_id)


def _similarity(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The estimated Jaccard similarity: bytes that agree, without those that agree by chance."""
    agree = float(np.mean(one == other))
    return (agree - 1 / 256) / (1 - 1 / 256)


def own_text(seed: Seed) -> str:
    """A seed without what stands before it for its sake: two functions are not alike because they share a helper."""
    origin = seed.provenance
    if origin is None or origin.line_start is None or origin.line_end is None:
        return seed.seed
    lines = seed.seed.split("\n")
    own = lines[-(origin.line_end - origin.line_start + 1) :]
    return "\n".join(own) if own and not own[0].startswith((" ", "\t")) else seed.seed
