"""Near duplicates among seeds while they stream: of seeds that are alike, the first one stays.

Memory is a signature of 256 bytes and about 600 bytes of an index for each seed that stays. What `select` does with rows
looks at all of them at once, and joins whole clusters; a stream cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from snipmill.records import Reject, Seed
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
        self._signs = np.zeros((1024, PERMUTATIONS), dtype=np.uint32)
        self._ids: list[str] = []
        self._first = NumberMap()

    def sift(self, seeds: Iterable[Seed]) -> Iterator[Seed | Reject]:
        """The seeds that are like none before them; a reject for each other."""
        listed = list(seeds)
        if not listed:
            return
        signs = signatures([own_text(seed) for seed in listed])
        for seed, sign, keys in zip(listed, signs, bands(signs, self._threshold).tolist(), strict=True):
            places = {place for key in keys if (place := self._first.get(key)) is not None}
            like = next(
                (place for place in sorted(places) if np.mean(self._signs[place] == sign) >= self._threshold), None
            )
            if like is not None and self._ids[like] != seed.id:
                detail = f"Too like the seed {self._ids[like]}, which came before it."
                yield Reject(id=seed.id, stage=STAGE, reason="near-duplicate", detail=detail)
                continue
            if like is None:
                self._keep(seed.id, sign, keys)
            yield seed

    def _keep(self, seed_id: str, sign: np.ndarray, keys: list[int]) -> None:
        place = len(self._ids)
        if place == len(self._signs):
            self._signs = np.concatenate((self._signs, np.zeros_like(self._signs)))
        self._signs[place] = sign
        self._ids.append(seed_id)
        for key in keys:
            if self._first.get(key) is None:
                self._first.put(key, place)


def own_text(seed: Seed) -> str:
    """A seed without what stands before it for its sake: two functions are not alike because they share a helper."""
    origin = seed.provenance
    if origin is None or origin.line_start is None or origin.line_end is None:
        return seed.seed
    lines = seed.seed.split("\n")
    own = lines[-(origin.line_end - origin.line_start + 1) :]
    return "\n".join(own) if own and not own[0].startswith((" ", "\t")) else seed.seed
