"""Selection over files of any size: rows are spooled to a temporary file, keys decide, chosen rows are read back.

Resident memory is about half a kilobyte for each row, near-duplicate search included; the rows themselves stay on disk.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from snipmill.config import SelectTable
from snipmill.pipeline.benchmarks import load_index, shipped_index
from snipmill.pipeline.semantic import embed, load_embedder, semantic_duplicates
from snipmill.records import Reject, Row
from snipmill.select.choose import STAGE, Finder, Keys, choose, reject_for
from snipmill.select.contamination import Decontaminator
from snipmill.select.near import PERMUTATIONS, Signatures, near_duplicates, signatures
from snipmill.store.jsonl import encode_line
from snipmill.text.fences import python_fences

_BATCH = 4096
OnReject = Callable[[Reject], None]


def select_rows(rows: Iterable[Row], table: SelectTable, seed: int, on_reject: OnReject) -> Iterator[Row]:
    """The rows that stay, in the seeded order of the data set; the others go to `on_reject`.

    Args:
        rows: candidates, read once.
        table: which duplicates are dropped, and what rows are held against.
        seed: the run's seed.
        on_reject: called with each reject.

    Raises:
        UsageError: a benchmark cannot be read.
    """
    with tempfile.TemporaryFile() as spool:
        pool = _Pool(table, seed, spool)
        try:
            for row in rows:
                pool.add(row, on_reject)
            choice = choose(pool.keys, keep=table.keep, without=frozenset(pool.contaminated), alike=pool.finders())
            for index, (reason, other) in choice.dropped.items():
                on_reject(reject_for(pool.keys, index, reason, other))
            for index in choice.kept:
                yield pool.read(index)
        finally:
            pool.close()


class _Pool:
    """The candidates: their lines on disk, their keys and signatures."""

    def __init__(self, table: SelectTable, seed: int, spool: BinaryIO) -> None:
        self.keys = Keys()
        self.contaminated: set[int] = set()
        self._table = table
        self._seed = seed
        self._spool = spool
        self._offsets = array("Q")
        self._end = 0
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(Row)
        indexes = [shipped_index()] if table.decontaminate else []
        self._decontaminator = Decontaminator([*indexes, *map(load_index, table.benchmarks)])
        self._held_against_any = bool(indexes or table.benchmarks)
        self._kinds = (_Signed(table.near_instructions), _Signed(table.near_code))

    def add(self, row: Row, on_reject: OnReject) -> None:
        index = len(self.keys)
        self.keys.add(row, self._seed, self._table.name_diversity)
        line = encode_line(self._encoder, row)
        self._spool.write(line)
        self._offsets.append(self._end)
        self._end += len(line)
        blocks = [fence.code for fence in python_fences(row.response)]
        for kind, text in zip(self._kinds, (row.instruction, "\n".join(blocks)), strict=True):
            kind.add(text)
        if self._held_against_any:
            match = self._decontaminator.find([row.instruction, row.response], blocks)
            if match is not None:
                self.contaminated.add(index)
                detail = f"{match.item}, {match.kind}: {match.text}"
                on_reject(Reject(id=row.id, stage=STAGE, reason="contaminated", detail=detail))

    def finders(self) -> Iterator[tuple[str, Finder]]:
        """What finds rows that are too alike; each holds its signatures only while it works."""
        for kind in self._kinds:
            if kind.threshold > 0:
                yield "near-duplicate", kind.find
        if self._table.semantic > 0:
            yield "semantic-duplicate", self._find_semantic

    def _find_semantic(self, order: NDArray[np.int64]) -> dict[int, int]:
        instructions = (self.read(index).instruction for index in range(len(self.keys)))
        vectors = embed(load_embedder(self._table.embedding_model), instructions)
        return semantic_duplicates(vectors, order, self._table.semantic)

    def read(self, index: int) -> Row:
        self._spool.seek(self._offsets[index])
        return self._decoder.decode(self._spool.readline())

    def close(self) -> None:
        for kind in self._kinds:
            kind.file.close()


class _Signed:
    """The signatures of one kind of text, on disk until they are needed; none where the threshold is 0."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.file = tempfile.TemporaryFile()  # noqa: SIM115
        self._waiting: list[str] = []

    def add(self, text: str) -> None:
        if self.threshold == 0:
            return
        self._waiting.append(text)
        if len(self._waiting) == _BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self.file.write(signatures(self._waiting).tobytes())
            self._waiting.clear()

    def find(self, order: NDArray[np.int64]) -> dict[int, int]:
        self._flush()
        self.file.seek(0)
        signs: Signatures = np.fromfile(self.file, dtype=np.uint32).reshape(-1, PERMUTATIONS)
        return near_duplicates(signs, order, self.threshold)
